//! Spaces.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::answer::{self, Answer, Here, created};
use super::problem::Problem;
use super::types::{self, CreateSpace, Verified};
use crate::slot::Turn;

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
