//! The log as a feed: commits in the order in which they became visible here, from any position that is still held.

use crdt::{Commit, Decoder, Encoder};
use disk::Disk;
use wal::{Entry, Position};

use crate::counted::Counted;
use crate::error::Error;
use crate::past::Past;
use crate::record::Note;
use crate::replica::Replica;

/// The local note that holds the mark.
const NOTE: &[u8] = b"local/feed";

/// From where on commits alone tell everything that changed.
///
/// A Handle that comes without its commits, or that drops some, changes keys that no commit in the log tells of: then
/// another generation begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedMark {
    /// How often that happened.
    pub generation: u64,
    /// Where this generation begins.
    pub start: u64,
}

impl FeedMark {
    /// Where the log of a new folder begins.
    pub(crate) const START: FeedMark = FeedMark { generation: 0, start: 0 };

    /// The note that holds it.
    pub(crate) fn note(self) -> Note {
        (NOTE.to_vec(), self.encode())
    }

    fn encode(self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(2).uint(self.generation).uint(self.start);
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Option<FeedMark> {
        let mut input = Decoder::new(bytes);
        input.array_of(2).ok()?;
        let mark = FeedMark { generation: input.uint().ok()?, start: input.uint().ok()? };
        input.finish().ok()?;
        Some(mark)
    }
}

/// A commit of the feed.
#[derive(Debug, Clone)]
pub struct Told {
    /// The commit.
    pub commit: Commit,
    /// What comes after it is told from here on; the commits of one received unit have one such place.
    pub next: u64,
}

impl<D: Disk> Replica<D> {
    /// Where the feed has come to: what becomes visible later is told from here on.
    pub fn feed_end(&self) -> u64 {
        self.visible_end.0
    }

    /// The mark of the feed; none: the folder is older than the feed, and nobody has followed it.
    pub fn feed_mark(&self) -> Option<FeedMark> {
        self.notes.get(NOTE).and_then(|note| FeedMark::decode(&note))
    }

    /// In a folder that is older than the feed: from the first follower on the mark is kept.
    pub fn begin_feed(&mut self) -> Result<FeedMark, Error> {
        if let Some(mark) = self.feed_mark() {
            return Ok(mark);
        }
        let mark = FeedMark { generation: 0, start: self.feed_end() };
        self.note(NOTE, &mark.encode())?;
        Ok(mark)
    }

    /// The mark that the manifest of a rebuild carries, so that it moves exactly when the keys do.
    pub(crate) fn next_feed_mark(&self) -> Option<Note> {
        let FeedMark { generation, .. } = self.feed_mark()?;
        let mark = FeedMark { generation: generation + 1, start: self.feed_end() };
        Some(mark.note())
    }

    /// Visible commits from a position on, about `len_max` bytes of them, and where to go on; none: the log has let them
    /// go, and the archive may still have them.
    pub fn told(&self, from: u64, len_max: usize) -> Result<Option<(Vec<Told>, u64)>, Error> {
        if Position(from) < self.log.start() {
            return Ok(None);
        }
        let rules = self.rules();
        let mut telling = Telling::new(Counted::new(&self.visible.0, &rules), from, len_max);
        for entry in self.log.entries(Position(from)) {
            let entry = entry?;
            if entry.position >= self.visible_end || !telling.take(entry)? {
                break;
            }
        }
        Ok(Some(telling.finish(self.visible_end)))
    }
}

/// A stretch of the feed being read.
struct Telling<'a, D: Disk> {
    counted: Counted<'a, D>,
    told: Vec<Told>,
    left: usize,
    /// It is as long as was asked for.
    is_full: bool,
    next: u64,
}

impl<'a, D: Disk> Telling<'a, D> {
    fn new(counted: Counted<'a, D>, from: u64, len_max: usize) -> Self {
        Self { counted, told: Vec::new(), left: len_max, is_full: false, next: from }
    }

    /// Takes the next entry; whether there is room for another one.
    fn take(&mut self, entry: Entry) -> Result<bool, Error> {
        self.left = self.left.saturating_sub(entry.payload.len());
        let (told, next) = (&mut self.told, entry.next.0);
        let is_between = self.counted.take(entry, |commit| told.push(Told { commit, next }))?;
        if is_between {
            self.next = next;
            self.is_full = self.left == 0;
        }
        Ok(!self.is_full)
    }

    /// What was read, and where to go on: behind all that is visible, unless there was more. A unit that ends there never
    /// gets whole.
    fn finish(self, end: Position) -> (Vec<Told>, u64) {
        (self.told, if self.is_full { self.next } else { end.0 })
    }
}

impl<D: Disk> Past<D> {
    /// The same from log and archive; none: the archive has let them go, too.
    pub fn told(&self, from: u64, len_max: usize) -> Result<Option<(Vec<Told>, u64)>, Error> {
        if from < self.start.0 {
            return Ok(None);
        }
        let mut telling = Telling::new(Counted::new(&self.view.0, &self.rules), from, len_max);
        self.visit(Position(from), |entry| telling.take(entry))?;
        Ok(Some(telling.finish(self.end)))
    }
}
