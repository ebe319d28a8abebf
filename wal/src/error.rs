//! What can go wrong with a log, and where.

use std::{fmt, io};

use crate::Position;

/// Why the log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes that were promised are not what was written; nothing was changed on the disk.
    #[error("record at byte {offset} of {segment} is damaged: {damage}")]
    Damaged {
        /// The name of the segment's file.
        segment: String,
        /// Where in that file the first bad record starts.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// No segment holds this position: it was released, or its segment is gone.
    #[error("no segment holds position {position}")]
    Missing {
        /// What was looked for.
        position: Position,
    },
    /// The payload does not fit an entry; nothing was appended.
    #[error("payload of {len} bytes is over the limit of {max}", max = crate::PAYLOAD_LEN_MAX)]
    TooLarge {
        /// Its length.
        len: usize,
    },
    /// The disk has no room for the entry; nothing was appended, and the log goes on as before.
    #[error("no space left to lengthen {segment}")]
    NoSpace {
        /// The name of the segment's file.
        segment: String,
    },
    /// The disk failed. A log that was being written is poisoned by it.
    #[error("cannot {action} {segment}")]
    Disk {
        /// What was tried.
        action: Action,
        /// The name of the segment's file, or `.` for the folder.
        segment: String,
        /// What the disk said.
        source: io::Error,
    },
    /// An earlier write or flush failed, so nobody knows what the disk holds: drop this log and open it anew.
    #[error("the log stopped after a failed write or flush")]
    Poisoned,
    /// The log was opened for reading only.
    #[error("the log is open for reading only")]
    ReadOnly,
}

/// What is wrong with a record or a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes do not match their checksum, or are no record at all.
    #[error("its bytes do not match their checksum")]
    Checksum,
    /// The record is whole, but belongs to another place or time.
    #[error("it does not follow the record before it")]
    Chain,
    /// The parts of an entry do not follow each other.
    #[error("it is not the part of an entry that belongs here")]
    Part,
    /// The head of the segment is not what was written.
    #[error("the head of the segment does not match its checksum")]
    Head,
    /// The segment was written by software of another time: open it with that software, or a newer one.
    #[error("it is in format {found} of the log, and this software knows format {known}", known = crate::segment::FORMAT)]
    Format {
        /// The format it says.
        found: u8,
    },
    /// There are only zeros, where something follows that cannot be without it.
    #[error("there are zeros in its place")]
    Hole,
    /// The records end before a position that the owner knows to be flushed.
    #[error("records are missing that were known to be flushed")]
    Short,
}

/// What was tried with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// List the folder.
    List,
    /// Create a segment.
    Create,
    /// Open a segment.
    Open,
    /// Read from it.
    Read,
    /// Write to it.
    Write,
    /// Flush it, or its name.
    Flush,
    /// Remove it.
    Remove,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::List => "list",
            Action::Create => "create",
            Action::Open => "open",
            Action::Read => "read",
            Action::Write => "write",
            Action::Flush => "flush",
            Action::Remove => "remove",
        })
    }
}

/// A short way to say what was being done when the disk failed.
pub(crate) trait While<T> {
    fn while_doing(self, action: Action, segment: &str) -> Result<T, Error>;
}

impl<T> While<T> for io::Result<T> {
    fn while_doing(self, action: Action, segment: &str) -> Result<T, Error> {
        self.map_err(|source| Error::Disk { action, segment: segment.to_owned(), source })
    }
}
