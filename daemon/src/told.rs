//! What a person is told of a write: whose it is, and its value where that is here and not too long.

use crdt::view::counter::Total;
use crdt::view::{Json, Manner, map, set};
use crdt::{Payload, Policy, WriterId};
use disk::RealDisk;
use replica::Snapshot;

use crate::api::types::Value;
use crate::document;
use crate::keytext::Key;
use crate::slot::Error;

/// The device that wrote, or `home`.
pub(crate) fn device(writer: &WriterId) -> String {
    if writer.is_home() { "home".to_string() } else { writer.device().to_string() }
}

/// How long what was written is; nothing is where it was a delete.
pub(crate) fn len(payload: Option<&Payload>) -> u64 {
    match payload {
        Some(Payload::Inline(bytes)) => bytes.len() as u64,
        Some(Payload::Blob(blob)) => blob.len,
        None => 0,
    }
}

/// What was written at a key, up to `len_max` bytes, as the policy of its collection says it. Bytes that come later, or
/// went with the past, are no error: that something was written is worth saying all the same.
pub(crate) fn value(
    snapshot: &Snapshot<RealDisk>,
    manner: &Manner,
    key: &[u8],
    payload: Option<&Payload>,
    len_max: u64,
) -> Result<Option<Value>, Error> {
    let Some(payload) = payload.filter(|payload| len(Some(payload)) <= len_max) else { return Ok(None) };
    match snapshot.value(payload) {
        Ok(bytes) => Ok(Some(said(manner, key, &bytes))),
        Err(replica::Error::NotLocal { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Stored bytes as the policy says them: JSON of a field, the total of a writer, whether an element is in a set. Bytes that
/// are none for the policy stand as they are.
fn said(manner: &Manner, key: &[u8], bytes: &[u8]) -> Value {
    let json = match manner.policy {
        Policy::Map => field(key, bytes),
        Policy::OrSet | Policy::GSet => Some(true.into()),
        Policy::TwoPhaseSet => match bytes {
            set::ADDED => Some(true.into()),
            set::REMOVED => Some(false.into()),
            _ => None,
        },
        Policy::GCounter | Policy::PnCounter => total(bytes),
        _ => None,
    };
    json.map_or_else(|| Value::from_bytes(bytes), Value::Json)
}

fn field(key: &[u8], bytes: &[u8]) -> Option<serde_json::Value> {
    let (_, path) = map::split(key)?;
    if path.is_empty() {
        return Some(true.into());
    }
    // What is no JSON of ours is shown as the bytes that it is.
    Json::decode(bytes).ok().map(document::to_json)
}

fn total(bytes: &[u8]) -> Option<serde_json::Value> {
    let Total { plus, minus } = Total::of(&Payload::Inline(bytes.to_vec()))?;
    Some(match minus {
        None => plus.into(),
        Some(minus) => serde_json::json!({ "plus": plus, "minus": minus }),
    })
}

/// Where a key lies in the document it is of, as RFC 6901 points there: `/title`; none for what is no field.
pub(crate) fn pointer(manner: &Manner, key: &[u8]) -> Option<String> {
    let (_, path) = map::split(key).filter(|(_, path)| manner.policy == Policy::Map && !path.is_empty())?;
    let step = |name: &String| format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    Some(path.iter().map(step).collect())
}

/// Where a key lies in what its name stands for: the field of a document, the element of a set.
pub(crate) fn part(manner: &Manner, key: &[u8]) -> Option<String> {
    match manner.policy {
        Policy::Map => pointer(manner, key),
        Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet => {
            let (_, element) = set::split(key)?;
            // One part of a key that was read is a key again.
            crdt::key::encode(&element).ok().map(|element| Key(element).to_string())
        }
        _ => None,
    }
}
