//! One event of the change feed, as CloudEvents 1.0 writes it.

use serde::{Deserialize, Serialize};

use super::value::given;
use super::{Key, Value};

/// A CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `1.0`.
    pub specversion: String,
    /// The dot of the commit: an event that comes twice has it twice. Where there is no commit, the cursor and a number.
    pub id: String,
    /// `/v1/spaces/ID`.
    pub source: String,
    /// `strandline.commit`, or `strandline.changed` for keys that changed without a commit that is held here.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it was written, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<String>,
    /// `application/json`.
    pub datacontenttype: String,
    /// Where to go on after it; good at this replica only.
    pub cursor: String,
    /// What happened.
    pub data: EventData,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventData {
    /// The device that wrote it, or `home`; none where there is no commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<String>,
    /// Hybrid time of the commit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hlc: Option<u64>,
    /// Every key it touched.
    pub changes: Vec<Change>,
}

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: Key,
    /// `put`; `delete`, also where an element was taken out of a set; or `discard`, where writes went and others live on.
    pub op: String,
    /// What was put, or lives on, up to 64 KiB: of a field its JSON, of an element or a document that it is there, of a
    /// counter what is read when the event is sent.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub value: Option<Value>,
    /// Its bytes.
    pub len: u64,
    /// Why it counts for nothing, by every device alike.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ignored: Option<String>,
    /// The writes it replaced.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub supersedes: Vec<String>,
    /// The conflict that is open at the key, seen when the event is sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub conflict: Option<String>,
}
