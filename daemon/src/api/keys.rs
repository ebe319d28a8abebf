//! One key: put, get, delete.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crdt::Dot;
use crdt::view::lww::Live;
use disk::RealDisk;
use replica::{Committed, KeyRange, Reading, Snapshot};
use serde::Deserialize;
use std::time::Instant;

use super::answer::{self, Answer, At, Here, READ, TOKEN};
use super::problem::Problem;
use super::types::{Entry, Key, Sibling, Value, Written};
use crate::reads::Read;
use crate::slot::Level;
use crate::space::{Space, Write, write_key};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct KeyQuery {
    all: bool,
    tuple: bool,
    wait: Option<String>,
    timeout: Option<String>,
    at: Option<String>,
}

type KeyPath = Path<(String, String, String)>;

pub(super) async fn put(
    State(here): Here,
    Path((space, coll, key)): KeyPath,
    Query(query): Query<KeyQuery>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    let key = answer::key(&key, query.tuple)?;
    let at = here.collection(&space, &coll).await?;
    write(&at, key, Write::Put(body.to_vec()), &query, &headers).await
}

pub(super) async fn delete(
    State(here): Here,
    Path((space, coll, key)): KeyPath,
    Query(query): Query<KeyQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let key = answer::key(&key, query.tuple)?;
    let at = here.collection(&space, &coll).await?;
    write(&at, key, Write::Delete, &query, &headers).await
}

async fn write(
    at: &At,
    key: Vec<u8>,
    write: Write,
    query: &KeyQuery,
    headers: &HeaderMap,
) -> Answer<Response> {
    let condition = answer::condition(headers)?;
    let (level, timeout) = answer::wait(query.wait.as_deref(), query.timeout.as_deref())?;
    let started = Instant::now();
    let len = key.len() + if let Write::Put(value) = &write { value.len() } else { 0 };
    let committed = at.space.slot.call(len, write_key(at.coll, key, write, condition)).await?;
    at.space.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
    written(&at.space, committed, level, timeout).await
}

/// The answer to a write, once it has gone as far as was asked.
pub(super) async fn written(
    space: &Space,
    committed: Committed,
    level: Level,
    timeout: std::time::Duration,
) -> Answer<Response> {
    if !space.reach(committed.dot, level, timeout).await? {
        let detail = format!("written here as {}, but not `{level}` within {timeout:?}", committed.dot);
        return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "wait-timeout", detail)
            .cure("it is durable here and goes on by itself: strandline status shows how far it is"));
    }
    let version = space.slot.snapshot().await?.handle().version;
    let token = answer::token(space, version, Some(committed.dot));
    let body = Written {
        dot: Some(committed.dot.to_string()),
        commit: Some(committed.id.to_string()),
        token: token.clone(),
        waited: level.to_string(),
    };
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, answer::etag(committed.dot));
    headers.insert(TOKEN, HeaderValue::from_str(&token).expect("a token is plain text"));
    Ok(response)
}

pub(super) async fn get(
    State(here): Here,
    Path((space, coll, key)): KeyPath,
    Query(query): Query<KeyQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    not_the_past(query.at.as_deref())?;
    let key = answer::key(&key, query.tuple)?;
    let at = here.collection(&space, &coll).await?;
    let at = answer::at_least(at, &headers, query.timeout.as_deref()).await?;
    let read = Read::of(at.space.id, &at.snapshot, at.coll, KeyRange::key(&key))?.token();
    let reading = at.snapshot.read(at.coll, &key)?.ok_or_else(|| Problem::no_key().read(read.clone()))?;
    let read = HeaderValue::from_str(&read).expect("a token is header text");
    let tag = answer::etag(reading.winner.dot);
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        let headers = [(header::ETAG, tag), (READ, read)];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let is_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/json"));
    let mut response = if query.all || is_json {
        Json(entry(&at.snapshot, reading, Shape::of(query.all, false))?).into_response()
    } else {
        let value = at.snapshot.value(&reading.winner.payload)?;
        let kind = HeaderValue::from_static("application/octet-stream");
        ([(header::CONTENT_TYPE, kind)], Body::from(value)).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(READ, read);
    Ok(response)
}

/// Reading the past needs the commits of the past, which this version does not look up.
pub(super) fn not_the_past(at: Option<&str>) -> Answer<()> {
    match at {
        None => Ok(()),
        Some(_) => Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "not-available",
            "reading an earlier version (?at=) is not part of this version",
        )),
    }
}

/// How much of a key an entry shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    KeyOnly,
    Winner,
    All,
}

impl Shape {
    pub(super) fn of(all: bool, keys_only: bool) -> Shape {
        match (all, keys_only) {
            (_, true) => Shape::KeyOnly,
            (true, false) => Shape::All,
            (false, false) => Shape::Winner,
        }
    }
}

/// A key as JSON shows it.
pub(super) fn entry(
    snapshot: &Snapshot<RealDisk>,
    reading: Reading,
    shape: Shape,
) -> Result<Entry, replica::Error> {
    let Reading { key, winner, losers } = reading;
    let value = match shape {
        Shape::KeyOnly => None,
        Shape::Winner | Shape::All => Some(Value::from_bytes(&snapshot.value(&winner.payload)?)),
    };
    let siblings = 1 + losers.len() as u64;
    let all = match shape {
        Shape::All => [&winner]
            .into_iter()
            .chain(&losers)
            .map(|live| sibling(snapshot, live))
            .collect::<Result<_, _>>()?,
        Shape::KeyOnly | Shape::Winner => Vec::new(),
    };
    let Dot { writer, .. } = winner.dot;
    let (dot, hlc) = (winner.dot.to_string(), winner.hlc.0);
    Ok(Entry { key: Key(key), value, dot, writer: writer.to_string(), hlc, siblings, all })
}

fn sibling(snapshot: &Snapshot<RealDisk>, live: &Live) -> Result<Sibling, replica::Error> {
    Ok(Sibling {
        value: Value::from_bytes(&snapshot.value(&live.payload)?),
        dot: live.dot.to_string(),
        writer: live.dot.writer.to_string(),
        hlc: live.hlc.0,
    })
}
