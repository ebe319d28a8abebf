//! What a peer lacks of the tail, in causal order, as units that are sealed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crdt::{Class, Commit, CommitId, Dot, WriterId};
use disk::Disk;
use sync::Outgoing;
use sync::frame::{BLOBS_LEN_MAX, COMMITS_MAX};

use crate::error::Error;
use crate::lacking::{Lacking, Order};
use crate::replica::Replica;
use crate::tail::Place;
use crate::vouch::Vouch;

/// Most bytes of commits in a unit, whatever was asked for: what one frame holds with its seals.
const FRAME_LEN: usize = sync::FRAME_LEN_MAX - (128 << 10);

/// Most of a unit that cannot end sooner: it travels in pieces.
const PIECES_LEN: usize = sync::frame::UNIT_LEN_MAX - (128 << 10);

/// What one commit costs in a frame beside its own bytes.
const COMMIT_COST: usize = 8;

/// A unit while it grows.
#[derive(Default)]
struct Unit {
    commits: Vec<Arc<Commit>>,
    blobs: Vec<Vec<u8>>,
    len: usize,
    blobs_len: usize,
    /// Each writer's last commit in it.
    tips: BTreeMap<WriterId, (u64, CommitId)>,
    /// Writers of other devices whose last commit in it has no seal here.
    unsealed: BTreeSet<WriterId>,
    /// The longest prefix in which every writer is sealed.
    sealed: Option<Mark>,
    /// The least urgent class in it.
    last_class: Option<Class>,
}

/// How far a unit is sealed.
struct Mark {
    commits: usize,
    blobs: usize,
    tips: BTreeMap<WriterId, (u64, CommitId)>,
}

impl<D: Disk> Replica<D> {
    /// The next visible commits that the peer lacks.
    ///
    /// Commits of other devices are cut where a seal held here covers every writer sent: their authors sealed each frame,
    /// and nobody else can. Commits of this device are sealed here, now, so that a signature is made when commits leave,
    /// not for each.
    pub(crate) fn next_unit(
        &self,
        peer: &BTreeMap<WriterId, u64>,
        len_max: usize,
    ) -> Result<Outgoing, Error> {
        self.check_running()?;
        // What came in one unit is sealed at its end only, and what is more urgent may lie between its commits: more of it
        // than a unit holds, and none could ever end. Then what was begun is ended before anything else; and if that needs
        // too much of other units, what came first goes first: in the log it lies in one piece, which went through a frame
        // once.
        for order in [Order::Urgency, Order::Sealing] {
            let unit = self.unit_in(order, peer, len_max)?;
            if !unit.commits.is_empty() || unit.more {
                return Ok(unit);
            }
        }
        self.unit_in(Order::Log, peer, len_max)
    }

    fn unit_in(
        &self,
        order: Order,
        peer: &BTreeMap<WriterId, u64>,
        len_max: usize,
    ) -> Result<Outgoing, Error> {
        let mut unit = Unit::default();
        let filled = self.fill(&mut unit, Lacking::new(self, peer, order), order, len_max);
        if let Some(mark) = unit.sealed.take_if(|_| order == Order::Sealing) {
            unit = self.most_urgent_first(mark, peer)?;
        }
        match filled {
            Ok(more) => self.finish(unit, more),
            // What comes before it goes, and the rest once peers have healed it.
            Err(error) if error.is_damage() => {
                let sealed = self.finish(unit, true)?;
                Ok(Outgoing { more: true, ..sealed })
            }
            Err(error) => Err(error),
        }
    }

    /// All that a seal was reached with, in the order in which it would go if nothing else were lacking.
    fn most_urgent_first(&self, mark: Mark, peer: &BTreeMap<WriterId, u64>) -> Result<Unit, Error> {
        // Which commits go together was found out by adding them; some that are urgent were needed last.
        let mut unit = Unit::default();
        let mut lacking = Lacking::new(self, peer, Order::Urgency).up_to(mark.tips);
        while lacking.peek()?.is_some() {
            let (commit, place) = lacking.take().expect("it was there a moment ago");
            self.add(&mut unit, commit, place)?;
        }
        Ok(unit)
    }

    /// Whether more is lacking than the unit took.
    fn fill(
        &self,
        unit: &mut Unit,
        mut lacking: Lacking<'_, D>,
        order: Order,
        len_max: usize,
    ) -> Result<bool, Error> {
        while let Some((commit, place)) = lacking.peek()? {
            let is_late = match order {
                Order::Urgency => false,
                Order::Sealing => unit.unsealed.is_empty() && unit.sealed.is_some(),
                Order::Log => unit.delays(commit),
            };
            if is_late || unit.is_full(*place, len_max) {
                break;
            }
            let (commit, place) = lacking.take().expect("it was there a moment ago");
            self.add(unit, commit, place)?;
            if order == Order::Sealing {
                let begun = unit.unsealed.iter().min_by_key(|writer| writer.class());
                begun.into_iter().for_each(|begun| lacking.prefer(begun));
            }
        }
        Ok(lacking.is_any())
    }

    /// A commit above the base by its name, a pending one included; none: it is not here, or a Handle covers it.
    pub fn commit_above(&self, dot: &Dot) -> Result<Option<Commit>, Error> {
        let place = self.tail.writer(&dot.writer).and_then(|tail| tail.place(dot.seq));
        place.map(|place| self.read_commit(place)).transpose()
    }

    fn add(&self, unit: &mut Unit, commit: Arc<Commit>, place: Place) -> Result<(), Error> {
        let Dot { writer, seq } = commit.dot();
        for blob in commit.body().blobs() {
            let bytes = self.visible.0.blob(&blob)?;
            unit.blobs_len += bytes.len();
            unit.len += bytes.len();
            unit.blobs.push(bytes);
        }
        unit.len += place.len as usize + COMMIT_COST;
        unit.tips.insert(writer, (seq, commit.id()));
        unit.last_class = unit.last_class.max(writer.class());
        unit.commits.push(commit);
        let seal = self.tail.writer(&writer).and_then(|tail| tail.seal_at(seq));
        // Of what stands there a strand takes most room.
        unit.len += seal.map_or(0, |seal| seal.len as usize);
        if self.is_own(&writer) || seal.is_some() {
            unit.unsealed.remove(&writer);
        } else {
            unit.unsealed.insert(writer);
        }
        if unit.unsealed.is_empty() {
            let (commits, blobs, tips) = (unit.commits.len(), unit.blobs.len(), unit.tips.clone());
            unit.sealed = Some(Mark { commits, blobs, tips });
        }
        Ok(())
    }

    fn finish(&self, mut unit: Unit, more: bool) -> Result<Outgoing, Error> {
        let Some(mark) = unit.sealed.take() else {
            // What is held unsealed was received in a frame that is not whole here; its author will send it again.
            return Ok(Outgoing::default());
        };
        let more = more || mark.commits < unit.commits.len();
        unit.commits.truncate(mark.commits);
        unit.blobs.truncate(mark.blobs);
        let (mut seals, mut strands) = (Vec::new(), Vec::new());
        for (writer, (seq, tip)) in &mark.tips {
            match self.vouch(writer, *seq, *tip)? {
                Vouch::Seal(seal) => seals.push(seal),
                Vouch::Strand(strand) => strands.push(strand),
            }
        }
        Ok(Outgoing { commits: unit.commits, blobs: unit.blobs, seals, strands, more })
    }

    /// Whether this device may seal a writer: its own, of this run or an earlier one.
    pub(crate) fn is_own(&self, writer: &WriterId) -> bool {
        writer.device() == self.device.id()
    }
}

impl Unit {
    /// Whether a commit would wait here for a less urgent one, and need not, as the unit can end before it.
    fn delays(&self, commit: &Commit) -> bool {
        self.sealed.is_some() && commit.dot().writer.class() < self.last_class
    }

    /// Whether the unit ends here: it is as long as was asked for and sealed so far, or nothing more can be carried.
    fn is_full(&self, next: Place, len_max: usize) -> bool {
        let commits_len = self.len - self.blobs_len + next.len as usize + COMMIT_COST;
        if self.commits.len() == COMMITS_MAX
            || self.blobs_len > BLOBS_LEN_MAX / 2
            || commits_len > if self.sealed.is_some() { FRAME_LEN } else { PIECES_LEN }
        {
            return !self.commits.is_empty();
        }
        self.sealed.is_some() && self.len + next.len as usize + COMMIT_COST > len_max
    }
}
