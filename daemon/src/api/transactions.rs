//! Transactions over HTTP: what was read comes back as tokens, and counts only if all of it still holds.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use crdt::CollId;
use crdt::view::mv::Context;
use disk::RealDisk;
use replica::{Committed, Snapshot};
use serde::Deserialize;

use super::answer::{self, Answer, Here};
use super::keys::written;
use super::problem::Problem;
use super::types::{ChangedRead, Key, Transact, TransactWrite, Value};
use super::verbs::element_of;
use crate::reads::Read;
use crate::slot::{Error, Turn};
use crate::space::{DiskOwner, Space, transact};
use crate::verbs::{Verb, apply_beside};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct TransactQuery {
    wait: Option<String>,
    timeout: Option<String>,
}

/// What the owner says.
enum Outcome {
    Committed(Committed),
    /// The read at this place has changed.
    Changed(usize),
    /// The write at this place cannot be.
    Refused(usize, Error),
}

pub(super) async fn post(
    State(here): Here,
    Path(space): Path<String>,
    Query(query): Query<TransactQuery>,
    body: Bytes,
) -> Answer<Response> {
    let Transact { reads, writes } = answer::json(&body)?;
    let space = here.space(&space)?;
    let (level, timeout) = answer::wait(query.wait.as_deref(), query.timeout.as_deref())?;
    let snapshot = space.slot.snapshot().await?;
    let reads = parsed(&space, &reads)?;
    if writes.is_empty() {
        return Err(Problem::usage(
            "a transaction that writes nothing has nothing to say: `writes` is empty",
        ));
    }
    let (len, writes) = resolved(&space, &snapshot, writes)?;
    let checked = reads.clone();
    let work = move |owner: &mut DiskOwner, now| {
        let (mut changed, mut refused) = (None, None);
        let committed = transact(owner, now, |tx| {
            for (index, read) in checked.iter().enumerate() {
                // What is pending and not visible yet is found by the commit, which then runs all of this again.
                tx.depend(read.coll, &read.range);
                if !read.holds(tx.snapshot())? {
                    changed = Some(index);
                    return Err(Error::Contended);
                }
            }
            for (index, (coll, key, verb)) in writes.iter().enumerate() {
                refused = Some(index);
                apply_beside(tx, *coll, key, verb)?;
            }
            refused = None;
            Ok(())
        });
        match (changed, refused, committed) {
            (Some(index), ..) => Turn::Done(Ok(Outcome::Changed(index))),
            (_, Some(index), Err(error)) if !error.is_transient() => {
                Turn::Done(Ok(Outcome::Refused(index, error)))
            }
            (.., committed) => committed.map(Outcome::Committed).into(),
        }
    };
    match space.slot.call(len, work).await? {
        Outcome::Committed(committed) => written(&space, committed, level, timeout).await,
        Outcome::Changed(index) => Err(changed(&snapshot, index, &reads[index])?),
        Outcome::Refused(index, error) => Err(Problem::from(error).of(&format!("writes[{index}]"))),
    }
}

fn parsed(space: &Space, tokens: &[String]) -> Answer<Vec<Read>> {
    let parse = |(index, token): (usize, &String)| {
        let read = Read::parse(token).filter(|read| read.is_of(&space.id));
        read.ok_or_else(|| Problem::usage(format!("reads[{index}] is no Strandline-Read of this space")))
    };
    tokens.iter().enumerate().map(parse).collect()
}

type Resolved = (CollId, Vec<u8>, Verb);

/// The writes by id, and about how many bytes they are.
fn resolved(
    space: &Space,
    snapshot: &Snapshot<RealDisk>,
    writes: Vec<TransactWrite>,
) -> Answer<(usize, Vec<Resolved>)> {
    let mut len = 0;
    let mut resolved: Vec<Resolved> = Vec::with_capacity(writes.len());
    let mut seen = std::collections::BTreeSet::new();
    for (index, write) in writes.into_iter().enumerate() {
        let found = space.collection(snapshot, &write.collection)?;
        let coll = found.ok_or_else(|| Problem::no_collection(&space.name, &write.collection))?;
        let verb = verb(&write).map_err(|problem| problem.of(&format!("writes[{index}]")))?;
        let place = verb.place(&write.key.0)?;
        if !seen.insert((coll, place)) {
            return Err(Problem::usage(format!("{} {} is written twice", write.collection, write.key)));
        }
        len += write.key.0.len() + verb.len();
        resolved.push((coll, write.key.0, verb));
    }
    Ok((len, resolved))
}

/// What one write wants.
fn verb(write: &TransactWrite) -> Answer<Verb> {
    let TransactWrite { value, context, patch, increment, add, remove, .. } = write;
    let seen = context.as_ref().map(|context| answer::context_of(context.as_bytes())).transpose()?;
    let verb = match (value, patch, increment, add, remove) {
        (Some(value), None, None, None, None) => return put(value, seen),
        (None, Some(patch @ serde_json::Value::Array(_)), None, None, None) => {
            let patch = serde_json::from_value(patch.clone());
            Verb::Patch(patch.map_err(|error| Problem::usage(format!("`patch` is no JSON patch: {error}")))?)
        }
        (None, Some(patch), None, None, None) => Verb::Merge(patch.clone()),
        (None, None, Some(by), None, None) => Verb::Increment(*by),
        (None, None, None, Some(element), None) => Verb::Add(element_of(element)?),
        (None, None, None, None, Some(element)) => Verb::Remove(element_of(element)?),
        _ => {
            return Err(Problem::usage(
                "a write is one of `value`, `patch`, `increment`, `add` and `remove`",
            ));
        }
    };
    if seen.is_some() {
        return Err(answer::bad_context("only a value and a delete take a context"));
    }
    Ok(verb)
}

fn put(value: &Value, seen: Option<Context>) -> Answer<Verb> {
    let value = match value {
        Value::Json(serde_json::Value::Null) => None,
        value => Some(value.to_bytes().ok_or_else(|| Problem::usage("the `value` is not base64"))?),
    };
    Ok(match (value, seen) {
        (Some(value), Some(seen)) => Verb::PutSeen(value, seen),
        (Some(value), None) => Verb::Put(value),
        (None, Some(seen)) => Verb::DeleteSeen(seen),
        (None, None) => Verb::Delete,
    })
}

fn changed(snapshot: &Snapshot<RealDisk>, index: usize, read: &Read) -> Answer<Problem> {
    let names = snapshot.collections()?;
    let name = names.into_iter().find(|found| found.id == read.coll);
    let collection = name.map_or_else(|| read.coll.to_string(), |found| found.name);
    let key = read.key().map(|key| Key(key.to_vec()));
    let what = match &key {
        Some(key) => format!("{collection} {key}"),
        None => format!("a range of {collection}"),
    };
    Ok(Problem::new(StatusCode::CONFLICT, "conflict", format!("reads[{index}], {what}, has changed since"))
        .cure("read again and decide on what is there now")
        .changed(ChangedRead { index, collection, key }))
}
