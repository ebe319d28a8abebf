//! The one small thing that moves: space -> Handle, by compare-and-set.

use crdt::{Handle, SpaceId};

use crate::error::Error;

#[cfg(test)]
mod conformance;
mod file;
mod memory;
mod redb;

pub use memory::{MemoryRegistry, Mishap};
pub use redb::{Delivery, RedbRegistry};

/// Linearizable and durable, for each space by itself: once a swap answered [`Outcome::Swapped`], every later read
/// anywhere sees it or a newer one, whatever crashes.
///
/// A clone is another connection to the same registry.
pub trait Registry {
    /// The newest Handle of a space; none before the first.
    fn get(&mut self, space: &SpaceId) -> Result<Option<Handle>, Error>;

    /// Replaces the Handle of version `expect` (0: there is none yet) by `new`, or changes nothing.
    fn cas(&mut self, space: &SpaceId, expect: u64, new: &Handle) -> Result<Outcome, Error> {
        self.cas_many(&[Swap { space: *space, expect, new: Some(new.clone()) }])
    }

    /// All of the swaps in one step, or none of them.
    ///
    /// A list of one is always supported.
    fn cas_many(&mut self, swaps: &[Swap]) -> Result<Outcome, Error>;
}

/// One step of a compare-and-set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Whose Handle.
    pub space: SpaceId,
    /// The version that must be there; 0 for none. The next version also names the Handle that it was made on.
    pub expect: u64,
    /// What comes in its place; absent to compare only.
    pub new: Option<Handle>,
}

impl Swap {
    /// Whether it may happen where this is.
    ///
    /// A version alone does not say whose it is: a registry that lost what it had acknowledged may hold another Handle of
    /// the same one, and what is made on the lost one would continue a history that nobody has.
    fn is_met_by(&self, current: Option<&Handle>) -> bool {
        let goes_on =
            |current: &Handle, new: &Handle| new.version != current.version + 1 || new.prev == current.hash();
        let is_expected = current.map_or(0, |current| current.version) == self.expect;
        is_expected
            && match (current, &self.new) {
                (Some(current), Some(new)) => goes_on(current, new),
                _ => true,
            }
    }
}

/// How a compare-and-set ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds the new Handles, durably.
    Swapped,
    /// Another version is there, and nothing was changed.
    Conflict {
        /// The first space whose version differs.
        space: SpaceId,
        /// What is there.
        current: Option<Box<Handle>>,
    },
    /// The answer was lost: it may have happened, and may still. Read again; never take it for a failure.
    Unknown,
    /// This registry cannot move several spaces at once.
    Unsupported,
}
