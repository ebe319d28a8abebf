//! What came from the peer: units handed to the store, and the Acks and Nacks that answer them.

use std::collections::{BTreeMap, VecDeque};

use crdt::{Time, WriterId};

use super::Session;
use super::peer::ROW_LEN;
use crate::frame::{
    Ack, BLOBS_LEN_MAX, BlobData, Commits, DETAIL_LEN_MAX, Nack, NackCode, Piece, Pieces, ROWS_MAX,
};
use crate::store::{Accepted, Incoming, Refusal};
use crate::{Error, Frame, Store};

/// Nacks that wait to be sent. An honest peer stops at the first of a writer.
const NACKS_MAX: usize = 1024;

/// The receiving half: what the peer is owed an answer to.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Blobs pushed ahead of the Commits that name them.
    blobs: Vec<Vec<u8>>,
    blobs_len: usize,
    /// A unit that comes in pieces, as far as it has come.
    pieces: Pieces,
    /// Writers whose commits were handed to the store and are not yet acknowledged as far as they came.
    owed: BTreeMap<WriterId, Owed>,
    nacks: VecDeque<Nack>,
}

/// What the peer waits to hear of one writer.
#[derive(Debug)]
struct Owed {
    /// As far as it sent.
    seq: u64,
    /// As far as it was told.
    told: u64,
}

impl Receiver {
    pub(super) fn new() -> Receiver {
        Receiver {
            blobs: Vec::new(),
            blobs_len: 0,
            pieces: Pieces::default(),
            owed: BTreeMap::new(),
            nacks: VecDeque::new(),
        }
    }

    /// Keeps a pushed blob for the Commits that follow.
    pub(super) fn handle_blob(&mut self, blob: BlobData) -> Result<(), Error> {
        if blob.hash.is_some() || blob.offset != 0 {
            return Err(Error::Unexpected { frame: 11, state: "without a BlobWant" });
        }
        // An empty blob costs a slot, so it is counted as if it had some bytes.
        self.blobs_len += blob.bytes.len().max(1024);
        if self.blobs_len > BLOBS_LEN_MAX {
            return Err(Error::Flood { what: "bytes of blobs", max: BLOBS_LEN_MAX });
        }
        self.blobs.push(blob.bytes);
        Ok(())
    }

    /// Bytes kept, roughly.
    pub(super) fn held_len(&self) -> usize {
        self.blobs_len
            + self.pieces.held_len()
            + self.owed.len() * ROW_LEN
            + self.nacks.len() * (ROW_LEN + DETAIL_LEN_MAX)
    }

    pub(super) fn next_nack(&mut self) -> Option<Frame> {
        self.nacks.pop_front().map(Frame::Nack)
    }

    /// Something was dropped here: an Open says what is left, and no Ack is owed for the rest.
    pub(super) fn forget_owed(&mut self) {
        self.owed.clear();
    }

    fn owe(&mut self, ends: &BTreeMap<WriterId, u64>) {
        for (writer, seq) in ends {
            let owed = self.owed.entry(*writer).or_insert(Owed { seq: *seq, told: 0 });
            owed.seq = owed.seq.max(*seq);
        }
    }
}

impl Session {
    /// A piece of a unit; the last one makes it whole.
    pub(super) fn handle_piece(
        &mut self,
        now: Time,
        piece: Piece,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        match self.receiver.pieces.take(piece)? {
            Some(unit) => self.handle_commits(now, unit, store),
            None => Ok(()),
        }
    }

    /// A unit: to the store whole, then owed an Ack, a Cover or a Nack.
    pub(super) fn handle_commits(
        &mut self,
        now: Time,
        frame: Commits,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        if self.receiver.pieces.is_within() {
            return Err(Error::Unexpected { frame: 3, state: "within a unit in pieces" });
        }
        let mut ends = BTreeMap::new();
        for commit in &frame.commits {
            ends.insert(commit.dot().writer, commit.dot().seq);
        }
        self.receiver.blobs_len = 0;
        let mut blobs = std::mem::take(&mut self.receiver.blobs);
        blobs.extend(frame.blobs);
        let incoming = Incoming { commits: frame.commits, blobs, seals: frame.seals, strands: frame.strands };
        for (writer, seq) in &ends {
            self.peer.has_at_least(*writer, *seq)?;
            self.sender.raise(*writer, *seq);
        }
        match store.accept(now, incoming) {
            Ok(Accepted::Stored) => self.receiver.owe(&ends),
            Ok(Accepted::NotReady) => self.owe_cover(ends.into_keys()),
            Err(refusal) => self.refuse(refusal, ends, store)?,
        }
        self.sender.land_covered(self.peer.has());
        Ok(())
    }

    /// What is visible of what the peer sent, and our base where it moved.
    pub(super) fn next_ack(&mut self, store: &impl Store) -> Option<Frame> {
        let mut stored = Vec::new();
        self.receiver.owed.retain(|writer, owed| {
            let seen = store.seen(writer);
            if stored.len() < ROWS_MAX && (seen >= owed.seq || seen > owed.told) {
                stored.push((*writer, seen));
                owed.told = seen;
                return seen < owed.seq;
            }
            true
        });
        let base_version = store.handle().version;
        // A peer with an older base hears of ours by the Handle.
        let is_news = base_version > self.told_base && base_version <= self.peer.base;
        if stored.is_empty() && !is_news {
            return None;
        }
        if is_news {
            self.told_base = base_version;
        }
        Some(Frame::Ack(Ack { stored, complete: Vec::new(), anchored: Vec::new(), base_version }))
    }

    /// Says how far these writers are held: the unit that brought them was dropped.
    fn owe_cover(&mut self, writers: impl Iterator<Item = WriterId>) {
        writers.for_each(|writer| self.greeting.owe(writer));
    }

    fn refuse(
        &mut self,
        refusal: Refusal,
        mut ends: BTreeMap<WriterId, u64>,
        store: &impl Store,
    ) -> Result<(), Error> {
        let Refusal { writer, seq, code, .. } = refusal;
        // A fork is to be proven first. The peer compares tips meanwhile, and keeps its history back, too.
        let is_open = code == NackCode::Fork && self.dispute(store, writer, seq);
        if !is_open {
            self.refuse_commit(refusal)?;
            ends.remove(&writer);
        }
        self.owe_cover(ends.into_keys());
        Ok(())
    }

    /// Tells the peer that a commit will not be taken.
    pub(super) fn refuse_commit(&mut self, refusal: Refusal) -> Result<(), Error> {
        let Refusal { writer, seq, code, detail } = refusal;
        if self.receiver.nacks.len() >= NACKS_MAX {
            return Err(Error::Flood { what: "refused commits", max: NACKS_MAX });
        }
        let detail = detail[..detail.floor_char_boundary(DETAIL_LEN_MAX)].to_owned();
        self.receiver.nacks.push_back(Nack { writer, seq, code, detail });
        Ok(())
    }
}
