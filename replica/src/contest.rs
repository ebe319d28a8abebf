//! Keys whose concurrent writes differ: the part of the inbox that equal states give alike.

use std::ops::Bound;

use btree::Direction;
use crdt::view::lww::{Live, lww};
use crdt::{CollId, Policy, system};
use disk::Disk;

use crate::error::Error;
use crate::snapshot::Snapshot;

/// A key of a collection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The collection.
    pub coll: CollId,
    /// The encoded key.
    pub key: Vec<u8>,
}

impl Place {
    /// Of a physical key without its dot.
    pub(crate) fn split(bytes: &[u8]) -> Option<Place> {
        let (coll, key) = bytes.split_at_checked(CollId::LEN)?;
        Some(Place { coll: CollId(coll.try_into().ok()?), key: key.to_vec() })
    }
}

/// What disagrees at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// Where.
    pub place: Place,
    /// How the collection is read.
    pub policy: Policy,
    /// The write that is shown.
    pub winner: Live,
    /// The writes of other content that live beside it, the highest first.
    pub losers: Vec<Live>,
}

impl<D: Disk> Snapshot<D> {
    /// What disagrees at a key, if anything does: equal content is no conflict, however many wrote it.
    pub fn contest(&self, place: &Place) -> Result<Option<Contest>, Error> {
        let Some(policy) = self.contestable(place.coll)? else { return Ok(None) };
        let live = self.live(place.coll, &place.key)?;
        let Some(read) = lww(&live) else { return Ok(None) };
        let differs = |loser: &&&Live| loser.payload != read.winner.payload;
        let losers: Vec<Live> = read.losers.iter().filter(differs).map(|loser| (*loser).clone()).collect();
        if losers.is_empty() {
            return Ok(None);
        }
        Ok(Some(Contest { place: place.clone(), policy, winner: read.winner.clone(), losers }))
    }

    /// Every key with a conflict, in order, as long as `visit` wants more. Linear in the entries.
    pub fn contested(&self, mut visit: impl FnMut(Place) -> bool) -> Result<(), Error> {
        let mut entries = self.0.entries((Bound::Unbounded, Bound::Unbounded), Direction::Forward)?;
        let (mut before, mut payload, mut is_told) = (Vec::new(), None, false);
        let (mut coll_before, mut is_contestable) = (None, false);
        while let Some((physical, added)) = entries.next().transpose()? {
            let (coll, key, _) =
                crdt::split_physical(&physical).ok_or(Error::BadEntry { reason: "its key" })?;
            if coll_before != Some(coll) {
                coll_before = Some(coll);
                is_contestable = self.contestable(coll)?.is_some();
            }
            let place = &physical[..CollId::LEN + key.len()];
            if place != before.as_slice() {
                (before, payload, is_told) = (place.to_vec(), Some(added.payload), false);
            } else if is_contestable && !is_told && payload.as_ref() != Some(&added.payload) {
                is_told = true;
                if !visit(Place { coll, key: key.to_vec() }) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// How a collection is read in which several live writes of a key disagree: only where one value is asked for.
    fn contestable(&self, coll: CollId) -> Result<Option<Policy>, Error> {
        if coll.rule().home_only() || coll == system::coll() {
            return Ok(None);
        }
        let policy = self.descriptor(coll)?.map_or(Policy::Lww, |descriptor| descriptor.policy);
        Ok(matches!(policy, Policy::Lww | Policy::Mv | Policy::Copies).then_some(policy))
    }
}
