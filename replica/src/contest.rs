//! What disagrees at a key, as the policy of its collection reads it: the part of the inbox that equal states give alike.

mod document;
mod find;

use std::collections::BTreeMap;

use crdt::view::lww::{Live, lww};
use crdt::view::{Json, Manner};
use crdt::{CollId, Dot, Policy, system};
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

/// How writes disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContestKind {
    /// Concurrent writes of one register or field differ.
    Siblings,
    /// A document was deleted while somebody edited it, and stays deleted.
    Deleted,
    /// A document was deleted while somebody edited it, and is there again.
    Revived,
    /// A field lies above or inside one that somebody wrote later.
    Replaced,
}

/// What disagrees at a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// Where: the key of a register or field, or the name of a document.
    pub place: Place,
    /// How.
    pub kind: ContestKind,
    /// How the collection is read.
    pub policy: Policy,
    /// The write that is shown; of a document that is there again the latest of its fields, of a deleted one none.
    pub winner: Option<Live>,
    /// The key at which the winner stands.
    pub shown_at: Vec<u8>,
    /// The writes that are not shown, the highest first.
    pub losers: Vec<Live>,
    /// What the fields of a document say together that was deleted, where all of their values are here.
    pub document: Option<BTreeMap<String, Json>>,
}

impl Contest {
    /// Every write that it is about: other writes there make another contest.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        self.winner.iter().chain(&self.losers).map(|live| live.dot)
    }

    /// Those of its losers that stand beside a shown value and are not shown themselves: what is left of a deleted document, or
    /// lies behind a later value, may be all that there is of it, and where all values are shown none has lost.
    pub fn beaten(&self) -> &[Live] {
        if self.kind != ContestKind::Siblings || self.policy == Policy::Mv {
            return &[];
        }
        &self.losers
    }

    /// Whether it is about a whole document that somebody deleted.
    pub fn document_is_gone(&self) -> bool {
        matches!(self.kind, ContestKind::Deleted | ContestKind::Revived)
    }
}

impl<D: Disk> Snapshot<D> {
    /// The key under which the contests at a place are found: those of all fields under the name of their document.
    pub fn contest_place(&self, place: Place) -> Result<Place, Error> {
        match self.contestable(place.coll)? {
            Some(manner) if manner.policy == Policy::Map => {
                let key = document::name_of(&place.key).unwrap_or(place.key);
                Ok(Place { key, ..place })
            }
            _ => Ok(place),
        }
    }

    /// What disagrees at a register, or anywhere in a document. Equal content is no conflict, however many wrote it.
    pub fn contests(&self, place: &Place) -> Result<Vec<Contest>, Error> {
        match self.contestable(place.coll)? {
            None => Ok(Vec::new()),
            Some(manner) if manner.policy == Policy::Map => self.contests_of_document(&manner, place),
            Some(manner) => Ok(register(&manner, place, &self.live(place.coll, &place.key)?)),
        }
    }

    /// How a collection is read in which writes can disagree: sets and counters take all of them together.
    pub fn contestable(&self, coll: CollId) -> Result<Option<Manner>, Error> {
        if coll.rule().home_only() || coll == system::coll() {
            return Ok(None);
        }
        let manner = self.manner(coll)?.unwrap_or_default();
        let is_one = matches!(manner.policy, Policy::Lww | Policy::Mv | Policy::Copies | Policy::Map);
        Ok(is_one.then_some(manner))
    }
}

/// The contest of a register, if its live writes differ.
fn register(manner: &Manner, place: &Place, live: &[Live]) -> Vec<Contest> {
    let Some(read) = lww(live) else { return Vec::new() };
    let differs = |loser: &&&Live| loser.payload != read.winner.payload;
    let losers: Vec<Live> = read.losers.iter().filter(differs).map(|loser| (*loser).clone()).collect();
    if losers.is_empty() {
        return Vec::new();
    }
    vec![Contest {
        place: place.clone(),
        kind: ContestKind::Siblings,
        policy: manner.policy,
        winner: Some(read.winner.clone()),
        shown_at: place.key.clone(),
        losers,
        document: None,
    }]
}
