//! What the daemon says about itself: for people, for load balancers, for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Here};
use super::problem::Problem;
use super::types::{Health, Status};

pub(super) async fn status(State(here): Here) -> Json<Status> {
    Json(here.0.status().await)
}

pub(super) async fn health(State(here): Here) -> Response {
    let problems = here.0.problems().await;
    let (code, status) = match problems.is_empty() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "degraded"),
    };
    (code, Json(Health { status: status.to_string(), problems })).into_response()
}

pub(super) async fn metrics(State(here): Here) -> Answer<Response> {
    let text = here.0.scrape().await.text();
    let text = text.map_err(|_| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "no metrics"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
