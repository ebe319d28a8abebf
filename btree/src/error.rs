//! What can go wrong between a caller and its nodes.

use std::{fmt, io};

use crate::hash::{Hash, Kind};

/// Why a tree could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A node, chunk or manifest that is in no pack here: fetch it from a peer.
    #[error("{kind:?} {hash} is in no pack")]
    Missing {
        /// What kind of bytes was asked for.
        kind: Kind,
        /// Their name.
        hash: Hash,
    },
    /// Bytes on the disk are not what was written: restore the pack, or fetch what it held.
    #[error("pack {pack} is damaged at byte {offset}: {damage}")]
    Damaged {
        /// The pack's file name.
        pack: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        damage: Damage,
    },
    /// Bytes that were handed in, and hash to what they claim, are not a node: blame who sent them.
    #[error("{kind:?} node {hash} is malformed: {damage}")]
    Malformed {
        /// What kind of node it should be.
        kind: Kind,
        /// The hash of the bytes.
        hash: Hash,
        /// Which rule they break.
        damage: Damage,
    },
    /// Nodes that are fine one by one do not make a tree: blame who signed its root.
    #[error("{kind:?} node {hash} does not fit its tree: {damage}")]
    Shape {
        /// The kind of the tree.
        kind: Kind,
        /// The node that does not fit.
        hash: Hash,
        /// Which rule it breaks.
        damage: Damage,
    },
    /// A key of a change without room for its dot, or longer than any valid commit can make it.
    #[error("key of {len} bytes is outside {min}..={max}", min = crate::DOT_LEN, max = crate::KEY_LEN_MAX)]
    KeyLen {
        /// The length of the key.
        len: usize,
    },
    /// A payload longer than any valid commit can make it.
    #[error("payload of {len} bytes is over the limit of {max}", max = crate::PAYLOAD_LEN_MAX)]
    PayloadLen {
        /// The length of the payload.
        len: usize,
    },
    /// Bytes too long for a pack.
    #[error("{len} bytes to keep are over the limit of {max}", max = crate::RAW_LEN_MAX)]
    RawLen {
        /// Their length.
        len: usize,
    },
    /// The disk refused.
    #[error("cannot {action} pack {pack}")]
    Disk {
        /// What was tried.
        action: Action,
        /// The pack's file name.
        pack: String,
        /// The disk's answer.
        source: io::Error,
    },
}

/// Which rule some bytes break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// They end before they should, or after.
    Length,
    /// They do not start with what every pack starts with.
    Header,
    /// They are in a format of another time: open them with the software that wrote them, or a newer one.
    Format {
        /// The format they say.
        found: u64,
        /// The format that is known here.
        known: u64,
    },
    /// The checksum over a pack's index does not match.
    Checksum,
    /// The bytes do not hash to their name.
    Hash,
    /// A number is outside its limits.
    Limit,
    /// Keys are not in strictly ascending order.
    Order,
    /// The same content has a shorter or other true spelling.
    Spelling,
    /// A node ends where the rule says it must not, or goes on where it must end.
    Cut,
    /// A child's level, last key, count or bytes are not what its parent says.
    Parent,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Format { found, known } => {
                return write!(f, "it is in format {found}, and this software knows format {known}");
            }
            Damage::Length => "the length is wrong",
            Damage::Header => "this is not the start of a pack",
            Damage::Checksum => "the index does not match its checksum",
            Damage::Hash => "the bytes do not match their hash",
            Damage::Limit => "a number is outside its limits",
            Damage::Order => "keys are out of order",
            Damage::Spelling => "the content has another true spelling",
            Damage::Cut => "a node ends where it must not",
            Damage::Parent => "a child is not what its parent says",
        })
    }
}

/// What was asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make a new pack.
    Create,
    /// Open a pack.
    Open,
    /// Read from a pack.
    Read,
    /// Write to a pack.
    Write,
    /// Flush a pack or its folder.
    Flush,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Create => "create",
            Action::Open => "open",
            Action::Read => "read",
            Action::Write => "write",
            Action::Flush => "flush",
        })
    }
}
