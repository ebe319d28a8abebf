//! The collections of a space: how they are made, read and listed.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crdt::view::{Deletes, Manner, Siblings};
use crdt::{CollId, Descriptor, Policy};
use replica::Retention;

use super::answer::{self, Answer, Here, created};
use super::problem::Problem;
use super::retention;
use super::types::{Collection, CreateCollection, SetView};
use crate::slot::Turn;
use crate::space::{Space, check_name, create_collection};

pub(super) async fn list(State(here): Here, Path(space): Path<String>) -> Answer<Json<Vec<Collection>>> {
    let space = here.space(&space)?;
    let snapshot = space.slot.snapshot().await?;
    let found = snapshot.collections()?;
    let shown = |found: replica::Collection| {
        let manner = snapshot.manner(found.id)?;
        let retention = snapshot.retention(found.id)?;
        Ok(shown(found.name, found.id, &found.descriptor, manner, retention))
    };
    Ok(Json(found.into_iter().map(shown).collect::<Answer<_>>()?))
}

pub(super) async fn show(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
) -> Answer<Json<Collection>> {
    let at = here.collection(&space, &coll).await?;
    let descriptor = at.snapshot.descriptor(at.coll)?;
    let descriptor = descriptor.ok_or_else(|| Problem::no_collection(&space, &coll))?;
    let manner = at.snapshot.manner(at.coll)?;
    let retention = at.snapshot.retention(at.coll)?;
    Ok(Json(shown(coll, at.coll, &descriptor, manner, retention)))
}

pub(super) async fn create(
    State(here): Here,
    Path(space): Path<String>,
    body: Bytes,
) -> Answer<(StatusCode, Json<Collection>)> {
    let CreateCollection { name, policy, siblings, deletes } = answer::json(&body)?;
    check_name(&name).map_err(Problem::usage)?;
    let manner = manner_of(&policy, siblings.as_deref(), deletes.as_deref())?;
    let space = here.space(&space)?;
    let descriptor = Descriptor { name: name.clone(), policy: manner.policy, params: manner.params() };
    if let Some(existing) = existing(&space, &name).await?
        && existing != descriptor.id()
    {
        let detail = format!("collection {}/{name} is there already, with another policy", space.name);
        return Err(Problem::new(StatusCode::CONFLICT, "collection-exists", detail)
            .cure("choose another name; a policy is chosen once"));
    }
    let len = name.len() + 256;
    let id = space.slot.call(len, create_collection(descriptor.clone())).await?;
    space.forget_names();
    Ok(created(shown(name, id, &descriptor, Some(manner), Retention::default())))
}

async fn existing(space: &Space, name: &str) -> Answer<Option<CollId>> {
    let snapshot = space.slot.snapshot().await?;
    Ok(space.collection(&snapshot, name)?)
}

/// Has a collection read in another manner from now on, everywhere: only the home may say so.
pub(super) async fn set_view(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Json<Collection>> {
    let SetView { policy, siblings, deletes } = answer::json(&body)?;
    let manner = manner_of(&policy, siblings.as_deref(), deletes.as_deref())?;
    let at = here.collection(&space, &coll).await?;
    let descriptor = at.snapshot.descriptor(at.coll)?;
    let descriptor = descriptor.ok_or_else(|| Problem::no_collection(&space, &coll))?;
    if !Manner::described(&descriptor).may_become(&manner) {
        let detail =
            format!("what a collection of policy {} keeps cannot be read as {policy}", descriptor.policy);
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other-kind", detail)
            .cure("make another collection and copy what is in this one"));
    }
    let id = at.coll;
    at.space
        .slot
        .call(256, move |owner, now| {
            let live = owner.live_to_write();
            Turn::Done(
                live.and_then(|live| {
                    live.decide(now, |home, replica| home.set_view(replica, now, id, &manner))
                }),
            )
        })
        .await?;
    let retention = at.snapshot.retention(id)?;
    Ok(Json(shown(coll, id, &descriptor, Some(manner), retention)))
}

/// A policy with its options, as they are written.
fn manner_of(policy: &str, siblings: Option<&str>, deletes: Option<&str>) -> Answer<Manner> {
    let allowed = Policy::READ.map(Policy::name).join(", ");
    let policy: Policy = policy
        .parse()
        .map_err(|_| Problem::usage(format!("`{policy}` is not a policy; allowed: {allowed}")))?;
    if !Policy::READ.contains(&policy) {
        let detail = format!("policy {policy} is not part of this version");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "not-available", detail)
            .cure(format!("use one of {allowed}")));
    }
    let mut manner = Manner::of(policy);
    match siblings {
        None => {}
        Some("keep") if matches!(policy, Policy::Lww | Policy::Map) => manner.siblings = Siblings::Keep,
        Some("show") if policy == Policy::Map => manner.siblings = Siblings::Show,
        Some("replace") if matches!(policy, Policy::Lww | Policy::Map) => {}
        Some(other) => {
            return Err(Problem::usage(format!("policy {policy} has no `{other}` of siblings"))
                .cure("lww: replace or keep; map: replace, keep or show"));
        }
    }
    match deletes {
        None => {}
        Some("hide") if policy == Policy::Map => {}
        Some("revive") if policy == Policy::Map => manner.deletes = Deletes::Revive,
        Some(other) => {
            return Err(Problem::usage(format!("policy {policy} has no `{other}` of deletes"))
                .cure("map: hide or revive"));
        }
    }
    Ok(manner)
}

pub(super) fn shown(
    name: String,
    id: CollId,
    descriptor: &Descriptor,
    manner: Option<Manner>,
    retention: Retention,
) -> Collection {
    let policy = descriptor.policy.to_string();
    let made = Manner::described(descriptor);
    let view = manner.filter(|manner| *manner != made).map(|manner| manner.policy.to_string());
    let (losers_max_age, losers_max_count) = retention::words(retention);
    Collection { name, id: id.to_string(), policy, view, losers_max_age, losers_max_count }
}
