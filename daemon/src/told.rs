//! What a person is told of a write: whose it is, and its value where that is here and not too long.

use crdt::{Payload, WriterId};
use disk::RealDisk;
use replica::Snapshot;

use crate::api::types::Value;
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

/// What was written, up to `len_max` bytes. Bytes that come later, or went with the past, are no error: that something was
/// written is worth saying all the same.
pub(crate) fn value(
    snapshot: &Snapshot<RealDisk>,
    payload: Option<&Payload>,
    len_max: u64,
) -> Result<Option<Value>, Error> {
    let Some(payload) = payload.filter(|payload| len(Some(payload)) <= len_max) else { return Ok(None) };
    match snapshot.value(payload) {
        Ok(bytes) => Ok(Some(Value::from_bytes(&bytes))),
        Err(replica::Error::NotLocal { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
