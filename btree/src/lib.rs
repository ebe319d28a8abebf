//! A history-independent B-tree whose root hash names its contents.
//!
//! Entries are bytes: a key whose last 32 bytes are a dot (writer and sequence number), and a [`Value`]. Where a
//! node ends is decided by the entries alone, so two trees hold the same entries if and only if their roots are
//! equal, whatever was done in which order. Nodes are named by their hash and never change: a reader with a root
//! never waits for a writer.
//!
//! Nodes live in append-only packs ([`Nodes`]) or, until they are written, in memory ([`Fresh`]); a [`Source`]
//! reads both.

mod boundary;
mod cache;
mod chunker;
mod cursor;
mod damaged;
#[doc(hidden)]
pub mod decoders;
mod diff;
mod digest;
mod error;
mod fresh;
mod hash;
mod node;
mod nodes;
mod pack;
mod tree;
mod verify;
mod walk;

pub use cache::Cache;
pub use cursor::{Cursor, Direction, range};
pub use diff::{Change, Diff, diff};
pub use digest::{Digest, digest};
pub use error::{Action, Damage, Error};
pub use fresh::Fresh;
pub use hash::{Hash, Kind, Salt, empty_root};
pub use node::{Child, DOT_LEN, KEY_LEN_MAX, NODE_LEN_MAX, Node, PAYLOAD_LEN_MAX, Value};
pub use nodes::{Nodes, Source};
pub use pack::{PackRef, RAW_LEN_MAX, read_extra, write_pack};
pub use tree::{apply, get};
pub use verify::{Report, children, missing, reachable, verify};
