//! The commits that count, of what the log and the archive hold: not all that lies there ever did.

use crdt::Commit;
use disk::Disk;
use wal::{Entry, Position};

use crate::error::Error;
use crate::record::Record;
use crate::replica::Replica;
use crate::view::View;

/// Goes through entries in the order of the log, and hands on what counts as of one visible state.
pub(crate) struct Counted<'a, D: Disk> {
    view: &'a View<D>,
    rules: &'a Rules,
    /// The received unit being read: commits and seals that are to come, and the commits that came.
    unit: Option<(u64, u64, Vec<Commit>)>,
}

/// What of the log never counted.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Stretches that were written for a manifest that never came.
    void: Vec<(Position, Position)>,
    /// Below it, a commit whose unit begins before what is kept was in a whole one.
    checkpoint: Position,
}

impl<D: Disk> Replica<D> {
    pub(crate) fn rules(&self) -> Rules {
        Rules { void: self.manifest.void.clone(), checkpoint: self.manifest.position }
    }
}

impl<'a, D: Disk> Counted<'a, D> {
    pub(crate) fn new(view: &'a View<D>, rules: &'a Rules) -> Self {
        Self { view, rules, unit: None }
    }

    /// Takes the next entry, and hands on the commits that it completes. Whether reading may begin again behind it: it
    /// may not inside a unit.
    pub(crate) fn take(&mut self, entry: Entry, visit: impl FnMut(Commit)) -> Result<bool, Error> {
        if self.rules.void.iter().any(|(from, to)| (*from..*to).contains(&entry.position)) {
            return Ok(true);
        }
        // A unit counts whole or not at all. One that goes on otherwise was left behind by a crash.
        let unit = self.unit.take();
        // What is no record of this version is nothing that could be told.
        let Ok(record) = Record::decode(entry.position, entry.kind, &entry.payload) else { return Ok(true) };
        let complete = match (record, unit) {
            (Record::Unit(commits, seals), _) => {
                self.unit = Some((commits, seals, Vec::new()));
                Vec::new()
            }
            (Record::Received(commit), Some((left, seals, mut commits))) if left > 0 => {
                commits.push(commit);
                self.unit = Some((left - 1, seals, commits));
                Vec::new()
            }
            (Record::Received(commit), None) if entry.position < self.rules.checkpoint => vec![commit],
            (Record::Received(_), _) => Vec::new(),
            (Record::Seal(_), Some((0, 1, commits))) => commits,
            (Record::Seal(_), Some((0, seals, commits))) => {
                self.unit = Some((0, seals.saturating_sub(1), commits));
                Vec::new()
            }
            (record, _) => record.into_commit().into_iter().collect(),
        };
        self.hand_on(complete, visit)?;
        Ok(self.unit.is_none())
    }

    /// Not what was taken back, nor what an adoption cut short has left of a home.
    fn hand_on(&self, commits: Vec<Commit>, mut visit: impl FnMut(Commit)) -> Result<(), Error> {
        for commit in commits {
            let dot = commit.dot();
            if self.view.tip(&dot.writer)?.is_some_and(|tip| tip.seq >= dot.seq) {
                visit(commit);
            }
        }
        Ok(())
    }
}
