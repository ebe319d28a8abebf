//! What the log and the archive still hold of the past, read aside while the replica goes on.

use crdt::{Commit, Dot, Hlc, Op};
use disk::Disk;
use wal::Position;

use crate::contest::Place;
use crate::error::Error;
use crate::folder::{ARCHIVE, WAL};
use crate::record::Record;
use crate::replica::Replica;

/// The commits that were visible when it was taken, as far back as their segments are kept.
///
/// Nobody waits while it is read. A segment that goes away meanwhile is an error, and asking again helps.
pub struct Past<D: Disk> {
    pub(crate) disk: D,
    /// Where the archive begins, or the log if nothing is archived.
    pub(crate) start: Position,
    pub(crate) end: Position,
}

/// What one commit did at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
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
        Past { disk: self.disk.clone(), start, end: self.visible_end }
    }
}

impl<D: Disk> Past<D> {
    /// Everything that is known to have been done at a key, in the order of the log, each commit once.
    pub fn touches(&self, place: &Place) -> Result<Vec<Touch>, Error> {
        let mut touches: Vec<Touch> = Vec::new();
        self.commits(|commit| {
            let dot = commit.dot();
            let found = commit.body().mutations.iter().find(|m| m.coll == place.coll && m.key == place.key);
            let Some(mutation) = found else { return };
            if touches.iter().all(|touch| touch.dot != dot) {
                let (op, supersedes) = (mutation.op.clone(), mutation.supersedes.clone());
                touches.push(Touch { dot, hlc: commit.header().hlc, op, supersedes });
            }
        })?;
        Ok(touches)
    }

    fn commits(&self, mut visit: impl FnMut(&Commit)) -> Result<(), Error> {
        for folder in [ARCHIVE, WAL] {
            wal::survey(&self.disk.within(folder), Position(0), |entry| {
                if entry.position >= self.end {
                    return;
                }
                // What is no record of this version is nothing that could be told.
                let record = Record::decode(entry.position, entry.kind, &entry.payload);
                if let Some(commit) = record.as_ref().ok().and_then(Record::commit) {
                    visit(commit);
                }
            })?;
        }
        Ok(())
    }
}
