//! At a home: losers that were kept as long as the collection says go, by an ordinary commit that every device takes over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crdt::{CollId, Dot, Time};
use replica::{Late, Place, Retention};

use super::index;
use crate::daemon::Daemon;
use crate::slot::{Error, Turn};
use crate::space::{DiskOwner, Space, transact};

/// How often it is looked at where nothing goes sooner.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The shortest wait between two looks, for bounds of seconds.
const EVERY_MIN: Duration = Duration::from_millis(250);

/// After a start nothing goes by age for so long: what came just before the stop may not have been seen to come late.
const GRACE_MS: u64 = 3_600_000;

/// Keys of one commit.
const KEYS_MAX: usize = 1_000;

/// What a home has seen of the losers of a space since its start.
#[derive(Default)]
pub(crate) struct Seen {
    /// When it began to look, and when it last did.
    since: Option<(Time, Time)>,
    losers: BTreeSet<Dot>,
}

impl Seen {
    /// Begins anew where the clock was put back, or so much time went by that it may have been put ahead.
    fn look(&mut self, now: Time) -> Time {
        let is_steady = |(_, last): &(Time, Time)| *last <= now && now <= last.plus_ms(GRACE_MS);
        let begun = self.since.filter(is_steady).map_or(now, |(begun, _)| begun);
        self.since = Some((begun, now));
        begun
    }
}

/// What is to go, and what was found out about it.
struct Sweep {
    spent: BTreeMap<Place, BTreeSet<Dot>>,
    policies: BTreeMap<Place, String>,
    late: Late,
}

/// Looks at every space again and again, at the latest after a minute.
pub(crate) async fn keep_losers(daemon: Arc<Daemon>) {
    loop {
        let spaces = daemon.spaces.all();
        let looked = tokio::task::spawn_blocking(move || {
            let looks = spaces.iter().map(|space| match let_go(space) {
                Ok((_, next)) => next,
                Err(error) => {
                    // A space that is not open says so by itself.
                    tracing::debug!(space = %space.name, %error, "losers cannot be let go");
                    LOOK_EVERY
                }
            });
            looks.min().unwrap_or(LOOK_EVERY)
        });
        // A panic is told where it happens; the next look may go well.
        let next = looked.await.unwrap_or(LOOK_EVERY);
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = daemon.losers_bounded.notified() => {}
        }
    }
}

/// Lets go of what may go; how many losers that were, and when to look again. Elsewhere than at the home it does nothing.
pub(crate) fn let_go(space: &Space) -> Result<(u64, Duration), Error> {
    let (now, late) = space.slot.call_blocking(0, |owner: &mut DiskOwner, now| {
        Turn::Done(owner.live().map(|live| {
            let is_home = live.home.as_ref().is_some_and(home::Home::is_on_duty);
            (now, is_home.then(|| live.replica.late()))
        }))
    })?;
    let Some(late) = late else { return Ok((0, LOOK_EVERY)) };
    let bounds = bounds(space)?;
    if bounds.is_empty() {
        return Ok((0, LOOK_EVERY));
    }
    let Sweep { spent, policies, late: found } = look(space, &bounds, now, late.clone())?;
    if found != late {
        space.slot.call_blocking(0, move |owner: &mut DiskOwner, _| {
            Turn::Done(owner.live().and_then(|live| Ok(live.replica.set_late(&found)?)))
        })?;
    }
    let mut gone = 0;
    let spent: Vec<(Place, BTreeSet<Dot>)> = spent.into_iter().collect();
    for some in spent.chunks(KEYS_MAX) {
        let went = discard(space, some)?;
        for (place, dots) in some.iter().filter(|(place, _)| went.contains(place)) {
            gone += dots.len() as u64;
            for _ in dots {
                space.metrics.settled(&policies[place], "expired");
            }
        }
    }
    if gone > 0 {
        tracing::info!(space = %space.name, losers = gone, "losers were kept as long as was asked, and went");
    }
    let ages = bounds.values().filter_map(|retention| retention.max_age_ms);
    let next = ages.min().map_or(LOOK_EVERY, |age| Duration::from_millis(age / 8));
    Ok((gone, next.clamp(EVERY_MIN, LOOK_EVERY)))
}

/// The collections whose losers are bounded.
fn bounds(space: &Space) -> Result<BTreeMap<CollId, Retention>, Error> {
    let snapshot = space.slot.snapshot_blocking()?;
    let mut bounds = BTreeMap::new();
    for collection in snapshot.collections()? {
        let retention = snapshot.retention(collection.id)?;
        if !retention.is_none() {
            bounds.insert(collection.id, retention);
        }
    }
    Ok(bounds)
}

fn look(
    space: &Space,
    bounds: &BTreeMap<CollId, Retention>,
    now: Time,
    mut late: Late,
) -> Result<Sweep, Error> {
    let (snapshot, places) = index::refresh(space)?;
    let mut seen = space.losers_seen.lock().expect("a look that failed saw less");
    let is_first = seen.since.is_none();
    let begun = seen.look(now);
    let (mut losers, mut spent, mut policies) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    for place in places.keys() {
        let Some(retention) = bounds.get(&place.coll) else { continue };
        for contest in snapshot.contests(place)? {
            for loser in &contest.losers {
                if !is_first && !seen.losers.contains(&loser.dot) {
                    late.first_seen(loser.dot, loser.hlc.time(), now);
                }
                losers.insert(loser.dot);
            }
            let grace = retention.max_age_ms.unwrap_or(0).min(GRACE_MS);
            let is_settled_in = begun.plus_ms(grace) <= now;
            let retention =
                Retention { max_age_ms: retention.max_age_ms.filter(|_| is_settled_in), ..*retention };
            let dots = retention.spent(&contest, now, |dot, written| late.since(dot, written));
            if !dots.is_empty() {
                policies.insert(contest.place.clone(), contest.policy.to_string());
                spent.insert(contest.place, dots);
            }
        }
    }
    late.retain(&losers);
    seen.losers = losers;
    Ok(Sweep { spent, policies, late })
}

/// Takes losers away; the keys at which that was so. Somebody may have taken the winner away meanwhile, and what is shown does
/// not go.
fn discard(space: &Space, spent: &[(Place, BTreeSet<Dot>)]) -> Result<BTreeSet<Place>, Error> {
    let spent = spent.to_vec();
    space.slot.call_blocking(spent.len() * 64, move |owner: &mut DiskOwner, now: Time| {
        let mut went = BTreeSet::new();
        let done = transact(owner, now, |tx| {
            for (place, dots) in &spent {
                let read = tx.read(place.coll, &place.key)?;
                if read.is_some_and(|read| !dots.contains(&read.winner.dot)) {
                    tx.discard(place.coll, &place.key, dots.clone())?;
                    went.insert(place.clone());
                }
            }
            Ok(())
        });
        done.map(|_| went).into()
    })
}
