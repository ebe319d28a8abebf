//! The conversation between two replicas: frames, sessions, backoff; no I/O, no clock.
//!
//! A [`Session`] talks to one peer about one space. Its owner feeds it the peer's bytes and the time, lends
//! it the replica as a [`Store`], and carries away what [`Session::poll_transmit`] gives. What to send is
//! derived from the store and from what the peer is known to have, so a duplicate, a crash or a new
//! connection leaves nothing to repair: the next session works out the same difference again.

pub mod backoff;
pub mod error;
pub mod frame;
pub mod join;
pub mod reception;
pub mod session;
pub mod store;

pub use backoff::{Backoff, BackoffConfig};
pub use error::{Error, StoreError};
pub use frame::{ByeCode, FRAME_LEN_MAX, Frame, FrameReader, NackCode};
pub use join::{Answer, Joined, Joiner};
pub use reception::{Arrival, Reception};
pub use session::{Config, End, EndedBy, Local, Role, Session, State, Status};
pub use store::{Accepted, Adoption, Incoming, Located, NodeId, Offer, Outgoing, Refusal, Store, TailRow};
