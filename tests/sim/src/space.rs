//! One space of a world: where its home is, its registry, its collections, and the book of what really happened in it.

use crdt::{CollId, Genesis};
use home::MemoryRegistry;

use crate::book::Book;

/// A space.
pub struct Space {
    /// The machine that is its home.
    pub home: usize,
    /// What it is.
    pub genesis: Genesis,
    /// The home's registry.
    pub registry: MemoryRegistry,
    /// Collections that applications write to.
    pub colls: Vec<CollId>,
    /// What really happened.
    pub book: Book,
    /// Something went wrong with its registry: a home that asks may not be answered.
    pub is_unsure: bool,
}
