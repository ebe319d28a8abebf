//! The story of a key, and what `doctor` found.

use serde::{Deserialize, Serialize};

use super::value::given;
use super::{Key, Value};

/// Why a key shows what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The local name of the space.
    pub space: String,
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: Key,
    /// How the collection is read.
    pub policy: String,
    /// What is read at the key; none where nothing is, or where it is a field or an element alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// Why, in a sentence.
    pub why: String,
    /// Every write that is alive, or that log or archive still tell of, oldest first.
    pub writes: Vec<StoryWrite>,
}

/// One write of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoryWrite {
    /// Its name.
    pub dot: String,
    /// The device that wrote it, or `home`.
    pub device: String,
    /// Whether that is this one.
    pub here: bool,
    /// Hybrid time.
    pub hlc: u64,
    /// `put` or `delete`.
    pub op: String,
    /// Where in what the key names: the field of a document as a JSON pointer, the element of a set, the name of a copy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<String>,
    /// What was put, where it is still here: of a counter the total of its writer, of a set whether the element is in it.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub value: Option<Value>,
    /// Bytes of what was put.
    #[serde(default)]
    pub len: u64,
    /// `shown`; alive and not shown as it is: `live`, `hidden` in a document that was deleted or behind a later value of
    /// another shape, or `ignored`, since it is nothing that the policy knows; or `superseded`. A delete is never alive.
    pub state: String,
    /// Why it is ignored, by every device alike.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The writes that it replaced, where the commit is still here.
    pub supersedes: Vec<String>,
    /// The writes that replaced it, where those commits are still here.
    pub superseded_by: Vec<String>,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `clock`, `permissions`, `disk`, `limits`, `space` or `peer`; without a daemon also `daemon`, `folder` and `settings`.
    pub area: String,
    /// `ok`, `warning` or `error`.
    pub level: String,
    /// What was found.
    pub finding: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cure: Option<String>,
}
