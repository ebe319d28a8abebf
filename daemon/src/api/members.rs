//! Who is in a space: tickets made and used, devices taken out, home duties taken up again.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crdt::{DeviceId, Role, Ticket};

use super::answer::{self, Answer, Here, created};
use super::problem::Problem;
use super::types::{
    self, Claim, HandedOver, Handover, Invite, Invited, Join, Leave, Member, Revoke, Revoked,
};
use crate::clock;
use crate::slot::{Error, Turn};
use crate::space::Space;
use crate::{handover, join, leave};

/// How long a handover waits for the other device when it does not say.
const HANDOVER_MAX: Duration = Duration::from_secs(30);

/// How long leaving waits for the home when it does not say.
const LEAVE_MAX: Duration = Duration::from_secs(30);

/// How long a join waits for the home when it does not say.
const JOIN_MAX: Duration = Duration::from_secs(30);

/// Between the name that the home has for a space and the ticket itself.
const NAME_END: char = '@';

/// Digits of a device's id that are enough to name it, if no other begins with them.
const DEVICE_DIGITS: usize = 4;

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

/// Every device that the home granted something.
pub(super) async fn list(space: &Space) -> Answer<Vec<Member>> {
    let home = space.seat.home();
    let grants = home::members(&space.slot.snapshot().await?).map_err(Error::from)?;
    let member = |(device, grant): (DeviceId, replica::Grant)| {
        let role = match () {
            () if grant.allows(replica::ADMIN) => "admin",
            () if grant.allows(replica::WRITE | replica::READ) => "writer",
            () if grant.allows(replica::WRITE) => "tail",
            () => "reader",
        };
        Member { device: device.to_string(), role: role.to_string(), is_home: home == Some(device) }
    };
    Ok(grants.into_iter().map(member).collect())
}

/// The member whose id this is, or begins with this.
async fn named(space: &Space, device: &str) -> Answer<DeviceId> {
    let device = device.to_ascii_lowercase();
    if let Ok(id) = device.parse() {
        return Ok(id);
    }
    let members = list(space).await?;
    let begins = |member: &&Member| device.len() >= DEVICE_DIGITS && member.device.starts_with(&device);
    let found: Vec<&Member> = members.iter().filter(begins).collect();
    match found.as_slice() {
        [one] => one.device.parse().map_err(|_| Problem::usage(format!("{device} is not a device id"))),
        [] => {
            let detail = format!("no member's id begins with {device}");
            Err(Problem::new(StatusCode::NOT_FOUND, "member-missing", detail)
                .cure("strandline space show lists the members"))
        }
        _ => Err(Problem::usage(format!("{} members' ids begin with {device}", found.len()))
            .cure("write more digits of it")),
    }
}

pub(super) async fn revoke(
    State(here): Here,
    Path(space): Path<String>,
    body: Bytes,
) -> Answer<Json<Revoked>> {
    let Revoke { device } = answer::json(&body)?;
    let space = here.space(&space)?;
    let device = named(&space, &device).await?;
    let version = space
        .slot
        .call(1_024, move |owner, now| {
            let live = owner.live();
            Turn::Done(
                live.and_then(|live| live.decide(now, |home, replica| home.revoke(replica, now, &device))),
            )
        })
        .await?;
    let version = version.map(|handle| handle.version);
    Ok(Json(Revoked { device: device.to_string(), version }))
}

pub(super) async fn handover(
    State(here): Here,
    Path(space): Path<String>,
    body: Bytes,
) -> Answer<Json<HandedOver>> {
    let Handover { device, timeout } = answer::json(&body)?;
    let timeout = answer::duration(timeout.as_deref())?.unwrap_or(HANDOVER_MAX);
    let space = here.space(&space)?;
    let device = named(&space, &device).await?;
    let handed = handover::hand_over(&space, device, timeout).await?;
    here.0.spaces.touch();
    let (from_version, taken_up) = (handed.from_version, handed.is_taken_up);
    Ok(Json(HandedOver { device: device.to_string(), from_version, taken_up }))
}

pub(super) async fn leave(
    State(here): Here,
    Path(space): Path<String>,
    body: Bytes,
) -> Answer<Json<types::Space>> {
    let Leave { timeout } = if body.is_empty() { Leave::default() } else { answer::json(&body)? };
    let timeout = answer::duration(timeout.as_deref())?.unwrap_or(LEAVE_MAX);
    let space = here.space(&space)?;
    leave::leave(&here.0, &space, timeout).await?;
    Ok(Json(here.0.describe_space(&space).await))
}

pub(super) async fn claim(State(here): Here, Path(space): Path<String>, body: Bytes) -> Answer<StatusCode> {
    let Claim { alone } = if body.is_empty() { Claim::default() } else { answer::json(&body)? };
    let members = if alone { home::Members::AreNotAhead } else { home::Members::MayBeAhead };
    let space = here.space(&space)?;
    space.slot.call(0, move |owner, now| Turn::Done(owner.claim(now, members))).await?;
    Ok(StatusCode::NO_CONTENT)
}
