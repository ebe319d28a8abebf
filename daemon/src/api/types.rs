//! The JSON of the manual, as values: what the daemon writes and the command line reads.
//!
//! More fields may come to stand beside these; none of these goes away.

use serde::{Deserialize, Serialize};

mod changes;
mod conflicts;
mod explain;
mod import;
mod members;
mod transactions;
mod value;
mod verbs;

pub use crate::keytext::Key;
pub use changes::{Change, Event, EventData};
pub use conflicts::{Conflict, Resolve, Settled, Side};
pub use explain::{Explained, Finding, StoryWrite};
pub use import::{ImportBatch, ImportRow, ImportSummary, Imported, Position};
pub use members::{Claim, HandedOver, Handover, Invite, Invited, Join, Leave, Revoke, Revoked};
pub use transactions::{ChangedRead, Transact, TransactWrite};
pub use value::{Entry, Sibling, Value, Written};
pub use verbs::{Deleted, KeyVerb, SetRetention, SetView};

/// `space show --json`, and each space of `status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Space {
    /// Its name on this device.
    pub name: String,
    /// Its id, the same everywhere.
    pub id: String,
    /// `here`, or the home's key.
    pub home: String,
    /// The version of the adopted Handle.
    pub version: u64,
    /// Root of its data at that version.
    pub data_root: String,
    /// Root of its version vector at that version.
    pub vv_root: String,
    /// Commits no Handle covers yet.
    pub tail_commits: u64,
    /// Their bytes: the depth of the outbox.
    pub tail_bytes: u64,
    /// Bytes of the log on disk.
    pub wal_bytes: u64,
    /// This device's place in it, as its home last said: `member`, `revoked`, `leaving`, `left`.
    #[serde(default)]
    pub membership: String,
    /// Who may do what in it; only where one space is shown by itself.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub members: Vec<Member>,
    /// Seconds since the oldest of the tail was written.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oldest_seconds: Option<u64>,
    /// Why the space is not served, when it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// A device that the home granted something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Member {
    /// Its id.
    pub device: String,
    /// `reader`, `writer`, `admin`: the most it may do.
    pub role: String,
    /// Whether it is the home.
    pub is_home: bool,
}

/// The state of one peer in one space; kept over restarts, shown while offline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Peer {
    /// The device; empty while it was never reached.
    pub id: String,
    /// Where it is dialed; empty for one that dials us.
    pub address: String,
    /// The local name of the space.
    pub space: String,
    /// `connected`, `connecting`, `backoff`, `paused`, `offline`.
    pub state: String,
    /// The newest of our sequence numbers it has on its disk, over all our writers there is one each: their sum.
    pub acked: u64,
    /// Commits here that it is not known to have.
    pub lag_commits: u64,
    /// Attempts to connect since the last success.
    pub attempts: u64,
    /// Attempts in all.
    #[serde(default)]
    pub attempts_total: u64,
    /// Those of them that came after a failure.
    #[serde(default)]
    pub retries: u64,
    /// Bytes sent, over all sessions.
    #[serde(default)]
    pub sent_bytes: u64,
    /// Bytes received, over all sessions.
    #[serde(default)]
    pub received_bytes: u64,
    /// Why the last attempt or session ended; null while all is well.
    pub last_error: Option<String>,
    /// Milliseconds since 1970.
    pub last_attempt: Option<u64>,
    /// Milliseconds since 1970.
    pub next_attempt: Option<u64>,
    /// The version of the Handle it last said it had.
    #[serde(default)]
    pub version: u64,
    /// Round trip in microseconds, while connected.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rtt_micros: Option<u64>,
}

/// `status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// This device's id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Where peers reach it; null when it does not listen.
    pub listen: Option<String>,
    /// Where HTTP is served beside the socket.
    pub http: Option<String>,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// All spaces.
    pub spaces: Vec<Space>,
    /// All peers, one row for each space shared with each.
    pub peers: Vec<Peer>,
    /// Conflicts.
    pub conflicts: Conflicts,
    /// The disk under DATA.
    pub disk: Disk,
    /// The device's clock.
    pub clock: ClockState,
    /// What is not as the configuration might suggest.
    #[serde(default)]
    pub notices: Vec<String>,
}

/// Keys with more than one live write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Conflicts {
    /// Open ones.
    pub open: u64,
}

/// The disk under DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Disk {
    /// Bytes in DATA.
    pub used_bytes: u64,
    /// Bytes left on the file system.
    pub free_bytes: u64,
}

/// The device's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ClockState {
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// False when it is before this program was made: a device without a clock.
    pub plausible: bool,
}

/// `GET /v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ok`, or `degraded` while a space cannot be served.
    pub status: String,
    /// One sentence for each thing that is wrong.
    pub problems: Vec<String>,
}

/// `POST /v1/spaces`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateSpace {
    /// Its name on this device.
    pub name: String,
}

/// `POST /v1/spaces/{space}/collections`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateCollection {
    /// Its name.
    pub name: String,
    /// One of the policies of the manual.
    #[serde(default = "lww")]
    pub policy: String,
    /// What becomes of concurrent values of a register or field: `replace`, `keep` or `show`.
    #[serde(default)]
    pub siblings: Option<String>,
    /// What an edit does to a document deleted at the same time: `hide` or `revive`.
    #[serde(default)]
    pub deletes: Option<String>,
}

fn lww() -> String {
    "lww".to_string()
}

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its name.
    pub name: String,
    /// Its id, which follows from name, policy and parameters.
    pub id: String,
    /// Its policy.
    pub policy: String,
    /// How it is read now, where the home says otherwise than its policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub view: Option<String>,
    /// Losers that lost longer ago go, as in `30d`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub losers_max_age: Option<String>,
    /// Of a key, losers beyond so many go.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub losers_max_count: Option<u64>,
}

/// `POST /v1/peers/pause` and `…/resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct PeerChoice {
    /// An address or a device id; all peers when absent.
    #[serde(default)]
    pub peer: Option<String>,
}

/// `POST /v1/peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerAdd {
    /// `host:port`.
    pub address: String,
}

/// The answer to a change of peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersChanged {
    /// How many peers it concerned.
    pub peers: u64,
}

/// `POST /v1/spaces/{space}/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The local name of the space.
    pub space: String,
    /// Whether all of it is as it must be.
    pub ok: bool,
    /// Nodes hashed again.
    pub nodes: u64,
    /// Entries seen in them.
    pub entries: u64,
    /// The length of these nodes.
    pub bytes: u64,
    /// Commits of the log checked.
    pub commits: u64,
    /// What is wrong, and where.
    pub problems: Vec<String>,
}

impl Verified {
    /// What was found in the space of this local name.
    pub fn of(space: String, report: replica::Report) -> Verified {
        let replica::Report { nodes, entries, bytes, commits, problems, .. } = report;
        Verified { space, ok: problems.is_empty(), nodes, entries, bytes, commits, problems }
    }

    /// A space that could not be opened to be read.
    pub fn unopened(space: String, problem: String) -> Verified {
        Verified::of(space, replica::Report { problems: vec![problem], ..replica::Report::default() })
    }
}

/// An RFC 9457 problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable; what a program decides by.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What, and where.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cure: Option<String>,
    /// Of a transaction that was refused: the read that changed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub changed: Option<ChangedRead>,
}
