//! What a refusal looks like: RFC 9457, with a `type` that programs decide by and a cure for people.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use replica::CommitError;

use super::answer::READ;
use super::types;
use crate::slot::{self, with_causes};
use crate::spaces;

/// A refusal on its way out.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    cure: Option<String>,
    // Boxed: few refusals have one, and every answer of a handler is as long as the longest.
    changed: Option<Box<types::ChangedRead>>,
    read: Option<String>,
}

impl Problem {
    /// A refusal of this kind; `kind` is part of the contract.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Problem {
        Problem { status, kind, detail: detail.into(), cure: None, changed: None, read: None }
    }

    /// The request makes no sense.
    pub fn usage(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "usage", detail)
    }

    /// What can be done about it.
    #[must_use]
    pub fn cure(mut self, cure: impl Into<String>) -> Problem {
        self.cure = Some(cure.into());
        self
    }

    /// The read of a transaction that changed.
    #[must_use]
    pub(super) fn changed(mut self, changed: types::ChangedRead) -> Problem {
        self.changed = Some(Box::new(changed));
        self
    }

    /// Which part of the request is meant.
    #[must_use]
    pub(super) fn of(mut self, part: &str) -> Problem {
        self.detail = format!("{part}: {}", self.detail);
        self
    }

    /// The token of the read that found nothing: that there is nothing is worth relying on, too.
    #[must_use]
    pub(super) fn read(mut self, token: String) -> Problem {
        self.read = Some(token);
        self
    }

    pub(super) fn internal() -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "a task failed")
    }

    /// What happened, for a stream that breaks off.
    pub(super) fn into_text(self) -> String {
        self.detail
    }

    pub(super) fn no_space(name: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "space-missing", format!("there is no space {name} here"))
            .cure("strandline space list")
    }

    pub(super) fn no_collection(space: &str, name: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "collection-missing",
            format!("space {space} has no collection {name}"),
        )
        .cure(format!("strandline collection create {space}/{name}"))
    }

    pub(super) fn no_key() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "key-missing", "there is no such key")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = types::Problem {
            kind: self.kind.to_string(),
            title: self.kind.replace('-', " "),
            status: self.status.as_u16(),
            detail: self.detail,
            cure: self.cure,
            changed: self.changed.map(|changed| *changed),
        };
        let text = serde_json::to_string(&body).expect("strings and a number are always JSON");
        let mut response = (self.status, text).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(token) = self.read.and_then(|token| HeaderValue::from_str(&token).ok()) {
            headers.insert(READ, token);
        }
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_EARLY) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<slot::Error> for Problem {
    fn from(error: slot::Error) -> Problem {
        use slot::Error as E;
        let text = with_causes(&error);
        match error {
            E::Commit(error) => commit(&error, text),
            E::Replica(error) => replica(&error, text),
            E::NoKey => Problem::no_key(),
            E::Unseen => Problem::new(StatusCode::CONFLICT, "outdated-context", text)
                .cure("read the key again and decide on what is there now"),
            E::Settled { .. } => Problem::new(StatusCode::CONFLICT, "conflict-settled", text)
                .cure("strandline conflicts lists what is open"),
            E::Unsettled { ref id, .. } => Problem::new(StatusCode::CONFLICT, "conflict-unsettled", text)
                .cure(format!("look at both sides and choose: strandline conflicts show {id}")),
            E::Precondition { .. } => {
                Problem::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", text)
                    .cure("read the key again and decide on what is there now")
            }
            E::Peaceful { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-verb", text).cure(
                "it takes all writes together; strandline explain SPACE/COLL KEY says what each device wrote",
            ),
            E::NotDocument { .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not-a-document", text)
                .cure("a document is a JSON object, such as {\"title\":\"…\"}"),
            E::BadPatch { .. } => Problem::new(StatusCode::CONFLICT, "patch-failed", text)
                .cure("read the document again and patch what is there now"),
            E::Contended => Problem::new(StatusCode::CONFLICT, "conflict", text).cure("try again"),
            E::Busy { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).cure("try again"),
            E::Closed => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", text),
            E::Unavailable { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "space-unavailable", text)
                .cure("strandline verify says what is wrong with the folder; it is opened again by itself"),
            E::OutcomeUnknown => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome-unknown", text)
                .cure("read what was written before writing it again; look at the disk"),
            E::NotHome => Problem::new(StatusCode::CONFLICT, "not-home", text)
                .cure("run this on the device that is the home: strandline space show"),
            E::HomeAway => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "home-unreachable", text)
                .cure("bring the home in reach: strandline peer list"),
            E::NotMember { place } => {
                Problem::new(StatusCode::CONFLICT, "not-member", text).cure(place.cure())
            }
            E::Home(home::Error::NotMember { .. }) => {
                Problem::new(StatusCode::NOT_FOUND, "member-missing", text)
                    .cure("strandline space show lists the members")
            }
            E::Home(home::Error::OffDuty { duty: home::Duty::NotHome }) => {
                Problem::new(StatusCode::CONFLICT, "not-home", text)
                    .cure("run this on the device that is the home: strandline space show")
            }
            E::Home(home::Error::NotWriter { .. }) => Problem::new(StatusCode::CONFLICT, "not-writer", text)
                .cure("let it join again with a ticket of role writer: strandline space invite"),
            E::Home(home::Error::OwnHome) => Problem::new(StatusCode::CONFLICT, "own-home", text)
                .cure("make another device the home first: strandline space handover"),
            E::Home(home::Error::OffDuty { duty: home::Duty::Copied }) => {
                Problem::new(StatusCode::CONFLICT, "home-copied", text)
                    .cure("if no other copy acts as the home: strandline space claim")
            }
            E::Home(home::Error::Unheard) => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, "home-unheard", text)
                    .cure("connect a member; if none has anything newer: strandline space claim --alone")
            }
            E::Home(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "home-unavailable", text),
            E::SessionEnded => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text),
        }
    }
}

fn commit(error: &CommitError, text: String) -> Problem {
    use CommitError as E;
    match error {
        E::Conflict { .. } | E::Retry => {
            Problem::new(StatusCode::CONFLICT, "conflict", text).cure("read again and try again")
        }
        E::Full { .. } => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "outbox-full", text)
            .cure("bring the home in reach, or raise outbox.max_bytes"),
        E::TooLarge { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "transaction-too-large", text).cure("split it")
        }
        E::ValueTooLarge { .. } => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "value-too-large", text)
            .cure("split the value over several keys"),
        E::Siblings { .. } => Problem::new(StatusCode::CONFLICT, "too-many-siblings", text),
        E::HomeOnly { .. } => Problem::new(StatusCode::FORBIDDEN, "home-only", text),
        E::WrongVerb { instead, .. } => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "wrong-verb", text)
            .cure(format!("it takes {instead}")),
        E::StaysRemoved { .. } => Problem::new(StatusCode::CONFLICT, "stays-removed", text)
            .cure("use a collection of policy or-set for elements that come back"),
        E::CountTooLarge => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "count-too-large", text),
        E::CopyName { .. } => Problem::new(StatusCode::CONFLICT, "copy-name", text)
            .cure("put the value at the key itself, and delete the copy"),
        E::NotSeen { .. } => Problem::new(StatusCode::TOO_EARLY, "stale", text)
            .cure("ask again later, or ask the replica that gave the context"),
        E::Missing { .. } => Problem::new(StatusCode::NOT_FOUND, "key-missing", text),
        E::Taken { .. } => Problem::new(StatusCode::CONFLICT, "key-taken", text)
            .cure("choose another name, or replace what is there: --force"),
        E::Disputed { .. } => Problem::new(StatusCode::CONFLICT, "disputed", text).cure(
            "settle it first: strandline conflicts; or move what is shown and give up the rest: --resolve",
        ),
        E::BadKey => Problem::new(StatusCode::BAD_REQUEST, "bad-key", text),
        E::Replica(error) => replica(error, text),
    }
}

fn replica(error: &replica::Error, text: String) -> Problem {
    use replica::Error as E;
    match error {
        error if error.is_full() => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "disk-full", text)
            .cure("free some space on the disk of the data directory; it goes on by itself"),
        E::ReadOnly => Problem::new(StatusCode::FORBIDDEN, "read-only", text)
            .cure("start the daemon without --read-only"),
        E::Stopped => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome-unknown", text),
        E::TwoHandles { .. } => Problem::new(StatusCode::CONFLICT, "two-handles", text).cure(
            "the home was copied: export what this folder has, set it aside, and join again into an empty one",
        ),
        E::NotLocal { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "value-not-here", text)
            .cure("it comes with the next contact with a peer that has it"),
        _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "storage", text).cure("strandline verify"),
    }
}

impl From<replica::Error> for Problem {
    fn from(error: replica::Error) -> Problem {
        let text = with_causes(&error);
        replica(&error, text)
    }
}

impl From<spaces::Error> for Problem {
    fn from(error: spaces::Error) -> Problem {
        use spaces::Error as E;
        let text = error.to_string();
        match error {
            E::Name { .. } => Problem::usage(text),
            E::NameTaken { .. } => {
                Problem::new(StatusCode::CONFLICT, "name-taken", text).cure("choose another name with --name")
            }
            E::ReadOnly => Problem::new(StatusCode::FORBIDDEN, "read-only", text)
                .cure("start the daemon without --read-only"),
            E::Here { .. } => Problem::new(StatusCode::CONFLICT, "already-joined", text),
            _ => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "storage", text),
        }
    }
}
