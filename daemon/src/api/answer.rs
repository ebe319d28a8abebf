//! What handlers share: the daemon, the space and collection of a path, JSON in and out, and the words of a query.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use crdt::view::Manner;
use crdt::view::mv::Context;
use crdt::{CollId, Dot};
use disk::RealDisk;
use replica::Snapshot;
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::config::parse_span;
use crate::daemon::Daemon;
use crate::keytext::{self, Key};
use crate::slot::Level;
use crate::space::{Condition, Space};

/// How long a write waits for other devices when it does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// The token of a write; sent back with a read.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("strandline-token");

/// What was read; sent back with a transaction.
pub(super) const READ: HeaderName = HeaderName::from_static("strandline-read");
/// What a read saw at a key; given back with a put or a delete that goes, and nothing else.
pub(super) const CONTEXT: HeaderName = HeaderName::from_static("strandline-context");

/// The daemon behind the routes.
#[derive(Clone)]
pub(super) struct Shared(pub(super) Arc<Daemon>);

/// How a handler finds it.
pub(super) type Here = State<Shared>;

/// What a handler answers.
pub(super) type Answer<T> = Result<T, Problem>;

impl Shared {
    pub(super) fn space(&self, name: &str) -> Answer<Arc<Space>> {
        self.0.spaces.find(name).ok_or_else(|| Problem::no_space(name))
    }

    /// The space and collection of a path, with what is visible there now.
    pub(super) async fn collection(&self, space: &str, coll: &str) -> Answer<At> {
        let space = self.space(space)?;
        let snapshot = space.slot.snapshot().await?;
        let found = space.collection(&snapshot, coll)?;
        let coll = found.ok_or_else(|| Problem::no_collection(&space.name, coll))?;
        Ok(At { space, snapshot, coll })
    }
}

/// A collection, as it is visible now.
pub(super) struct At {
    pub(super) space: Arc<Space>,
    pub(super) snapshot: Snapshot<RealDisk>,
    pub(super) coll: CollId,
}

impl At {
    /// How the collection is read.
    pub(super) fn manner(&self) -> Answer<Manner> {
        Ok(self.snapshot.manner(self.coll)?.unwrap_or_default())
    }
}

/// The context of a put or a delete, if it has one.
pub(super) fn context(headers: &HeaderMap) -> Answer<Option<Context>> {
    headers.get(CONTEXT).map(|value| context_of(value.as_bytes())).transpose()
}

/// The context that a read returned as this text.
pub(super) fn context_of(text: &[u8]) -> Answer<Context> {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(text).ok();
    let seen = bytes.and_then(|bytes| Context::decode(&bytes).ok());
    seen.ok_or_else(|| {
        bad_context("the context is not one that a read returned").cure(
            "give it as a read did: strandline get SPACE/COLL KEY --all, or Strandline-Context over HTTP",
        )
    })
}

/// Refuses a context where it would mean nothing: what went unheard would take away more than its sender saw.
pub(super) fn no_context(headers: &HeaderMap) -> Answer<()> {
    match headers.contains_key(CONTEXT) {
        false => Ok(()),
        true => Err(bad_context("only a put and a delete of one key take a context")
            .cure("leave Strandline-Context away, or put or delete the key")),
    }
}

pub(super) fn bad_context(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad-context", detail)
}

/// How a read returns it.
pub(super) fn context_text(seen: &Context) -> String {
    data_encoding::BASE64URL_NOPAD.encode(&seen.encode())
}

pub(super) async fn no_route(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", format!("there is nothing at {}", uri.path()))
}

/// Over TCP, a web page that somebody has open must not be a client: neither from another origin, nor under a name
/// that was made to point here.
pub(crate) async fn only_local(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).is_none_or(is_loopback);
    let origin = headers.get(header::ORIGIN).is_none()
        || text(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://")).is_some_and(is_loopback);
    if host && origin {
        return next.run(request).await;
    }
    Problem::new(StatusCode::FORBIDDEN, "foreign-origin", "only programs on this machine are served here")
        .cure("use http://127.0.0.1 and the port, from this machine")
        .into_response()
}

/// Whether `host[:port]` is this machine by a name nobody else controls.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    };
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A JSON body, or a problem that says where it is wrong.
pub(super) fn json<T: DeserializeOwned>(body: &Bytes) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| Problem::usage(format!("the body is not valid: {error}")))
}

/// The key of a path or query value.
pub(super) fn key(text: &str, is_tuple: bool) -> Answer<Vec<u8>> {
    let bad = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "bad-key", detail);
    let key = if is_tuple {
        Key::parse_json(text).map_err(|error| bad(format!("{text}: {error}")))?.0
    } else {
        Key::plain(text).0
    };
    crdt::key::check(&key).map_err(|error| bad(format!("the key is not valid: {error}")))?;
    Ok(key)
}

/// What keys begin with that begin with this text, or whose tuple begins with these elements.
pub(super) fn prefix(text: &str, is_tuple: bool) -> Answer<Vec<u8>> {
    if is_tuple {
        keytext::prefix(text)
            .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "bad-key", format!("{text}: {error}")))
    } else {
        Ok(crdt::key::prefix_of_text(text))
    }
}

/// `?wait=` and `?timeout=`.
pub(super) fn wait(level: Option<&str>, timeout: Option<&str>) -> Answer<(Level, Duration)> {
    let level = level.map_or(Ok(Level::Local), str::parse).map_err(Problem::usage)?;
    Ok((level, duration(timeout)?.unwrap_or(TIMEOUT_DEFAULT)))
}

pub(super) fn duration(text: Option<&str>) -> Answer<Option<Duration>> {
    let Some(text) = text else { return Ok(None) };
    let span = parse_span(text);
    span.map(Some).ok_or_else(|| Problem::usage(format!("`{text}` is not a duration, such as 5s or 500ms")))
}

/// `If-Match` and `If-None-Match`.
pub(super) fn condition(headers: &HeaderMap) -> Answer<Condition> {
    let text = |name: HeaderName| {
        let value = headers.get(&name)?;
        Some(value.to_str().map_err(|_| Problem::usage(format!("{name} is not text"))))
    };
    match (text(header::IF_MATCH).transpose()?, text(header::IF_NONE_MATCH).transpose()?) {
        (None, None) => Ok(Condition::None),
        (Some("*"), None) => Ok(Condition::Exists),
        (Some(tag), None) => {
            let dot = tag.trim_matches('"').parse::<Dot>();
            dot.map(Condition::Match).map_err(|_| Problem::usage(format!("{tag} is not an ETag of a key")))
        }
        (None, Some("*")) => Ok(Condition::Absent),
        _ => Err(Problem::usage("allowed are If-Match: \"DOT\", If-Match: * and If-None-Match: *")),
    }
}

pub(super) fn etag(dot: Dot) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{dot}\"")).expect("hexadecimal digits are header text")
}

/// `v1.SPACE.VERSION.DOT`, which a reader sends back as it is.
pub(super) fn token(space: &Space, version: u64, dot: Option<Dot>) -> String {
    let dot = dot.map_or_else(String::new, |dot| dot.to_string());
    format!("v1.{}.{version}.{dot}", space.id)
}

/// The state to read from: one that includes what the token names, waited for a while.
pub(super) async fn at_least(at: At, headers: &HeaderMap, timeout: Option<&str>) -> Answer<At> {
    let Some(value) = headers.get(TOKEN) else { return Ok(at) };
    let bad = || Problem::usage("the Strandline-Token is not one that a write returned");
    let parts: Vec<&str> = value.to_str().map_err(|_| bad())?.split('.').collect();
    let ["v1", space, version, dot] = parts[..] else { return Err(bad()) };
    // A token of another space says nothing about this one.
    if space != at.space.id.to_string() || dot.is_empty() {
        return Ok(at);
    }
    let dot: Dot = dot.parse().map_err(|_| bad())?;
    let _version: u64 = version.parse().map_err(|_| bad())?;
    let deadline = tokio::time::Instant::now() + duration(timeout)?.unwrap_or_default();
    let mut at = at;
    loop {
        if at.snapshot.tip(&dot.writer)?.is_some_and(|tip| tip.seq >= dot.seq) {
            return Ok(at);
        }
        if tokio::time::Instant::now() >= deadline {
            let detail = format!("this replica does not have {dot} yet");
            return Err(Problem::new(StatusCode::TOO_EARLY, "stale", detail)
                .cure("ask again, with a longer ?timeout=, or ask the replica that took the write"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        at.snapshot = at.space.slot.snapshot().await?;
    }
}

/// Work that reads much or waits for the owner, on a thread where that is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::slot::Error> + Send + 'static,
) -> Answer<T> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Problem::internal())??)
}

pub(super) fn created<T>(body: T) -> (StatusCode, Json<T>) {
    (StatusCode::CREATED, Json(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_nobody_else_controls_are_this_machine() {
        for host in ["localhost", "localhost:7600", "127.0.0.1:7600", "[::1]:7600", "127.0.0.1"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["evil.example", "evil.example:7600", "localhost.evil.example", "10.0.0.1", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_condition_is_a_dot_or_a_star() {
        let header = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
            condition(&headers)
        };
        let dot = Dot::new(crdt::WriterId([7; 24]), 3);
        assert_eq!(header("if-match", &format!("\"{dot}\"")).unwrap(), Condition::Match(dot));
        assert_eq!(header("if-match", "*").unwrap(), Condition::Exists);
        assert_eq!(header("if-none-match", "*").unwrap(), Condition::Absent);
        assert!(header("if-match", "\"abc\"").is_err());
    }
}
