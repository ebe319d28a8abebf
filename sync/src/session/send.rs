//! What the peer lacks, as units of commits within a window of unacknowledged bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crdt::{Time, Tip, WriterId};

use super::peer::{ROW_LEN, WRITERS_MAX};
use super::{Config, Session};
use crate::frame::{
    Ack, BLOB_INLINE_MAX, BLOB_LEN_MAX, BLOBS_LEN_MAX, BLOBS_MAX, BlobData, Commits, FRAME_LEN_MAX,
    HandleFrame, Mode, Nack, NackCode, UNIT_LEN_MAX, pieces_of,
};
use crate::store::{Offer, Outgoing};
use crate::{Error, Frame, Store};

/// First pause after a unit was dropped as not ready, doubling up to [`PAUSE_MAX_MS`]: what the peer lacks
/// may take a fetch to get, and until then every unit would be dropped.
const PAUSE_MS: u64 = 250;
const PAUSE_MAX_MS: u64 = 30_000;

/// Refused commits whose reason is kept.
const DETAILS_MAX: usize = 1_024;

/// Room that is kept for what is not commits: array heads and seals of 256 writers.
const REST_LEN: usize = 64 << 10;

/// Bytes of commits that one frame holds.
const COMMITS_LEN_MAX: usize = FRAME_LEN_MAX - REST_LEN;

/// The sending half: what is under way to the peer.
#[derive(Debug)]
pub(super) struct Sender {
    /// How far each writer was sent or is known to be had: never below what the peer has, and without end for a
    /// writer of which it takes no more.
    sent: BTreeMap<WriterId, u64>,
    /// Frames of the unit that is being sent.
    unit: VecDeque<Frame>,
    flying: VecDeque<Flight>,
    flying_len: usize,
    /// Writers of which the peer takes no more.
    refused: BTreeMap<WriterId, Nack>,
    /// Writers of which nothing goes until it is settled which of two histories counts.
    held: BTreeSet<WriterId>,
    /// The newest version offered to the peer.
    offered: u64,
    /// The newest version that the peer can compute from what was sent before its Handle: what is sent after
    /// that Handle arrives on that base.
    computable: u64,
    /// The version whose rows were dropped because both bases imply them.
    forgotten: u64,
    pauses: u32,
    paused_until: Option<Time>,
    /// The last poll found nothing that the peer lacks.
    pub(super) is_drained: bool,
    /// The change of the tail up to which the peer was found to lack nothing, while no writer was set back: what is polled
    /// again and again does not look at every writer each time.
    drained_at: Option<u64>,
}

/// One unit sent and not yet acknowledged.
#[derive(Debug)]
struct Flight {
    ends: BTreeMap<WriterId, u64>,
    len: usize,
}

impl Sender {
    pub(super) fn new() -> Sender {
        Sender {
            sent: BTreeMap::new(),
            unit: VecDeque::new(),
            flying: VecDeque::new(),
            flying_len: 0,
            refused: BTreeMap::new(),
            held: BTreeSet::new(),
            offered: 0,
            computable: 0,
            forgotten: 0,
            pauses: 0,
            paused_until: None,
            is_drained: false,
            drained_at: None,
        }
    }

    /// Bytes kept, roughly.
    pub(super) fn held_len(&self) -> usize {
        let details: usize = self.refused.values().map(|nack| nack.detail.len()).sum();
        (self.sent.len() + self.refused.len()) * ROW_LEN + details
    }

    pub(super) fn flying_len(&self) -> usize {
        self.flying_len
    }

    pub(super) fn refused(&self) -> impl Iterator<Item = &Nack> {
        self.refused.values()
    }

    pub(super) fn paused_until(&self) -> Option<Time> {
        self.paused_until
    }

    /// The rest of a unit whose first frame is gone.
    pub(super) fn next_of_unit(&mut self) -> Option<Frame> {
        self.unit.pop_front()
    }

    /// The peer has said anew what it has.
    pub(super) fn forget_sent(&mut self) {
        self.drained_at = None;
        self.sent.retain(|_, sent| *sent == u64::MAX);
        self.flying.clear();
        self.flying_len = 0;
    }

    /// The peer has a writer only so far. Whether something was sent above it: that was dropped.
    pub(super) fn restart_writer(&mut self, writer: WriterId, seq: u64) -> bool {
        if self.refused.contains_key(&writer) || self.held.contains(&writer) {
            return false;
        }
        self.drained_at = None;
        let before = self.sent.insert(writer, seq);
        self.land(|flight| flight.ends.contains_key(&writer));
        before.is_some_and(|sent| sent > seq)
    }

    /// Takes out of the air what the peer acknowledged, by its new `has`.
    pub(super) fn land_covered(&mut self, has: &BTreeMap<WriterId, u64>) {
        let before = self.flying.len();
        self.land(|flight| {
            flight.ends.iter().all(|(writer, seq)| has.get(writer).is_some_and(|has| has >= seq))
        });
        if self.flying.len() < before {
            self.pauses = 0;
        }
    }

    /// The peer has a writer at least so far without our sending it.
    pub(super) fn raise(&mut self, writer: WriterId, seq: u64) {
        let sent = self.sent.entry(writer).or_insert(seq);
        *sent = (*sent).max(seq);
    }

    /// Sends no more of a writer for now.
    pub(super) fn hold(&mut self, writer: WriterId) {
        self.held.insert(writer);
        self.sent.insert(writer, u64::MAX);
        self.land(|flight| flight.ends.contains_key(&writer));
    }

    /// Sends writers again that were held back, from what the peer's base covers on: a commit that comes twice is no
    /// harm.
    pub(super) fn release(&mut self, is_free: impl Fn(&WriterId) -> bool) {
        for writer in self.held.extract_if(.., |writer| is_free(writer)) {
            if !self.refused.contains_key(&writer) {
                self.drained_at = None;
                self.sent.remove(&writer);
            }
        }
    }

    /// Tries again what was refused for a reason that passes: a proof or a base that one side did not have.
    pub(super) fn lift_refusals(&mut self) {
        let passes = |nack: &Nack| !matches!(nack.code, NackCode::BadSeal | NackCode::Invalid);
        for (writer, _) in self.refused.extract_if(.., |_, nack| passes(nack)) {
            if !self.held.contains(&writer) {
                self.drained_at = None;
                self.sent.remove(&writer);
            }
        }
    }

    fn land(&mut self, is_down: impl Fn(&Flight) -> bool) {
        self.flying.retain(|flight| !is_down(flight));
        self.flying_len = self.flying.iter().map(|flight| flight.len).sum();
    }

    /// Waits after a drop: once for all that was dropped together, however many writers that were.
    pub(super) fn pause(&mut self, now: Time) {
        let doubled = PAUSE_MS << self.pauses.min(16);
        self.pauses += 1;
        self.paused_until = Some(now.plus_ms(doubled.min(PAUSE_MAX_MS)));
    }

    /// Whether the peer holds everything that changed below this offer.
    fn has_sent(&self, offer: &Offer) -> bool {
        let is_sent = |(writer, tip): &(WriterId, Tip)| {
            writer.is_home() || self.sent.get(writer).is_some_and(|sent| *sent >= tip.seq)
        };
        offer.vector_changes.as_ref().is_some_and(|changes| changes.iter().all(is_sent))
    }

    /// Forgets a pause that is over, whether or not there is anything to send: a timer that is due must not
    /// stay due.
    pub(super) fn end_pause(&mut self, now: Time) {
        self.paused_until = self.paused_until.filter(|until| *until > now);
    }

    fn is_held_back(&self, config: &Config) -> bool {
        self.paused_until.is_some() || self.flying_len >= config.window_len
    }

    /// Puts a unit in the air: large blobs first, then the commits with what else fits; in pieces, where a peer that
    /// takes them is sent more than a frame holds.
    fn launch(&mut self, outgoing: Outgoing, takes_pieces: bool) -> Result<(), Error> {
        let strands_len: usize = outgoing.strands.iter().map(|strand| strand.encode().len() + 8).sum();
        let commits_len: usize = outgoing.commits.iter().map(|commit| commit.encoded().len() + 8).sum();
        let commits_len = commits_len + strands_len;
        let blobs_len: usize = outgoing.blobs.iter().map(Vec::len).sum();
        let is_blob_too_large = outgoing.blobs.iter().any(|blob| blob.len() > BLOB_LEN_MAX);
        let len_max = if takes_pieces { UNIT_LEN_MAX - REST_LEN } else { COMMITS_LEN_MAX };
        if commits_len > len_max || blobs_len > BLOBS_LEN_MAX || is_blob_too_large {
            return Err(Error::Unsendable { len: commits_len + blobs_len });
        }
        let mut ends = BTreeMap::new();
        for commit in &outgoing.commits {
            let dot = commit.dot();
            ends.insert(dot.writer, dot.seq);
            self.raise(dot.writer, dot.seq);
        }
        let len = commits_len + blobs_len;
        self.flying.push_back(Flight { ends, len });
        self.flying_len += len;
        let mut room = COMMITS_LEN_MAX.saturating_sub(commits_len);
        let mut inline = Vec::new();
        for blob in outgoing.blobs {
            if blob.len() <= BLOB_INLINE_MAX && blob.len() + 8 <= room && inline.len() < BLOBS_MAX {
                room -= blob.len() + 8;
                inline.push(blob);
            } else {
                self.unit.push_back(Frame::BlobData(BlobData { hash: None, offset: 0, bytes: blob }));
            }
        }
        let (commits, seals, strands) = (outgoing.commits, outgoing.seals, outgoing.strands);
        let unit = Commits { commits, blobs: inline, seals, strands };
        if commits_len > COMMITS_LEN_MAX {
            self.unit.extend(pieces_of(&unit).into_iter().map(Frame::Piece));
        } else {
            self.unit.push_back(Frame::Commits(unit));
        }
        Ok(())
    }
}

impl Session {
    /// The next unit of what the peer lacks, while the window has room.
    pub(super) fn next_unit(&mut self, store: &mut impl Store) -> Result<Option<Frame>, Error> {
        // A peer with an older base adopts first; it takes commits made on a newer one only then. One that
        // can compute the new base has done so by the time they arrive.
        let base = self.peer.base.max(self.sender.computable);
        let is_aligned = base >= store.handle().version && self.greeting.is_covered;
        if !is_aligned || self.peer.mode == Mode::Tail || self.sender.is_held_back(&self.config) {
            return Ok(None);
        }
        let change = store.tail_change();
        if self.sender.drained_at == Some(change) {
            return Ok(None);
        }
        let outgoing = self.next_outgoing(store)?;
        // Nothing, and yet more: what goes next cannot be read until it is healed.
        self.sender.is_drained = outgoing.commits.is_empty() && !outgoing.more;
        self.sender.drained_at = self.sender.is_drained.then_some(change);
        if !outgoing.commits.is_empty() {
            self.sender.launch(outgoing, self.peer.takes_pieces())?;
        }
        Ok(self.sender.next_of_unit())
    }

    /// A unit that the peer can take: an older one takes no strands, and hears of what needs one with the Handle that covers it.
    fn next_outgoing(&mut self, store: &mut impl Store) -> Result<Outgoing, Error> {
        loop {
            let outgoing = store.next_commits(&self.sender.sent, self.config.unit_len)?;
            if outgoing.strands.is_empty() || self.peer.takes_strands() {
                return Ok(outgoing);
            }
            self.sender.sent.extend(outgoing.strands.iter().map(|strand| (strand.writer(), u64::MAX)));
        }
    }

    /// Our base, once for each version that is newer than the peer's, and once for each ring.
    pub(super) fn next_handle(&mut self, store: &impl Store) -> Option<Frame> {
        let version = store.handle().version;
        let is_newer = version > self.peer.base.max(self.sender.offered);
        // A home that hands over signs nothing more: its last Handle brings the record that names the next. Who holds nothing
        // yet has none to bring it with, whatever it heard of the ring when it joined.
        let is_changed = version > 0 && version >= self.peer.base && store.ring_n() > self.peer.ring;
        let is_news = is_newer || is_changed;
        if !is_news || self.peer.mode == Mode::Tail || self.forks.is_searching() {
            return None;
        }
        self.sender.offered = version;
        self.peer.ring = store.ring_n();
        self.told_base = version;
        let offer = HandleFrame::new(store.offer(self.peer.base));
        if self.sender.has_sent(&offer.0) {
            self.sender.computable = version;
        }
        Some(Frame::Handle(offer))
    }

    /// The peer has this base. What was not ready before may be on a newer one, however the peer told of it.
    pub(super) fn raise_base(&mut self, version: u64) {
        if version > self.peer.base {
            self.peer.base = version;
            self.sender.paused_until = None;
            self.fetch.try_lost_again();
        }
    }

    /// What is durable at the peer.
    pub(super) fn handle_ack(&mut self, ack: Ack, store: &impl Store) -> Result<(), Error> {
        self.raise_base(ack.base_version);
        for (writer, seq) in ack.stored {
            self.peer.has_at_least(writer, seq)?;
            self.sender.raise(writer, seq);
        }
        self.sender.land_covered(self.peer.has());
        self.forget_anchored(store);
        Ok(())
    }

    /// The peer does not take a commit: nothing more of its writer is sent, in this session or until what the refusal
    /// rests on has changed.
    pub(super) fn handle_nack(&mut self, mut nack: Nack) -> Result<(), Error> {
        let writer = nack.writer;
        // Texts for a person to read; a peer that refuses more writers than that is not listened to word by word.
        if self.sender.refused.len() >= DETAILS_MAX {
            nack.detail = String::new();
        }
        self.sender.land(|flight| flight.ends.contains_key(&writer));
        self.sender.refused.insert(writer, nack);
        self.sender.sent.insert(writer, u64::MAX);
        if self.sender.refused.len() > WRITERS_MAX {
            return Err(Error::Flood { what: "nacks", max: WRITERS_MAX });
        }
        Ok(())
    }

    /// Drops what both bases imply, once for each version, so that a long session does not remember every writer.
    pub(super) fn forget_anchored(&mut self, store: &impl Store) {
        let version = store.handle().version;
        let is_news = self.sender.forgotten < version && self.peer.base >= version;
        if is_news && self.sender.flying.is_empty() {
            self.sender.forgotten = version;
            self.peer.forget_anchored(store);
            self.sender.sent.retain(|writer, seq| *seq > store.anchored(writer));
        }
    }
}
