//! What this peer is known to have: its base, and how far it has each writer.

use std::collections::BTreeMap;

use crdt::{Handle, Time, WriterId};

use super::Config;
use crate::frame::{FEATURE_FORKS, FEATURE_PIECES, FEATURE_STRANDS, Hello, Mode};
use crate::{Error, Store};

/// Writers of one peer that a session remembers: some 25 MiB at most.
pub(super) const WRITERS_MAX: usize = 262_144;

/// Writers whose watermark is still told after a base has covered them: what a person looks at.
const COVERED_MAX: usize = 1_024;

/// What one writer of a peer costs to remember, with its place in a map.
pub(super) const ROW_LEN: usize = 64;

/// What the peer said, and what follows from what it sent.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) hello: Option<Hello>,
    pub(super) mode: Mode,
    /// The newest base it is known to have; its Handles' order is total, so a newer one covers all of an
    /// older.
    pub(super) base: u64,
    /// The base it opened with, until our owner has heard of it.
    pub(super) heard: Option<Handle>,
    /// The newest ring it is known to have.
    pub(super) ring: u64,
    /// How far it durably has each writer. Absent, or below its base: as far as the base.
    has: BTreeMap<WriterId, u64>,
    /// How far it had those writers that its base covers meanwhile. Only ever told, never sent by.
    covered: BTreeMap<WriterId, u64>,
    pub(super) opening: Opening,
    /// Since when an Open is being waited for: no byte of it moves this.
    opening_since: Option<Time>,
}

/// How much of its Open has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opening {
    /// Nothing.
    Awaited,
    /// Pages, and more are to come.
    Begun,
    /// All of it.
    Done,
}

impl Peer {
    pub(super) fn new(now: Time) -> Peer {
        Peer {
            hello: None,
            mode: Mode::Full,
            base: 0,
            heard: None,
            ring: 0,
            has: BTreeMap::new(),
            covered: BTreeMap::new(),
            opening: Opening::Awaited,
            opening_since: Some(now),
        }
    }

    /// A page of an Open has come, the last one unless there are more.
    pub(super) fn opened(&mut self, now: Time, more: bool) {
        self.opening = if more { Opening::Begun } else { Opening::Done };
        self.opening_since = more.then(|| self.opening_since.unwrap_or(now));
    }

    /// When an Open that is being waited for is not waited for any longer.
    pub(super) fn opening_deadline(&self, config: &Config) -> Option<Time> {
        self.opening_since.map(|since| since.plus_ms(config.opening_ms))
    }

    /// Whether it knows the frame about forks.
    pub(super) fn speaks_of_forks(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.features & FEATURE_FORKS != 0)
    }

    /// Whether it takes a unit of commits that no frame holds.
    pub(super) fn takes_pieces(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.features & FEATURE_PIECES != 0)
    }

    /// Whether it takes strands where seals stand.
    pub(super) fn takes_strands(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.features & FEATURE_STRANDS != 0)
    }

    pub(super) fn is_open(&self) -> bool {
        self.opening == Opening::Done
    }

    pub(super) fn has(&self) -> &BTreeMap<WriterId, u64> {
        &self.has
    }

    /// The peer has the writer at least so far.
    pub(super) fn has_at_least(&mut self, writer: WriterId, seq: u64) -> Result<(), Error> {
        let known = self.has.entry(writer).or_insert(seq);
        *known = (*known).max(seq);
        self.bounded()
    }

    /// The peer has the writer exactly so far, by its own word.
    pub(super) fn has_exactly(&mut self, writer: WriterId, seq: u64) -> Result<(), Error> {
        self.has.insert(writer, seq);
        self.bounded()
    }

    /// How far it durably has each writer, as last told, covered ones included.
    pub(super) fn acked(&self) -> BTreeMap<WriterId, u64> {
        let mut acked = self.covered.clone();
        acked.extend(&self.has);
        acked
    }

    /// Forgets rows that its base implies; it is as new as ours.
    pub(super) fn forget_anchored(&mut self, store: &impl Store) {
        let covered = self.has.extract_if(.., |writer, seq| *seq <= store.anchored(writer));
        self.covered.extend(covered);
        while self.covered.len() > COVERED_MAX {
            self.covered.pop_first();
        }
    }

    /// Forgets what it has: a new Open says it again.
    pub(super) fn forget_rows(&mut self) {
        self.has.clear();
    }

    /// Bytes kept, roughly.
    pub(super) fn held_len(&self) -> usize {
        (self.has.len() + self.covered.len()) * ROW_LEN
    }

    fn bounded(&self) -> Result<(), Error> {
        if self.has.len() > WRITERS_MAX {
            return Err(Error::Flood { what: "writers", max: WRITERS_MAX });
        }
        Ok(())
    }
}
