//! What disagrees in a document: fields that two wrote apart, or that were deleted or replaced while somebody wrote them.

use std::sync::Arc;

use crdt::key;
use crdt::view::lww::Live;
use crdt::view::map::{self, Parts, Path, Value};
use crdt::view::{Deletes, Json, Manner};
use crdt::{CollId, Element};
use disk::Disk;

use super::{Contest, ContestKind, Place};
use crate::error::Error;
use crate::snapshot::{KeyRange, Order, Snapshot};

/// The key that names the document of a field.
pub(super) fn name_of(key: &[u8]) -> Option<Vec<u8>> {
    let (document, _) = map::split(key)?;
    // One element of a key that was read is a key again.
    key::encode(&[document]).ok()
}

impl<D: Disk> Snapshot<D> {
    pub(super) fn contests_of_document(&self, manner: &Manner, place: &Place) -> Result<Vec<Contest>, Error> {
        let Some((document, path)) = map::split(&place.key) else { return Ok(Vec::new()) };
        if !path.is_empty() {
            return Ok(Vec::new());
        }
        let (parts, is_whole) = self.parts_here(place.coll, &document)?;
        if parts.marker.is_empty() {
            return Ok(gone(manner, place, &parts, is_whole).into_iter().collect());
        }
        let fields = parts.fields.iter();
        let contests = fields.filter_map(|(path, values)| {
            field(manner, place, &document, path, values, parts.cover(path)).transpose()
        });
        contests.collect()
    }

    /// What is alive of a document, and whether all of its values are here: one that is not counts as a value of its own.
    pub fn parts_here(&self, coll: CollId, document: &Element) -> Result<(Parts, bool), Error> {
        let (mut parts, mut is_whole) = (Parts::default(), true);
        let Ok((from, to)) = key::range_of_tuple(std::slice::from_ref(document)) else {
            return Ok((parts, is_whole));
        };
        for read in self.scan(coll, &KeyRange { from, to: Some(to) }, Order::Ascending)? {
            let read = read?;
            let Some((_, path)) = map::split(&read.key) else { continue };
            let live = [vec![read.winner], read.losers].concat();
            let mut bytes = Vec::with_capacity(live.len());
            for live in &live {
                bytes.push(match self.value(&live.payload) {
                    Err(Error::NotLocal { .. }) => {
                        is_whole = false;
                        Json::Null.encode()
                    }
                    value => value?,
                });
            }
            parts.add(path, live, &bytes);
        }
        Ok((parts, is_whole))
    }
}

/// The contest of a delete with the edits that had not seen it.
fn gone(manner: &Manner, place: &Place, parts: &Parts, is_whole: bool) -> Option<Contest> {
    let mut live: Vec<Live> = parts.fields.values().flatten().map(|value| value.live.clone()).collect();
    live.sort_by_key(|live| std::cmp::Reverse((live.hlc, live.dot)));
    if live.is_empty() {
        return None;
    }
    let said = parts.read(&Manner { deletes: Deletes::Revive, ..*manner });
    let document = match said.value {
        Some(Json::Object(fields)) if is_whole => Some(fields),
        _ => None,
    };
    let (kind, winner, losers) = match manner.deletes {
        Deletes::Hide => (ContestKind::Deleted, None, live),
        Deletes::Revive => {
            let latest = live.remove(0);
            (ContestKind::Revived, Some(latest), live)
        }
    };
    let (place, shown_at) = (place.clone(), place.key.clone());
    Some(Contest { place, kind, policy: manner.policy, winner, shown_at, losers, document })
}

/// The contest at one field, if there is one.
fn field(
    manner: &Manner,
    place: &Place,
    document: &Element,
    path: &Path,
    values: &[Value],
    cover: Option<(&Path, &Value)>,
) -> Result<Option<Contest>, Error> {
    let key_of = |path: &Path| map::key_of(document, path).map_err(|_| Error::BadEntry { reason: "its key" });
    let place = Place { key: key_of(path)?, ..place.clone() };
    let (kind, winner, shown_at, losers) = match cover {
        Some((at, shown)) => (ContestKind::Replaced, &shown.live, key_of(at)?, values),
        None => (ContestKind::Siblings, &values[0].live, place.key.clone(), &values[1..]),
    };
    let differs = |loser: &&Value| loser.live.payload != winner.payload || kind == ContestKind::Replaced;
    let losers: Vec<Live> = losers.iter().filter(differs).map(|loser| loser.live.clone()).collect();
    if losers.is_empty() {
        return Ok(None);
    }
    let winner = Some(winner.clone());
    Ok(Some(Contest { place, kind, policy: manner.policy, winner, shown_at, losers, document: None }))
}

/// What is seen of a document key by key, enough to say whether looking closer is worth it.
#[derive(Default)]
pub(super) struct Glance {
    /// The key that names it.
    pub(super) name: Vec<u8>,
    is_marked: bool,
    /// The last field's key without the zero at its end, as the keys of what is inside begin.
    last: Vec<u8>,
    payload: Option<Arc<[u8]>>,
    is_suspect: bool,
}

impl Glance {
    pub(super) fn of(name: Vec<u8>) -> Glance {
        Glance { name, ..Glance::default() }
    }

    /// Sees the next live write of it.
    pub(super) fn see(&mut self, key: &[u8], payload: Arc<[u8]>) {
        let stem = &key[..key.len() - 1];
        if key == self.name {
            self.is_marked = true;
            return;
        }
        let is_same = self.last == stem;
        // What lies inside a field comes right after it.
        let is_inside = !self.last.is_empty() && stem.len() > self.last.len() && stem.starts_with(&self.last);
        self.is_suspect |= is_inside || is_same && self.payload.as_ref() != Some(&payload);
        if !is_same {
            (self.last, self.payload) = (stem.to_vec(), Some(payload));
        }
    }

    /// Whether something may disagree in it.
    pub(super) fn is_suspect(&self) -> bool {
        self.is_suspect || !self.is_marked
    }
}
