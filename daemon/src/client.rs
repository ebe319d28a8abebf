//! HTTP over the daemon's Unix socket: one connection, one request at a time.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline::api::types::Problem;
use tokio::net::UnixStream;

use crate::cli::failure::{
    EXIT_CONFLICT, EXIT_FAILED, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, EXIT_USAGE, Failure,
};

/// Largest body read whole: a value or an answer, never a stream of rows.
const BODY_LEN_MAX: usize = 64 << 20;

/// What is asked may take as long as it takes, but after this long without an answer it is worth asking whether anybody is there.
const SILENT_MAX: Duration = Duration::from_secs(5);

/// A daemon under any load says within this time that it is there.
const ALIVE_MAX: Duration = Duration::from_secs(10);

/// A conversation with the daemon that owns a data directory.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    data: PathBuf,
}

impl Client {
    /// Connects to the socket in `data`, or says how to get a daemon there.
    pub(crate) async fn connect(data: &Path) -> Result<Client, Failure> {
        let socket = data.join("strandline.sock");
        let stream = UnixStream::connect(&socket).await.map_err(|error| no_daemon(data, &error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| lost(&error))?;
        // A connection that breaks shows at the request that needed it, which is where it can be named.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Client { sender, data: data.to_path_buf() })
    }

    /// The directory whose daemon this is.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// One request; an answer that is not 2xx comes back as the failure it describes.
    pub(crate) async fn request(
        &mut self,
        method: Method,
        path: &str,
        accept: &str,
        body: Body,
    ) -> Result<Response<Incoming>, Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "strandline")
            .header(hyper::header::ACCEPT, accept)
            .header(hyper::header::CONTENT_TYPE, body.content_type());
        if let Some(context) = body.context() {
            request = request.header("strandline-context", context.as_bytes());
        }
        let request = request
            .body(Full::new(body.into_bytes()))
            .map_err(|error| Failure::usage(format!("cannot ask for {path}: {error}")))?;
        let response = self.answer(request).await?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = read_all(response).await?;
        Err(refusal(status, &body))
    }

    /// Waits for an answer while the daemon lives: one that takes connections and answers nobody would be waited for for ever.
    async fn answer(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut answer = pin!(exchange(&mut self.sender, request));
        loop {
            match tokio::time::timeout(SILENT_MAX, &mut answer).await {
                Ok(answered) => return answered,
                Err(_) => is_alive(&self.data).await?,
            }
        }
    }

    /// A JSON answer to a request without a body.
    pub(crate) async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Failure> {
        self.json(Method::GET, path, Body::Empty).await
    }

    /// A JSON answer to a JSON body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        self.send(Method::POST, path, body).await
    }

    /// The same by another method.
    pub(crate) async fn send<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_string(body)
            .map_err(|error| Failure::failed("internal", format!("cannot write the request: {error}")))?;
        self.json(method, path, Body::Json(body)).await
    }

    /// A JSON answer to any request.
    pub(crate) async fn json<T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<T, Failure> {
        let response = self.request(method, path, "application/json", body).await?;
        let bytes = read_all(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Failure::failed("protocol", format!("the daemon's answer to {path} cannot be read: {error}"))
                .cure("use the daemon and the command line of one version")
        })
    }
}

/// What goes with a request.
pub(crate) enum Body {
    Empty,
    Json(String),
    Octets(Bytes),
    /// A value, and what it replaces: the context that a read returned.
    InPlaceOf {
        value: Bytes,
        context: String,
    },
    /// Nothing, in place of that.
    Nothing {
        context: String,
    },
}

impl Body {
    fn context(&self) -> Option<&str> {
        match self {
            Body::InPlaceOf { context, .. } | Body::Nothing { context } => Some(context),
            Body::Empty | Body::Json(_) | Body::Octets(_) => None,
        }
    }

    fn content_type(&self) -> &'static str {
        match self {
            Body::Empty | Body::Nothing { .. } | Body::Octets(_) | Body::InPlaceOf { .. } => {
                "application/octet-stream"
            }
            Body::Json(_) => "application/json",
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Body::Empty | Body::Nothing { .. } => Bytes::new(),
            Body::Json(text) => Bytes::from(text),
            Body::Octets(value) | Body::InPlaceOf { value, .. } => value,
        }
    }
}

/// Lines of a streamed answer, each whole, in order.
pub(crate) struct Lines {
    body: Incoming,
    buffered: Vec<u8>,
    consumed: usize,
}

impl Lines {
    pub(crate) fn new(response: Response<Incoming>) -> Lines {
        Lines { body: response.into_body(), buffered: Vec::new(), consumed: 0 }
    }

    /// The next line without its end, or `None` when the stream is complete.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, Failure> {
        loop {
            if let Some(len) = self.buffered[self.consumed..].iter().position(|byte| *byte == b'\n') {
                let start = self.consumed;
                self.consumed += len + 1;
                return Ok(Some(&self.buffered[start..start + len]));
            }
            self.buffered.drain(..self.consumed);
            self.consumed = 0;
            match self.body.frame().await {
                None if self.buffered.is_empty() => return Ok(None),
                // Every line the daemon writes ends with a newline, so half a line is half an answer.
                None => return Err(Failure::unavailable("the daemon went away in the middle of an answer")),
                Some(Err(error)) => return Err(lost(&error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffered.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// The whole body, within bounds.
pub(crate) async fn read_all(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = http_body_util::Limited::new(response.into_body(), BODY_LEN_MAX);
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(Failure::unavailable(format!("the daemon's answer broke off: {error}"))),
    }
}

/// One path segment or query value, percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

async fn exchange(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failure> {
    sender.ready().await.map_err(|error| lost(&error))?;
    sender.send_request(request).await.map_err(|error| lost(&error))
}

/// Asks the daemon, beside all else that it does, for what needs nothing of its spaces.
async fn is_alive(data: &Path) -> Result<(), Failure> {
    let asked = async {
        let request = Request::get("/").header(hyper::header::HOST, "strandline").body(Full::default());
        let mut beside = Client::connect(data).await?;
        exchange(&mut beside.sender, request.expect("its parts are constants")).await.map(drop)
    };
    let alive = tokio::time::timeout(ALIVE_MAX, asked).await;
    alive.unwrap_or_else(|_| {
        let waited = (SILENT_MAX + ALIVE_MAX).as_secs();
        let what = format!(
            "what serves {} takes connections and answers nothing, for {waited} s now",
            data.display()
        );
        Err(Failure::unavailable(what).cure("strandline doctor"))
    })
}

fn no_daemon(data: &Path, error: &std::io::Error) -> Failure {
    let initialised = data.join("identity.key").exists();
    let cure = if initialised {
        format!("strandline --data {} serve", data.display())
    } else {
        format!("strandline --data {} init, then serve", data.display())
    };
    Failure::unavailable(format!("no daemon answers in {}: {error}", data.display())).cure(cure)
}

fn lost(error: &hyper::Error) -> Failure {
    Failure::unavailable(format!("the connection to the daemon broke: {error}"))
        .cure("strandline status, and start the daemon again if it is gone")
}

fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let exit = match status {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => EXIT_USAGE,
        StatusCode::NOT_FOUND | StatusCode::GONE => EXIT_NOT_FOUND,
        StatusCode::CONFLICT
        | StatusCode::PRECONDITION_FAILED
        | StatusCode::FORBIDDEN
        | StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::INSUFFICIENT_STORAGE => EXIT_CONFLICT,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_EARLY => {
            EXIT_UNAVAILABLE
        }
        _ => EXIT_FAILED,
    };
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => Failure { kind: problem.kind, message: problem.detail, cure: problem.cure, exit },
        Err(_) => Failure::new(exit, "http", format!("the daemon answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_any_text() {
        assert_eq!(encode("a/b c"), "a%2Fb%20c");
        assert_eq!(encode("ü"), "%C3%BC");
    }

    #[test]
    fn a_problem_keeps_its_type_and_its_cure() {
        let body = br#"{"type":"collection-missing","title":"x","status":404,"detail":"no collection a/b","cure":"do"}"#;
        let failure = refusal(StatusCode::NOT_FOUND, body);
        assert_eq!((failure.exit, failure.kind.as_str()), (EXIT_NOT_FOUND, "collection-missing"));
        assert_eq!(failure.cure.as_deref(), Some("do"));
    }
}
