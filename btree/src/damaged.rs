//! What was met in packs and is not what was written there: noted by whoever reads it, for the owner to mend.

#[expect(
    clippy::disallowed_types,
    reason = "readers on many threads note what they meet; held for one look-up, never over I/O"
)]
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use std::collections::BTreeSet;

use crate::hash::Hash;

/// A copy of something in a pack, by its name and the pack's; or its name alone, where no pack has it and one should.
pub(crate) type Entry = (Hash, Option<String>);

/// The notes, shared by clones.
#[derive(Clone, Default)]
pub(crate) struct Damaged {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Entries there are, for those who look up and find that there are none.
    count: AtomicU64,
    /// Entries there ever were.
    noted: AtomicU64,
    #[expect(clippy::disallowed_types, reason = "see above")]
    entries: Mutex<BTreeSet<Entry>>,
}

impl Damaged {
    pub(crate) fn is_empty(&self) -> bool {
        self.shared.count.load(Ordering::Acquire) == 0
    }

    /// How often something was noted that was not known: as long as it is the same, nothing new was met.
    pub(crate) fn noted(&self) -> u64 {
        self.shared.noted.load(Ordering::Acquire)
    }

    pub(crate) fn note(&self, hash: &Hash, pack: Option<&str>) {
        self.change(|entries| {
            if entries.insert((*hash, pack.map(str::to_owned))) {
                self.shared.noted.fetch_add(1, Ordering::AcqRel);
            }
        });
    }

    pub(crate) fn contains(&self, hash: &Hash, pack: &str) -> bool {
        !self.is_empty() && self.change(|entries| entries.contains(&(*hash, Some(pack.to_owned()))))
    }

    pub(crate) fn all(&self) -> Vec<Entry> {
        self.change(|entries| entries.iter().cloned().collect())
    }

    pub(crate) fn forget(&self, entry: &Entry) {
        self.change(|entries| entries.remove(entry));
    }

    fn change<T>(&self, work: impl FnOnce(&mut BTreeSet<Entry>) -> T) -> T {
        // A panic elsewhere leaves a set: there is no half-done state to fear.
        let mut entries = self.shared.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = work(&mut entries);
        self.shared.count.store(entries.len() as u64, Ordering::Release);
        answer
    }
}
