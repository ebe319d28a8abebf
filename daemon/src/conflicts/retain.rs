//! At a home: losers that were kept as long as the collection says go, by an ordinary commit that every device takes over.

use std::sync::Arc;
use std::time::Duration;

use crdt::Time;
use replica::{Spent, Sweep};

use super::index;
use crate::daemon::Daemon;
use crate::slot::{Error, Turn};
use crate::space::{DiskOwner, Space, transact};

/// How often it is looked at where nothing goes sooner.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The shortest wait between two looks, for bounds of seconds.
const EVERY_MIN: Duration = Duration::from_millis(250);

/// Keys of one commit.
const KEYS_MAX: usize = 1_000;

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
    let bounds = space.slot.snapshot_blocking()?.retentions()?;
    if bounds.is_empty() {
        return Ok((0, LOOK_EVERY));
    }
    let (snapshot, places) = {
        let (snapshot, index) = index::refresh(space)?;
        (snapshot, index.places())
    };
    let looked = {
        let mut sweeper = space.losers_seen.lock().expect("a look that failed saw less");
        sweeper.look(&snapshot, places.iter().map(|place| &**place), late.clone(), now)?
    };
    let Sweep { spent, late: found } = looked;
    if found != late {
        space.slot.call_blocking(0, move |owner: &mut DiskOwner, _| {
            Turn::Done(owner.live().and_then(|live| Ok(live.replica.set_late(&found)?)))
        })?;
    }
    let mut gone = 0;
    for some in spent.chunks(KEYS_MAX) {
        for Spent { policy, dots, .. } in expire(space, some)? {
            gone += dots.len() as u64;
            for _ in dots {
                space.metrics.settled(&policy.to_string(), "expired");
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

/// Lets losers go, and says which.
fn expire(space: &Space, spent: &[Spent]) -> Result<Vec<Spent>, Error> {
    let spent = spent.to_vec();
    space.slot.call_blocking(spent.len() * 64, move |owner: &mut DiskOwner, now: Time| {
        let mut gone = Vec::new();
        let done = transact(owner, now, |tx| {
            gone = tx.expire(&spent)?;
            Ok(())
        });
        done.map(|_| gone).into()
    })
}
