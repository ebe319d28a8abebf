//! The log: append, flush, read back, and let go of what is no longer needed.

use disk::Disk;

use crate::{Entry, Error, Position, Recovered, SegmentInfo};

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Reading starts here, and everything before is known to be flushed; the segments below are not looked at.
    pub from: Position,
    /// Length of the first segment's file.
    pub segment_len_first: u64,
    /// Length up to which segments double under load.
    pub segment_len_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { from: Position(0), segment_len_first: 256 << 10, segment_len_max: 64 << 20 }
    }
}

/// An open log. One owner at a time appends to it.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
}

impl<D: Disk> Log<D> {
    /// Opens the log in this folder, or starts one at `options.from`, and makes what it keeps durable.
    ///
    /// `opens` counts the openings of this folder: it keeps what an earlier opening left behind from being read again.
    pub fn open(disk: D, options: Options, opens: u64) -> Result<(Log<D>, Recovered), Error> {
        todo!("{:?} {opens}", (&options, disk.list("").is_ok()))
    }

    /// Opens it for reading only: nothing is written, and a torn tail is cut in memory.
    pub fn open_read(disk: D, options: Options) -> Result<(Log<D>, Recovered), Error> {
        Log::open(disk, options, 0)
    }

    /// Adds an entry to the end of the log and returns where it starts.
    ///
    /// It survives a crash only after the next [`Log::flush`].
    ///
    /// # Panics
    ///
    /// When `kind` is 0 or over [`crate::KIND_MAX`].
    pub fn append(&mut self, kind: u8, payload: &[u8]) -> Result<Position, Error> {
        todo!("{kind} {payload:?} {:?}", self.disk.exists(""))
    }

    /// Makes everything appended durable, and returns the position it reaches to.
    pub fn flush(&mut self) -> Result<Position, Error> {
        todo!()
    }

    /// Everything before this position is durable.
    pub fn flushed(&self) -> Position {
        todo!()
    }

    /// Where the next entry goes.
    pub fn end(&self) -> Position {
        todo!()
    }

    /// The first position that can be read.
    pub fn start(&self) -> Position {
        todo!()
    }

    /// Writes, when there is none yet, a mark that says how far the log is flushed; it need not be flushed itself.
    ///
    /// To be called when no batch followed the last flush for a second: without it, damage to the newest batch looks
    /// like a torn tail.
    pub fn mark_idle(&mut self) -> Result<(), Error> {
        todo!()
    }

    /// The entry that starts at `position`.
    pub fn read(&self, position: Position) -> Result<Entry, Error> {
        todo!("{position}")
    }

    /// The entries from `from` to the end, unflushed ones included; `from` is the position or the `next` of an entry.
    pub fn entries(&self, from: Position) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        let _ = from;
        std::iter::empty()
    }

    /// Forgets the segments that lie wholly before `before` and returns their names, oldest first.
    ///
    /// The files stay where they are until the caller removes or moves them.
    pub fn release(&mut self, before: Position) -> Result<Vec<String>, Error> {
        todo!("{before}")
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        todo!()
    }
}
