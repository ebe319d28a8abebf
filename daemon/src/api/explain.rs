//! Why a key shows what it shows, and what is wrong with this device.

use axum::Json;
use axum::extract::{Path, Query, State};
use replica::Place;
use serde::Deserialize;

use super::answer::{self, Answer, At, Here, blocking};
use super::problem::Problem;
use super::types::{Explained, Finding};
use crate::explain::explain;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ExplainQuery {
    tuple: bool,
}

pub(super) async fn key(
    State(here): Here,
    Path((space, coll, key)): Path<(String, String, String)>,
    Query(query): Query<ExplainQuery>,
) -> Answer<Json<Explained>> {
    let key = answer::key(&key, query.tuple)?;
    let At { space, coll: id, .. } = here.collection(&space, &coll).await?;
    let explained = blocking(move || explain(&space, &coll, &Place { coll: id, key })).await?;
    explained.map(Json).ok_or_else(Problem::no_key)
}

pub(super) async fn doctor(State(here): Here) -> Json<Vec<Finding>> {
    Json(here.0.findings().await)
}
