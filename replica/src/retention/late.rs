//! Losers that came long after they were written: their age counts from when they came, or a device that was away for a month
//! would find what it wrote gone before anybody saw it.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{Decoder, Dot, Encoder, Time, WriterId};
use disk::Disk;

use crate::error::Error;
use crate::replica::Replica;

/// The local note that holds them.
const NOTE: &[u8] = b"local/late";

/// A write that came later than this after it was written came late.
const LATE_MS: u64 = 3_600_000;

/// Most that are remembered one by one, at about 40 bytes each: notes have little room.
const LATE_MAX: usize = 256;

/// When losers came that came late.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Late {
    /// All that were there at this time count from it: more came late then than could be remembered.
    floor: Time,
    came: BTreeMap<Dot, Time>,
}

impl Late {
    /// From when on the age of a loser counts that was written at some time.
    pub fn since(&self, dot: &Dot, written: Time) -> Time {
        let came = self.came.get(dot).copied().unwrap_or(written);
        // What was written after it came after it.
        if written <= self.floor { came.max(self.floor) } else { came }
    }

    /// A loser is seen for the first time.
    pub fn first_seen(&mut self, dot: Dot, written: Time, now: Time) {
        if written.plus_ms(LATE_MS) >= now {
            return;
        }
        if self.came.len() < LATE_MAX {
            self.came.insert(dot, now);
        } else {
            self.floor = now;
        }
    }

    /// Forgets those that are no losers any more.
    pub fn retain(&mut self, losers: &BTreeSet<Dot>) {
        self.came.retain(|dot, _| losers.contains(dot));
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(2).uint(self.floor.0).array(self.came.len());
        for (dot, time) in &self.came {
            out.array(3).bytes(&dot.writer.0).uint(dot.seq).uint(time.0);
        }
        out.finish()
    }

    fn decode(bytes: &[u8]) -> Option<Late> {
        let mut from = Decoder::new(bytes);
        from.array_of(2).ok()?;
        let floor = Time(from.uint().ok()?);
        let mut came = BTreeMap::new();
        for _ in 0..from.array_up_to(LATE_MAX, "late losers").ok()? {
            from.array_of(3).ok()?;
            let dot = Dot::new(WriterId(from.fixed().ok()?), from.uint().ok()?);
            came.insert(dot, Time(from.uint().ok()?));
        }
        from.finish().ok()?;
        Some(Late { floor, came })
    }
}

impl<D: Disk> Replica<D> {
    /// Which losers came late, as far as this device has looked.
    pub fn late(&self) -> Late {
        self.notes(NOTE).and_then(|note| Late::decode(&note)).unwrap_or_default()
    }

    /// Remembers them over restarts.
    pub fn set_late(&mut self, late: &Late) -> Result<(), Error> {
        let value = if *late == Late::default() { Vec::new() } else { late.encode() };
        self.note(NOTE, &value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot(seq: u64) -> Dot {
        Dot::new(WriterId([7; 24]), seq)
    }

    #[test]
    fn what_came_late_counts_from_then_on_and_comes_back_from_its_note() {
        let mut late = Late::default();
        let (now, hour) = (Time(10 * LATE_MS), LATE_MS);
        late.first_seen(dot(1), Time(now.0 - hour), now);
        late.first_seen(dot(2), Time(now.0 - hour - 1), now);
        assert_eq!(late.since(&dot(1), Time(5)), Time(5));
        assert_eq!(late.since(&dot(2), Time(5)), now);
        assert_eq!(Late::decode(&late.encode()), Some(late.clone()));
        late.retain(&BTreeSet::from([dot(1)]));
        assert_eq!(late, Late::default());
    }

    #[test]
    fn more_than_can_be_remembered_give_all_of_them_their_time_again() {
        let mut late = Late::default();
        let now = Time(10 * LATE_MS);
        (0..=LATE_MAX as u64).for_each(|seq| late.first_seen(dot(seq), Time(1), now));
        let last = dot(LATE_MAX as u64);
        assert_eq!(late.since(&last, Time(1)), now);
        assert_eq!(late.since(&dot(9_999), Time(3)), now, "which it was is not known");
        assert_eq!(late.since(&dot(9_999), now.plus_ms(1)), now.plus_ms(1));
        assert_eq!(Late::decode(&late.encode()), Some(late));
    }
}
