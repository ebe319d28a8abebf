//! How long and how many losers a collection keeps: the home says so.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use crdt::Policy;
use replica::Retention;

use super::answer::{self, Answer, At, Here};
use super::collections::shown;
use super::problem::Problem;
use super::types::{Collection, SetRetention};
use crate::config::parse_span;
use crate::slot::Turn;

/// The word for no bound.
const OFF: &str = "off";

pub(super) async fn set(
    State(here): Here,
    Path((space, coll)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Json<Collection>> {
    let SetRetention { losers_max_age, losers_max_count } = answer::json(&body)?;
    let At { space: at, coll: id, snapshot } = here.collection(&space, &coll).await?;
    let descriptor = snapshot.descriptor(id)?.ok_or_else(|| Problem::no_collection(&space, &coll))?;
    let manner = snapshot.manner(id)?.unwrap_or_default();
    if !matches!(manner.policy, Policy::Lww | Policy::Copies | Policy::Map) {
        let detail = format!("a collection of policy `{}` has no losers", manner.policy);
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-verb", detail)
            .cure("lww, copies and map have"));
    }
    let mut retention = snapshot.retention(id)?;
    match losers_max_age.as_deref() {
        None => {}
        Some(OFF) => retention.max_age_ms = None,
        Some(age) => retention.max_age_ms = Some(millis(age)?),
    }
    match losers_max_count {
        None => {}
        Some(0) => retention.max_count = None,
        Some(count) => retention.max_count = Some(count),
    }
    at.slot
        .call(256, move |owner, now| {
            let live = owner.live_to_write();
            Turn::Done(live.and_then(|live| {
                live.decide(now, |home, replica| home.set_retention(replica, now, id, &retention))
            }))
        })
        .await?;
    here.0.losers_bounded.notify_one();
    Ok(Json(shown(coll, id, &descriptor, Some(manner), retention)))
}

fn millis(age: &str) -> Answer<u64> {
    let span = parse_span(age).and_then(|span| u64::try_from(span.as_millis()).ok());
    span.filter(|millis| *millis > 0)
        .ok_or_else(|| Problem::usage(format!("{age:?} is not an age such as 30d, 12h or 90s, nor `{OFF}`")))
}

/// The bounds as they are written.
pub(super) fn words(retention: Retention) -> (Option<String>, Option<u64>) {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let age = retention.max_age_ms.map(|age| {
        let unit = UNITS.iter().find(|(unit, _)| age % unit == 0);
        unit.map_or_else(|| format!("{age}ms"), |(unit, name)| format!("{}{name}", age / unit))
    });
    (age, retention.max_count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_back_as_they_are_shown() {
        for age in ["30d", "36h", "90s", "1500ms", "5min"] {
            let max_age_ms = Some(millis(age).unwrap());
            assert_eq!(words(Retention { max_age_ms, max_count: Some(2) }), (Some(age.to_string()), Some(2)));
        }
        for age in ["", "0s", "x", "5"] {
            assert!(millis(age).is_err(), "{age}");
        }
    }
}
