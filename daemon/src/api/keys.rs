//! One key: put, get, delete.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crdt::view::lww::Live;
use crdt::view::{Manner, copies};
use crdt::{CollId, Policy};
use disk::RealDisk;
use replica::{KeyRange, Snapshot};
use serde::Deserialize;
use std::time::Instant;

use super::answer::{self, Answer, At, CONTEXT, READ, Shared, TOKEN};
use super::problem::Problem;
use super::types::{Entry, Key, Sibling, Value, Written};
use crate::document;
use crate::reads::Read;
use crate::slot::Level;
use crate::space::{Done, Space};
use crate::verbs::{Verb, carry_out, seen};

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct KeyQuery {
    all: bool,
    pub(super) tuple: bool,
    wait: Option<String>,
    timeout: Option<String>,
    at: Option<String>,
}

type KeyPath = Path<(String, String, String)>;

/// What a path and a query say about one key.
pub(super) struct Keyed {
    here: Shared,
    path: KeyPath,
    query: KeyQuery,
}

impl FromRequestParts<Shared> for Keyed {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, here: &Shared) -> Answer<Keyed> {
        let path = KeyPath::from_request_parts(parts, here).await;
        let path = path.map_err(|error| Problem::usage(error.body_text()))?;
        let query = Query::<KeyQuery>::from_request_parts(parts, here).await;
        let Query(query) = query.map_err(|error| Problem::usage(error.body_text()))?;
        Ok(Keyed { here: here.clone(), path, query })
    }
}

impl Keyed {
    /// The collection as it is visible now, the key, and what the query asks for.
    ///
    /// Not while the request is taken apart: whoever refuses it before its body was read ends the connection.
    pub(super) async fn find(self) -> Answer<(At, Vec<u8>, KeyQuery)> {
        let Keyed { here, path: Path((space, coll, key)), query } = self;
        let key = answer::key(&key, query.tuple)?;
        Ok((here.collection(&space, &coll).await?, key, query))
    }
}

pub(super) async fn put(keyed: Keyed, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    let (at, key, query) = keyed.find().await?;
    let verb = match answer::context(&headers)? {
        Some(seen) => Verb::PutSeen(body.to_vec(), seen),
        None => Verb::Put(body.to_vec()),
    };
    write(&at, key, verb, &query, &headers).await
}

pub(super) async fn delete(keyed: Keyed, headers: HeaderMap) -> Answer<Response> {
    let (at, key, query) = keyed.find().await?;
    let verb = answer::context(&headers)?.map_or(Verb::Delete, Verb::DeleteSeen);
    write(&at, key, verb, &query, &headers).await
}

pub(super) async fn write(
    at: &At,
    key: Vec<u8>,
    verb: Verb,
    query: &KeyQuery,
    headers: &HeaderMap,
) -> Answer<Response> {
    let condition = answer::condition(headers)?;
    let (level, timeout) = answer::wait(query.wait.as_deref(), query.timeout.as_deref())?;
    let started = Instant::now();
    let len = key.len() + verb.len();
    let committed = at.space.slot.call(len, carry_out(at.coll, key, verb, condition)).await?;
    at.space.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
    written(&at.space, committed, level, timeout).await
}

/// The answer to a write, once it has gone as far as was asked.
pub(super) async fn written(
    space: &Space,
    done: impl Into<Done>,
    level: Level,
    timeout: std::time::Duration,
) -> Answer<Response> {
    let Done { dot, id } = done.into();
    if !space.reach(dot, level, timeout).await? {
        let detail = format!("written here as {dot}, but not `{level}` within {timeout:?}");
        return Err(Problem::new(StatusCode::GATEWAY_TIMEOUT, "wait-timeout", detail)
            .cure("it is durable here and goes on by itself: strandline status shows how far it is"));
    }
    let version = space.slot.snapshot().await?.handle().version;
    let token = answer::token(space, version, Some(dot));
    let body = Written {
        dot: Some(dot.to_string()),
        commit: id.map(|id| id.to_string()),
        token: token.clone(),
        waited: level.to_string(),
    };
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ETAG, answer::etag(dot));
    headers.insert(TOKEN, HeaderValue::from_str(&token).expect("a token is plain text"));
    Ok(response)
}

pub(super) async fn get(keyed: Keyed, headers: HeaderMap) -> Answer<Response> {
    let (at, key, query) = keyed.find().await?;
    not_the_past(query.at.as_deref())?;
    let at = answer::at_least(at, &headers, query.timeout.as_deref()).await?;
    let manner = at.manner()?;
    let range = KeyRange::of(manner.policy, &key);
    let read = Read::of(at.space.id, &at.snapshot, at.coll, range)?.token();
    let found = entry_at(&at.snapshot, at.coll, manner, &key)?;
    let found = found.ok_or_else(|| Problem::no_key().read(read.clone()))?;
    let read = HeaderValue::from_str(&read).expect("a token is header text");
    let tag = answer::etag(found.latest.dot);
    if headers.get(header::IF_NONE_MATCH) == Some(&tag) {
        let headers = [(header::ETAG, tag), (READ, read)];
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let is_json = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.starts_with("application/json"));
    let is_register = matches!(manner.policy, Policy::Lww | Policy::Mv | Policy::Copies);
    let context = is_register.then(|| answer::context_text(&seen(&found)));
    let header = context.as_deref().map(|text| HeaderValue::from_str(text).expect("base64 is header text"));
    let mut response = if query.all || is_json {
        let entry = entry(&at.snapshot, found, Shape::of(query.all, false))?;
        Json(Entry { context, ..entry }).into_response()
    } else {
        let (kind, value) = match found.value {
            replica::Value::Bytes(value) => ("application/octet-stream", value),
            // Of several values nobody has chosen one: a reader that asks for bytes gets that of the highest.
            replica::Value::Many(mut all) => ("application/octet-stream", all.swap_remove(0)),
            other => ("application/json", document::shown(other).to_bytes().unwrap_or_default()),
        };
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], Body::from(value)).into_response()
    };
    response.headers_mut().insert(header::ETAG, tag);
    response.headers_mut().insert(READ, read);
    response.headers_mut().extend(header.map(|header| (CONTEXT, header)));
    Ok(response)
}

/// What is at a key: of a collection that keeps copies also at the name of one.
fn entry_at(
    snapshot: &Snapshot<RealDisk>,
    coll: CollId,
    manner: Manner,
    key: &[u8],
) -> Answer<Option<replica::Entry>> {
    let original = copies::original(key).filter(|_| manner.policy == Policy::Copies);
    let Some(original) = original else { return Ok(snapshot.entry(coll, manner, key)?) };
    let found = snapshot.entry(coll, manner, &original)?;
    let copies = found.map_or_else(|| Ok(Vec::new()), |found| copies_of(snapshot, &found))?;
    Ok(copies.into_iter().find(|copy| copy.key == key))
}

/// The copies of a key, as entries of their own.
pub(super) fn copies_of(
    snapshot: &Snapshot<RealDisk>,
    found: &replica::Entry,
) -> Result<Vec<replica::Entry>, replica::Error> {
    let live = [std::slice::from_ref(&found.latest), &found.losers].concat();
    // A key too long for the names of copies, which nobody honest writes, has none; its losers are in the inbox.
    let copies = copies::copies(&found.key, &live).unwrap_or_default();
    let entry = |copy: copies::Copy<'_>| {
        let value = replica::Value::Bytes(snapshot.value(&copy.live.payload)?);
        Ok(replica::Entry {
            key: copy.key,
            value,
            latest: copy.live.clone(),
            losers: Vec::new(),
            disputed: 0,
        })
    };
    copies.into_iter().map(entry).collect()
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
    found: replica::Entry,
    shape: Shape,
) -> Result<Entry, replica::Error> {
    let replica::Entry { key, value, latest, losers, disputed } = found;
    let is_register = matches!(value, replica::Value::Bytes(_) | replica::Value::Many(_));
    let all = match shape {
        Shape::All if is_register => [&latest]
            .into_iter()
            .chain(&losers)
            .map(|live| sibling(snapshot, live))
            .collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    let value = (shape != Shape::KeyOnly).then(|| document::shown(value));
    let (dot, writer, hlc) = (latest.dot.to_string(), latest.dot.writer.to_string(), latest.hlc.0);
    Ok(Entry { key: Key(key), value, dot, writer, hlc, siblings: 1 + disputed as u64, all, context: None })
}

fn sibling(snapshot: &Snapshot<RealDisk>, live: &Live) -> Result<Sibling, replica::Error> {
    Ok(Sibling {
        value: Value::from_bytes(&snapshot.value(&live.payload)?),
        dot: live.dot.to_string(),
        writer: live.dot.writer.to_string(),
        hlc: live.hlc.0,
    })
}
