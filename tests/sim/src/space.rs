//! One space of a world: where its home is, its registry, its collections, and the book of what really happened in it.

use std::collections::BTreeMap;

use crdt::{CollId, Genesis, RingRecord};
use home::MemoryRegistry;

use crate::book::Book;

/// A space.
pub struct Space {
    /// The machine that is its home, or will be once it hears of it.
    pub home: usize,
    /// What it is.
    pub genesis: Genesis,
    /// How the role moved, as a new ticket says it.
    pub ring: Vec<RingRecord>,
    /// Who is to be the home, once it holds everything that the one which is has made.
    pub successor: Option<usize>,
    /// The registry of each machine that is or was its home.
    pub registries: BTreeMap<usize, MemoryRegistry>,
    /// Collections that applications write to.
    pub colls: Vec<CollId>,
    /// What really happened.
    pub book: Book,
    /// Something went wrong with its registry: a home that asks may not be answered.
    pub is_unsure: bool,
}

impl Space {
    /// The registry of a machine.
    pub fn registry(&mut self, machine: usize) -> &mut MemoryRegistry {
        self.registries.entry(machine).or_default()
    }
}
