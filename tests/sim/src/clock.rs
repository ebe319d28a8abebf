//! A machine's own clock: years off, fast, slow, or put back while it runs.

use crdt::Time;

/// What a machine takes for the time, as a function of the world's.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock {
    /// What it shows beyond the world's time, in milliseconds.
    offset: i64,
    /// How many parts in a million it runs too fast.
    drift_ppm: i64,
    /// Since when it drifts.
    since: u64,
}

impl WallClock {
    /// What it shows.
    pub fn read(&self, now: u64) -> Time {
        let elapsed = now.saturating_sub(self.since) as i64;
        let drifted = elapsed / 1_000_000 * self.drift_ppm + elapsed % 1_000_000 * self.drift_ppm / 1_000_000;
        Time(now.saturating_add_signed(self.offset + drifted))
    }

    /// Puts it so far from the world's.
    pub fn jump(&mut self, now: u64, offset: i64) {
        (self.offset, self.since) = (offset, now);
    }

    /// Lets it run fast or slow from now on.
    pub fn drift(&mut self, now: u64, ppm: i64) {
        let offset = self.read(now).0 as i64 - now as i64;
        (self.offset, self.drift_ppm, self.since) = (offset, ppm, now);
    }

    /// The world's time at which it shows `local`; now, if it does already.
    pub fn when(&self, now: u64, local: Time) -> u64 {
        let ahead = local.0.saturating_sub(self.read(now).0);
        let rate = (1_000_000 + self.drift_ppm).max(1) as u128;
        now.saturating_add((u128::from(ahead) * 1_000_000).div_ceil(rate).min(u128::from(u64::MAX)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_is_due_by_the_clock_that_was_read() {
        let mut clock = WallClock::default();
        clock.jump(1_000_000_000_000, -500_000_000_000);
        clock.drift(1_000_000_000_000, -100_000);
        let now = 1_000_000_500_000;
        let due = Time(clock.read(now).0 + 15_000);
        let then = clock.when(now, due);
        assert!(clock.read(then) >= due, "{:?} before {due:?}", clock.read(then));
        assert!(clock.read(then - 2) < due);
        assert_eq!(clock.when(now, Time(0)), now);
    }
}
