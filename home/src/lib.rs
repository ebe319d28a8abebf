//! Admits commits, folds them into the tree, and moves the Handle.
//!
//! A home is a role, held by whoever has the space's home key: it decides who is a member, gathers the commits that
//! reached it into the next Handle, and moves the [`Registry`] to it by compare-and-set. Everything else a replica does
//! without it.

mod error;
pub mod registry;

pub use error::Error;
pub use registry::{MemoryRegistry, Outcome, RedbRegistry, Registry, Swap};
