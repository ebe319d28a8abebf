//! HTTP on the Unix socket, and on TCP where configured.
//!
//! | method and path | body -> answer (types in [`types`]) |
//! | --- | --- |
//! | `GET /v1/status` · `GET /v1/health` · `GET /metrics` | `Status` · `Health` · Prometheus text |
//! | `GET /v1/spaces` · `POST /v1/spaces` | `[Space]` · `CreateSpace` -> `Space` |
//! | `GET /v1/spaces/{space}` · `DELETE` | `Space` · 204: leaves the space, its folder stays on disk |
//! | `POST /v1/spaces/{space}/invite` | `Invite` -> `Invited` |
//! | `POST /v1/join` | `Join` -> `Space`, once the home has admitted this device |
//! | `GET /v1/spaces/{space}/collections` · `POST` | `[Collection]` · `CreateCollection` -> `Collection` |
//! | `GET /v1/spaces/{space}/collections/{coll}` | `Collection` |
//! | `PUT …/collections/{coll}/keys/{key}` | the value -> `Written`, `ETag` |
//! | `GET …/keys/{key}` | the value with `ETag`; `Entry` where `Accept` asks for JSON or `?all=true` |
//! | `DELETE …/keys/{key}` | -> `Written`; 404 when it was not there |
//! | `GET …/keys?prefix=&from=&to=&limit=&reverse=&keys_only=` | NDJSON, one `Entry` a line |
//! | `POST …/collections/{coll}/import` | `ImportBatch` -> `Imported` |
//! | `GET /v1/spaces/{space}/notes/{source}` | `Position`; 404 when nothing was imported from it |
//! | `POST /v1/spaces/{space}/verify` | `Verified` |
//! | `GET /v1/peers` · `POST` · `DELETE /v1/peers/{peer}` | `[Peer]` · `PeerAdd` -> `PeersChanged` |
//! | `POST /v1/peers/pause` · `POST /v1/peers/resume` | `PeerChoice` -> `PeersChanged` |
//!
//! A key in a path is text, or bytes that are not UTF-8, percent-encoded: one plain element. `?tuple=true` says that it
//! is a JSON array instead ([`crate::keytext`]); the same goes for `prefix`, `from` and `to`. `{space}` is a local name or an id. Every write takes
//! `?wait=local|peers:N|anchored` and `?timeout=5s`, and `If-Match: "DOT"` or `If-None-Match: *` where it has one key.
//! An error is an RFC 9457 problem with a stable `type`.

pub mod types;
