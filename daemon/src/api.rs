//! HTTP on the Unix socket, and on TCP where configured.
//!
//! | method and path | body -> answer (types in [`types`]) |
//! | --- | --- |
//! | `GET /v1/status` · `GET /v1/health` · `GET /metrics` | `Status` · `Health` · Prometheus text |
//! | `GET /v1/spaces` · `POST /v1/spaces` | `[Space]` · `CreateSpace` -> `Space` |
//! | `GET /v1/spaces/{space}` · `DELETE` | `Space` · 204: closes the space and sets its folder aside; the home is not told |
//! | `POST /v1/spaces/{space}/invite` | `Invite` -> `Invited` |
//! | `POST /v1/spaces/{space}/handover` | `Handover` -> `HandedOver`: another device is the home from now on |
//! | `POST /v1/spaces/{space}/revoke` | `Revoke` -> `Revoked` |
//! | `POST /v1/spaces/{space}/leave` | `Leave` -> `Space`, once the home has taken this device out |
//! | `POST /v1/join` | `Join` -> `Space`, once the home has admitted this device |
//! | `GET /v1/spaces/{space}/collections` · `POST` | `[Collection]` · `CreateCollection` -> `Collection` |
//! | `GET /v1/spaces/{space}/collections/{coll}` | `Collection` |
//! | `PUT …/collections/{coll}/keys/{key}` | the value -> `Written`, `ETag` |
//! | `GET …/keys/{key}` | the value with `ETag`; `Entry` where `Accept` asks for JSON or `?all=true` |
//! | `DELETE …/keys/{key}` | -> `Written`; 404 when it was not there |
//! | `PATCH …/keys/{key}` | a merge patch (RFC 7396) or a JSON patch (RFC 6902) of a document, by `Content-Type` -> `Written` |
//! | `POST …/keys/{key}` | `KeyVerb`: increment, add, remove, rename -> `Written` |
//! | `DELETE …/keys?prefix=` | every key with that prefix, in one commit -> `Deleted` |
//! | `PUT …/collections/{coll}/view` | `SetView` -> `Collection`; at the home |
//! | `PUT …/collections/{coll}/retention` | `SetRetention` -> `Collection`; at the home |
//! | `GET …/keys?prefix=&from=&to=&limit=&reverse=&keys_only=` | NDJSON, one `Entry` a line |
//! | `POST …/collections/{coll}/import` | `ImportBatch` -> `Imported` |
//! | `GET /v1/spaces/{space}/notes/{source}` | `Position`; 404 when nothing was imported from it |
//! | `POST /v1/spaces/{space}/verify` | `Verified` |
//! | `POST /v1/spaces/{space}/claim` | 204: a home whose folder was moved acts again |
//! | `GET /v1/spaces/{space}/conflicts?collection=&key=&kind=&limit=` | NDJSON, one `Conflict` a line |
//! | `GET …/conflicts/{id}` | `Conflict` with both sides whole, the ancestor and the differences |
//! | `POST …/conflicts/{id}/resolve` · `POST …/conflicts/{id}/discard` | `Resolve` -> `Settled`; 409 once it is settled |
//! | `POST /v1/spaces/{space}/transactions` | `Transact` -> `Written`; 409 with `changed`, the read that changed |
//! | `GET /v1/spaces/{space}/changes?from=&follow=&collection=` | CloudEvents: NDJSON, or SSE by `Accept`; 410 when `from` is gone |
//! | `GET …/collections/{coll}/explain/{key}` | `Explained`: what is alive, who superseded what, why this is shown |
//! | `GET /v1/doctor` | `[Finding]` |
//! | `GET /v1/peers` · `POST` · `DELETE /v1/peers/{peer}` | `[Peer]` · `PeerAdd` -> `PeersChanged` |
//! | `POST /v1/peers/pause` · `POST /v1/peers/resume` | `PeerChoice` -> `PeersChanged` |
//!
//! A key in a path is text, or bytes that are not UTF-8, percent-encoded: one plain element. `?tuple=true` says that it
//! is a JSON array instead ([`crate::keytext`]); the same goes for `prefix`, `from` and `to`. `{space}` is a local name or an id. Every write takes
//! `?wait=local|peers:N|anchored` and `?timeout=5s`, and `If-Match: "DOT"` or `If-None-Match: *` where it has one key.
//! A GET and a 404 of a key carry `Strandline-Read`, and a scan ends in a line `{"strandline_read": "…"}` (`?read=false`
//! leaves it out): what a transaction says it has read.
//! An error is an RFC 9457 problem with a stable `type`.

mod answer;
mod cbor;
mod changes;
mod collections;
mod conflicts;
mod explain;
mod import;
mod keys;
mod members;
mod peers;
mod problem;
mod retention;
mod scan;
mod spaces;
mod status;
mod transactions;
pub mod types;
mod verbs;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use axum::routing::{delete, get, post, put};

use crate::daemon::Daemon;
use answer::Shared;
pub(crate) use answer::only_local;
pub use problem::Problem;

/// Largest body: a value of the largest size, or a batch of rows.
const BODY_LEN_MAX: usize = 32 << 20;

/// Every route of the table above.
pub fn router(daemon: Arc<Daemon>) -> Router {
    let key = get(keys::get).put(keys::put).delete(keys::delete).patch(verbs::patch).post(verbs::act);
    Router::new()
        .route("/v1/status", get(status::status))
        .route("/v1/health", get(status::health))
        .route("/metrics", get(status::metrics))
        .route("/v1/spaces", get(spaces::list).post(spaces::create))
        .route("/v1/spaces/{space}", get(spaces::show).delete(spaces::set_aside))
        .route("/v1/spaces/{space}/collections", get(collections::list).post(collections::create))
        .route("/v1/spaces/{space}/collections/{coll}", get(collections::show))
        .route("/v1/spaces/{space}/collections/{coll}/keys/{*key}", key)
        .route("/v1/spaces/{space}/collections/{coll}/keys", get(scan::scan).delete(verbs::delete_all))
        .route("/v1/spaces/{space}/collections/{coll}/view", put(collections::set_view))
        .route("/v1/spaces/{space}/collections/{coll}/retention", put(retention::set))
        .route("/v1/spaces/{space}/collections/{coll}/import", post(import::import))
        .route("/v1/spaces/{space}/notes/{source}", get(import::note))
        .route("/v1/spaces/{space}/verify", post(spaces::verify))
        .route("/v1/spaces/{space}/claim", post(members::claim))
        .route("/v1/spaces/{space}/invite", post(members::invite))
        .route("/v1/spaces/{space}/handover", post(members::handover))
        .route("/v1/spaces/{space}/revoke", post(members::revoke))
        .route("/v1/spaces/{space}/leave", post(members::leave))
        .route("/v1/spaces/{space}/conflicts", get(conflicts::list))
        .route("/v1/spaces/{space}/conflicts/{id}", get(conflicts::show))
        .route("/v1/spaces/{space}/conflicts/{id}/resolve", post(conflicts::resolve))
        .route("/v1/spaces/{space}/conflicts/{id}/discard", post(conflicts::discard))
        .route("/v1/spaces/{space}/transactions", post(transactions::post))
        .route("/v1/spaces/{space}/changes", get(changes::changes))
        .route("/v1/spaces/{space}/collections/{coll}/explain/{*key}", get(explain::key))
        .route("/v1/doctor", get(explain::doctor))
        .route("/v1/join", post(members::join))
        .route("/v1/peers", get(peers::list).post(peers::add))
        .route("/v1/peers/{peer}", delete(peers::remove))
        .route("/v1/peers/pause", post(peers::pause))
        .route("/v1/peers/resume", post(peers::resume))
        .fallback(answer::no_route)
        .layer(DefaultBodyLimit::max(BODY_LEN_MAX))
        .layer(from_fn(cbor::negotiate))
        .with_state(Shared(daemon))
}
