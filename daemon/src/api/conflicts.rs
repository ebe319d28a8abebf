//! The inbox over HTTP: list, show, resolve, discard.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::{self, Answer, Here, blocking};
use super::problem::Problem;
use super::types::{Conflict, Resolve, Settled};
use crate::conflicts::{self, Filter, Settle};

/// Lines that a list has when it does not say.
const LIMIT_DEFAULT: usize = 1_000;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ConflictsQuery {
    collection: Option<String>,
    key: Option<String>,
    tuple: bool,
    kind: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(here): Here,
    Path(space): Path<String>,
    Query(query): Query<ConflictsQuery>,
) -> Answer<Response> {
    let space = here.space(&space)?;
    if let Some(kind) = query.kind.as_deref().filter(|kind| !conflicts::KINDS.contains(kind)) {
        return Err(Problem::usage(format!("`{kind}` is no kind of conflict"))
            .cure(format!("use one of {}", conflicts::KINDS.join(", "))));
    }
    if let Some(name) = &query.collection {
        let found = space.collection(&space.slot.snapshot().await?, name)?;
        found.ok_or_else(|| Problem::no_collection(&space.name, name))?;
    }
    let key = query.key.as_deref().map(|key| answer::key(key, query.tuple)).transpose()?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let filter = Filter { collection: query.collection, key, kind: query.kind, limit };
    let listed = blocking(move || conflicts::list(&space, &filter)).await?;
    let mut lines = Vec::new();
    for conflict in listed {
        serde_json::to_writer(&mut lines, &conflict).expect("a conflict is always JSON");
        lines.push(b'\n');
    }
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from(lines)).into_response())
}

pub(super) async fn show(
    State(here): Here,
    Path((space, id)): Path<(String, String)>,
) -> Answer<Json<Conflict>> {
    let space = here.space(&space)?;
    let wanted = id.clone();
    let shown = blocking(move || conflicts::show(&space, &wanted)).await?;
    shown.map(Json).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "conflict-missing", format!("no conflict {id} is open here"))
            .cure("strandline conflicts lists what is open")
    })
}

pub(super) async fn resolve(
    State(here): Here,
    Path((space, id)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Json<Settled>> {
    let how = match answer::json(&body)? {
        Resolve { pick: Some(pick), value: None, merge: false } => Settle::Pick(pick),
        Resolve { pick: None, value: Some(value), merge: false } => Settle::Value(value),
        Resolve { pick: None, value: None, merge: true } => Settle::Merge,
        _ => return Err(Problem::usage("a resolution is one of `pick`, `value` and `merge`")),
    };
    settle(&here.space(&space)?, id, how).await
}

pub(super) async fn discard(
    State(here): Here,
    Path((space, id)): Path<(String, String)>,
) -> Answer<Json<Settled>> {
    settle(&here.space(&space)?, id, Settle::Discard).await
}

async fn settle(
    space: &std::sync::Arc<crate::space::Space>,
    id: String,
    how: Settle,
) -> Answer<Json<Settled>> {
    let space = space.clone();
    Ok(Json(blocking(move || conflicts::settle(&space, &id, &how)).await?))
}
