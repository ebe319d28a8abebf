//! Joining a space: the stranger's side, with its ticket, and the home's.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use crdt::{DeviceId, Ring, Ticket};
use home::{Admission, Home};
use quinn::SendStream;
use sync::frame::{Hello, Join};
use sync::join::Answer;
use sync::{ByeCode, Joined, Joiner, Local};

use crate::api::Problem;
use crate::clock;
use crate::daemon::Daemon;
use crate::endpoint::Connection;
use crate::leave;
use crate::membership::Membership;
use crate::peer::refuse;
use crate::peers::dial_any;
use crate::slot::{Error, Live, Turn};
use crate::space::Space;

/// How often a new replica is asked whether it has its first Handle.
const LOOK: Duration = Duration::from_millis(20);

/// Shows a ticket to its home, makes the replica, and waits for its first state.
pub(crate) async fn join(
    daemon: &Arc<Daemon>,
    ticket: Ticket,
    name: Option<&str>,
    timeout: Duration,
) -> Result<Arc<Space>, Problem> {
    let space = ticket.genesis.space();
    if let Some(space) = daemon.spaces.by_id(&space) {
        if space.membership() != Membership::Member || knows_ring(&space).await? < ticket.ring.len() as u64 {
            return join_again(daemon, &space, ticket, timeout).await;
        }
        let detail = format!("space {} is here already, as {}", space.id, space.name);
        return Err(Problem::new(StatusCode::CONFLICT, "already-joined", detail)
            .cure("this device is a member: strandline space show"));
    }
    if let Some(name) = name {
        crate::space::check_name(name).map_err(Problem::usage)?;
        if daemon.spaces.find(name).is_some() {
            let detail = format!("a space named {name} is here already");
            return Err(Problem::new(StatusCode::CONFLICT, "name-taken", detail)
                .cure("choose another name with --name"));
        }
    }
    let deadline = tokio::time::Instant::now() + timeout;
    let addresses = ticket.addresses.clone();
    let asked = tokio::time::timeout_at(deadline, ask(daemon, ticket));
    let joined = asked.await.map_err(|_| unreachable("no answer in time"))??;
    let ring = joined.ring.records().to_vec();
    let maker = daemon.clone();
    let name = name.map(str::to_string);
    let made = tokio::task::spawn_blocking(move || {
        maker.spaces.join(name.as_deref(), joined.genesis, ring, &addresses)
    });
    let made = made.await;
    let space =
        made.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a task failed"))??;
    wait_for_state(&space, deadline).await;
    Ok(space)
}

/// A device that was taken out or left, or that the home has moved away from, comes back to what it holds: everything it
/// wrote meanwhile goes along.
async fn join_again(
    daemon: &Arc<Daemon>,
    space: &Arc<Space>,
    ticket: Ticket,
    timeout: Duration,
) -> Result<Arc<Space>, Problem> {
    let deadline = tokio::time::Instant::now() + timeout;
    let addresses = ticket.addresses.clone();
    // The home may let it in and the answer be lost: to leave after that is another wish than the one that it may have done.
    if let Membership::Leaving(_) = space.membership() {
        space.set_membership(Membership::Leaving(leave::fresh_id())).await?;
    }
    let asked = tokio::time::timeout_at(deadline, ask(daemon, ticket));
    let joined = asked.await.map_err(|_| unreachable("no answer in time"))??;
    take_up(space, joined.ring).await?;
    space.set_membership(Membership::Member).await?;
    space.set_addresses(addresses).await?;
    daemon.spaces.touch();
    while tokio::time::Instant::now() < deadline {
        if space.slot.snapshot().await?.handle().version >= joined.handle.version {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(space.clone())
}

/// How many changes of home are known here.
async fn knows_ring(space: &Space) -> Result<u64, Error> {
    space.slot.call(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.ring().n()))).await
}

/// Takes up who has become the home meanwhile: that one is talked to even where the base here calls it out.
async fn take_up(space: &Space, ring: Ring) -> Result<(), Error> {
    let taken_up = space.slot.call(0, move |owner, now| {
        let follow = |live: &mut Live<_>| Ok(live.replica.follow_ring(now, ring.records())?);
        Turn::Done(owner.live().and_then(follow))
    });
    taken_up.await
}

async fn ask(daemon: &Arc<Daemon>, ticket: Ticket) -> Result<Joined, Problem> {
    let endpoint = daemon.endpoint.as_ref().ok_or_else(|| {
        Problem::new(StatusCode::CONFLICT, "isolated", "this daemon runs without a network (--isolated)")
    })?;
    let not_whole = |error: crdt::Error| Problem::usage(format!("the ticket is not whole: {error}"));
    let ring = Ring::new(&ticket.genesis, ticket.ring.clone()).map_err(not_whole)?;
    let keys = ring.keys_for(u64::MAX);
    let home = DeviceId::of(keys.first().unwrap_or(&ticket.genesis.home_key));
    let identity = daemon.spaces.identity();
    if home == identity.device() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "already-joined",
            "this device is the home of the space",
        ));
    }
    let dialed = dial_any(endpoint, &ticket.addresses, Some(home)).await;
    let (connection, _) = dialed.map_err(|error| unreachable(&error.to_string()))?;
    let local = Local { device: identity.device(), instance: daemon.instance, peer: home };
    let public = identity.key().public();
    let mut joiner = Joiner::new(&local, clock::now(), ticket, public, &connection.exporter());
    let lost = |error: &dyn std::fmt::Display| unreachable(&error.to_string());
    let (mut send, mut recv) = connection.quic.open_bi().await.map_err(|error| lost(&error))?;
    while let Some(bytes) = joiner.poll_transmit() {
        send.write_all(&bytes).await.map_err(|error| lost(&error))?;
    }
    loop {
        let chunk = recv.read_chunk(64 << 10, true).await.map_err(|error| lost(&error))?;
        let chunk = chunk.ok_or_else(|| unreachable("the home closed the stream without an answer"))?;
        let answer = joiner.handle_bytes(&chunk.bytes).map_err(|error| {
            Problem::new(
                StatusCode::BAD_GATEWAY,
                "forged",
                format!("the home's answer is not valid: {error}"),
            )
        })?;
        match answer {
            Some(Answer::Joined(joined)) => {
                connection.close("joined");
                return Ok(joined);
            }
            Some(Answer::Refused(bye)) => return Err(refused(bye.code)),
            None => {}
        }
    }
}

/// The first Handle comes with the first session; a caller that scripts a `get` next should find the collections.
async fn wait_for_state(space: &Arc<Space>, deadline: tokio::time::Instant) {
    while tokio::time::Instant::now() < deadline {
        match space.slot.snapshot().await {
            Ok(snapshot) if snapshot.handle().version > 0 => return,
            Ok(_) => tokio::time::sleep(LOOK).await,
            Err(_) => return,
        }
    }
}

fn unreachable(reason: &str) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "home-unreachable",
        format!("the home is not in reach: {reason}"),
    )
    .cure("check that its daemon runs and that UDP gets through to the addresses of the ticket")
}

fn refused(code: ByeCode) -> Problem {
    let (kind, detail, cure) = match code {
        ByeCode::TicketUnknown => ("ticket-unknown", "the home knows no such ticket", "ask for a new ticket"),
        ByeCode::TicketSpent => ("ticket-spent", "every use of the ticket is spent", "ask for a new ticket"),
        ByeCode::TicketExpired => ("ticket-expired", "the ticket is past its time", "ask for a new ticket"),
        ByeCode::Revoked => {
            ("revoked", "this device was taken out after the ticket was made", "ask for a new ticket")
        }
        ByeCode::NotHome => ("not-home", "who answered is not the home of the space", "ask for a new ticket"),
        ByeCode::Busy => ("busy", "the home is busy", "try again"),
        _ => ("refused", "the home refused", "look at the home's status"),
    };
    Problem::new(StatusCode::CONFLICT, kind, detail).cure(cure)
}

/// The home's side: one question, one answer, and the stream is done.
pub(crate) async fn admit(
    daemon: &Arc<Daemon>,
    connection: &Connection,
    hello: &Hello,
    join: Join,
    send: &mut SendStream,
) {
    if let Err(error) = sync::join::check_identity(hello, &join, connection.peer) {
        tracing::info!(%error, "a join that is not its own");
        return refuse(send, ByeCode::Protocol).await;
    }
    let Some(space) = daemon.spaces.by_id(&join.space) else {
        return refuse(send, ByeCode::NotHome).await;
    };
    let exporter = connection.exporter();
    let answer = space.slot.call(1_024, move |owner, now| {
        let mut decide = || {
            let live = owner.live()?;
            let Some(home) = &mut live.home else { return Ok(Err(ByeCode::NotHome)) };
            match home.admit_join(&mut live.replica, now, &join, &exporter)? {
                Admission::Refused(refused) => return Ok(Err(refused.code())),
                Admission::Admitted | Admission::Member => {}
            }
            // The answer is the Handle that covers the admission, so it is made now.
            home.batch(&mut live.replica, now, &mut live.registry)?;
            Ok::<_, Error>(Ok(Home::joined(&live.replica)))
        };
        Turn::Done(decide())
    });
    match answer.await {
        Ok(Ok(bytes)) => {
            tracing::info!(device = %connection.peer, space = space.name, "admitted");
            // A stranger that hung up asks again; it costs it nothing.
            drop(send.write_all(&bytes).await);
            drop(send.finish());
        }
        Ok(Err(code)) => refuse(send, code).await,
        Err(error) => {
            tracing::warn!(%error, "a join could not be decided");
            refuse(send, ByeCode::Unavailable).await;
        }
    }
}
