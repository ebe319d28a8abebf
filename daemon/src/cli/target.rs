//! `SPACE/COLL` and keys, as they are typed and as they stand in a path.

use std::str::FromStr;

use crate::client::encode;

/// A collection of a space.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) space: String,
    pub(crate) collection: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Target, String> {
        match text.split_once('/') {
            Some((space, collection)) if !space.is_empty() && !collection.is_empty() => {
                Ok(Target { space: space.to_string(), collection: collection.to_string() })
            }
            _ => Err(format!("{text:?} is not SPACE/COLLECTION, as in telemetry/readings")),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.space, self.collection)
    }
}

impl Target {
    /// Where this collection stands in the API.
    pub(crate) fn path(&self) -> String {
        format!("/v1/spaces/{}/collections/{}", encode(&self.space), encode(&self.collection))
    }

    /// Where one of its keys stands.
    pub(crate) fn key_path(&self, key: &str) -> String {
        format!("{}/keys/{}", self.path(), encode(key))
    }
}

/// A query string that grows as settings are given.
#[derive(Default)]
pub(crate) struct Query {
    text: String,
}

impl Query {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.text.push(if self.text.is_empty() { '?' } else { '&' });
        self.text.push_str(name);
        self.text.push('=');
        self.text.push_str(&encode(value));
    }

    pub(crate) fn set_option(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    pub(crate) fn set_flag(&mut self, name: &str, value: bool) {
        if value {
            self.set(name, "true");
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// How a key on the command line is read.
#[derive(clap::Args)]
pub(crate) struct KeyForm {
    /// Read keys as JSON arrays, the way tuple keys are printed: '["exchange.csv",17]'
    #[arg(long)]
    tuple: bool,
}

impl KeyForm {
    pub(crate) fn is_tuple(&self) -> bool {
        self.tuple
    }

    pub(crate) fn add_to(&self, query: &mut Query) {
        query.set_flag("tuple", self.tuple);
    }
}

/// How far a write must have come before its command returns.
#[derive(clap::Args)]
pub(crate) struct Wait {
    /// Return when the write is: local, peers:N or anchored [default: local]
    #[arg(long, value_name = "LEVEL")]
    wait: Option<String>,

    /// Give up waiting after this long, as in 5s; the write itself stays
    #[arg(long, value_name = "TIME", requires = "wait")]
    timeout: Option<String>,
}

impl Wait {
    pub(crate) fn add_to(&self, query: &mut Query) {
        query.set_option("wait", self.wait.as_deref());
        query.set_option("timeout", self.timeout.as_deref());
    }
}
