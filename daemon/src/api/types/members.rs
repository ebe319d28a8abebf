//! How devices come into a space and go, and how its home moves.

use serde::{Deserialize, Serialize};

/// `POST /v1/spaces/{space}/invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// `reader`, `writer` or `tail`.
    #[serde(default = "writer")]
    pub role: String,
    /// How many devices may join with it.
    #[serde(default = "one")]
    pub uses: u64,
    /// How long it is good for, as `7d`.
    #[serde(default = "week")]
    pub expires: String,
}

fn writer() -> String {
    "writer".to_string()
}

fn one() -> u64 {
    1
}

fn week() -> String {
    "7d".to_string()
}

/// The answer to an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invited {
    /// What `join` takes; a secret.
    pub ticket: String,
    /// Where the joining device will dial.
    pub addresses: Vec<String>,
    /// Milliseconds since 1970.
    pub not_after: u64,
}

/// `POST /v1/spaces/{space}/leave`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Leave {
    /// How long to wait for the home, as `30s`.
    #[serde(default)]
    pub timeout: Option<String>,
}

/// `POST /v1/spaces/{space}/claim`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// No member has anything that this folder lacks: sign without hearing of one first.
    #[serde(default)]
    pub alone: bool,
}

/// `POST /v1/spaces/{space}/handover`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handover {
    /// The device's id, or enough of its beginning.
    pub device: String,
    /// How long to wait for it, as `30s`.
    #[serde(default)]
    pub timeout: Option<String>,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The new home.
    pub device: String,
    /// The first version that it signs.
    pub from_version: u64,
    /// Whether it has done so already, and this device has heard of it.
    pub taken_up: bool,
}

/// `POST /v1/spaces/{space}/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The device's id, or enough of its beginning.
    pub device: String,
}

/// The answer to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Which device is out.
    pub device: String,
    /// The version that says so; absent while the registry does not answer, and then it is in the next one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<u64>,
}

/// `POST /v1/join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The ticket.
    pub ticket: String,
    /// The local name; the first eight digits of the id when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// How long to wait for the home, as `30s`.
    #[serde(default)]
    pub timeout: Option<String>,
    /// Trust the ticket and start without the home.
    #[serde(default)]
    pub offline: bool,
}
