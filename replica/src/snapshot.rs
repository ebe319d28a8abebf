//! What a reader holds: one visible state, which nothing changes and nobody waits for.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use btree::Direction;
use crdt::view::lww::Live;
use crdt::{BlobRef, CollId, Handle, Payload, Policy, Tip, WriterId};
use disk::Disk;

use crate::error::Error;
use crate::home::Roots;
use crate::merge::Merged;
use crate::values::is_in_groups;
use crate::view::{self, View};

/// One visible state of a replica: everything flushed when it was taken, and nothing that came later.
///
/// Cheap to clone; reading from it never waits for the owner of the replica, nor the owner for it.
pub struct Snapshot<D: Disk>(pub(crate) Arc<View<D>>);

impl<D: Disk> Clone for Snapshot<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Which way to read a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The smallest key first.
    Ascending,
    /// The largest key first.
    Descending,
}

/// A range of encoded keys: from one on, up to before another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that may be in it.
    pub from: Vec<u8>,
    /// The first key after it; none: to the end of the collection.
    pub to: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// Every key that begins with these bytes.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self { from: prefix.to_vec(), to: after_all(prefix) }
    }

    /// The one key.
    pub fn key(key: &[u8]) -> Self {
        Self::prefix(key)
    }

    /// Everything that makes up what is read at a key in a collection of this policy: of a document its fields, of a set
    /// its elements.
    pub fn of(policy: Policy, key: &[u8]) -> Self {
        let tuple = is_in_groups(policy).then(|| crdt::key::decode(key).ok()).flatten();
        match tuple.and_then(|tuple| crdt::key::range_of_tuple(&tuple).ok()) {
            Some((from, to)) => Self { from, to: Some(to) },
            None => Self::key(key),
        }
    }

    /// Whether a key is in it.
    pub fn has(&self, key: &[u8]) -> bool {
        self.from.as_slice() <= key && self.to.as_ref().is_none_or(|to| key < to.as_slice())
    }

    /// The same range without `key` and all before it: where an ascending scan goes on.
    #[must_use]
    pub fn after(mut self, key: &[u8]) -> Self {
        let from = after_all(key).unwrap_or_else(|| self.from.clone());
        self.from = self.from.max(from);
        self
    }

    /// The same range without `key` and all after it: where a descending scan goes on.
    #[must_use]
    pub fn before(mut self, key: &[u8]) -> Self {
        let to = self.to.take();
        self.to = Some(to.map_or_else(|| key.to_vec(), |to| to.min(key.to_vec())));
        self
    }

    /// The range as physical keys of a collection.
    pub(crate) fn physical(&self, coll: CollId) -> (Vec<u8>, Option<Vec<u8>>) {
        let join = |key: &[u8]| [coll.as_bytes().as_slice(), key].concat();
        let to = match &self.to {
            Some(to) => Some(join(to)),
            None => after_all(coll.as_bytes()),
        };
        (join(&self.from), to)
    }
}

/// The smallest bytes that are larger than everything that begins with `prefix`; none: there are no such.
fn after_all(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=kept].to_vec();
    after[kept] += 1;
    Some(after)
}

/// What is read at a key: the winner, and what else is alive there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The encoded key.
    pub key: Vec<u8>,
    /// The write that is shown.
    pub winner: Live,
    /// Concurrent writes that lost, the highest first, kept until somebody resolves them.
    pub losers: Vec<Live>,
}

impl Reading {
    /// What is read where these dots are alive; none: nothing is.
    pub(crate) fn of(key: Vec<u8>, mut live: Vec<Live>) -> Option<Self> {
        live.sort_unstable_by_key(|live| std::cmp::Reverse((live.hlc, live.dot)));
        let mut by_rank = live.into_iter();
        let winner = by_rank.next()?;
        Some(Self { key, winner, losers: by_rank.collect() })
    }
}

impl<D: Disk> Snapshot<D> {
    /// The base it rests on.
    pub fn handle(&self) -> &Handle {
        &self.0.base
    }

    /// The roots of the base.
    pub fn base_roots(&self) -> Roots {
        self.0.base_roots()
    }

    /// Everything alive under a key.
    pub fn live(&self, coll: CollId, key: &[u8]) -> Result<Vec<Live>, Error> {
        self.0.live(coll, key)
    }

    /// What is read at a key.
    pub fn read(&self, coll: CollId, key: &[u8]) -> Result<Option<Reading>, Error> {
        Ok(Reading::of(key.to_vec(), self.live(coll, key)?))
    }

    /// The value at a key.
    pub fn get(&self, coll: CollId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        self.read(coll, key)?.map(|read| self.value(&read.winner.payload)).transpose()
    }

    /// The bytes of a payload, wherever they are.
    pub fn value(&self, payload: &Payload) -> Result<Vec<u8>, Error> {
        self.0.value(payload)
    }

    /// Whether the bytes of a value are on this device.
    pub fn has_blob(&self, blob: &BlobRef) -> bool {
        self.0.has_blob(blob)
    }

    /// The keys of a range that have a value, in order.
    pub fn scan(&self, coll: CollId, range: &KeyRange, order: Order) -> Result<Scan<'_, D>, Error> {
        let (lo, hi) = range.physical(coll);
        let hi = hi.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let direction = match order {
            Order::Ascending => Direction::Forward,
            Order::Descending => Direction::Backward,
        };
        let entries = self.0.entries((Bound::Included(&lo), hi), direction)?;
        Ok(Scan { entries: entries.peekable() })
    }

    /// How far a writer has been seen.
    pub fn tip(&self, writer: &WriterId) -> Result<Option<Tip>, Error> {
        self.0.tip(writer)
    }

    /// The number of the last change in this state: equal numbers of one open replica are equal states.
    pub fn change(&self) -> u64 {
        self.0.change
    }
}

/// The readings of a range, one key at a time.
pub struct Scan<'a, D: Disk> {
    entries: Peekable<Merged<'a, D>>,
}

impl<D: Disk> Iterator for Scan<'_, D> {
    type Item = Result<Reading, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let Some((_, key, _)) = crdt::split_physical(&first.0) else {
            return Some(Err(Error::BadEntry { reason: "its key" }));
        };
        let prefix_len = CollId::LEN + key.len();
        let key = key.to_vec();
        let mut live = vec![view::live(&first)];
        let same = |next: &Result<crate::merge::Entry, Error>| match next {
            Ok((physical, _)) => physical.get(..prefix_len) == Some(&first.0[..prefix_len]),
            Err(_) => false,
        };
        while let Some(Ok(next)) = self.entries.next_if(same) {
            live.push(view::live(&next));
        }
        let live = live.into_iter().collect::<Result<Vec<_>, _>>();
        live.map(|live| Reading::of(key, live)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_goes_on_where_a_scan_stopped() {
        let range = KeyRange::prefix(b"ab");
        assert_eq!(range, KeyRange { from: b"ab".to_vec(), to: Some(b"ac".to_vec()) });
        assert_eq!(range.clone().after(b"abx\0").from, b"abx\x01");
        assert_eq!(range.clone().before(b"abx\0").to, Some(b"abx\0".to_vec()));
        assert_eq!(range.clone().after(b"aa").from, b"ab");
        assert_eq!(range.before(b"b").to, Some(b"ac".to_vec()));
        assert_eq!(after_all(&[1, 0xff]), Some(vec![2]));
        assert_eq!(after_all(&[0xff, 0xff]), None);
    }
}
