//! The conflicts of one collection as they come, each once: what changed is looked at, and not what is open beside it.

use std::collections::{BTreeMap, BTreeSet};

use crdt::CollId;
use disk::RealDisk;
use replica::{Place, Snapshot, Touch};

use super::ancestor::ancestors;
use super::index::{self, AsOf, Now};
use super::{Found, Id, View, id_of_contest};
use crate::api::types::Conflict;
use crate::slot::Error;
use crate::space::Space;

/// What was told of a collection, and what is still to be looked at.
pub(crate) struct News {
    coll: CollId,
    /// Everything that changed until then is known or waits; none: nothing was looked at yet.
    as_of: Option<AsOf>,
    waiting: BTreeSet<Place>,
    /// The ids of those that were told and are open, as far as is known.
    told: BTreeMap<Place, BTreeSet<Id>>,
    /// What all sides of conflicts had seen that are told soon, by their ids: the past is read once for many of them.
    ancestors: BTreeMap<Id, Option<Touch>>,
    /// How often a place was looked at, but for looks ahead.
    looks: u64,
}

/// For so many places at once the past is read.
const AHEAD_MAX: usize = 1_024;

impl News {
    pub(crate) fn of(coll: CollId) -> News {
        News {
            coll,
            as_of: None,
            waiting: BTreeSet::new(),
            told: BTreeMap::new(),
            ancestors: BTreeMap::new(),
            looks: 0,
        }
    }

    /// How often a place was looked at, but for looks ahead.
    pub(crate) fn looks(&self) -> u64 {
        self.looks
    }

    /// Takes in what changed. Only where that is not known any more the whole state is read.
    pub(crate) fn catch_up(&mut self, space: &Space) -> Result<(), Error> {
        let Now { snapshot, as_of, changed } = index::since(space, self.as_of)?;
        match changed {
            Some(places) => self.waiting.extend(places.into_iter().filter(|place| place.coll == self.coll)),
            None => {
                let mut open = BTreeSet::new();
                snapshot.contested(|place, contests| {
                    if place.coll == self.coll {
                        self.looks += 1;
                        let told = self.told.get(&place);
                        let is_told = |contest| {
                            told.is_some_and(|told| told.contains(&id_of_contest(&space.id, contest)))
                        };
                        if !contests.iter().all(is_told) {
                            self.waiting.insert(place.clone());
                        }
                        open.insert(place);
                    }
                    true
                })?;
                self.told.retain(|place, _| open.contains(place));
            }
        }
        self.as_of = Some(as_of);
        Ok(())
    }

    /// The next one that was not told, with the place where it is found; nothing: all that is known of was told.
    pub(crate) fn next(&mut self, space: &Space) -> Result<Option<(Place, Conflict)>, Error> {
        while let Some(place) = self.waiting.first().cloned() {
            let snapshot = space.slot.snapshot_blocking()?;
            let contests = snapshot.contests(&place)?;
            self.looks += 1;
            let ids: Vec<Id> = contests.iter().map(|contest| id_of_contest(&space.id, contest)).collect();
            let told = self.told.entry(place.clone()).or_default();
            told.retain(|id| ids.contains(id));
            let Some((id, contest)) = ids.into_iter().zip(contests).find(|(id, _)| !told.contains(id)) else {
                if told.is_empty() {
                    self.told.remove(&place);
                }
                self.waiting.remove(&place);
                continue;
            };
            if !self.ancestors.contains_key(&id) {
                self.look_ahead(space, &snapshot)?;
            }
            let ancestor = self.ancestors.remove(&id).flatten();
            let described = snapshot.collections()?;
            let view = View::of(space, snapshot, &described)?;
            let conflict = view.whole_from(&Found::Contest(contest), ancestor)?;
            self.told.entry(place.clone()).or_default().insert(id);
            return Ok(Some((place, conflict)));
        }
        Ok(None)
    }

    /// Looks for the ancestors of those that are told next.
    fn look_ahead(&mut self, space: &Space, snapshot: &Snapshot<RealDisk>) -> Result<(), Error> {
        let mut contests = Vec::new();
        for place in self.waiting.iter().take(AHEAD_MAX) {
            contests.extend(snapshot.contests(place)?);
        }
        let ids = contests.iter().map(|contest| id_of_contest(&space.id, contest));
        self.ancestors = ids.zip(ancestors(space, self.coll, &contests)?).collect();
        Ok(())
    }
}
