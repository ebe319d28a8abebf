//! A transaction over HTTP.

use serde::{Deserialize, Serialize};

use super::value::given;
use super::{Key, Value};

/// `POST …/transactions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Transact {
    /// The `Strandline-Read` of everything that was read for it: none of it may have changed.
    #[serde(default)]
    pub reads: Vec<String>,
    /// What it writes: each key once, of a set each element.
    #[serde(default)]
    pub writes: Vec<TransactWrite>,
}

/// One write of it: beside the key one of `value`, `patch`, `increment`, `add` and `remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactWrite {
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: Key,
    /// The value; null deletes.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given")]
    pub value: Option<Value>,
    /// With a value or a delete: what a read saw, as in `Strandline-Context`. That is replaced, and nothing else.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<String>,
    /// An RFC 7396 merge patch of a document where it is an object, an RFC 6902 patch where it is an array.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub patch: Option<serde_json::Value>,
    /// So much more on the counter, or less.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub increment: Option<i64>,
    /// An element into the set, as in [`super::KeyVerb::Add`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub add: Option<serde_json::Value>,
    /// An element out of the set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remove: Option<serde_json::Value>,
}

/// The read of a transaction that changed, in the problem of type `conflict`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRead {
    /// Its place among `reads`, from 0.
    pub index: usize,
    /// The collection that was read.
    pub collection: String,
    /// The key, where it was one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<Key>,
}
