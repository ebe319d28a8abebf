//! Which keys are in conflict, kept up to date by what changed, so that asking does not read every entry again.

use std::collections::BTreeSet;

use disk::RealDisk;
use replica::{Place, Snapshot};

use crate::slot::{Error, Turn};
use crate::space::Space;

/// Keys that are remembered; those beyond are found once others are settled.
const OPEN_MAX: usize = 65_536;

/// The keys in conflict, as of one state.
#[derive(Default)]
pub(crate) struct Index {
    /// The opening of the space and the change in it; none: nothing was looked at yet.
    as_of: Option<(u64, u64)>,
    open: BTreeSet<Place>,
    /// There may be more.
    is_cut: bool,
}

/// What is visible now, and the keys in conflict in it.
pub(super) fn refresh(space: &Space) -> Result<(Snapshot<RealDisk>, Vec<Place>), Error> {
    // Acknowledged writes are to be in it, whatever the flush policy.
    drop(space.slot.snapshot_blocking()?);
    let mut index = space.open_conflicts.lock().expect("a lookup that failed left an older index");
    let before = index.as_of;
    let (opens, changed, snapshot) = space.slot.call_blocking(0, move |owner, _| {
        let opens = owner.opens();
        Turn::Done(owner.live().map(|live| {
            let change = before.filter(|(of, _)| *of == opens).map(|(_, change)| change);
            let changed = change.and_then(|change| live.replica.changed_since(change));
            (opens, changed, live.replica.snapshot())
        }))
    })?;
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
    index.as_of = Some((opens, snapshot.change()));
    Ok((snapshot, index.open.iter().cloned().collect()))
}

impl Index {
    fn update(&mut self, snapshot: &Snapshot<RealDisk>, place: Place) -> Result<(), Error> {
        if snapshot.contest(&place)?.is_none() {
            self.open.remove(&place);
        } else if self.open.len() < OPEN_MAX {
            self.open.insert(place);
        } else {
            self.is_cut = true;
        }
        Ok(())
    }

    fn scan(&mut self, snapshot: &Snapshot<RealDisk>) -> Result<(), Error> {
        let mut open = BTreeSet::new();
        snapshot.contested(|place| {
            open.insert(place);
            open.len() < OPEN_MAX
        })?;
        self.is_cut = open.len() == OPEN_MAX;
        self.open = open;
        Ok(())
    }
}
