//! How this device leaves a space: what it wrote is anchored first, then its home takes it out.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use crdt::{DeviceId, Op, Proposal, Wish, system};
use replica::Grant;
use sync::frame::{Outcome, Refused};
use tokio::time::{Instant, timeout_at};

use crate::api::Problem;
use crate::clock;
use crate::daemon::Daemon;
use crate::membership::Membership;
use crate::slot::{Error, Turn};
use crate::space::Space;

/// How often it is looked whether the home has come nearer.
const LOOK: Duration = Duration::from_millis(50);

/// Leaves. An error before the home was asked leaves everything as it was; after it, leaving again goes on with it.
pub(crate) async fn leave(
    daemon: &Arc<Daemon>,
    space: &Arc<Space>,
    timeout: Duration,
) -> Result<(), Problem> {
    let me = daemon.spaces.identity().device();
    let place = space.membership();
    let id = match place {
        Membership::Left => return Ok(()),
        // Out already: nothing more is expected, or sent.
        Membership::Revoked => {
            space.set_membership(Membership::Left).await?;
            daemon.spaces.touch();
            return Ok(());
        }
        Membership::Leaving(id) => id,
        Membership::Member => fresh_id(),
    };
    let home = match space.seat.home() {
        Some(home) if home == me => return Err(Error::Home(home::Error::OwnHome).into()),
        Some(home) => home,
        None => return Err(Error::HomeAway.into()),
    };
    let deadline = Instant::now() + timeout;
    // From here on nothing more is written: it would be left behind.
    space.set_membership(Membership::Leaving(id)).await?;
    let mut is_asked = place == Membership::Leaving(id);
    let left = async {
        wait_until_anchored(space, me, deadline).await?;
        ask(space, home, me, id, deadline, &mut is_asked).await
    };
    let answer = left.await;
    // The home may have said it by ending the session.
    if space.membership() == Membership::Left {
        daemon.spaces.touch();
        return Ok(());
    }
    match answer {
        Ok(()) => {
            space.set_membership(Membership::Left).await?;
            daemon.spaces.touch();
            Ok(())
        }
        Err((problem, Then::Stay)) => {
            space.set_membership(Membership::Member).await?;
            Err(problem)
        }
        Err((problem, Then::Ask)) if is_asked => Err(problem),
        Err((problem, Then::Ask)) => {
            space.set_membership(Membership::Member).await?;
            Err(problem)
        }
    }
}

/// The id of a proposal that nobody has made yet.
pub(crate) fn fresh_id() -> [u8; 16] {
    clock::seed()[..16].try_into().expect("sixteen of 32 bytes")
}

/// What holds after an attempt that failed.
enum Then {
    /// The home has refused: this device is a member as before.
    Stay,
    /// If the home was asked, nobody knows.
    Ask,
}

/// Until a Handle covers all that this device wrote.
async fn wait_until_anchored(space: &Space, me: DeviceId, deadline: Instant) -> Result<(), (Problem, Then)> {
    loop {
        let report = space.slot.call(0, |owner, _| Turn::Done(owner.report())).await;
        let report = report.map_err(|error| (error.into(), Then::Ask))?;
        let mine = report.tail.iter().filter(|(writer, ..)| writer.device() == me);
        let count: u64 = mine.map(|(_, seq, anchored)| seq - anchored).sum();
        if count == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let detail = format!("{count} commits of this device are not anchored yet");
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "home-unreachable", detail).cure(
                "this device is a member still: bring the home in reach and leave again, with a longer --timeout",
            );
            return Err((problem, Then::Ask));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Asks the home until it answers, always under the same id, so that it does it once.
async fn ask(
    space: &Space,
    home: DeviceId,
    me: DeviceId,
    id: [u8; 16],
    deadline: Instant,
    is_asked: &mut bool,
) -> Result<(), (Problem, Then)> {
    while Instant::now() < deadline && space.membership() != Membership::Left {
        let asked = space.slot.call(0, move |owner, _| {
            let mut propose = || {
                let live = owner.live()?;
                let proposal = Proposal {
                    id,
                    space: live.replica.space(),
                    base: live.replica.base().version,
                    deps: Vec::new(),
                    reads: Vec::new(),
                    writes: vec![Wish { coll: system::acl(), key: Grant::key(&me), op: Op::Delete }],
                    signature: [0; 64],
                };
                let proposal = proposal.sign(live.replica.device());
                owner.propose(home, proposal)
            };
            Turn::Done(propose())
        });
        match asked.await {
            Ok(answer) => {
                *is_asked = true;
                match timeout_at(deadline, answer).await {
                    Ok(Ok(Outcome::Committed(_))) => return Ok(()),
                    Ok(Ok(Outcome::Refused(refused))) => return Err((turned_down(refused), Then::Stay)),
                    // Not now, or the session ended first.
                    Ok(Ok(Outcome::Retry | Outcome::Rejected(_)) | Err(_)) | Err(_) => {}
                }
            }
            Err(Error::HomeAway) => {}
            Err(error) => return Err((error.into(), Then::Ask)),
        }
        tokio::time::sleep(LOOK).await;
    }
    let problem =
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "home-unreachable", "the home did not answer")
            .cure("bring the home in reach and leave again, with a longer --timeout");
    Err((problem, Then::Ask))
}

fn turned_down(refused: Refused) -> Problem {
    let (kind, detail, cure) = match refused {
        Refused::NotHome => ("not-home", "the device that was asked is not the home any more", "try again"),
        Refused::NotAuthorised => {
            ("not-member", "the home knows this device as no member", "strandline space show")
        }
        Refused::Unsupported => {
            ("not-supported", "the home runs a version that cannot let a device leave", "update the home")
        }
        Refused::Missing => ("not-member", "this device is no member any more", "strandline space show"),
    };
    Problem::new(StatusCode::CONFLICT, kind, detail).cure(cure)
}
