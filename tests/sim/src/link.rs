//! The way between two machines: who calls whom about what, how it behaves, and the connections over it.

use crdt::Time;
use sync::Session;

use crate::pipe::Pipe;
use crate::promise::classes::Line;

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
    /// Every connection dies at this age, in milliseconds.
    pub life: Option<u64>,
}

/// A good link.
pub const LAN: Profile = Profile { name: "lan", delay: 1, jitter: 1, rate: 0, life: None };

/// Links of the worlds that have thin ones.
pub const THIN: [Profile; 3] = [
    Profile { name: "urban 3g", delay: 80, jitter: 20, rate: 125_000, life: None },
    Profile { name: "satellite", delay: 1200, jitter: 200, rate: 12_500, life: None },
    Profile { name: "2g", delay: 600, jitter: 100, rate: 3_750, life: None },
];

/// A link that is cut every two seconds.
pub const FLAKY: Profile =
    Profile { name: "cut every 2 s", delay: 20, jitter: 30, rate: 0, life: Some(2_000) };

/// Two machines that would talk about a space: the first calls.
pub struct Link {
    /// Who calls and who is called.
    pub ends: [usize; 2],
    /// About what.
    pub space: usize,
    /// What connections of it behave like.
    pub profile: Profile,
    /// When to call next.
    pub backoff: sync::Backoff,
    /// Not before then.
    pub dial_at: u64,
    /// Nothing passes until then: from the caller, and to it.
    pub blocked_until: [u64; 2],
}

impl Link {
    /// The next call, after the last one ended.
    pub fn fail(&mut self, now: u64) -> u64 {
        self.dial_at = self.backoff.fail(Time(now)).0;
        self.dial_at
    }

    /// When both directions are free.
    pub fn free_at(&self) -> u64 {
        self.blocked_until[0].max(self.blocked_until[1])
    }

    /// Whether it joins these two, either way round.
    pub fn joins(&self, ends: [usize; 2]) -> bool {
        self.ends == ends || self.ends == [ends[1], ends[0]]
    }
}

/// One connection: `sessions[0]` at the machine that called, `sessions[1]` at the one that was called.
pub struct Connection {
    /// The link it is over.
    pub link: usize,
    /// The two ends.
    pub ends: [usize; 2],
    /// About what.
    pub space: usize,
    /// Their sessions.
    pub sessions: [Session; 2],
    /// Bytes towards each end.
    pub pipes: [Pipe; 2],
    /// What it behaves like.
    pub profile: Profile,
    /// Which ends still hold it.
    pub is_open: [bool; 2],
    /// When the next arrival at each end is looked at: one entry on the agenda each.
    pub awaited: [Option<u64>; 2],
    /// Each end reads nothing before then.
    pub reads_at: [u64; 2],
    /// Frames each end has sent.
    pub sent_frames: [u64; 2],
    /// What each end has sent, the most urgent first.
    pub lines: [Line; 2],
    /// What was said here was not all as it was meant, once each: what comes of it is nobody's fault.
    pub is_bent: bool,
    /// No end is told that the other is gone.
    pub is_silent: bool,
    /// Something is wrong with it that only its end cures.
    pub is_broken: bool,
}

impl Connection {
    /// Which end a machine is.
    pub fn end_of(&self, machine: usize) -> Option<usize> {
        self.ends.iter().position(|end| *end == machine)
    }
}
