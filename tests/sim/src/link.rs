//! The way between two machines: connections of two sessions and two byte streams, late, thin, stalled or cut.

use std::collections::VecDeque;

use crdt::Time;
use disk::Random;
use sync::Session;

/// How a link behaves while nothing is wrong with it.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// What a person would call it.
    pub name: &'static str,
    /// Milliseconds one way.
    pub delay: u64,
    /// How far the delay varies.
    pub jitter: u64,
    /// Bytes a second; 0 for no limit.
    pub rate: u64,
}

/// The links of this world.
pub const PROFILES: [Profile; 4] = [
    Profile { name: "lan", delay: 1, jitter: 1, rate: 0 },
    Profile { name: "3g", delay: 80, jitter: 20, rate: 125_000 },
    Profile { name: "satellite", delay: 1200, jitter: 200, rate: 12_500 },
    Profile { name: "2g", delay: 600, jitter: 100, rate: 3_750 },
];

/// One direction of a connection: bytes arrive in order, each piece at its time.
#[derive(Debug, Default)]
pub struct Pipe {
    queue: VecDeque<(u64, Vec<u8>)>,
    free_at: u64,
    stalled_until: u64,
}

/// Most bytes in flight one way: beyond it the sender is not polled, as QUIC's flow control would have it.
const IN_FLIGHT_MAX: usize = 1 << 20;

impl Pipe {
    /// Whether the sender may put more on the way.
    pub fn has_room(&self) -> bool {
        self.queue.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < IN_FLIGHT_MAX
    }

    /// Puts bytes on the way, in fragments.
    pub fn send(&mut self, now: u64, profile: &Profile, late: u64, bytes: &[u8], random: &mut Random) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = if random.coin() { rest.len() } else { 1 + random.below(rest.len() as u64) as usize };
            let (piece, left) = rest.split_at(len);
            rest = left;
            let spent = (piece.len() as u64 * 1000).checked_div(profile.rate).unwrap_or(0);
            self.free_at = self.free_at.max(now) + spent;
            let jitter = random.below(profile.jitter + 1);
            let at = self.free_at + profile.delay + jitter + late;
            // A stream keeps its order, whatever the packets under it do.
            let at = self.queue.back().map_or(at, |(last, _)| at.max(*last));
            self.queue.push_back((at, piece.to_vec()));
        }
    }

    /// The next piece that has arrived.
    pub fn receive(&mut self, now: u64) -> Option<Vec<u8>> {
        if now < self.stalled_until {
            return None;
        }
        match self.queue.front() {
            Some((at, _)) if *at <= now => self.queue.pop_front().map(|(_, bytes)| bytes),
            _ => None,
        }
    }

    /// Nothing arrives until then.
    pub fn stall(&mut self, until: u64) {
        self.stalled_until = until;
    }

    /// Another byte instead of the one at a random place on the way; false when nothing is on the way.
    pub fn corrupt(&mut self, random: &mut Random) -> bool {
        match self.queue.front_mut() {
            Some((_, bytes)) if !bytes.is_empty() => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
                true
            }
            _ => false,
        }
    }

    /// Only the first bytes of what is on the way will arrive; false when nothing is.
    pub fn tear(&mut self, random: &mut Random) -> bool {
        match self.queue.front_mut() {
            Some((_, bytes)) if bytes.len() > 1 => {
                bytes.truncate(1 + random.below(bytes.len() as u64 - 1) as usize);
                self.queue.truncate(1);
                true
            }
            _ => false,
        }
    }
}

/// One connection: `sessions[0]` at the machine that called, `sessions[1]` at the one that was called.
pub struct Connection {
    /// The two ends.
    pub ends: [usize; 2],
    /// Their sessions.
    pub sessions: [Session; 2],
    /// Bytes towards each end.
    pub pipes: [Pipe; 2],
    /// What it behaves like.
    pub profile: Profile,
    /// It dies then, whatever is on the way.
    pub dies_at: Option<u64>,
}

/// Two machines that would talk.
pub struct Link {
    /// Who calls and who is called.
    pub ends: [usize; 2],
    /// What connections of it behave like.
    pub profile: Profile,
    /// When to call next.
    pub backoff: sync::Backoff,
    /// Not before then.
    pub dial_at: u64,
    /// Nothing passes until then.
    pub blocked_until: u64,
}

impl Link {
    /// The next call, after the last one ended.
    pub fn fail(&mut self, now: u64) {
        self.dial_at = self.backoff.fail(Time(now)).0;
    }
}
