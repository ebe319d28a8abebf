//! Which keys changed lately: what a transaction's reads are checked against.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crdt::Dot;
use disk::Disk;

use crate::contest::Place;
use crate::replica::Replica;

/// The keys changed by the last commits, oldest first, each with the number of the change.
///
/// Bounded: what falls out raises `floor`, and a transaction that began below it cannot be checked any more.
#[derive(Debug)]
pub(crate) struct Changes {
    keys: VecDeque<(u64, Arc<[u8]>)>,
    version: u64,
    floor: u64,
    max: usize,
}

impl Changes {
    pub(crate) fn new(max: usize) -> Self {
        Self { keys: VecDeque::new(), version: 0, floor: 0, max }
    }

    /// The number of the last change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Begins the next change: what is pushed from now on belongs to it.
    pub(crate) fn begin(&mut self) {
        self.version += 1;
    }

    /// A physical key that was added or removed.
    pub(crate) fn push(&mut self, physical: Arc<[u8]>) {
        if self.keys.len() == self.max {
            let oldest = self.keys.pop_front();
            self.floor = oldest.map_or(self.version, |(version, _)| version);
        }
        self.keys.push_back((self.version, physical));
    }

    /// Everything may have changed: no transaction that began before now can be checked.
    pub(crate) fn reset(&mut self) {
        self.version += 1;
        self.floor = self.version;
        self.keys.clear();
    }

    /// The keys (without their dots) changed after `version`, or `None` if some are forgotten.
    pub(crate) fn since(&self, version: u64) -> Option<impl Iterator<Item = &[u8]>> {
        if version < self.floor {
            return None;
        }
        let first = self.keys.partition_point(|(changed, _)| *changed <= version);
        Some(self.keys.range(first..).map(|(_, key)| &key[..key.len() - Dot::LEN]))
    }
}

impl<D: Disk> Replica<D> {
    /// The places touched since a change of this open, pending ones included, or `None` where some are forgotten.
    pub fn changed_since(&self, change: u64) -> Option<BTreeSet<Place>> {
        Some(self.changes.since(change)?.filter_map(Place::split).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn physical(name: &str) -> Arc<[u8]> {
        let mut key = name.as_bytes().to_vec();
        key.extend_from_slice(&[7; Dot::LEN]);
        key.into()
    }

    fn names(changes: &Changes, version: u64) -> Option<Vec<String>> {
        let keys = changes.since(version)?;
        Some(keys.map(|key| String::from_utf8_lossy(key).into_owned()).collect())
    }

    #[test]
    fn keys_after_a_version_are_told_until_they_are_forgotten() {
        let mut changes = Changes::new(2);
        for name in ["a", "b"] {
            changes.begin();
            changes.push(physical(name));
        }
        assert_eq!(names(&changes, 0), Some(vec!["a".into(), "b".into()]));
        assert_eq!(names(&changes, 1), Some(vec!["b".into()]));
        assert_eq!(names(&changes, 2), Some(vec![]));
        changes.begin();
        changes.push(physical("c"));
        assert_eq!(names(&changes, 0), None, "the key of change 1 is forgotten");
        assert_eq!(names(&changes, 1), Some(vec!["b".into(), "c".into()]));
    }

    #[test]
    fn reset_refuses_everything_older() {
        let mut changes = Changes::new(2);
        changes.reset();
        assert_eq!(names(&changes, 0), None);
        assert_eq!(names(&changes, changes.version()), Some(vec![]));
    }
}
