//! One space of a world: where its home is, its registry, its collections, and the book of what really happened in it.

use std::collections::BTreeMap;

use crdt::view::{Deletes, Manner, Siblings};
use crdt::{CollId, Descriptor, Genesis, Policy, RingRecord};
use home::MemoryRegistry;

use crate::book::Book;
use crate::weather::{Feature, Weather};

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
    pub colls: Colls,
    /// What really happened.
    pub book: Book,
    /// Its home was restored from a copy: it waits for members, wherever they are.
    pub was_restored: bool,
    /// Whom its home was letting in when its disk failed: whether it did, shows when it opens again.
    pub unanswered: Option<usize>,
    /// Handles that its home made since the faults stopped.
    pub rounds: u64,
}

/// The collections of a space.
pub struct Colls {
    /// Plain registers, for values of every size.
    pub things: Vec<CollId>,
    /// Those with a policy of their own.
    pub kept: Vec<Kept>,
}

/// A collection with a policy of its own.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its id.
    pub id: CollId,
    /// What it was made as.
    pub made: Manner,
    /// What has it written to.
    pub feature: Feature,
}

impl Colls {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = CollId> {
        self.things.iter().copied().chain(self.kept.iter().map(|kept| kept.id))
    }
}

impl Kept {
    /// Those that a weather asks for.
    pub fn drawn(weather: &Weather) -> Vec<(Kept, Descriptor)> {
        let of = Manner::of;
        let kinds = [
            (Feature::Registers, of(Policy::Lww)),
            (Feature::Registers, Manner { siblings: Siblings::Keep, ..of(Policy::Lww) }),
            (Feature::MultiValues, of(Policy::Mv)),
            (Feature::Copies, of(Policy::Copies)),
            (Feature::Documents, of(Policy::Map)),
            (Feature::Documents, Manner { deletes: Deletes::Revive, ..of(Policy::Map) }),
            (Feature::OrSets, of(Policy::OrSet)),
            (Feature::GrowSets, of(Policy::GSet)),
            (Feature::TwoPhaseSets, of(Policy::TwoPhaseSet)),
            (Feature::Counters, of(Policy::GCounter)),
            (Feature::Counters, of(Policy::PnCounter)),
        ];
        let kept = |(number, (feature, made)): (usize, (Feature, Manner))| {
            let name = format!("kept-{number}");
            let descriptor = Descriptor { name, policy: made.policy, params: made.params() };
            (Kept { id: descriptor.id(), made, feature }, descriptor)
        };
        kinds.into_iter().enumerate().filter(|(_, (feature, _))| weather.with(*feature)).map(kept).collect()
    }
}

impl Space {
    /// The registry of a machine.
    pub fn registry(&mut self, machine: usize) -> &mut MemoryRegistry {
        self.registries.entry(machine).or_default()
    }
}
