//! Batches of rows with the importer's place, in one commit: what is taken is never taken again.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Instant;

use super::answer::{self, Answer, Here};
use super::problem::Problem;
use super::types::{ImportBatch, Imported, Position};
use crate::slot::Turn;
use crate::space::transact;

/// Before the source's name in a local note.
const NOTE: &str = "import/";

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ImportQuery {
    wait: Option<String>,
    timeout: Option<String>,
}

pub(super) async fn import(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
    Query(query): Query<ImportQuery>,
    body: Bytes,
) -> Answer<Json<Imported>> {
    let (level, timeout) = answer::wait(query.wait.as_deref(), query.timeout.as_deref())?;
    let ImportBatch { rows, position } = answer::json(&body)?;
    let at = here.collection(&space, &coll).await?;
    let mut writes = Vec::with_capacity(rows.len());
    for (number, row) in rows.into_iter().enumerate() {
        let value = row.value.to_bytes();
        let value = value.ok_or_else(|| Problem::usage(format!("row {number}: base64 is not valid")))?;
        writes.push((row.key.0, value));
    }
    let count = writes.len() as u64;
    let keys = writes.iter().map(|(key, _)| key).collect::<BTreeSet<_>>().len() as u64;
    let note = position.map(|position| (note_key(&position.source), position.at.into_bytes()));
    if writes.is_empty() && note.is_none() {
        return Ok(Json(Imported { rows: 0, repeated: 0, dot: None }));
    }
    let started = Instant::now();
    let (coll, len) = (at.coll, body.len());
    let committed = at
        .space
        .slot
        .call(len, move |owner, now| {
            if writes.is_empty() {
                let noted = match (&note, owner.live()) {
                    (Some((key, at)), Ok(live)) => live.replica.note(key, at).map_err(Into::into),
                    (None, Ok(_)) => Ok(()),
                    (_, Err(error)) => Err(error),
                };
                return Turn::Done(noted.map(|()| None));
            }
            transact(owner, now, |tx| {
                for (key, value) in &writes {
                    tx.put(coll, key, value)?;
                }
                if let Some((key, at)) = &note {
                    tx.note(key, at)?;
                }
                Ok(())
            })
            .map(Some)
            .into()
        })
        .await?;
    at.space.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
    if let Some(committed) = committed
        && !at.space.reach(committed.dot, level, timeout).await?
    {
        let detail = format!("taken here as {}, but not `{level}` within {timeout:?}", committed.dot);
        return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "wait-timeout", detail));
    }
    let dot = committed.map(|committed| committed.dot.to_string());
    Ok(Json(Imported { rows: count, repeated: count - keys, dot }))
}

/// Where an importer stands.
pub(super) async fn note(
    State(here): Here,
    Path((space, source)): Path<(String, String)>,
) -> Answer<Json<Position>> {
    let key = note_key(&source);
    let space = here.space(&space)?;
    let at = space
        .slot
        .call(0, move |owner, _| Turn::Done(owner.live().map(|live| live.replica.notes(&key))))
        .await?;
    let missing = || {
        Problem::new(StatusCode::NOT_FOUND, "nothing-imported", format!("nothing was imported from {source}"))
    };
    let at = at.and_then(|note| String::from_utf8(note).ok()).ok_or_else(missing)?;
    Ok(Json(Position { source, at }))
}

fn note_key(source: &str) -> Vec<u8> {
    format!("{NOTE}{source}").into_bytes()
}
