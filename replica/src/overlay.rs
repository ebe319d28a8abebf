//! What came after the local roots, folded: entries added and removed, tips, values.

use std::sync::Arc;

use btree::{Hash, Value};
use crdt::{Commit, Effect, Tip, WriterId};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::changes::Changes;

/// An entry that was added, as the tree will store it; shared, since a copy of the overlay is made at each flush.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) hlc: u64,
    pub(crate) payload: Arc<[u8]>,
}

impl Added {
    pub(crate) fn value(&self) -> Value {
        Value { hlc: self.hlc, payload: self.payload.to_vec() }
    }
}

/// The difference between the local trees and everything folded since.
///
/// Cloning it is cheap, whatever it holds: what becomes visible is a clone of what is pending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overlay {
    /// Physical keys: added, or removed from local.
    pub(crate) entries: OrdMap<Arc<[u8]>, Option<Added>>,
    pub(crate) vector: OrdMap<WriterId, Tip>,
    /// Values that no pack holds yet.
    pub(crate) blobs: OrdMap<Hash, Arc<[u8]>>,
    bytes: usize,
}

/// What an entry costs beside its key and payload: tree slots and counts.
const ENTRY_COST: usize = 64;

impl Overlay {
    /// Folds one ready commit and tells `changes` which keys it touched.
    pub(crate) fn fold(&mut self, commit: &Commit, changes: &mut Changes) {
        changes.begin();
        self.fold_each(commit, |physical| changes.push(physical));
    }

    /// The same where nobody is to be told.
    pub(crate) fn fold_quietly(&mut self, commit: &Commit) {
        self.fold_each(commit, drop);
    }

    fn fold_each(&mut self, commit: &Commit, mut tell: impl FnMut(Arc<[u8]>)) {
        for effect in crdt::effects(commit) {
            let physical: Arc<[u8]> = match effect {
                Effect::Remove(physical) => {
                    let physical: Arc<[u8]> = physical.into();
                    self.remove(physical.clone());
                    physical
                }
                Effect::Put(physical, hlc, payload) => {
                    let physical: Arc<[u8]> = physical.into();
                    self.add(physical.clone(), Added { hlc: hlc.0, payload: payload.encode().into() });
                    physical
                }
            };
            tell(physical);
        }
        self.vector.insert(commit.header().writer, commit.tip());
    }

    /// A value that must survive until a pack holds it.
    pub(crate) fn add_blob(&mut self, hash: Hash, bytes: Arc<[u8]>) {
        self.bytes += bytes.len();
        self.blobs.insert(hash, bytes);
    }

    /// Entries added or removed.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// About what it holds in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.vector.is_empty() && self.blobs.is_empty()
    }

    /// The same state relative to local trees into which `folded`, an earlier state of this overlay, went.
    pub(crate) fn rebase(&self, folded: &Overlay) -> Overlay {
        let mut rebased = Overlay::default();
        for item in folded.entries.diff(&self.entries) {
            match item {
                DiffItem::Add(key, entry) | DiffItem::Update { new: (key, entry), .. } => {
                    rebased.insert(key.clone(), entry.clone());
                }
                // Added before, removed since: the local tree has it now.
                DiffItem::Remove(key, _) => rebased.insert(key.clone(), None),
            }
        }
        for item in folded.vector.diff(&self.vector) {
            if let DiffItem::Add(writer, tip) | DiffItem::Update { new: (writer, tip), .. } = item {
                rebased.vector.insert(*writer, *tip);
            }
        }
        for item in folded.blobs.diff(&self.blobs) {
            if let DiffItem::Add(hash, bytes) = item {
                rebased.add_blob(*hash, bytes.clone());
            }
        }
        rebased
    }

    fn add(&mut self, physical: Arc<[u8]>, added: Added) {
        self.insert(physical, Some(added));
    }

    fn remove(&mut self, physical: Arc<[u8]>) {
        // What was added since the local trees were made is in no tree: nothing is left to hide.
        if let Some(Some(added)) = self.entries.get(&physical) {
            self.bytes -= cost(&physical, Some(added));
            self.entries.remove(&physical);
        } else {
            self.insert(physical, None);
        }
    }

    fn insert(&mut self, physical: Arc<[u8]>, entry: Option<Added>) {
        self.bytes += cost(&physical, entry.as_ref());
        let before = self.entries.insert(physical.clone(), entry);
        if let Some(before) = before {
            self.bytes -= cost(&physical, before.as_ref());
        }
    }
}

fn cost(physical: &[u8], added: Option<&Added>) -> usize {
    ENTRY_COST + physical.len() + added.map_or(0, |added| added.payload.len())
}
