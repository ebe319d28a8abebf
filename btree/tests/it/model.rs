//! A tree and the `BTreeMap` it must agree with; keys made to be awkward.

use std::collections::BTreeMap;
use std::ops::Bound;

use btree::{
    Change, Direction, Fresh, Hash, Kind, Nodes, Salt, Source, Value, apply, diff, empty_root, range,
};
use disk::MemoryDisk;
use proptest::prelude::*;

pub(crate) const SALT: Salt = Salt([7; 32]);
pub(crate) type Entries = BTreeMap<Vec<u8>, Value>;
pub(crate) type Batch = BTreeMap<Vec<u8>, Option<Value>>;

/// A tree that has not been written to a pack, and its entries.
pub(crate) struct Tree {
    pub(crate) nodes: Nodes<MemoryDisk>,
    pub(crate) fresh: Fresh,
    pub(crate) root: Hash,
    pub(crate) entries: Entries,
}

impl Tree {
    pub(crate) fn new() -> Tree {
        let nodes = Nodes::new(MemoryDisk::new(1), SALT);
        Tree { nodes, fresh: Fresh::new(SALT), root: empty_root(Kind::Data), entries: Entries::new() }
    }

    pub(crate) fn of(entries: &Entries) -> Tree {
        let mut tree = Tree::new();
        tree.apply(&entries.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect());
        tree
    }

    pub(crate) fn source(&self) -> Source<'_, MemoryDisk> {
        Source::new(&self.nodes, &self.fresh)
    }

    pub(crate) fn apply(&mut self, batch: &Batch) {
        let changes = batch.iter().map(|(key, value)| (key, value.clone()));
        self.root =
            apply(&self.nodes, &mut self.fresh, Kind::Data, &self.root, changes).expect("nodes in memory");
        for (key, value) in batch {
            match value {
                Some(value) => self.entries.insert(key.clone(), value.clone()),
                None => self.entries.remove(key),
            };
        }
    }

    pub(crate) fn scan(
        &self,
        low: Bound<&[u8]>,
        high: Bound<&[u8]>,
        direction: Direction,
    ) -> Vec<(Vec<u8>, Value)> {
        let cursor =
            range(self.source(), Kind::Data, &self.root, low, high, direction).expect("nodes in memory");
        cursor.map(|entry| entry.expect("nodes in memory")).collect()
    }

    pub(crate) fn diff(&self, other: &Tree) -> Vec<Change> {
        let diff = diff(self.source(), &self.root, other.source(), &other.root, Kind::Data)
            .expect("nodes in memory");
        diff.map(|change| change.expect("nodes in memory")).collect()
    }
}

pub(crate) fn value(seed: u64, len: usize) -> Value {
    Value { hlc: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, payload: vec![seed as u8; len] }
}

pub(crate) fn key(name: &[u8], writer: u8, seq: u64) -> Vec<u8> {
    [name, &[writer; 24], &seq.to_be_bytes()].concat()
}

/// Names that share prefixes, contain one another, are empty, or so long that a branch has few children.
pub(crate) fn name(i: usize) -> Vec<u8> {
    let text = format!("{:03}", i / 5);
    match i % 5 {
        0 => text.into_bytes(),
        1 => text.repeat(100).into_bytes(),
        2 => format!("{text}{text}").into_bytes(),
        3 => [b"collection-0000/".as_slice(), text.repeat(330).as_bytes()].concat(),
        _ => vec![0xff; i % 7],
    }
}

pub(crate) fn any_key() -> impl Strategy<Value = Vec<u8>> {
    // Few names and few dots: most batches meet keys that are there, and siblings are many.
    let seq = prop_oneof![4 => 0u64..3, 1 => Just(u64::MAX), 1 => 0u64..100_000];
    (0usize..150, prop_oneof![4 => Just(1u8), 1 => 0u8..4], seq)
        .prop_map(|(i, writer, seq)| key(&name(i), writer, seq))
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    (0u64..20, prop_oneof![Just(0usize), 0usize..40, 600usize..=1100])
        .prop_map(|(seed, len)| value(seed, len))
}

pub(crate) fn any_entries(max: usize) -> impl Strategy<Value = Entries> {
    prop::collection::btree_map(any_key(), any_value(), 0..max)
}

pub(crate) fn any_batch(max: usize) -> impl Strategy<Value = Batch> {
    let change = prop_oneof![2 => any_value().prop_map(Some), 1 => Just(None)];
    prop::collection::btree_map(any_key(), change, 0..max)
}

pub(crate) fn any_bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    let key = prop_oneof![4 => any_key(), 1 => (0usize..150).prop_map(name)];
    prop_oneof![
        1 => Just(Bound::Unbounded),
        3 => key.clone().prop_map(Bound::Included),
        3 => key.prop_map(Bound::Excluded),
    ]
}
