//! Transactions over HTTP: what was read comes back as tokens, and counts only if all of it still holds.

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use crdt::CollId;
use disk::RealDisk;
use replica::{Committed, Snapshot};
use serde::Deserialize;

use super::answer::{self, Answer, Here};
use super::keys::written;
use super::problem::Problem;
use super::types::{ChangedRead, Key, Transact, TransactWrite};
use crate::reads::Read;
use crate::slot::{Error, Turn};
use crate::space::{DiskOwner, Space, transact};
use crate::verbs::{Verb, apply};

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
        let mut changed = None;
        let committed = transact(owner, now, |tx| {
            for (index, read) in checked.iter().enumerate() {
                // What is pending and not visible yet is found by the commit, which then runs all of this again.
                tx.depend(read.coll, &read.range);
                if !read.holds(tx.snapshot())? {
                    changed = Some(index);
                    return Err(Error::Contended);
                }
            }
            for (coll, key, verb) in &writes {
                apply(tx, *coll, key, verb)?;
            }
            Ok(())
        });
        match changed {
            Some(index) => Turn::Done(Ok(Outcome::Changed(index))),
            None => committed.map(Outcome::Committed).into(),
        }
    };
    match space.slot.call(len, work).await? {
        Outcome::Committed(committed) => written(&space, committed, level, timeout).await,
        Outcome::Changed(index) => Err(changed(&snapshot, index, &reads[index])?),
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
    for TransactWrite { collection, key: Key(key), value } in writes {
        let found = space.collection(snapshot, &collection)?;
        let coll = found.ok_or_else(|| Problem::no_collection(&space.name, &collection))?;
        let value = value
            .map(|value| value.to_bytes().ok_or_else(|| Problem::usage("a `value` is not base64")))
            .transpose()?;
        len += key.len() + value.as_ref().map_or(0, Vec::len);
        if !seen.insert((coll, key.clone())) {
            return Err(Problem::usage(format!("{collection} {} is written twice", Key(key))));
        }
        resolved.push((coll, key, value.map_or(Verb::Delete, Verb::Put)));
    }
    Ok((len, resolved))
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
