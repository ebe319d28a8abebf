//! Values, and the writes they were put by.

use serde::{Deserialize, Deserializer, Serialize};

use super::Key;

/// A value: text where it is UTF-8, else base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// UTF-8.
    Text(String),
    /// Anything else.
    Bytes {
        /// The bytes, in the standard alphabet with padding.
        base64: String,
    },
    /// What is no bytes: a document, the elements of a set, a count, or several values.
    Json(serde_json::Value),
}

impl Value {
    /// The form a value has in JSON.
    pub fn from_bytes(bytes: &[u8]) -> Value {
        match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_string()),
            Err(_) => Value::Bytes { base64: data_encoding::BASE64.encode(bytes) },
        }
    }

    /// The bytes again; nothing when the base64 is not base64.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        match self {
            Value::Text(text) => Some(text.clone().into_bytes()),
            // Whoever sent it is told that it is not base64; which digit is wrong helps nobody.
            Value::Bytes { base64 } => data_encoding::BASE64.decode(base64.as_bytes()).ok(),
            Value::Json(json) => Some(json.to_string().into_bytes()),
        }
    }
}

/// A value that is there, though it may be null: a field can be. With `default` what is absent is none.
pub(super) fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// `get --json`, and one line of `scan --json` and of `export`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// The value that is shown; absent with `keys_only`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<Value>,
    /// `writer:seq` of the winning write; also its `ETag`.
    pub dot: String,
    /// Who wrote it.
    pub writer: String,
    /// When, as the 64-bit hybrid time.
    pub hlc: u64,
    /// Live writes of this key, the winner included.
    pub siblings: u64,
    /// Every live write with its value, winner first; only with `?all=true`.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub all: Vec<Sibling>,
    /// What this read saw, as in `Strandline-Context`; only of one register, not in a scan.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub context: Option<String>,
}

/// One live write of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sibling {
    /// The value.
    pub value: Value,
    /// `writer:seq`.
    pub dot: String,
    /// Who wrote it.
    pub writer: String,
    /// When, as the 64-bit hybrid time.
    pub hlc: u64,
}

/// The answer to a write: where it can be found, and a token for reading it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// `writer:seq` of the commit, or of the one that has made it so before.
    pub dot: Option<String>,
    /// The commit's id; absent when nothing was written.
    pub commit: Option<String>,
    /// Sent back with a read to any replica, that read includes the write.
    pub token: String,
    /// What it was waited for: `local`, `peers:N` or `anchored`.
    pub waited: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_json_whatever_they_hold() {
        for bytes in [&b"plain"[..], b"", b"\xff\x00", "ünï".as_bytes()] {
            let json = serde_json::to_string(&Value::from_bytes(bytes)).unwrap();
            let value: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(value.to_bytes().as_deref(), Some(bytes));
        }
    }
}
