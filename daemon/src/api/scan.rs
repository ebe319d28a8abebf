//! A range of keys as a stream of lines, in order, at the reader's pace.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use crdt::Policy;
use crdt::view::copies;
use replica::{KeyRange, Order};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::answer::{self, Answer, At, Here};
use super::keys::{Shape, copies_of, entry, not_the_past};
use super::problem::Problem;
use crate::reads::Read;

/// Lines are sent together until they are this long: one system call for many rows.
const CHUNK_LEN: usize = 32 << 10;

/// Chunks ahead of the reader.
const CHUNKS_MAX: usize = 2;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ScanQuery {
    pub(super) prefix: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
    reverse: bool,
    keys_only: bool,
    all: bool,
    /// Whether the last line is the token of what was read; `false` leaves it out.
    read: Option<bool>,
    tuple: bool,
    at: Option<String>,
    timeout: Option<String>,
}

pub(super) async fn scan(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
    Query(query): Query<ScanQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    not_the_past(query.at.as_deref())?;
    let range = range(&query)?;
    let at = here.collection(&space, &coll).await?;
    let at = answer::at_least(at, &headers, query.timeout.as_deref()).await?;
    let (chunks, stream) = mpsc::channel(CHUNKS_MAX);
    // Reading the tree blocks, and so does a slow reader: both belong where blocking is allowed.
    tokio::task::spawn_blocking(move || read(&at, &range, &query, &chunks));
    let stream = futures_util::stream::unfold(stream, async |mut stream| {
        let chunk: Result<Bytes, std::io::Error> = stream.recv().await?;
        Some((chunk, stream))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream)).into_response())
}

pub(super) fn range(query: &ScanQuery) -> Answer<KeyRange> {
    let mut range = match &query.prefix {
        Some(prefix) => KeyRange::prefix(&answer::prefix(prefix, query.tuple)?),
        None => KeyRange::all(),
    };
    if let Some(from) = &query.from {
        range.from = range.from.max(answer::key(from, query.tuple)?);
    }
    if let Some(to) = &query.to {
        let to = answer::key(to, query.tuple)?;
        range.to = Some(range.to.map_or(to.clone(), |end| end.min(to)));
    }
    Ok(range)
}

fn read(at: &At, range: &KeyRange, query: &ScanQuery, chunks: &mpsc::Sender<std::io::Result<Bytes>>) {
    let order = if query.reverse { Order::Descending } else { Order::Ascending };
    let shape = Shape::of(query.all, query.keys_only);
    let limit = usize::try_from(query.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    // The body breaks off: a reader that counts on the end of the stream knows that it is not whole.
    let break_off = |error: replica::Error| {
        let error = std::io::Error::other(Problem::from(error).into_text());
        drop(chunks.blocking_send(Err(error)));
    };
    let manner = match at.snapshot.manner(at.coll) {
        Ok(manner) => manner.unwrap_or_default(),
        Err(error) => return break_off(error),
    };
    let found = match at.snapshot.entries(at.coll, manner, range, order) {
        Ok(found) => found,
        Err(error) => return break_off(error),
    };
    // A copy stands right behind the key that it is a copy of.
    let with_copies = |found: replica::Entry| match manner.policy {
        Policy::Copies => copies_of(&at.snapshot, &found).map(|copies| [vec![found], copies].concat()),
        _ => Ok(vec![found]),
    };
    let found = found.map(|found| found.and_then(with_copies));
    let found = found.flat_map(|found| match found {
        Ok(found) => found.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    let mut chunk = Vec::with_capacity(CHUNK_LEN);
    let (mut count, mut last) = (0, None);
    for found in found.take(limit) {
        match found.and_then(|found| entry(&at.snapshot, found, shape)) {
            Ok(entry) => {
                count += 1;
                serde_json::to_writer(&mut chunk, &entry).expect("an entry is always JSON");
                chunk.push(b'\n');
                last = Some(entry.key.0);
            }
            Err(error) => return break_off(error),
        }
        if chunk.len() >= CHUNK_LEN {
            let full = std::mem::replace(&mut chunk, Vec::with_capacity(CHUNK_LEN));
            if chunks.blocking_send(Ok(full.into())).is_err() {
                return;
            }
        }
    }
    if query.read != Some(false) {
        let whole = last
            .filter(|_| count == limit)
            .map_or_else(|| range.clone(), |last| up_to(range, order, manner.policy, &last));
        match Read::of(at.space.id, &at.snapshot, at.coll, whole) {
            Ok(read) => {
                let line = serde_json::json!({ "strandline_read": read.token() });
                chunk.extend_from_slice(line.to_string().as_bytes());
                chunk.push(b'\n');
            }
            Err(error) => return break_off(error),
        }
    }
    if !chunk.is_empty() {
        // Nobody reads on when the client went away.
        drop(chunks.blocking_send(Ok(chunk.into())));
    }
}

/// The part of a range that a scan has seen which ended with this key, gaps included.
fn up_to(range: &KeyRange, order: Order, policy: Policy, last: &[u8]) -> KeyRange {
    // The name of a copy is no key: what was seen of it lies at its original.
    let original = copies::original(last).filter(|_| policy == Policy::Copies);
    let last = KeyRange::of(policy, original.as_deref().unwrap_or(last));
    match order {
        Order::Ascending => KeyRange { to: last.to, ..range.clone() },
        Order::Descending => KeyRange { from: last.from, ..range.clone() },
    }
}
