//! The JSON of the verbs that are neither put nor get.

use serde::{Deserialize, Serialize};

/// `POST …/keys/{key}`: one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyVerb {
    /// So much more on the counter, or less.
    Increment(i64),
    /// An element into the set: text, or a tuple as keys have it.
    Add(serde_json::Value),
    /// An element out of the set.
    Remove(serde_json::Value),
    /// What is there gets another name.
    Rename {
        /// The new one; a tuple with `?tuple=true`.
        to: String,
        /// What is there already is replaced.
        #[serde(default)]
        force: bool,
        /// Values that lost are given up.
        #[serde(default)]
        resolve: bool,
    },
}

/// The answer to the delete of a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// How many keys there were.
    pub keys: u64,
    /// `writer:seq` of the commit; absent when there were none.
    pub dot: Option<String>,
}

/// `PUT …/collections/{coll}/view`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetView {
    /// The policy it is read by from now on.
    pub policy: String,
    /// As in [`super::CreateCollection`].
    #[serde(default)]
    pub siblings: Option<String>,
    /// As in [`super::CreateCollection`].
    #[serde(default)]
    pub deletes: Option<String>,
}

/// `PUT …/collections/{coll}/retention`: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct SetRetention {
    /// Losers that lost longer ago go, as in `30d`; `off`: none goes for its age.
    pub losers_max_age: Option<String>,
    /// Of a key, losers beyond so many go, the lowest first; 0: none goes for their number.
    pub losers_max_count: Option<u64>,
}
