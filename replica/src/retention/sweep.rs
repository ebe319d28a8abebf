//! What a home does about losers: it looks which may go, and lets them go by an ordinary commit that everybody takes over.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{CollId, Dot, Policy, Time};
use disk::Disk;
use planted::Bug;

use super::{Late, Retention};
use crate::contest::{Contest, Place};
use crate::error::{CommitError, Error};
use crate::snapshot::Snapshot;
use crate::transaction::Transaction;

/// After a start nothing goes by age for so long: what came just before the stop may not have been seen to come late.
const GRACE_MS: u64 = 3_600_000;

/// What a home has seen of the losers of a space since its start.
#[derive(Debug, Default)]
pub struct Sweeper {
    /// When it began to look, and when it last did.
    since: Option<(Time, Time)>,
    losers: BTreeSet<Dot>,
}

/// What one look has found.
#[derive(Debug, Default)]
pub struct Sweep {
    /// What may go.
    pub spent: Vec<Spent>,
    /// Which losers came late, as far as is known now.
    pub late: Late,
}

/// Losers that may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// Where.
    pub place: Place,
    /// How the collection is read.
    pub policy: Policy,
    /// Which.
    pub dots: BTreeSet<Dot>,
}

impl Sweeper {
    /// Looks at these places, which are all that have a conflict. `late` is what was known of losers that came late.
    pub fn look<'a, D: Disk>(
        &mut self,
        snapshot: &Snapshot<D>,
        places: impl IntoIterator<Item = &'a Place>,
        mut late: Late,
        now: Time,
    ) -> Result<Sweep, Error> {
        let bounds = snapshot.retentions()?;
        let is_first = self.since.is_none();
        let begun = self.begin(now);
        let (mut losers, mut spent) = (BTreeSet::new(), Vec::new());
        for place in places {
            let Some(retention) = bounds.get(&place.coll) else { continue };
            let grace = retention.max_age_ms.unwrap_or(0).min(GRACE_MS);
            let max_age_ms = retention.max_age_ms.filter(|_| begun.plus_ms(grace) <= now);
            let retention = Retention { max_age_ms, ..*retention };
            for contest in snapshot.contests(place)? {
                // What is shown beside others has not lost yet, and may once they are read another way.
                for loser in contest.beaten() {
                    if !is_first && !self.losers.contains(&loser.dot) {
                        late.first_seen(loser.dot, loser.hlc.time(), now);
                    }
                    losers.insert(loser.dot);
                }
                let dots = retention.spent(&contest, now, |dot, written| late.since(dot, written));
                if !dots.is_empty() {
                    spent.push(Spent { place: contest.place, policy: contest.policy, dots });
                }
            }
        }
        late.retain(&losers);
        self.losers = losers;
        Ok(Sweep { spent, late })
    }

    /// Begins anew where the clock was put back, or so much time went by that it may have been put ahead.
    fn begin(&mut self, now: Time) -> Time {
        let is_steady = |(_, last): &(Time, Time)| *last <= now && now <= last.plus_ms(GRACE_MS);
        let begun = self.since.filter(is_steady).map_or(now, |(begun, _)| begun);
        self.since = Some((begun, now));
        begun
    }
}

impl<D: Disk> Snapshot<D> {
    /// The collections whose losers are bounded.
    pub fn retentions(&self) -> Result<BTreeMap<CollId, Retention>, Error> {
        let mut bounds = BTreeMap::new();
        for collection in self.collections()? {
            let retention = self.retention(collection.id)?;
            if !retention.is_none() {
                bounds.insert(collection.id, retention);
            }
        }
        Ok(bounds)
    }
}

impl<D: Disk> Transaction<D> {
    /// Lets losers go as far as they still are losers: a winner may have been taken away since they were looked at, or the
    /// collection be read in another way, and what is shown does not go. Those that go.
    pub fn expire(&mut self, spent: &[Spent]) -> Result<Vec<Spent>, CommitError> {
        let mut gone = Vec::new();
        let mut last: Option<(Place, Vec<Contest>)> = None;
        for Spent { place, policy, dots } in spent {
            // Another commit that is pending there makes this one be refused.
            self.read(place.coll, &place.key)?;
            let at = self.snapshot().contest_place(place.clone())?;
            // The fields of one document come one after the other.
            let contests = match last.take() {
                Some((same, contests)) if same == at => contests,
                _ => self.snapshot().contests(&at)?,
            };
            let here = contests.iter().find(|contest| contest.place == *place);
            let beaten = here.map(Contest::beaten).unwrap_or_default();
            let mut dots = dots.clone();
            if !planted::is(Bug::ExpireUnlooked) {
                dots.retain(|dot| beaten.iter().any(|loser| loser.dot == *dot));
            }
            if planted::is(Bug::ExpireWinner) {
                dots.extend(here.and_then(|contest| contest.winner.as_ref()).map(|winner| winner.dot));
            }
            if !dots.is_empty() {
                self.discard(place.coll, &place.key, dots.clone())?;
                gone.push(Spent { place: place.clone(), policy: *policy, dots });
            }
            last = Some((at, contests));
        }
        Ok(gone)
    }
}
