//! Liveness: beats when idle, patience with the peer, and the digest that tells equal replicas.

use crdt::{Encoder, Time, derive};

use super::{Config, Session};
use crate::frame::Beat;
use crate::{Frame, Store};

/// Quiet time before the first beat of a session that has not yet been found equal.
const SETTLE_MS: u64 = 1_000;

/// What a frame that has begun must grow by within the patience of a session: the thinnest link brings many times that. An
/// honest peer whose frame cannot end, since its length came as another one, says less: beats, and each of them fills
/// that frame a little.
const PART_LEN_MIN: usize = 4 << 10;

/// When we last heard and spoke, and what follows from it.
#[derive(Debug)]
pub(super) struct Pulse {
    heard_at: Time,
    /// Since when something is expected of the peer.
    waiting_since: Time,
    /// The frame that is on its way in.
    part: Option<Part>,
    /// Beats heard and sent since anything else was said: how far both sides have doubled their intervals.
    beats_heard: u32,
    beats_sent: u32,
    beat_at: Time,
    intervals: (u64, u64),
    /// Received, and not yet compared.
    pub(super) peer_beat: Option<Beat>,
    /// Whether the last beat compared was equal to ours.
    pub(super) is_equal: Option<bool>,
    mismatches: u32,
}

/// What has come of one frame lately.
#[derive(Debug)]
struct Part {
    since: Time,
    len: usize,
}

impl Pulse {
    pub(super) fn new(now: Time, config: &Config) -> Pulse {
        Pulse {
            heard_at: now,
            waiting_since: now,
            part: None,
            beats_heard: 0,
            beats_sent: 0,
            beat_at: now.plus_ms(config.beat_ms),
            intervals: (config.beat_ms, config.beat_max_ms),
            peer_beat: None,
            is_equal: None,
            mismatches: 0,
        }
    }

    pub(super) fn heard_at(&self) -> Time {
        self.heard_at
    }

    /// Any bytes prove the peer alive.
    pub(super) fn heard_bytes(&mut self, now: Time) {
        self.heard_at = now;
        self.waiting_since = now;
    }

    /// A frame is on its way in: on a slow link the peer is told at the short interval that we are here.
    pub(super) fn heard_part(&mut self, now: Time, len: usize) {
        let part = self.part.get_or_insert(Part { since: now, len: 0 });
        part.len += len;
        if part.len >= PART_LEN_MIN {
            *part = Part { since: now, len: 0 };
        }
        self.beats_sent = 0;
        self.beat_at = self.beat_at.min(now.plus_ms(self.intervals.0));
    }

    pub(super) fn heard_frame(&mut self, now: Time, frame: &Frame) {
        self.part = None;
        if matches!(frame, Frame::Beat(_)) {
            self.beats_heard += 1;
        } else {
            self.stir(now);
        }
    }

    pub(super) fn sent(&mut self, now: Time, frame: &Frame) {
        if matches!(frame, Frame::Beat(_)) {
            self.beats_sent += 1;
            self.beat_at = now.plus_ms(self.interval(self.beats_sent));
            return;
        }
        // From idle to busy: the peer's next sign of life is due from now, at the short interval.
        if self.beats_heard > 0 {
            self.waiting_since = now;
        }
        self.stir(now);
    }

    fn stir(&mut self, now: Time) {
        self.beats_heard = 0;
        self.beats_sent = 0;
        let quiet =
            if self.is_equal == Some(true) { self.intervals.0 } else { SETTLE_MS.min(self.intervals.0) };
        self.beat_at = now.plus_ms(quiet);
    }

    fn interval(&self, beats: u32) -> u64 {
        let (first, max) = self.intervals;
        first.saturating_mul(1 << beats.saturating_sub(1).min(20)).min(max)
    }

    /// The peer is silent when two of its intervals and some patience pass without a byte.
    pub(super) fn deadline(&self, config: &Config) -> Time {
        self.waiting_since.plus_ms(2 * self.interval(self.beats_heard + 1) + config.patience_ms)
    }

    /// When a frame that has begun and hardly grows is not waited for any longer.
    pub(super) fn part_deadline(&self, config: &Config) -> Option<Time> {
        self.part.as_ref().map(|part| part.since.plus_ms(2 * config.beat_ms + config.patience_ms))
    }

    pub(super) fn timeout(&self, config: &Config) -> Time {
        self.beat_at.min(self.deadline(config))
    }

    /// Whether a beat of the peer's that differs from ours is the kind to act upon: the second in a row, then
    /// the fourth, the eighth. The first may have crossed something, and a lasting difference must not become
    /// a storm.
    fn differs(&mut self) -> bool {
        self.mismatches += 1;
        self.mismatches > 1 && self.mismatches.is_power_of_two()
    }
}

impl Session {
    /// Compares a beat that came, and makes ours when it is due.
    pub(super) fn next_beat(&mut self, now: Time, store: &impl Store) -> Option<Frame> {
        if self.peer.is_open() {
            self.compare_beat(store);
            if let Some(frame) = self.next_greeting(now, store) {
                return Some(frame);
            }
        }
        if now < self.pulse.beat_at || !self.greeting.is_sent() {
            return None;
        }
        Some(Frame::Beat(beat(store)))
    }

    /// Equal bases and unequal tails with nothing under way: one of us is wrong about the other, so say all
    /// again.
    fn compare_beat(&mut self, store: &impl Store) {
        let Some(theirs) = self.pulse.peer_beat.take() else { return };
        let ours = beat(store);
        let is_equal = theirs == ours;
        self.pulse.is_equal = Some(is_equal);
        if is_equal {
            self.pulse.mismatches = 0;
        } else if theirs.base_version == ours.base_version && self.is_drained() && self.pulse.differs() {
            self.greeting.open_again();
        }
    }
}

/// What we hold, in 40 bytes.
fn beat(store: &impl Store) -> Beat {
    let mut rows = Encoder::new();
    let tail = store.tail();
    rows.array(tail.len());
    for (writer, seq, tip) in &tail {
        rows.array(3).bytes(&writer.0).uint(*seq).bytes(&tip.0);
    }
    Beat { base_version: store.handle().version, digest: derive("tail", &rows.finish()) }
}
