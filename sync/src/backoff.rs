//! When to try a peer again: exponential with full jitter, the same under the same seed.

use crdt::Time;

/// How long to wait at first and at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Bound of the first delay.
    pub first_ms: u64,
    /// Bound that the doubling stops at.
    pub cap_ms: u64,
}

impl Default for BackoffConfig {
    /// A second is below what a person notices; five minutes keeps a thousand waiting devices at three calls
    /// a second.
    fn default() -> BackoffConfig {
        BackoffConfig { first_ms: 1_000, cap_ms: 300_000 }
    }
}

/// The delays of one peer.
///
/// Each delay is drawn from zero to the bound, so that devices which lost a server together do not return
/// together.
#[derive(Debug, Clone)]
pub struct Backoff {
    config: BackoffConfig,
    chance: u64,
    failures: u32,
}

impl Backoff {
    /// No failure yet.
    pub fn new(seed: u64, config: BackoffConfig) -> Backoff {
        Backoff { config, chance: seed, failures: 0 }
    }

    /// Counts a failure and says when to try again.
    pub fn fail(&mut self, now: Time) -> Time {
        let bound = self.bound_ms();
        self.failures = self.failures.saturating_add(1);
        now.plus_ms(self.draw() % (bound + 1))
    }

    /// Counts a failure whose peer asked not to be called sooner than `retry_after_ms` from now.
    pub fn fail_until(&mut self, now: Time, retry_after_ms: u64) -> Time {
        // A peer may ask for patience, not for silence: an hour more than the cap is the most it gets.
        let asked = retry_after_ms.min(self.config.cap_ms.saturating_add(3_600_000));
        self.fail(now).max(now.plus_ms(asked))
    }

    /// Forgets the failures, once a session has been live for [`LIVE_BEFORE_RESET_MS`].
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last reset.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// The largest delay the next failure can give.
    pub fn bound_ms(&self) -> u64 {
        let doubled =
            1u64.checked_shl(self.failures).and_then(|factor| self.config.first_ms.checked_mul(factor));
        doubled.map_or(self.config.cap_ms, |bound| bound.min(self.config.cap_ms))
    }

    /// SplitMix64: equidistributed, one word of state, and no secret hangs on it.
    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A session that lives this long was not a failure in disguise.
pub const LIVE_BEFORE_RESET_MS: u64 = 60_000;
