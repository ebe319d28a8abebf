//! Which held commits a Handle leaves out: those that are not authorised, not chained or not ready on it.

use std::collections::BTreeMap;

use btree::{Fresh, Source};
use crdt::{Commit, CommitId, DeviceId, Dot, Strand, Tip, WriterId};
use disk::Disk;

use crate::cuts::{Cuts, Unauthorised};
use crate::error::Error;
use crate::heads::Heads;
use crate::home::Roots;
use crate::overlay::Overlay;
use crate::replica::Replica;
use crate::tail::Place;

/// Why a held commit counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It was not its writer's to make.
    Unauthorised(Unauthorised),
    /// It needs a commit that counts no more.
    NotReady,
    /// The Handle covers another commit in its place, or in that of one before it. Where they part is not known.
    Forked,
    /// The Handle covers more of its writer than is held here, and nobody said that this is a part of that.
    Unconfirmed,
    /// It is a home's, and this folder does not act as the home.
    Resting,
}

/// What becomes of a held commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The Handle covers it.
    Covered,
    /// It stays above the Handle.
    Kept,
    /// It counts no more, nor do those of its writer after it.
    Dropped(Reason),
}

/// Sorts held commits, shown to it in the order of the log, into those that count above a Handle and those that do not.
pub(crate) struct Sieve<'a, D: Disk> {
    pub(crate) cuts: Cuts<'a, D>,
    writers: BTreeMap<WriterId, Standing>,
    /// Of a home's commits only those count that the Handle covers.
    home_rests: bool,
    /// Whose commits stay without a grant: this device's own above the base that took it away. They were written since,
    /// and for when there is another one.
    goes_on: Option<DeviceId>,
}

/// How far a writer counts.
struct Standing {
    /// How far the Handle covers it.
    covered: u64,
    /// The last commit that counts.
    tip: Tip,
    /// Where it ends, or why nothing of it counts; looked up once.
    end: Option<Result<Option<u64>, Unauthorised>>,
    dropped: Option<Reason>,
}

impl<'a, D: Disk> Sieve<'a, D> {
    pub(crate) fn new(cuts: Cuts<'a, D>, home_rests: bool, goes_on: Option<DeviceId>) -> Self {
        Self { cuts, writers: BTreeMap::new(), home_rests, goes_on }
    }

    /// The next commit of the log.
    pub(crate) fn sort(&mut self, commit: &Commit) -> Result<Fate, Error> {
        let dot = commit.dot();
        let standing = self.standing(&dot.writer)?;
        if let Some(reason) = standing.dropped {
            return Ok(Fate::Dropped(reason));
        }
        if dot.seq <= standing.covered {
            return Ok(Fate::Covered);
        }
        let reason = self.reason(commit)?;
        let standing = self.standing(&dot.writer)?;
        standing.dropped = reason;
        if let Some(reason) = reason {
            return Ok(Fate::Dropped(reason));
        }
        standing.tip = commit.tip();
        Ok(Fate::Kept)
    }

    fn reason(&mut self, commit: &Commit) -> Result<Option<Reason>, Error> {
        let Dot { writer, seq } = commit.dot();
        if self.home_rests && writer.is_home() {
            return Ok(Some(Reason::Resting));
        }
        if commit.follows(&self.standing(&writer)?.tip).is_err() {
            return Ok(Some(Reason::Forked));
        }
        match self.end(commit)? {
            Err(reason) => return Ok(Some(Reason::Unauthorised(reason))),
            Ok(Some(end)) if seq > end => return Ok(Some(Reason::Unauthorised(Unauthorised::Cut(end)))),
            Ok(_) => {}
        }
        for needed in commit.needs() {
            let held = self.standing(&needed.writer)?.tip.seq;
            if held < needed.seq && !self.cuts.never_comes(needed, held > 0, commit.header().base)? {
                return Ok(Some(Reason::NotReady));
            }
        }
        Ok(None)
    }

    /// Where the commit's writer ends. The writer of a home that acts is bounded by its Handles alone.
    fn end(&mut self, commit: &Commit) -> Result<Result<Option<u64>, Unauthorised>, Error> {
        let dot = commit.dot();
        if dot.writer.is_home() {
            return Ok(Ok(None));
        }
        if let Some(end) = self.standing(&dot.writer)?.end {
            return Ok(end);
        }
        let opened = (dot.seq == 1).then_some(commit.header().base);
        let end = match self.cuts.authorise(&dot, opened)? {
            Ok(()) => Ok(self.cuts.cut(&dot.writer)?),
            Err(Unauthorised::NoGrant) if self.goes_on == Some(dot.writer.device()) => {
                Ok(self.cuts.end(&dot.writer)?)
            }
            Err(reason) => Err(reason),
        };
        self.standing(&dot.writer)?.end = Some(end);
        Ok(end)
    }

    fn standing(&mut self, writer: &WriterId) -> Result<&mut Standing, Error> {
        if !self.writers.contains_key(writer) {
            let tip = self.cuts.tip(writer)?.unwrap_or(Tip::START);
            self.writers.insert(*writer, Standing { covered: tip.seq, tip, end: None, dropped: None });
        }
        Ok(self.writers.get_mut(writer).expect("it was put there a moment ago"))
    }
}

/// The tail as it is above a Handle.
#[derive(Default)]
pub(crate) struct Sorted {
    /// What still counts, folded in log order, and every value that no pack holds.
    pub(crate) overlay: Overlay,
    pub(crate) heads: Heads,
    /// What counts no more, in log order.
    pub(crate) dropped: Vec<Dropped>,
    /// What vouches for what still counts of writers whose seal is on what does not.
    pub(crate) strands: Vec<Strand>,
}

/// A held commit that counts no more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped {
    pub(crate) dot: Dot,
    pub(crate) id: CommitId,
    pub(crate) place: Place,
    pub(crate) reason: Reason,
}

impl Sorted {
    /// The first number of each writer that counts no more.
    pub(crate) fn ends(&self) -> BTreeMap<WriterId, u64> {
        let mut ends = BTreeMap::new();
        for Dropped { dot, .. } in &self.dropped {
            ends.entry(dot.writer).or_insert(dot.seq);
        }
        ends
    }
}

impl<D: Disk> Replica<D> {
    /// What the Handle with these roots makes of the tail; what is not in a pack yet is in `fresh`.
    pub(crate) fn sort_tail(&self, fresh: &Fresh, roots: Roots) -> Result<Sorted, Error> {
        let mut sieve = self.sieve(fresh, roots)?;
        let mut sorted = Sorted::default();
        for (hash, bytes) in &self.pending.overlay.blobs {
            sorted.overlay.add_blob(*hash, bytes.clone());
        }
        for place in self.doubtful(&mut sieve)? {
            let commit = self.read_commit(place)?;
            match sieve.sort(&commit)? {
                Fate::Covered => {}
                Fate::Kept => {
                    sorted.overlay.fold_quietly(&commit);
                    sorted.heads.observe(&commit);
                }
                Fate::Dropped(reason) => {
                    sorted.dropped.push(Dropped { dot: commit.dot(), id: commit.id(), place, reason });
                }
            }
        }
        Ok(sorted)
    }

    /// Whether the Handle with these roots leaves out anything that is held.
    pub(crate) fn drops_any(&self, fresh: &Fresh, roots: Roots) -> Result<bool, Error> {
        let mut sieve = self.sieve(fresh, roots)?;
        for place in self.doubtful(&mut sieve)? {
            if matches!(sieve.sort(&self.read_commit(place)?)?, Fate::Dropped(_)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The held commits that the Handle may not cover, in the order of the log.
    fn doubtful(&self, sieve: &mut Sieve<'_, D>) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        for (writer, tail) in self.tail.writers() {
            let standing = sieve.standing(writer)?;
            let first = if standing.dropped.is_some() { 0 } else { standing.covered + 1 };
            places.extend((first.max(tail.first())..=tail.last()).filter_map(|seq| tail.place(seq)));
        }
        for (dot, place) in self.tail.uncovered_home() {
            places.extend((dot.seq > sieve.standing(&dot.writer)?.covered).then_some(place));
        }
        places.sort_unstable_by_key(|place| place.position);
        Ok(places)
    }

    /// A sieve that knows which writers' histories here are not those that the Handle covers.
    fn sieve<'a>(&'a self, fresh: &'a Fresh, roots: Roots) -> Result<Sieve<'a, D>, Error> {
        let cuts = Cuts::new(Source::new(&self.pending.nodes, fresh), roots, &self.pending.proofs)?;
        let goes_on = (roots == self.pending.base_roots()).then(|| self.device.id());
        let mut sieve = Sieve::new(cuts, self.home_rests, goes_on);
        for (writer, tail) in self.tail.writers() {
            let covered = sieve.cuts.tip(writer)?.unwrap_or(Tip::START);
            if covered.seq < tail.first() {
                continue;
            }
            let doubt = match tail.place(covered.seq) {
                Some(place) if self.read_commit(place)?.id() == covered.id => None,
                Some(_) => Some(Reason::Forked),
                // Both histories that are proven go on from what is held, so the Handle covers that, whichever it took.
                None if self.ends_at_fork(writer, tail) => None,
                None if self.is_own(writer) => Some(Reason::Unconfirmed),
                // It is its author's to find out.
                None => None,
            };
            sieve.standing(writer)?.dropped = doubt;
        }
        Ok(sieve)
    }
}
