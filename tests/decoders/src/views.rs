//! What the views of the policies read: values of fields, contexts, manners, totals, names of copies.

use crdt::Payload;
use crdt::view::counter::Total;
use crdt::view::json::DEPTH_MAX;
use crdt::view::mv::Context;
use crdt::view::{Json, Manner, copies, map, set};

use crate::same;

/// The value of a field.
pub(crate) fn json(bytes: &[u8]) {
    if let Some(value) = same(bytes, Json::decode(bytes), Json::encode) {
        assert!(is_json(&value, DEPTH_MAX), "JSON cannot say it, or not that deep");
    }
}

/// Whether all numbers are some, and nothing is nested deeper than this.
fn is_json(value: &Json, depth: usize) -> bool {
    let inner = |value: &Json| is_json(value, depth - 1);
    match value {
        Json::Float(float) => float.is_finite(),
        Json::Array(items) => depth > 0 && items.iter().all(inner),
        Json::Object(fields) => depth > 0 && fields.values().all(inner),
        _ => true,
    }
}

/// What a writer saw, as it is carried about.
pub(crate) fn context(bytes: &[u8]) {
    if let Some(context) = same(bytes, Context::decode(bytes), Context::encode) {
        assert!(context.dots().is_sorted_by(|a, b| a < b), "its dots are in no order, or one is there twice");
    }
}

/// How a collection is read, the total of a counter, and keys that mean something to a view.
pub(crate) fn manner(bytes: &[u8]) {
    if let Some(manner) = same(bytes, Manner::decode(bytes), Manner::encode) {
        assert!(manner.may_become(&manner), "it may not become itself");
    }
    same(bytes, Total::of(&Payload::Inline(bytes.to_vec())).ok_or(()), Total::encode);
    if crdt::key::check(bytes).is_ok() {
        if let Some((document, path)) = map::split(bytes) {
            assert!(map::key_of(&document, &path).as_deref() == Ok(bytes), "its field has another key");
        }
        if let Some((of, element)) = set::split(bytes) {
            assert!(set::key_of(&of, &element).as_deref() == Ok(bytes), "its element has another key");
        }
        drop(copies::original(bytes));
    }
}
