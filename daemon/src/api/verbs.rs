//! Verbs beside put, get and delete: patches, increments, elements, renames, and the delete of a range.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use crdt::Element;
use replica::Rename;

use super::answer::{self, Answer, Here};
use super::keys::{Keyed, write};
use super::problem::Problem;
use super::scan::{ScanQuery, range};
use super::types::{Deleted, KeyVerb};
use crate::keytext::Key;
use crate::verbs::{Verb, delete_range};

pub(super) async fn patch(keyed: Keyed, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    answer::no_context(&headers)?;
    let (at, key, query) = keyed.find().await?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let verb = match kind.split(';').next().unwrap_or_default().trim() {
        "application/merge-patch+json" => Verb::Merge(answer::json(&body)?),
        "application/json-patch+json" => Verb::Patch(answer::json(&body)?),
        other => {
            let detail = format!("`{other}` is no kind of patch");
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "patch-kind", detail)
                .cure("Content-Type: application/merge-patch+json or application/json-patch+json"));
        }
    };
    write(&at, key, verb, &query, &headers).await
}

pub(super) async fn act(keyed: Keyed, headers: HeaderMap, body: Bytes) -> Answer<Response> {
    answer::no_context(&headers)?;
    let (at, key, query) = keyed.find().await?;
    let verb = match answer::json(&body)? {
        KeyVerb::Increment(by) => Verb::Increment(by),
        KeyVerb::Add(element) => Verb::Add(element_of(&element)?),
        KeyVerb::Remove(element) => Verb::Remove(element_of(&element)?),
        KeyVerb::Rename { to, force, resolve } => {
            Verb::Rename(answer::key(&to, query.tuple)?, Rename { force, resolve })
        }
    };
    write(&at, key, verb, &query, &headers).await
}

pub(super) async fn delete_all(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
    Query(query): Query<ScanQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    answer::no_context(&headers)?;
    if query.prefix.is_none() {
        return Err(Problem::usage("a delete of many keys names their prefix")
            .cure("?prefix=TEXT; the empty prefix is every key"));
    }
    let range = range(&query)?;
    let at = here.collection(&space, &coll).await?;
    let (committed, keys) = at.space.slot.call(1_024, delete_range(at.coll, range)).await?;
    let dot = committed.map(|committed| committed.dot.to_string());
    Ok(Json(Deleted { keys: keys as u64, dot }).into_response())
}

/// The element that a JSON value stands for: one of its own, or those of an array.
pub(super) fn element_of(value: &serde_json::Value) -> Answer<Vec<Element>> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad-element", detail);
    let key = Key::parse_json(&value.to_string()).map_err(|error| bad(error.to_string()))?;
    crdt::key::decode(&key.0).map_err(|error| bad(error.to_string()))
}
