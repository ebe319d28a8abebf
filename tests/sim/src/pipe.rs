//! One direction of a connection: bytes arrive in order, each piece at its time, unless something is wrong with the way.

use std::collections::VecDeque;

use disk::Random;

use crate::link::Profile;
use crate::promise::classes::News;

/// Most bytes in flight one way: beyond it the sender is not polled, as QUIC's flow control would have it.
const IN_FLIGHT_MAX: usize = 1 << 20;

/// What has not arrived yet, each piece with its time. An empty piece is the end of the stream.
#[derive(Debug, Default)]
pub struct Pipe {
    queue: VecDeque<Piece>,
    queued_len: usize,
    free_at: u64,
    stalled_until: u64,
    /// A part of something was the last that will arrive: a stream has no holes.
    is_torn: bool,
    /// No more than so many bytes a second, whatever the profile says.
    pub rate_max: Option<u64>,
}

#[derive(Debug)]
struct Piece {
    sent_at: u64,
    at: u64,
    bytes: Vec<u8>,
    /// Kept back so that others overtake it, and none has yet.
    is_held: bool,
    /// What the frame that it ends is to who hears it.
    news: News,
}

impl Pipe {
    /// Whether the sender may put more on the way.
    pub fn has_room(&self) -> bool {
        self.queued_len < IN_FLIGHT_MAX
    }

    /// Puts a frame on the way, in fragments.
    pub fn send(&mut self, now: u64, profile: &Profile, late: u64, bytes: &[u8], random: &mut Random) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let is_whole = rest.len() < 2 || random.below(4) != 0;
            let len = if is_whole { rest.len() } else { 1 + random.below(rest.len() as u64) as usize };
            let (piece, left) = rest.split_at(len);
            rest = left;
            let rate = self
                .rate_max
                .map_or(profile.rate, |max| if profile.rate == 0 { max } else { max.min(profile.rate) });
            let spent = (piece.len() as u64 * 1000).checked_div(rate).unwrap_or(0);
            self.free_at = self.free_at.max(now) + spent;
            let jitter = random.below(profile.jitter + 1);
            self.push(now, self.free_at + profile.delay + jitter + late, piece.to_vec());
        }
    }

    /// Ends the stream behind what is on the way.
    pub fn finish(&mut self, now: u64, profile: &Profile) {
        self.push(now, self.free_at.max(now) + profile.delay, Vec::new());
    }

    fn push(&mut self, sent_at: u64, at: u64, bytes: Vec<u8>) {
        if self.is_torn {
            return;
        }
        // A stream keeps its order, whatever the packets under it do.
        let at = self.queue.back().map_or(at, |last| at.max(last.at));
        self.queued_len += bytes.len();
        self.queue.push_back(Piece { sent_at, at, bytes, is_held: false, news: News::Nothing });
    }

    /// What was sent last was kept back for others to overtake.
    pub fn hold(&mut self) {
        if let Some(piece) = self.queue.back_mut() {
            piece.is_held = true;
        }
    }

    /// What the frame that was sent last is to who hears it.
    pub fn bring(&mut self, news: News) {
        if let Some(piece) = self.queue.back_mut().filter(|_| !self.is_torn) {
            piece.news = news;
        }
    }

    /// Something that was sent at a time has arrived elsewhere: whether that overtook what was kept back here.
    pub fn is_overtaken(&mut self, sent_at: u64) -> bool {
        let held = self.queue.iter_mut().filter(|piece| piece.is_held && piece.sent_at < sent_at);
        held.map(|piece| piece.is_held = false).count() > 0
    }

    /// When the next piece arrives.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.front().map(|piece| piece.at.max(self.stalled_until))
    }

    /// When the next piece was sent.
    pub fn sent_at(&self) -> Option<u64> {
        self.queue.front().map(|piece| piece.sent_at)
    }

    /// The next piece that has arrived.
    pub fn receive(&mut self, now: u64) -> Option<(Vec<u8>, News)> {
        if self.next_at()? > now {
            return None;
        }
        let piece = self.queue.pop_front()?;
        self.queued_len -= piece.bytes.len();
        Some((piece.bytes, piece.news))
    }

    /// Nothing is wrong with the way any more.
    pub fn clear(&mut self, now: u64) {
        self.stalled_until = 0;
        self.rate_max = None;
        self.free_at = self.free_at.min(now);
        self.queue.iter_mut().for_each(|piece| piece.at = piece.at.min(now + 1));
    }

    /// Nothing arrives until then.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = self.stalled_until.max(until);
    }

    /// Whether nothing will ever arrive.
    pub fn is_dead(&self) -> bool {
        self.stalled_until == u64::MAX
    }

    /// Another byte instead of the one at a random place on the way; false when nothing is on the way.
    pub fn corrupt(&mut self, random: &mut Random) -> bool {
        let Some(piece) = self.queue.front_mut().filter(|piece| !piece.bytes.is_empty()) else {
            return false;
        };
        let at = random.below(piece.bytes.len() as u64) as usize;
        piece.bytes[at] ^= 1 << random.below(8);
        true
    }

    /// Only the first bytes of what is on the way will arrive; false when nothing is.
    pub fn tear(&mut self, random: &mut Random) -> bool {
        match self.queue.front_mut() {
            Some(piece) if piece.bytes.len() > 1 => {
                piece.bytes.truncate(1 + random.below(piece.bytes.len() as u64 - 1) as usize);
                self.queued_len = piece.bytes.len();
                self.queue.truncate(1);
                self.is_torn = true;
                true
            }
            _ => false,
        }
    }
}
