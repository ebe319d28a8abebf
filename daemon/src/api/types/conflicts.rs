//! What disagrees, and what is said about it.

use serde::{Deserialize, Serialize};

use super::value::given;
use super::{Key, Value};

/// One open item of the inbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What `show`, `resolve` and `discard` take. It names these writes: another write there makes another conflict.
    pub id: String,
    /// The local name of the space.
    pub space: String,
    /// The collection, where it is about one.
    pub collection: Option<String>,
    /// The key, where it is about one; of a document its name.
    pub key: Option<Key>,
    /// The field of the document, where it is about one, as a JSON pointer.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// `siblings`, `deleted`, `revived`, `replaced`, `name`, `rejected`, `orphaned`, `reissued` or `unconfirmed`.
    pub kind: String,
    /// How the collection is read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy: Option<String>,
    /// The write that is shown; none where nothing is.
    pub winner: Option<Side>,
    /// The writes that are not.
    pub losers: Vec<Side>,
    /// Why it is here, for a person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The last write that all of them had seen, where log or archive still have it; only where one is shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ancestor: Option<Side>,
}

/// One write of a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// The value, of a field as JSON, which may be null; a long one only where one conflict is shown, and none of a delete.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub value: Option<Value>,
    /// Bytes of the value.
    pub len: u64,
    /// The write.
    pub dot: String,
    /// The device that wrote it, or `home`.
    pub device: String,
    /// Whether that is this one.
    pub here: bool,
    /// Hybrid time: milliseconds since 1970 and 16 bits of count.
    pub hlc: u64,
    /// Where, in an item of several writes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub collection: Option<String>,
    /// Where, in an item of several writes; of a copy the name that it shows under.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Key>,
    /// The field, where it is not that of the conflict.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<String>,
    /// How it differs from the winner, line by line; only where one conflict is shown, for text and JSON.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub diff: Option<String>,
}

/// `POST …/conflicts/{id}/resolve`: one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// `winner`, the number of a loser from 1 on, `delete` where a delete is one of the sides, or a dot.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pick: Option<String>,
    /// Another value in their place; of a field as JSON.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub value: Option<Value>,
    /// JSON objects, merged field by field against the write that all had seen.
    #[serde(default)]
    pub merge: bool,
}

/// The answer to resolving or discarding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The conflict that is no more.
    pub id: String,
    /// `picked`, `edited`, `merged`, `rewritten` or `discarded`.
    pub outcome: String,
    /// The commit that says so; null for what only this device held.
    pub dot: Option<String>,
}
