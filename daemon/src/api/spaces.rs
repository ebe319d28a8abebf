//! Spaces and their collections.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crdt::{CollId, Descriptor, Policy};

use super::answer::{self, Answer, Here, created};
use super::problem::Problem;
use super::types::{self, Collection, CreateCollection, CreateSpace, Verified};
use crate::slot::Turn;
use crate::space::{check_name, create_collection as create_collection_work};

pub(super) async fn list(State(here): Here) -> Json<Vec<types::Space>> {
    Json(here.0.describe_spaces().await)
}

pub(super) async fn show(State(here): Here, Path(space): Path<String>) -> Answer<Json<types::Space>> {
    let space = here.space(&space)?;
    let mut shown = here.0.describe_space(&space).await;
    // A space that is not open says so; its members are nobody's first question then.
    shown.members = super::members::list(&space).await.unwrap_or_default();
    Ok(Json(shown))
}

pub(super) async fn create(State(here): Here, body: Bytes) -> Answer<(StatusCode, Json<types::Space>)> {
    let CreateSpace { name } = answer::json(&body)?;
    let daemon = here.0.clone();
    let made = tokio::task::spawn_blocking(move || daemon.spaces.create(&name)).await;
    let space =
        made.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a task failed"))??;
    Ok(created(here.0.describe_space(&space).await))
}

pub(super) async fn set_aside(State(here): Here, Path(space): Path<String>) -> Answer<StatusCode> {
    let space = here.space(&space)?;
    here.0.spaces.set_aside(&space).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn collections(
    State(here): Here,
    Path(space): Path<String>,
) -> Answer<Json<Vec<Collection>>> {
    let space = here.space(&space)?;
    let snapshot = space.slot.snapshot().await?;
    let found = snapshot.collections()?;
    Ok(Json(found.into_iter().map(|found| shown(found.name, found.id, &found.descriptor)).collect()))
}

pub(super) async fn collection(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
) -> Answer<Json<Collection>> {
    let at = here.collection(&space, &coll).await?;
    let descriptor = at.snapshot.descriptor(at.coll)?;
    let descriptor = descriptor.ok_or_else(|| Problem::no_collection(&space, &coll))?;
    Ok(Json(shown(coll, at.coll, &descriptor)))
}

pub(super) async fn create_collection(
    State(here): Here,
    Path(space): Path<String>,
    body: Bytes,
) -> Answer<(StatusCode, Json<Collection>)> {
    let CreateCollection { name, policy } = answer::json(&body)?;
    check_name(&name).map_err(Problem::usage)?;
    let policy = policy_named(&policy)?;
    let space = here.space(&space)?;
    let descriptor = Descriptor { name: name.clone(), policy, params: Vec::new() };
    if let Some(existing) = existing(&space, &name).await?
        && existing != descriptor.id()
    {
        let detail = format!("collection {}/{name} is there already, with another policy", space.name);
        return Err(Problem::new(StatusCode::CONFLICT, "collection-exists", detail)
            .cure("choose another name; a policy is chosen once"));
    }
    let len = name.len() + 256;
    let id = space.slot.call(len, create_collection_work(descriptor.clone())).await?;
    space.forget_names();
    Ok(created(shown(name, id, &descriptor)))
}

async fn existing(space: &crate::space::Space, name: &str) -> Answer<Option<CollId>> {
    let snapshot = space.slot.snapshot().await?;
    Ok(space.collection(&snapshot, name)?)
}

/// The policies that this version reads; the others exist in the format and are refused here by name.
fn policy_named(text: &str) -> Answer<Policy> {
    let policy: Policy =
        text.parse().map_err(|_| Problem::usage(format!("`{text}` is not a policy; allowed: lww")))?;
    match policy {
        Policy::Lww => Ok(policy),
        _ => Err(Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "not-available",
            format!("policy {text} is not part of this version"),
        )
        .cure("use lww")),
    }
}

fn shown(name: String, id: CollId, descriptor: &Descriptor) -> Collection {
    Collection { name, id: id.to_string(), policy: descriptor.policy.to_string() }
}

pub(super) async fn verify(State(here): Here, Path(space): Path<String>) -> Answer<Json<Verified>> {
    let space = here.space(&space)?;
    let report = space
        .slot
        .call(0, |owner, _| {
            Turn::Done(owner.live().and_then(|live| live.replica.verify().map_err(Into::into)))
        })
        .await?;
    Ok(Json(Verified::of(space.name.clone(), report)))
}
