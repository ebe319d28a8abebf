//! Whether states agree on a range of keys: by a digest of what is alive there, or key by key.

use std::cmp::Ordering;
use std::ops::Bound;

use btree::Direction;
use crdt::CollId;
use disk::Disk;

use crate::contest::Place;
use crate::error::Error;
use crate::merge::Entry;
use crate::snapshot::{KeyRange, Snapshot};

impl<D: Disk> Snapshot<D> {
    /// A digest of everything alive in a range, as names of writes in order: it changes with every write there, and since
    /// no name comes twice it never comes back to what it was.
    pub fn digest(&self, coll: CollId, range: &KeyRange) -> Result<[u8; 32], Error> {
        let (lo, hi) = range.physical(coll);
        let hi = hi.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut digest = crdt::derive("read", &[]);
        for entry in self.0.entries((Bound::Included(&lo), hi), Direction::Forward)? {
            let (physical, _) = entry?;
            digest = crdt::derive("read", &[digest.as_slice(), &physical].concat());
        }
        Ok(digest)
    }

    /// Calls `visit` with every key at which another state has other writes alive. Linear in the entries of both.
    pub fn differing(&self, other: &Snapshot<D>, mut visit: impl FnMut(Place)) -> Result<(), Error> {
        let all = || (Bound::Unbounded, Bound::Unbounded);
        let mut before = self.0.entries(all(), Direction::Forward)?;
        let mut after = other.0.entries(all(), Direction::Forward)?;
        let (mut a, mut b) = (before.next().transpose()?, after.next().transpose()?);
        loop {
            let order = match (&a, &b) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
            };
            let differs = match order {
                Ordering::Less => a.as_ref(),
                Ordering::Greater => b.as_ref(),
                Ordering::Equal => None,
            };
            if let Some(entry) = differs {
                visit(place(entry)?);
            }
            if order != Ordering::Greater {
                a = before.next().transpose()?;
            }
            if order != Ordering::Less {
                b = after.next().transpose()?;
            }
        }
    }
}

fn place((physical, _): &Entry) -> Result<Place, Error> {
    let (coll, key, _) = crdt::split_physical(physical).ok_or(Error::BadEntry { reason: "its key" })?;
    Ok(Place { coll, key: key.to_vec() })
}
