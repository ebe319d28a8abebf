//! How this device hands a space over to another one, and how a new home says where it is.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use crdt::DeviceId;
use tokio::time::Instant;

use crate::api::Problem;
use crate::daemon::Daemon;
use crate::slot::{Error, Turn};
use crate::space::Space;

/// How often it is looked whether the other device has come up to the base.
const LOOK: Duration = Duration::from_millis(50);

/// How a handover ended.
pub(crate) struct Handed {
    /// The first version that the new home signs.
    pub(crate) from_version: u64,
    /// Whether it has signed one already.
    pub(crate) is_taken_up: bool,
}

/// Hands the role over once the other device holds all there is. Until then an error leaves everything as it was.
pub(crate) async fn hand_over(
    space: &Arc<Space>,
    to: DeviceId,
    timeout: Duration,
) -> Result<Handed, Problem> {
    let deadline = Instant::now() + timeout;
    let from_version = loop {
        if let Some(version) = try_once(space, to).await? {
            break version + 1;
        }
        if Instant::now() >= deadline {
            let detail = format!("{to} does not hold the newest version yet");
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "peer-behind", detail).cure(
                "this device is the home still: see that the other one is connected (strandline peer list), and try \
                 again with a longer --timeout",
            ));
        }
        tokio::time::sleep(LOOK).await;
    };
    while Instant::now() < deadline {
        if space.slot.snapshot().await?.handle().version >= from_version {
            return Ok(Handed { from_version, is_taken_up: true });
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(Handed { from_version, is_taken_up: false })
}

/// The version that was handed over, if the other device holds it.
async fn try_once(space: &Arc<Space>, to: DeviceId) -> Result<Option<u64>, Problem> {
    let handed = space.slot.call(0, move |owner, now| {
        let mut hand_over = || {
            let report = owner.report()?;
            let live = owner.live()?;
            let Some(home) = live.home.as_mut() else { return Err(Error::NotHome) };
            home.check_successor(&live.replica, &to)?;
            // All in one turn: nothing is written between the last Handle and the end of the role.
            while home.batch(&mut live.replica, now, &mut live.registry)?.is_some() {}
            let version = live.replica.base().version;
            let holds = |status: &sync::Status| status.peer == to && status.peer_base >= version;
            if !report.sessions.iter().any(|(_, status)| holds(status)) {
                return Ok(None);
            }
            home.hand_over(&mut live.replica, now, &to)?;
            Ok(Some(version))
        };
        Turn::Done(hand_over())
    });
    Ok(handed.await?)
}

/// Wherever this device has become the home of a space, it says where it can be reached.
pub(crate) async fn keep_announcing(daemon: Arc<Daemon>) {
    let mut changes = daemon.spaces.changes();
    loop {
        let addresses = daemon.reachable_addresses();
        let me = daemon.spaces.identity().device();
        for space in daemon.spaces.all() {
            if space.seat.home() != Some(me) || addresses.is_empty() {
                continue;
            }
            let addresses = addresses.clone();
            let announced = space.slot.call(0, move |owner, now| {
                let mut announce = || {
                    let live = owner.live()?;
                    match live.home.as_mut() {
                        // A home that never moved is where its tickets say.
                        Some(home) if home.is_on_duty() && live.replica.ring().n() > 0 => {
                            Ok(home.announce(&mut live.replica, now, &addresses)?)
                        }
                        _ => Ok(()),
                    }
                };
                Turn::Done(announce())
            });
            if let Err(error) = announced.await {
                tracing::warn!(space = space.name, %error, "where this home is could not be said");
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}
