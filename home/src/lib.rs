//! Admits commits, folds them into the tree, and moves the Handle.
//!
//! A home is a role, held by whoever has the space's home key: it decides who is a member, gathers the commits that
//! reached it into the next Handle, and moves the [`Registry`] to it by compare-and-set. Everything else a replica does
//! without it.

mod admit;
mod batch;
mod cadence;
mod cuts;
#[doc(hidden)]
pub mod decoders;
mod error;
mod found;
mod handover;
mod home;
mod invite;
mod propose;
pub mod registry;
mod remove;

pub use admit::{Admission, Refused, grant, members};
pub use batch::{Proposal, Verdict};
pub use error::Error;
pub use found::{FOLD_VERSION, Founded, Founding, found};
pub use handover::addresses;
pub use home::{Duty, Fingerprint, Home, HomeOptions, Members};
pub use invite::Invite;
pub use propose::Decision;
pub use registry::{Delivery, MemoryRegistry, Mishap, Outcome, RedbRegistry, Registry, Swap};
pub use remove::Removal;
