//! The library to embed: the same verbs as the command line, in this process.
//!
//! ```no_run
//! let replica = strandline::Replica::open("data")?;
//! let notes = replica.space("mine")?.collection("notes")?;
//! notes.put("greeting", "hello")?;
//! assert_eq!(notes.get("greeting")?.as_deref(), Some(&b"hello"[..]));
//! # Ok::<(), strandline::Error>(())
//! ```
//!
//! The rest is the daemon around the same slots: sockets, peers, settings.

pub mod api;
pub mod clock;
pub mod config;
pub mod conflicts;
pub mod daemon;
pub mod document;
mod embed;
pub mod endpoint;
mod explain;
pub mod feed;
mod fingerprint;
mod handover;
pub mod identity;
mod join;
pub mod keytext;
mod leave;
pub mod membership;
pub mod metrics;
mod peer;
pub mod peers;
pub mod reads;
#[cfg(test)]
mod scratch;
pub mod seat;
pub mod slot;
pub mod space;
pub mod spaces;
mod told;
pub mod verbs;

pub use crdt::view::mv::Context;
pub use embed::{Collection, Error, Replica, Resolver, ResolverError, Space, Transaction};

const _: () = assert!(!planted::SWITCH, "what ships has no planted bugs: build the simulator by itself");
