//! Time as a number we are handed, and the hybrid time that orders writes.

use std::fmt;

use planted::Bug;

/// How far a remote time may pull ours ahead, and how far our own clock may fall back before the writer is
/// closed. A clock set by hand or by a radio is off by less; a dead battery is off by years.
pub const DRIFT_MAX_MS: u64 = 5 * 60 * 1000;

/// Largest wall time that an [`Hlc`] can hold: the year 10889.
const WALL_MAX: u64 = (1 << 48) - 1;

/// Milliseconds since 1970, as somebody told us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub u64);

impl Time {
    /// Later by so many milliseconds.
    pub fn plus_ms(self, ms: u64) -> Time {
        Time(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this; 0 if it is not earlier.
    pub fn since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Hybrid time: 48 bits of milliseconds, 16 bits of counter, used as one number, so that the counter carries
/// into the milliseconds.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first hybrid time of a millisecond. A time past 48 bits is the last one there is.
    pub fn from_time(time: Time) -> Hlc {
        Hlc(time.0.min(WALL_MAX) << 16)
    }

    /// Its milliseconds.
    pub fn time(self) -> Time {
        Time(self.0 >> 16)
    }

    /// Whether a writer that stands here must be closed at `now`: the wall clock was set back too far behind
    /// it, or there is no time left after it.
    pub fn is_out_of_reach(self, now: Time) -> bool {
        self.0 == u64::MAX || self > Hlc::from_time(now.plus_ms(DRIFT_MAX_MS))
    }
}

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({self})")
    }
}

/// The hybrid clock of one replica: later than everything it has seen, within reason.
///
/// It is not stored: after a restart it is observed anew from the log, so a poisoned past does not stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The latest time given out or believed.
    pub l: Hlc,
}

impl Clock {
    /// A clock that has seen nothing but the wall.
    pub fn new(now: Time) -> Clock {
        Clock { l: Hlc::from_time(now) }
    }

    /// The time of the next write here, later than all before.
    ///
    /// At the end of time it repeats itself: a writer for which [`Hlc::is_out_of_reach`] holds is closed first.
    pub fn next(&mut self, now: Time) -> Hlc {
        self.l = Hlc(self.l.0.saturating_add(1)).max(Hlc::from_time(now));
        self.l
    }

    /// Takes note of a time written elsewhere, but is never pulled more than [`DRIFT_MAX_MS`] past the wall: one
    /// device with a clock in 2099 must not move everybody there.
    pub fn observe(&mut self, now: Time, remote: Hlc) {
        let believed = match planted::is(Bug::NoClockClamp) {
            true => remote,
            false => remote.min(Hlc::from_time(now.plus_ms(DRIFT_MAX_MS))),
        };
        self.l = self.l.max(believed);
    }

    /// Starts over from the wall clock, for the writer after one that was closed.
    pub fn restart(&mut self, now: Time) {
        self.l = Hlc::from_time(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_000);

    #[test]
    fn next_follows_the_wall_and_counts_within_a_millisecond() {
        let mut clock = Clock::default();
        assert_eq!(clock.next(NOW), Hlc::from_time(NOW));
        assert_eq!(clock.next(NOW), Hlc(Hlc::from_time(NOW).0 + 1));
        assert_eq!(clock.next(Time(NOW.0 - 1000)), Hlc(Hlc::from_time(NOW).0 + 2));
        assert_eq!(clock.next(Time(NOW.0 + 1)), Hlc::from_time(Time(NOW.0 + 1)));
    }

    #[test]
    fn counter_carries_into_the_milliseconds() {
        let mut clock = Clock { l: Hlc(Hlc::from_time(NOW).0 | 0xffff) };
        assert_eq!(clock.next(NOW), Hlc::from_time(Time(NOW.0 + 1)));
    }

    #[test]
    fn remote_time_is_believed_up_to_five_minutes_ahead() {
        let mut clock = Clock::new(NOW);
        let near = Hlc(Hlc::from_time(NOW.plus_ms(DRIFT_MAX_MS)).0 - 1);
        clock.observe(NOW, near);
        assert_eq!(clock.l, near);
        clock.observe(NOW, Hlc(u64::MAX));
        assert_eq!(clock.l, Hlc::from_time(NOW.plus_ms(300_000)));
        clock.observe(NOW, Hlc(1));
        assert_eq!(clock.l, Hlc::from_time(NOW.plus_ms(300_000)), "an older time moves nothing");
    }

    #[test]
    fn writer_is_closed_when_the_wall_falls_five_minutes_behind_it() {
        let written = Hlc::from_time(NOW);
        assert!(!written.is_out_of_reach(Time(NOW.0 - DRIFT_MAX_MS)));
        assert!(written.is_out_of_reach(Time(NOW.0 - DRIFT_MAX_MS - 1)));
        assert!(Hlc(u64::MAX).is_out_of_reach(Time(u64::MAX)));
        let mut clock = Clock { l: written };
        clock.restart(Time(5));
        assert_eq!(clock.next(Time(5)), Hlc((5 << 16) + 1));
    }

    #[test]
    fn time_past_48_bits_is_the_last_one() {
        assert_eq!(Hlc::from_time(Time(u64::MAX)), Hlc(WALL_MAX << 16));
        assert_eq!(Clock { l: Hlc(u64::MAX) }.next(NOW), Hlc(u64::MAX));
    }
}
