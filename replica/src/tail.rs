//! Where the commits above the base lie in the log: the outbox, as an index.

use std::collections::{BTreeMap, VecDeque};

use crdt::{CommitId, Dot, WriterId};
use planted::Bug;
use wal::Position;

/// The commits that no adopted Handle covers, by writer, and the home commits still in the log.
///
/// A commit costs 12 bytes here; its id and contents are read from the log when somebody asks.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    writers: BTreeMap<WriterId, WriterTail>,
    /// Commits of homes: never offered by themselves, but sent with the Handle that covers them.
    home: BTreeMap<Dot, HomeCommit>,
    /// How many of those no Handle covers.
    home_uncovered: u64,
    /// Writers with commits that are not visible yet.
    fresh: Vec<WriterId>,
    commits: u64,
    bytes: u64,
    /// Counts whatever may add to what a peer can be sent.
    changes: u64,
}

/// A home's commit in the log.
#[derive(Debug, Clone, Copy)]
struct HomeCommit {
    place: Place,
    is_covered: bool,
}

/// One writer's commits above the base, in a row.
#[derive(Debug)]
pub(crate) struct WriterTail {
    first: u64,
    positions: VecDeque<Position>,
    lens: VecDeque<u32>,
    /// Received signatures, and strands that lead to one, at or above `first`, rising: what each vouches for, and where it lies.
    seals: VecDeque<(u64, Place)>,
    tip: CommitId,
    visible: Option<(u64, CommitId)>,
}

/// Where an entry starts in the log, and how long it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: Position,
    pub(crate) len: u32,
}

impl WriterTail {
    fn new(first: u64) -> Self {
        Self {
            first,
            positions: VecDeque::new(),
            lens: VecDeque::new(),
            seals: VecDeque::new(),
            tip: CommitId::ZERO,
            visible: None,
        }
    }

    /// The last number held.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.positions.len() as u64 - 1
    }

    /// The id of the last commit held.
    pub(crate) fn tip(&self) -> CommitId {
        self.tip
    }

    /// The lowest number held.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The last visible number and its id.
    pub(crate) fn visible(&self) -> Option<(u64, CommitId)> {
        if planted::is(Bug::SendBeforeFlush) {
            return Some((self.last(), self.tip));
        }
        self.visible
    }

    /// Where a commit lies.
    pub(crate) fn place(&self, seq: u64) -> Option<Place> {
        let index = usize::try_from(seq.checked_sub(self.first)?).ok()?;
        Some(Place { position: *self.positions.get(index)?, len: self.lens[index] })
    }

    /// The last number up to which something vouches.
    pub(crate) fn sealed(&self) -> u64 {
        self.seals.back().map_or(0, |(sealed, _)| *sealed)
    }

    /// Where all of them lie.
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> {
        self.positions.iter().zip(&self.lens).map(|(position, len)| Place { position: *position, len: *len })
    }

    /// The number of the first commit at or after `seq` that something vouches for by itself.
    pub(crate) fn next_seal(&self, seq: u64) -> Option<u64> {
        self.seals.iter().map(|(sealed, _)| *sealed).find(|sealed| *sealed >= seq)
    }

    /// Where the seal lies that is held for exactly `seq`, or the strand.
    pub(crate) fn seal_at(&self, seq: u64) -> Option<Place> {
        let index = self.seals.binary_search_by_key(&seq, |(sealed, _)| *sealed).ok()?;
        Some(self.seals[index].1)
    }
}

impl Tail {
    /// Takes note of a commit appended at `place`.
    pub(crate) fn push(&mut self, dot: Dot, id: CommitId, place: Place) {
        self.changes += 1;
        self.commits += 1;
        self.bytes += u64::from(place.len);
        if dot.writer.is_home() {
            self.home.insert(dot, HomeCommit { place, is_covered: false });
            self.home_uncovered += 1;
            return;
        }
        let tail = self.writers.entry(dot.writer).or_insert_with(|| WriterTail::new(dot.seq));
        assert_eq!(dot.seq, tail.first + tail.positions.len() as u64, "a chain has no gaps");
        tail.positions.push_back(place.position);
        tail.lens.push_back(place.len);
        tail.tip = id;
        if self.fresh.last() != Some(&dot.writer) {
            self.fresh.push(dot.writer);
        }
    }

    /// Takes note of a home commit that a Handle already covers: it is no outbox, only an answer to near peers.
    pub(crate) fn push_covered_home(&mut self, dot: Dot, place: Place) {
        self.home.insert(dot, HomeCommit { place, is_covered: true });
    }

    /// Takes note of a received seal appended at `place`, or of a strand.
    pub(crate) fn push_seal(&mut self, writer: &WriterId, seq: u64, place: Place) {
        self.changes += 1;
        let Some(tail) = self.writers.get_mut(writer) else { return };
        if seq >= tail.first && tail.seals.back().is_none_or(|(sealed, _)| *sealed < seq) {
            tail.seals.push_back((seq, place));
        }
    }

    /// Everything pushed so far is flushed, and so visible.
    pub(crate) fn show(&mut self) {
        for writer in std::mem::take(&mut self.fresh) {
            self.changes += 1;
            let Some(tail) = self.writers.get_mut(&writer) else { continue };
            tail.visible = Some((tail.last(), tail.tip));
        }
    }

    /// Drops the commits of a writer up to `seq`: a Handle covers them now.
    pub(crate) fn cover(&mut self, writer: &WriterId, seq: u64) {
        if writer.is_home() {
            return self.cover_home(writer, seq);
        }
        let Some(tail) = self.writers.get_mut(writer) else { return };
        while tail.first <= seq && !tail.positions.is_empty() {
            tail.positions.pop_front();
            let len = tail.lens.pop_front().expect("as long as the positions");
            tail.first += 1;
            self.commits -= 1;
            self.bytes -= u64::from(len);
        }
        while tail.seals.front().is_some_and(|(sealed, _)| *sealed <= seq) {
            tail.seals.pop_front();
        }
        if tail.positions.is_empty() {
            self.writers.remove(writer);
        }
    }

    /// Drops the commits of a writer from `from` on, and returns where the last one left lies, if one is.
    pub(crate) fn drop_from(&mut self, writer: &WriterId, from: u64) -> Option<Place> {
        if writer.is_home() {
            self.drop_home(writer, from);
            return None;
        }
        let tail = self.writers.get_mut(writer)?;
        while !tail.positions.is_empty() && tail.last() >= from {
            tail.positions.pop_back();
            let len = tail.lens.pop_back().expect("as long as the positions");
            self.commits -= 1;
            self.bytes -= u64::from(len);
        }
        while tail.seals.back().is_some_and(|(sealed, _)| *sealed >= from) {
            tail.seals.pop_back();
        }
        if tail.positions.is_empty() {
            self.writers.remove(writer);
            return None;
        }
        tail.place(tail.last())
    }

    /// The last commit of a writer, after those behind it were dropped.
    pub(crate) fn end_at(&mut self, writer: &WriterId, id: CommitId) {
        let Some(tail) = self.writers.get_mut(writer) else { return };
        tail.tip = id;
        let last = tail.last();
        if tail.visible.is_some_and(|(seq, _)| seq > last) {
            tail.visible = Some((last, id));
        }
    }

    fn drop_home(&mut self, writer: &WriterId, from: u64) {
        let dropped: Vec<Dot> = self
            .uncovered_home()
            .map(|(dot, _)| dot)
            .filter(|dot| dot.writer == *writer && dot.seq >= from)
            .collect();
        for dot in dropped {
            let commit = self.home.remove(&dot).expect("it was listed a moment ago");
            self.home_uncovered -= 1;
            self.commits -= 1;
            self.bytes -= u64::from(commit.place.len);
        }
    }

    /// A covered home commit is no outbox any more, but stays known for near peers.
    fn cover_home(&mut self, writer: &WriterId, seq: u64) {
        for (_, commit) in self.home.range_mut(Dot::new(*writer, 0)..=Dot::new(*writer, seq)) {
            if !commit.is_covered {
                commit.is_covered = true;
                self.home_uncovered -= 1;
                self.commits -= 1;
                self.bytes -= u64::from(commit.place.len);
            }
        }
    }

    /// Forgets home commits that left the log.
    pub(crate) fn forget_home(&mut self, before: Position) {
        self.home.retain(|_, commit| commit.place.position >= before);
    }

    /// The number of a writer's next commit; none: nothing of it is held here, so any may be the first.
    pub(crate) fn next_of(&self, writer: &WriterId) -> Option<u64> {
        self.writers.get(writer).map(|tail| tail.last() + 1)
    }

    pub(crate) fn writer(&self, writer: &WriterId) -> Option<&WriterTail> {
        self.writers.get(writer)
    }

    pub(crate) fn writers(&self) -> impl Iterator<Item = (&WriterId, &WriterTail)> {
        self.writers.iter()
    }

    /// Where a home's commit lies, if it is still in the log.
    pub(crate) fn home(&self, dot: &Dot) -> Option<Place> {
        self.home.get(dot).map(|commit| commit.place)
    }

    /// Home commits that no Handle covers: those of the home that this replica is.
    pub(crate) fn uncovered_home(&self) -> impl Iterator<Item = (Dot, Place)> {
        let home = self.home.iter().filter(|(_, commit)| !commit.is_covered);
        home.map(|(dot, commit)| (*dot, commit.place))
    }

    /// Whether there are home commits that no Handle covers.
    pub(crate) fn has_uncovered_home(&self) -> bool {
        self.home_uncovered > 0
    }

    /// The number of the last change that may have added to what a peer can be sent.
    pub(crate) fn change(&self) -> u64 {
        self.changes
    }

    /// Commits above the base.
    pub(crate) fn commits(&self) -> u64 {
        self.commits
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where all of them lie, in the order of the log: what a commit needs lies before it, or below the base.
    pub(crate) fn places(&self) -> Vec<Place> {
        let writers = self.writers.values().flat_map(WriterTail::places);
        let mut places: Vec<Place> = writers.chain(self.uncovered_home().map(|(_, place)| place)).collect();
        places.sort_unstable_by_key(|place| place.position);
        places
    }

    /// Where the oldest of them starts.
    pub(crate) fn oldest(&self) -> Option<Position> {
        let writers = self.writers.values().filter_map(|tail| tail.positions.front().copied());
        let homes = self.home.values().filter(|commit| !commit.is_covered);
        writers.chain(homes.map(|commit| commit.place.position)).min()
    }
}
