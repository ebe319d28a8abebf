//! CBOR for whoever asks for it: the documents that are JSON otherwise, in `application/cbor`.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Longest document that is read whole to be written again. Streams are NDJSON and pass as they are.
const DOCUMENT_LEN_MAX: usize = 16 << 20;

/// Answers in CBOR where the request accepts it and the answer is one JSON document.
pub(super) async fn negotiate(mut request: Request, next: Next) -> Response {
    if !accepts_cbor(request.headers()) {
        return next.run(request).await;
    }
    // Behind this there is only JSON, and a handler may have a plainer answer for those who do not ask for a document.
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let response = next.run(request).await;
    if is_document(response.headers()) { rewrite(response).await } else { response }
}

fn accepts_cbor(headers: &HeaderMap) -> bool {
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted
        .split(',')
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == "application/cbor"))
}

fn is_document(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/json") || kind.starts_with("application/problem+json")
}

async fn rewrite(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, DOCUMENT_LEN_MAX).await else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "the answer is too long for one document")
            .into_response();
    };
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).expect("what is called JSON was written as JSON");
    let mut cbor = Vec::with_capacity(bytes.len());
    ciborium::into_writer(&value, &mut cbor).expect("a vector takes everything");
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(cbor))
}
