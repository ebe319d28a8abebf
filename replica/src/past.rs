//! What the log and the archive still hold of the past, read aside while the replica goes on.

use std::collections::BTreeSet;

use crdt::{CollId, Commit, Dot, Hlc, Mutation, Op};
use disk::Disk;
use wal::{Entry, Position};

use crate::counted::{Counted, Rules};
use crate::error::Error;
use crate::folder::{ARCHIVE, WAL};
use crate::replica::Replica;
use crate::snapshot::{KeyRange, Snapshot};

/// The commits that were visible when it was taken, as far back as their segments are kept.
///
/// Nobody waits while it is read. A segment that goes away meanwhile is an error, and asking again helps.
pub struct Past<D: Disk> {
    pub(crate) disk: D,
    /// Where the archive begins, or the log if nothing is archived.
    pub(crate) start: Position,
    pub(crate) end: Position,
    /// The state that is visible at its end.
    pub(crate) view: Snapshot<D>,
    pub(crate) rules: Rules,
}

/// What one commit did at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// The encoded key.
    pub key: Vec<u8>,
    /// The commit.
    pub dot: Dot,
    /// When it was written.
    pub hlc: Hlc,
    /// What it wanted there.
    pub op: Op,
    /// What it replaced.
    pub supersedes: Vec<Dot>,
}

impl<D: Disk> Replica<D> {
    /// The past as of now.
    pub fn past(&self) -> Past<D> {
        let archived = self.archive.front().and_then(|(name, _)| wal::parse_name(name));
        let start = archived.map_or(self.log.start(), Position);
        let (view, rules) = (self.snapshot(), self.rules());
        Past { disk: self.disk.clone(), start, end: self.visible_end, view, rules }
    }
}

impl<D: Disk> Past<D> {
    /// The oldest position that is still here.
    pub fn start(&self) -> u64 {
        self.start.0
    }

    /// Everything that is known to have been done in a range of keys, in the order of the log, each commit once a key.
    pub fn touches(&self, coll: CollId, range: &KeyRange) -> Result<Vec<Touch>, Error> {
        self.touches_of(coll, |key| range.has(key))
    }

    /// The same of all keys that are `wanted`, in one reading.
    pub fn touches_of(&self, coll: CollId, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Touch>, Error> {
        let mut seen: BTreeSet<(Dot, Vec<u8>)> = BTreeSet::new();
        let mut touches: Vec<Touch> = Vec::new();
        self.commits(|commit| {
            let dot = commit.dot();
            for mutation in commit.body().mutations.iter().filter(|m| m.coll == coll && wanted(&m.key)) {
                if seen.insert((dot, mutation.key.clone())) {
                    let Mutation { key, op, supersedes, .. } = mutation.clone();
                    touches.push(Touch { key, dot, hlc: commit.header().hlc, op, supersedes });
                }
            }
        })?;
        Ok(touches)
    }

    fn commits(&self, mut visit: impl FnMut(&Commit)) -> Result<(), Error> {
        let mut counted = Counted::new(&self.view.0, &self.rules);
        self.visit(self.start, |entry| counted.take(entry, |commit| visit(&commit)).map(|_| true))
    }

    /// Goes through the entries from a position on that were visible, while `visit` says that it wants more.
    pub(crate) fn visit(
        &self,
        from: Position,
        mut visit: impl FnMut(Entry) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut next = from;
        let mut going = Ok(true);
        for folder in [ARCHIVE, WAL] {
            let start = next;
            wal::survey(&self.disk.within(folder), start, |entry| {
                // A segment on its way to the archive may be seen in both places.
                let is_due = entry.position >= next && entry.position < self.end;
                if is_due && matches!(going, Ok(true)) {
                    next = entry.next;
                    going = visit(entry);
                }
            })?;
        }
        going.map(|_| ())
    }
}
