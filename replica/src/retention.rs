//! How long losers are kept, and how many of a key: what the home has said of a collection, and which may go by it.

mod late;
mod sweep;

use std::collections::BTreeSet;

use crdt::key::{self, Element};
use crdt::{CollId, Decoder, Dot, Encoder, Time, system};
use disk::Disk;
use planted::Bug;

use crate::contest::Contest;
use crate::error::Error;
use crate::home::HomeWrite;
use crate::snapshot::Snapshot;

pub use late::Late;
pub use sweep::{Spent, Sweep, Sweeper};

/// The bounds of the losers of a collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Those that lost longer ago may go.
    pub max_age_ms: Option<u64>,
    /// Of a key, the lowest beyond so many may go.
    pub max_count: Option<u64>,
}

impl Retention {
    /// Whether it bounds nothing.
    pub fn is_none(&self) -> bool {
        *self == Retention::default()
    }

    /// The losers of a contest that may go; `since` says from when on the age of a write counts.
    pub fn spent(&self, contest: &Contest, now: Time, since: impl Fn(&Dot, Time) -> Time) -> BTreeSet<Dot> {
        let losers = contest.beaten().iter().enumerate();
        let spent = losers.filter(|(at, loser)| {
            let is_old = self.max_age_ms.is_some_and(|max| {
                let max = if planted::is(Bug::ExpireYoung) { max / 2 } else { max };
                since(&loser.dot, loser.hlc.time()).plus_ms(max) <= now
            });
            is_old || self.max_count.is_some_and(|max| *at as u64 >= max)
        });
        spent.map(|(_, loser)| loser.dot).collect()
    }

    /// What the home writes to have it so from now on.
    pub fn write(&self, coll: CollId) -> HomeWrite {
        let value = (!self.is_none()).then(|| self.encode());
        HomeWrite { coll: system::meta(), key: row_key(coll), value }
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        // Nothing is kept for no time, and none of a key is what `discard` is for: zero says that there is no bound.
        out.array(2).uint(self.max_age_ms.unwrap_or(0)).uint(self.max_count.unwrap_or(0));
        out.finish()
    }

    /// Reads it; what is none says nothing.
    fn decode(bytes: &[u8]) -> Option<Retention> {
        let mut from = Decoder::new(bytes);
        from.array_of(2).ok()?;
        let (age, count) = (from.uint().ok()?, from.uint().ok()?);
        from.finish().ok()?;
        let bound = |number: u64| (number > 0).then_some(number);
        Some(Retention { max_age_ms: bound(age), max_count: bound(count) })
    }
}

impl<D: Disk> Snapshot<D> {
    /// What the home has said of the losers of a collection; nothing bounds them where it has not.
    pub fn retention(&self, coll: CollId) -> Result<Retention, Error> {
        let said = self.get(system::meta(), &row_key(coll))?;
        Ok(said.and_then(|said| Retention::decode(&said)).unwrap_or_default())
    }
}

fn row_key(coll: CollId) -> Vec<u8> {
    let elements = [Element::Text("retention".to_owned()), Element::Bytes(coll.as_bytes().to_vec())];
    key::encode(&elements).expect("a word and an id are a short key")
}

#[cfg(test)]
mod tests {
    use crdt::view::lww::Live;
    use crdt::{Hlc, Payload, Policy, WriterId};

    use super::*;
    use crate::contest::{ContestKind, Place};

    fn live(writer: u8, time: u64) -> Live {
        let payload = Payload::Inline(vec![writer]);
        Live { dot: Dot::new(WriterId([writer; 24]), 1), hlc: Hlc(time << 16), payload }
    }

    fn contest(kind: ContestKind, policy: Policy) -> Contest {
        let place = Place { coll: CollId([0; 16]), key: key::plain(b"k") };
        let losers = vec![live(3, 300), live(2, 200), live(1, 100)];
        let (winner, shown_at) = (Some(live(4, 400)), place.key.clone());
        Contest { place, kind, policy, winner, shown_at, losers, document: None }
    }

    fn spent(retention: Retention, contest: &Contest, late: Option<u8>) -> Vec<u8> {
        let since = |dot: &Dot, written: Time| {
            if late.is_some_and(|late| dot.writer.0[0] == late) { Time(1_000) } else { written }
        };
        retention.spent(contest, Time(1_100), since).iter().map(|dot| dot.writer.0[0]).collect()
    }

    #[test]
    fn losers_go_by_age_and_the_lowest_by_count() {
        let siblings = contest(ContestKind::Siblings, Policy::Lww);
        let by_age = Retention { max_age_ms: Some(850), max_count: None };
        assert_eq!(spent(by_age, &siblings, None), [1, 2]);
        assert_eq!(spent(by_age, &siblings, Some(1)), [2], "what came late has its time from then on");
        let by_count = Retention { max_age_ms: None, max_count: Some(2) };
        assert_eq!(spent(by_count, &siblings, None), [1]);
        assert_eq!(spent(Retention { max_age_ms: Some(1_000), ..by_count }, &siblings, None), [1]);
        assert_eq!(spent(Retention::default(), &siblings, None), Vec::<u8>::new());
    }

    #[test]
    fn what_may_be_all_there_is_stays() {
        let none = Retention { max_age_ms: Some(1), max_count: Some(1) };
        for kind in [ContestKind::Deleted, ContestKind::Revived, ContestKind::Replaced] {
            assert_eq!(spent(none, &contest(kind, Policy::Map), None), Vec::<u8>::new());
        }
        assert_eq!(spent(none, &contest(ContestKind::Siblings, Policy::Mv), None), Vec::<u8>::new());
        assert_eq!(spent(none, &contest(ContestKind::Siblings, Policy::Map), None), [1, 2, 3]);
    }

    #[test]
    fn bounds_come_back_and_other_bytes_say_nothing() {
        for (age, count) in [(Some(5), None), (None, Some(7)), (Some(5), Some(7))] {
            let retention = Retention { max_age_ms: age, max_count: count };
            assert_eq!(Retention::decode(&retention.encode()), Some(retention));
        }
        assert_eq!(Retention::decode(b"x"), None);
        assert_eq!(Retention::default().write(CollId([0; 16])).value, None);
    }
}
