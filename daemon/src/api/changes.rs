//! The change feed over HTTP: CloudEvents a line, or as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::answer::{Answer, Here};
use super::problem::Problem;
use super::types::Event;
use crate::daemon::stopped;
use crate::feed::{Error, Follower, Start};
use crate::slot;
use crate::space::Space;

/// The cursor a stream begins at.
const CURSOR: HeaderName = HeaderName::from_static("strandline-cursor");

/// Pieces ahead of the reader.
const PIECES_MAX: usize = 2;

/// A stream in which nothing happens says so this often: a reader that went away is noticed, and so is a dead link.
const ALIVE: Duration = Duration::from_secs(15);

/// A change that is not told of is looked for after this long.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct ChangesQuery {
    from: Option<String>,
    follow: bool,
    collection: Option<String>,
}

/// How an event stands in the stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Lines,
    ServerSent,
}

pub(super) async fn changes(
    State(here): Here,
    Path(space): Path<String>,
    Query(query): Query<ChangesQuery>,
    headers: HeaderMap,
) -> Answer<Response> {
    let space = here.space(&space)?;
    if let Some(collection) = &query.collection {
        let snapshot = space.slot.snapshot().await?;
        let found = space.collection(&snapshot, collection)?;
        found.ok_or_else(|| Problem::no_collection(&space.name, collection))?;
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let form = match text(header::ACCEPT) {
        Some(accept) if accept.contains("text/event-stream") => Form::ServerSent,
        _ => Form::Lines,
    };
    // A browser that lost its stream comes back with where it was.
    let from = text(HeaderName::from_static("last-event-id")).or(query.from.as_deref());
    let start = match from {
        None | Some("now") => Start::Now,
        Some("oldest") => Start::Oldest,
        Some(cursor) => Start::Cursor(cursor.parse().map_err(Problem::usage)?),
    };
    let (daemon, followed) = (here.0.clone(), space.clone());
    let begun =
        tokio::task::spawn_blocking(move || Follower::new(&daemon.spaces, followed, query.collection, start));
    let follower = begun.await.map_err(|_| Problem::internal())??;
    let cursor = HeaderValue::from_str(&follower.cursor().to_string()).expect("a cursor is plain text");
    let (pieces, stream) = mpsc::channel(PIECES_MAX);
    let stopping = here.0.stopping.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = follow(space, follower, query.follow, form, pieces) => {}
            () = stopped(stopping) => {}
        }
    });
    let stream = futures_util::stream::unfold(stream, async |mut stream| {
        let piece: Result<Bytes, std::io::Error> = stream.recv().await?;
        Some((piece, stream))
    });
    let kind = match form {
        Form::Lines => "application/x-ndjson",
        Form::ServerSent => "text/event-stream",
    };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind)), (CURSOR, cursor)];
    Ok((headers, Body::from_stream(stream)).into_response())
}

/// Tells what comes until the reader goes away, the space closes, or, without `follow`, all is told.
async fn follow(
    space: Arc<Space>,
    mut follower: Follower,
    is_followed: bool,
    form: Form,
    pieces: mpsc::Sender<std::io::Result<Bytes>>,
) {
    loop {
        let seen = space.slot.seen();
        let looked = tokio::task::spawn_blocking(move || {
            let events = follower.next_events();
            (follower, events)
        });
        let Ok((back, events)) = looked.await else { return };
        follower = back;
        let piece = match events {
            Ok(events) if events.is_empty() && !is_followed => return,
            Ok(events) if events.is_empty() => {
                tokio::select! {
                    () = another(&space, seen) => continue,
                    () = tokio::time::sleep(ALIVE) => {}
                    () = pieces.closed() => return,
                }
                match form {
                    Form::Lines => continue,
                    Form::ServerSent => Bytes::from_static(b":\n\n"),
                }
            }
            Ok(events) => events.iter().flat_map(|event| form.write(event)).collect(),
            Err(Error::Space(slot::Error::Closed)) => return,
            Err(error) => {
                let text = Problem::from(error).into_text();
                drop(pieces.send(Err(std::io::Error::other(text))).await);
                return;
            }
        };
        if pieces.send(Ok(piece)).await.is_err() {
            return;
        }
    }
}

/// Waits until another state is visible. Asking the owner instead would be a turn, which wakes everybody who waits for one.
async fn another(space: &Space, seen: Option<(u64, u64)>) {
    while space.slot.seen() == seen {
        tokio::select! {
            () = space.slot.changed() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Form {
    fn write(self, event: &Event) -> Vec<u8> {
        let json = serde_json::to_string(event).expect("an event is always JSON");
        match self {
            Form::Lines => format!("{json}\n"),
            Form::ServerSent => format!("id: {}\nevent: {}\ndata: {json}\n\n", event.cursor, event.kind),
        }
        .into_bytes()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        match error {
            Error::Gone { ref oldest, .. } => {
                let cure = format!("read the collections, then follow from now or from {oldest}");
                Problem::new(StatusCode::GONE, "cursor-gone", error.to_string()).cure(cure)
            }
            Error::Space(error) => error.into(),
        }
    }
}
