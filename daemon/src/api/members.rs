//! Who is in a space: tickets made, tickets used, home duties taken up again.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crdt::{Role, Ticket};

use super::answer::{self, Answer, Here, created};
use super::problem::Problem;
use super::types::{self, Invite, Invited, Join};
use crate::clock;
use crate::join;
use crate::slot::{Error, Turn};

/// How long a join waits for the home when it does not say.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// Between the name that the home has for a space and the ticket itself.
const NAME_END: char = '@';

/// Most devices one ticket is for.
const USES_MAX: u64 = 100_000;

pub(super) async fn invite(
    State(here): Here,
    Path(space): Path<String>,
    body: Bytes,
) -> Answer<(StatusCode, Json<Invited>)> {
    let Invite { role, uses, expires } =
        if body.is_empty() { answer::json(&Bytes::from_static(b"{}"))? } else { answer::json(&body)? };
    let role: Role = role
        .parse()
        .map_err(|_| Problem::usage(format!("`{role}` is not a role; allowed: reader, writer, tail")))?;
    if role == Role::Tail {
        let detail = "devices that write without reading are not part of this version";
        return Err(
            Problem::new(StatusCode::NOT_IMPLEMENTED, "not-available", detail).cure("use --role writer")
        );
    }
    if uses == 0 || uses > USES_MAX {
        return Err(Problem::usage(format!("uses must be 1 to {USES_MAX}")));
    }
    let valid = answer::duration(Some(&expires))?.unwrap_or_default();
    let valid_ms = u64::try_from(valid.as_millis()).unwrap_or(u64::MAX);
    let not_after = clock::now().plus_ms(valid_ms);
    let space = here.space(&space)?;
    let addresses = here.0.reachable_addresses();
    if addresses.is_empty() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "not-listening",
            "this daemon does not listen for peers",
        )
        .cure("set `listen` in strandline.yaml and start it again"));
    }
    let invite = home::Invite { role, uses, not_after, secret: clock::seed(), addresses: addresses.clone() };
    let ticket = space
        .slot
        .call(1_024, move |owner, now| {
            let mut make = || {
                let live = owner.live()?;
                let home = live.home.as_mut().ok_or(Error::NotHome)?;
                let ticket = home.invite(&mut live.replica, now, invite.clone())?;
                home.wait(now);
                Ok(ticket)
            };
            Turn::Done(make())
        })
        .await?;
    // The name in front is what the other device will call the space, if it has no better idea.
    let ticket = format!("{}{NAME_END}{ticket}", space.name);
    Ok(created(Invited { ticket, addresses, not_after: not_after.0 }))
}

pub(super) async fn join(State(here): Here, body: Bytes) -> Answer<(StatusCode, Json<types::Space>)> {
    let Join { ticket, name, timeout, offline } = answer::json(&body)?;
    if offline {
        return Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "not-available",
            "joining offline is not part of this version",
        ));
    }
    let (suggested, ticket) = match ticket.split_once(NAME_END) {
        Some((name, ticket)) => (Some(name), ticket),
        None => (None, ticket.as_str()),
    };
    let name = name.or_else(|| here.0.spaces.free_name(suggested?));
    let ticket: Ticket =
        ticket.parse().map_err(|error| Problem::usage(format!("this is not a whole ticket: {error}")))?;
    let timeout = answer::duration(timeout.as_deref())?.unwrap_or(JOIN_MAX);
    let space = join::join(&here.0, ticket, name.as_deref(), timeout).await?;
    Ok(created(here.0.describe_space(&space).await))
}

pub(super) async fn claim(State(here): Here, Path(space): Path<String>) -> Answer<StatusCode> {
    let space = here.space(&space)?;
    space
        .slot
        .call(0, |owner, now| {
            let mut claim = || {
                let live = owner.live()?;
                let home = live.home.as_mut().ok_or(Error::NotHome)?;
                home.claim(&mut live.replica, now)?;
                Ok(())
            };
            Turn::Done(claim())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
