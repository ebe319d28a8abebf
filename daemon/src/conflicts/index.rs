//! Which keys are in conflict, kept up to date by what changed, so that asking does not read every entry again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};

use crdt::system;
use disk::RealDisk;
use replica::{Contest, Place, Snapshot};

use super::{Id, id_of_contest};
use crate::slot::{Error, Turn};
use crate::space::Space;

/// Keys that are remembered; those beyond are found once others are settled.
const OPEN_MAX: usize = 65_536;

/// The keys in conflict, as of one state, each with the ids of its conflicts: a document may have one at each field.
#[derive(Default)]
pub(crate) struct Index {
    /// None: nothing was looked at yet.
    as_of: Option<AsOf>,
    open: BTreeMap<Arc<Place>, Vec<Id>>,
    /// The key of each conflict: whoever settles thousands by their ids does not look at all of them for each.
    by_id: BTreeMap<Id, Arc<Place>>,
    /// There may be more.
    is_cut: bool,
}

/// A state of a space: how often it was opened until then, and the change in it.
pub(super) type AsOf = (u64, u64);

/// What is visible now.
pub(super) struct Now {
    pub(super) snapshot: Snapshot<RealDisk>,
    pub(super) as_of: AsOf,
    /// The places that changed since another state, as contests are found; none: it may be any.
    pub(super) changed: Option<BTreeSet<Place>>,
}

/// What is visible now, and what changed since a state.
pub(super) fn since(space: &Space, before: Option<AsOf>) -> Result<Now, Error> {
    // Acknowledged writes are to be in it, whatever the flush policy.
    drop(space.slot.snapshot_blocking()?);
    let (opens, changed, snapshot) = space.slot.call_blocking(0, move |owner, _| {
        let opens = owner.opens();
        Turn::Done(owner.live().map(|live| {
            let change = before.filter(|(of, _)| *of == opens).map(|(_, change)| change);
            let changed = change.and_then(|change| live.replica.changed_since(change));
            (opens, changed, live.replica.snapshot())
        }))
    })?;
    let as_of = (opens, snapshot.change());
    let changed = changed.filter(|places| !is_of_readings(places)).map(|places| {
        let places = places.into_iter().map(|place| snapshot.contest_place(place));
        places.collect::<Result<BTreeSet<Place>, _>>()
    });
    let changed = changed.transpose()?;
    Ok(Now { snapshot, as_of, changed })
}

/// What is visible now, and the index as of it.
pub(super) fn refresh(space: &Space) -> Result<(Snapshot<RealDisk>, MutexGuard<'_, Index>), Error> {
    let mut index = space.open_conflicts.lock().expect("a lookup that failed left an older index");
    let Now { snapshot, as_of, changed } = since(space, index.as_of)?;
    // Only what is whole is remembered: after an error everything is looked at again.
    index.as_of = None;
    match changed {
        Some(places) if !index.is_cut || index.open.len() > OPEN_MAX / 2 => {
            for place in places {
                let contests = snapshot.contests(&place)?;
                index.update(space, place, &contests);
            }
        }
        _ => index.scan(space, &snapshot)?,
    }
    index.as_of = Some(as_of);
    Ok((snapshot, index))
}

/// Whether collections may be read in another way now, which changes what disagrees at keys that nobody touched.
fn is_of_readings(places: &BTreeSet<Place>) -> bool {
    places.iter().any(|place| place.coll == system::coll() || place.coll == system::meta())
}

impl Index {
    /// The keys in conflict.
    pub(super) fn places(&self) -> Vec<Arc<Place>> {
        self.open.keys().cloned().collect()
    }

    /// Where the conflict of an id is.
    pub(super) fn place(&self, id: &Id) -> Option<Arc<Place>> {
        self.by_id.get(id).cloned()
    }

    /// How many conflicts there are.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn update(&mut self, space: &Space, place: Place, contests: &[Contest]) {
        for id in self.open.remove(&place).into_iter().flatten() {
            self.by_id.remove(&id);
        }
        if contests.is_empty() {
            return;
        }
        if self.open.len() == OPEN_MAX {
            self.is_cut = true;
            return;
        }
        let place = Arc::new(place);
        let ids: Vec<Id> = contests.iter().map(|contest| id_of_contest(&space.id, contest)).collect();
        self.by_id.extend(ids.iter().map(|id| (*id, place.clone())));
        self.open.insert(place, ids);
    }

    fn scan(&mut self, space: &Space, snapshot: &Snapshot<RealDisk>) -> Result<(), Error> {
        *self = Index::default();
        snapshot.contested(|place, contests| {
            self.update(space, place, &contests);
            self.open.len() < OPEN_MAX
        })?;
        self.is_cut = self.open.len() == OPEN_MAX;
        Ok(())
    }
}
