//! Decoded nodes by hash, as many as there is room for.

#[expect(
    clippy::disallowed_types,
    reason = "readers on many threads share it; held for one look-up, never over I/O"
)]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use crate::hash::{Hash, Kind};
use crate::node::Node;

/// Nodes that share a place; hashes spread evenly, so few are ever crowded out while others stand empty.
const WAYS: usize = 8;

/// A typical node with what the memory allocator adds.
const NODE_LEN_TYPICAL: usize = 4608;

/// Decoded nodes, shared by clones. Content under a hash never changes, so nothing in it can be stale.
///
/// It holds a bounded number of nodes; where one has to go, it is the least recently used of a few.
#[derive(Clone)]
#[expect(clippy::disallowed_types, reason = "see above")]
pub struct Cache {
    sets: Arc<Mutex<Sets>>,
}

struct Sets {
    /// Part of the hash at each place. Those of one set fill a cache line: a look-up reads one, not one a place.
    tags: Vec<u64>,
    places: Vec<Option<(Hash, Arc<Node>)>>,
    used: Vec<u64>,
    tick: u64,
}

impl Cache {
    /// A cache of about so many bytes. Its table is made at once, its nodes as they are read.
    #[expect(clippy::disallowed_types, reason = "see above")]
    pub fn new(len_max: usize) -> Cache {
        let sets = (len_max / NODE_LEN_TYPICAL / WAYS).next_power_of_two();
        let places = sets * WAYS;
        let sets = Sets { tags: vec![0; places], places: vec![None; places], used: vec![0; places], tick: 0 };
        Cache { sets: Arc::new(Mutex::new(sets)) }
    }

    pub(crate) fn get(&self, kind: Kind, hash: &Hash) -> Option<Arc<Node>> {
        self.with(|sets| sets.get(kind, hash))
    }

    pub(crate) fn insert(&self, hash: Hash, node: Arc<Node>) {
        self.with(|sets| sets.insert(hash, node));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Sets) -> T) -> T {
        // A panic elsewhere leaves at worst a node under its own hash: there is no half-done state to fear.
        work(&mut self.sets.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for Cache {
    /// 32 MiB: the branches of a tree of 100 million rows, or every leaf of half a million.
    fn default() -> Cache {
        Cache::new(32 << 20)
    }
}

impl Sets {
    fn places_of(&self, hash: &Hash) -> std::ops::Range<usize> {
        let sets = self.places.len() / WAYS;
        let first = (word(hash, 0) as usize & (sets - 1)) * WAYS;
        first..first + WAYS
    }

    fn find(&self, hash: &Hash) -> Option<usize> {
        let tag = word(hash, 1);
        self.places_of(hash).find(|place| {
            self.tags[*place] == tag && self.places[*place].as_ref().is_some_and(|(found, _)| found == hash)
        })
    }

    fn get(&mut self, kind: Kind, hash: &Hash) -> Option<Arc<Node>> {
        let place = self.find(hash)?;
        let (_, node) = self.places[place].as_ref().filter(|(_, node)| node.kind() == kind)?;
        self.tick += 1;
        self.used[place] = self.tick;
        Some(node.clone())
    }

    fn insert(&mut self, hash: Hash, node: Arc<Node>) {
        let oldest = || self.places_of(&hash).min_by_key(|place| self.used[*place]);
        let place = self.find(&hash).or_else(oldest).expect("a set has places");
        self.tick += 1;
        self.used[place] = self.tick;
        self.tags[place] = word(&hash, 1);
        self.places[place] = Some((hash, node));
    }
}

/// Eight bytes of a hash, which are as good as random.
fn word(hash: &Hash, i: usize) -> u64 {
    u64::from_le_bytes(*hash.0[8 * i..].first_chunk().expect("a hash has four words"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Builder, Row};

    fn node() -> Arc<Node> {
        let mut builder = Builder::new(Kind::Data, 0);
        builder.push(Row::new(&[0; 32], 0, 0, &[]).expect("room for a dot"));
        Arc::new(builder.finish())
    }

    #[test]
    fn the_least_recently_used_of_a_crowded_place_goes_first() {
        let (cache, node) = (Cache::new(0), node());
        let hashes: Vec<Hash> = (1..=WAYS as u8).map(|i| Hash([i; 32])).collect();
        hashes.iter().for_each(|hash| cache.insert(*hash, node.clone()));
        assert!(cache.get(Kind::Data, &hashes[0]).is_some());
        cache.insert(Hash([99; 32]), node.clone());
        assert!(cache.get(Kind::Data, &hashes[0]).is_some(), "used a moment ago");
        assert!(cache.get(Kind::Data, &hashes[1]).is_none(), "used longest ago");
        assert!(cache.get(Kind::Data, &Hash([99; 32])).is_some());
    }

    #[test]
    fn a_node_is_not_found_as_another_kind() {
        let cache = Cache::new(0);
        cache.insert(Hash([1; 32]), node());
        assert!(cache.get(Kind::Vector, &Hash([1; 32])).is_none());
    }
}
