//! Places in a log, and what is found there.

use std::fmt;

/// A place in a log: the bytes of all records before it, released segments included.
///
/// Positions only grow, and an entry keeps its own for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One appended entry, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it starts: what [`crate::Log::append`] returned.
    pub position: Position,
    /// Where it ends: releasing or reading on from here leaves it behind.
    pub next: Position,
    /// The kind its owner gave it.
    pub kind: u8,
    /// The payload, whole.
    pub payload: Vec<u8>,
}

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its name in the log's folder; names sort as positions do.
    pub name: String,
    /// The position of its first record.
    pub start: Position,
    /// The bytes of its records: the next segment starts at `start + len`.
    pub len: u64,
}

/// What opening a log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Where appending goes on; everything before it is durable now.
    pub end: Position,
    /// What was cut off: written, but never known to be flushed, and not whole.
    pub cut: Option<Cut>,
}

/// A torn tail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The name of the segment's file.
    pub segment: String,
    /// Where in that file the cut was made.
    pub offset: u64,
    /// How many bytes after it were not zero-filled space.
    pub len: u64,
}
