//! Rows that come in batches, and where their importer stands.

use serde::{Deserialize, Serialize};

use super::{Key, Value};

/// `POST /v1/spaces/{space}/transactions` and `…/import`: writes that land together or not at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct ImportBatch {
    /// Rows, in order.
    pub rows: Vec<ImportRow>,
    /// Where the importer stands after these rows; durable exactly when they are.
    #[serde(default)]
    pub position: Option<Position>,
}

/// One row of an import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRow {
    /// Its key.
    pub key: Key,
    /// Its value.
    pub value: Value,
}

/// An importer's place in its source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Names the source: its size, the hash of its head, the target and the options.
    pub source: String,
    /// Opaque to the daemon; what the importer needs to go on.
    pub at: String,
}

/// The answer to a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Rows taken.
    pub rows: u64,
    /// Rows whose key had a live value before this batch, or came earlier in it.
    pub repeated: u64,
    /// `writer:seq` of the commit.
    pub dot: Option<String>,
}

/// What `import --json` ends with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportSummary {
    /// Rows read.
    pub rows: u64,
    /// Different keys among them.
    pub keys: u64,
    /// Rows whose key had come before.
    pub repeated: u64,
    /// How long it took.
    pub seconds: f64,
}
