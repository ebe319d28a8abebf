//! Which keys are in conflict, kept up to date by what changed, so that asking does not read every entry again.

use std::collections::{BTreeMap, BTreeSet};

use crdt::system;
use disk::RealDisk;
use replica::{Place, Snapshot};

use crate::slot::{Error, Turn};
use crate::space::Space;

/// Keys that are remembered; those beyond are found once others are settled.
const OPEN_MAX: usize = 65_536;

/// The keys in conflict, as of one state, each with how many conflicts it has: a document may have one at each field.
#[derive(Default)]
pub(crate) struct Index {
    /// None: nothing was looked at yet.
    as_of: Option<AsOf>,
    open: BTreeMap<Place, usize>,
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

/// What is visible now, and the keys in conflict in it.
pub(super) fn refresh(space: &Space) -> Result<(Snapshot<RealDisk>, BTreeMap<Place, usize>), Error> {
    let mut index = space.open_conflicts.lock().expect("a lookup that failed left an older index");
    let Now { snapshot, as_of, changed } = since(space, index.as_of)?;
    // Only what is whole is remembered: after an error everything is looked at again.
    index.as_of = None;
    match changed {
        Some(places) if !index.is_cut || index.open.len() > OPEN_MAX / 2 => {
            for place in places {
                index.update(&snapshot, place)?;
            }
        }
        _ => index.scan(&snapshot)?,
    }
    index.as_of = Some(as_of);
    Ok((snapshot, index.open.clone()))
}

/// Whether collections may be read in another way now, which changes what disagrees at keys that nobody touched.
fn is_of_readings(places: &BTreeSet<Place>) -> bool {
    places.iter().any(|place| place.coll == system::coll() || place.coll == system::meta())
}

impl Index {
    fn update(&mut self, snapshot: &Snapshot<RealDisk>, place: Place) -> Result<(), Error> {
        let count = snapshot.contests(&place)?.len();
        if count == 0 {
            self.open.remove(&place);
        } else if self.open.len() < OPEN_MAX || self.open.contains_key(&place) {
            self.open.insert(place, count);
        } else {
            self.is_cut = true;
        }
        Ok(())
    }

    fn scan(&mut self, snapshot: &Snapshot<RealDisk>) -> Result<(), Error> {
        let mut open = BTreeMap::new();
        snapshot.contested(|place, contests| {
            open.insert(place, contests.len());
            open.len() < OPEN_MAX
        })?;
        self.is_cut = open.len() == OPEN_MAX;
        self.open = open;
        Ok(())
    }
}
