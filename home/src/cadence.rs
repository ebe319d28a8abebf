//! When the next Handle is due: soon when somebody waits for it, seldom when nobody does.

use crdt::Time;

/// After somebody asked for `anchored`: long enough to gather what arrives together, too short to notice.
const WAITED_MS: u64 = 50;
/// Without another commit: a burst has ended, and its log may go.
const QUIET_MS: u64 = 1_000;
/// Since the oldest commit that no Handle covers: a steady stream is anchored all the same.
const OLDEST_MS: u64 = 60_000;
/// Uncovered bytes that make a Handle due at once: what one checkpoint folds.
const LEN_MAX: u64 = 32 << 20;
/// Uncovered mutations that do: what one checkpoint folds.
const MUTATIONS_MAX: u64 = 250_000;
/// After an attempt that failed.
const RETRY_MS: u64 = 1_000;

/// What no Handle covers yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uncovered {
    /// Commits.
    pub(crate) commits: u64,
    /// Mutations whose fold is still to be written.
    pub(crate) mutations: u64,
    /// Their bytes.
    pub(crate) len: u64,
}

/// The times that decide when the next Handle is due.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cadence {
    uncovered: Uncovered,
    /// When the oldest uncovered commit was first seen.
    oldest: Time,
    /// When the newest one was.
    newest: Time,
    /// When somebody first asked for `anchored` since the last Handle.
    waited: Option<Time>,
    /// Not before this, since an attempt failed.
    held: Time,
}

impl Cadence {
    /// Takes note of what is uncovered now.
    pub(crate) fn observe(&mut self, now: Time, uncovered: Uncovered) {
        self.step_back(now);
        let before = std::mem::replace(&mut self.uncovered, uncovered);
        if (before.commits, before.len) == (uncovered.commits, uncovered.len) {
            return;
        }
        if before.commits == 0 {
            self.oldest = now;
        }
        self.newest = now;
    }

    /// The clock may have been put back, by years: whatever lies in the future now happens now, or nothing would be
    /// due until the clock has caught up.
    fn step_back(&mut self, now: Time) {
        self.oldest = self.oldest.min(now);
        self.newest = self.newest.min(now);
        self.waited = self.waited.map(|waited| waited.min(now));
        self.held = self.held.min(now.plus_ms(RETRY_MS));
    }

    /// Somebody waits for what is uncovered now to be covered.
    pub(crate) fn wait(&mut self, now: Time) {
        self.waited.get_or_insert(now);
    }

    /// A Handle was made; `rest` came in since and is as old as now.
    pub(crate) fn made(&mut self, now: Time, rest: Uncovered) {
        *self = Self { uncovered: rest, oldest: now, newest: now, waited: None, held: Time(0) };
    }

    /// An attempt failed: the next one is not at once.
    pub(crate) fn failed(&mut self, now: Time) {
        self.held = now.plus_ms(RETRY_MS);
    }

    /// When the next Handle is due; never while everything is covered.
    pub(crate) fn due(&self) -> Option<Time> {
        if self.uncovered.commits == 0 {
            return None;
        }
        if self.uncovered.len >= LEN_MAX || self.uncovered.mutations >= MUTATIONS_MAX {
            return Some(self.newest.max(self.held));
        }
        let quiet = self.newest.plus_ms(QUIET_MS).min(self.oldest.plus_ms(OLDEST_MS));
        let due = self.waited.map_or(quiet, |waited| quiet.min(waited.plus_ms(WAITED_MS)));
        Some(due.max(self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uncovered(commits: u64) -> Uncovered {
        Uncovered { commits, mutations: commits, len: 100 * commits }
    }

    #[test]
    fn nothing_is_due_while_everything_is_covered() {
        let mut cadence = Cadence::default();
        cadence.observe(Time(5), uncovered(0));
        cadence.wait(Time(5));
        assert_eq!(cadence.due(), None);
    }

    #[test]
    fn a_burst_is_anchored_a_second_after_its_last_commit() {
        let mut cadence = Cadence::default();
        cadence.observe(Time(10), uncovered(1));
        cadence.observe(Time(500), uncovered(2));
        cadence.observe(Time(900), uncovered(2));
        assert_eq!(cadence.due(), Some(Time(1_500)));
    }

    #[test]
    fn a_steady_stream_is_anchored_every_minute() {
        let mut cadence = Cadence::default();
        for commits in 1..=120 {
            cadence.observe(Time(commits * 600), uncovered(commits));
        }
        assert_eq!(cadence.due(), Some(Time(60_600)));
    }

    #[test]
    fn somebody_who_waits_has_it_within_fifty_milliseconds() {
        let mut cadence = Cadence::default();
        cadence.observe(Time(10), uncovered(1));
        cadence.wait(Time(20));
        cadence.wait(Time(60));
        assert_eq!(cadence.due(), Some(Time(70)));
        cadence.made(Time(70), uncovered(0));
        cadence.observe(Time(80), uncovered(1));
        assert_eq!(cadence.due(), Some(Time(1_080)), "nobody waits for the new one");
    }

    #[test]
    fn a_clock_put_back_by_years_delays_nothing() {
        let mut cadence = Cadence::default();
        cadence.observe(Time(1 << 42), uncovered(1));
        cadence.wait(Time(1 << 42));
        cadence.failed(Time(1 << 42));
        cadence.observe(Time(10), uncovered(1));
        assert_eq!(cadence.due(), Some(Time(1_010)));
    }

    #[test]
    fn bytes_or_mutations_in_bulk_are_due_at_once() {
        for bulk in [
            Uncovered { commits: 1, mutations: 1, len: LEN_MAX },
            Uncovered { commits: 2, mutations: MUTATIONS_MAX, len: 9 },
        ] {
            let mut cadence = Cadence::default();
            cadence.observe(Time(10), bulk);
            assert_eq!(cadence.due(), Some(Time(10)));
        }
    }

    #[test]
    fn a_failed_attempt_is_repeated_later_and_not_at_once() {
        let mut cadence = Cadence::default();
        cadence.observe(Time(10), uncovered(1));
        cadence.wait(Time(10));
        cadence.failed(Time(60));
        assert_eq!(cadence.due(), Some(Time(1_060)));
    }
}
