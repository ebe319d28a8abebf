//! A transaction over HTTP.

use serde::{Deserialize, Serialize};

use super::{Key, Value};

/// `POST …/transactions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Transact {
    /// The `Strandline-Read` of everything that was read for it: none of it may have changed.
    #[serde(default)]
    pub reads: Vec<String>,
    /// What it writes, each key once.
    #[serde(default)]
    pub writes: Vec<TransactWrite>,
}

/// One write of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransactWrite {
    /// The collection.
    pub collection: String,
    /// The key.
    pub key: Key,
    /// The value; null deletes.
    pub value: Option<Value>,
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
