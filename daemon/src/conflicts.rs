//! The inbox: what lost against what, and the ways to settle it.
//!
//! Concurrent writes that differ are derived from the state, so equal replicas list the same ones; what this device
//! wrote and counts no more is known here alone. Everything blocks: callers bring a thread of their own.

mod diff;
mod index;
mod merge;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;

use crdt::view::lww::Live;
use crdt::{CollId, DeviceId, Dot, Hlc, Op, Payload, SpaceId};
use disk::RealDisk;
use replica::{Contest, Item, ItemKind, Place, Snapshot};

use crate::api::types::{Conflict, Key, Side};
use crate::slot::{Error, Turn};
use crate::space::Space;
use crate::told;
pub(crate) use index::Index;
pub use settle::{Settle, settle};

/// Longest value that a list shows.
const LISTED_LEN_MAX: u64 = 1 << 10;

/// Digits of an id that are those of its space, so that an id alone says where to ask.
pub const SPACE_DIGITS: usize = 4;

/// Which conflicts are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this collection, by its name.
    pub collection: Option<String>,
    /// Those at this encoded key.
    pub key: Option<Vec<u8>>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    fn wants(&self, conflict: &Conflict) -> bool {
        let is = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        is(&self.collection, conflict.collection.as_deref())
            && is(&self.kind, Some(&conflict.kind))
            && self.key.as_ref().is_none_or(|key| conflict.key.as_ref().is_some_and(|at| at.0 == *key))
    }
}

/// One conflict, as far as settling it needs.
enum Found {
    Siblings(Contest),
    Item(Box<Item>),
    /// Several collections of one name, by the names they are told apart with.
    Name(String, Vec<String>),
}

/// A state of a space, its open conflicts, and the words to describe them.
struct View<'a> {
    space: &'a Space,
    snapshot: Snapshot<RealDisk>,
    names: BTreeMap<CollId, String>,
    here: DeviceId,
}

/// How many are open. Beyond 65,536 keys the others are not counted.
pub async fn count(space: &Arc<Space>) -> Result<u64, Error> {
    let space = space.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let (_, places) = index::refresh(&space)?;
        Ok(places.len() as u64 + items(&space)?.len() as u64)
    });
    counted.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Those that are open: by collection and key, then what this device holds alone.
pub fn list(space: &Space, filter: &Filter) -> Result<Vec<Conflict>, Error> {
    let mut listed = Vec::new();
    each(space, |view, found| {
        let conflict = view.describe(found, LISTED_LEN_MAX)?;
        if filter.wants(&conflict) && listed.len() < filter.limit {
            listed.push(conflict);
        }
        Ok(listed.len() < filter.limit)
    })?;
    Ok(listed)
}

/// The one of this id with everything that is known about it.
pub fn show(space: &Space, id: &str) -> Result<Option<Conflict>, Error> {
    let mut shown = None;
    each(space, |view, found| {
        if view.id(found) == id {
            let mut conflict = view.describe(found, u64::MAX)?;
            if let Found::Siblings(contest) = found {
                conflict.ancestor = view.ancestor(contest)?;
            }
            diff::add(&mut conflict);
            shown = Some(conflict);
        }
        Ok(shown.is_none())
    })?;
    Ok(shown)
}

/// The id of the conflict at a key of this state, if there is one.
pub(crate) fn open_at(
    space: &Space,
    snapshot: &Snapshot<RealDisk>,
    place: &Place,
) -> Result<Option<String>, replica::Error> {
    Ok(snapshot.contest(place)?.map(|contest| id_of_siblings(&space.id, &contest)))
}

/// Calls `visit` with each open conflict until it has seen enough.
fn each(space: &Space, mut visit: impl FnMut(&View<'_>, &Found) -> Result<bool, Error>) -> Result<(), Error> {
    let (snapshot, places) = index::refresh(space)?;
    let here = space
        .slot
        .call_blocking(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.device().id())))?;
    let collections = snapshot.collections()?;
    let names = collections.iter().map(|coll| (coll.id, coll.name.clone())).collect();
    let view = View { space, snapshot, names, here };
    for place in &places {
        if let Some(contest) = view.snapshot.contest(place)?
            && !visit(&view, &Found::Siblings(contest))?
        {
            return Ok(());
        }
    }
    let mut same_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for collection in &collections {
        same_name.entry(&collection.descriptor.name).or_default().push(collection.name.clone());
    }
    for (name, names) in same_name.into_iter().filter(|(_, names)| names.len() > 1) {
        if !visit(&view, &Found::Name(name.to_string(), names))? {
            return Ok(());
        }
    }
    for item in items(space)? {
        if !visit(&view, &Found::Item(Box::new(item)))? {
            return Ok(());
        }
    }
    Ok(())
}

/// What this device wrote and counts no more.
fn items(space: &Space) -> Result<Vec<Item>, Error> {
    space
        .slot
        .call_blocking(0, |owner, _| Turn::Done(owner.live().and_then(|live| Ok(live.replica.inbox()?))))
}

impl View<'_> {
    fn id(&self, found: &Found) -> String {
        match found {
            Found::Siblings(contest) => id_of_siblings(&self.space.id, contest),
            Found::Item(item) => {
                id(&self.space.id, &[b"item", kind(item.kind).as_bytes(), &item.dot.to_bytes()])
            }
            Found::Name(name, names) => {
                id(&self.space.id, &[b"name", name.as_bytes(), names.concat().as_bytes()])
            }
        }
    }

    fn describe(&self, found: &Found, len_max: u64) -> Result<Conflict, Error> {
        let mut conflict = Conflict {
            id: self.id(found),
            space: self.space.name.clone(),
            collection: None,
            key: None,
            kind: "siblings".to_string(),
            policy: None,
            winner: None,
            losers: Vec::new(),
            reason: None,
            ancestor: None,
        };
        match found {
            Found::Siblings(contest) => {
                conflict.collection = Some(self.name(contest.place.coll));
                conflict.key = Some(Key(contest.place.key.clone()));
                conflict.policy = Some(contest.policy.to_string());
                conflict.winner = Some(self.side(&contest.winner, len_max)?);
                let losers = contest.losers.iter().map(|live| self.side(live, len_max));
                conflict.losers = losers.collect::<Result<_, _>>()?;
            }
            Found::Item(item) => {
                conflict.kind = kind(item.kind).to_string();
                conflict.reason = Some(item.reason.clone());
                conflict.losers = self.writes(item, len_max)?;
                if let [only] = conflict.losers.as_slice() {
                    (conflict.collection, conflict.key) = (only.collection.clone(), only.key.clone());
                }
            }
            Found::Name(name, names) => {
                conflict.kind = "name".to_string();
                conflict.collection = Some(name.clone());
                conflict.reason = Some(format!("collections of one name: {}", names.join(", ")));
            }
        }
        Ok(conflict)
    }

    fn name(&self, coll: CollId) -> String {
        self.names.get(&coll).cloned().unwrap_or_else(|| coll.to_string())
    }

    fn writes(&self, item: &Item, len_max: u64) -> Result<Vec<Side>, Error> {
        let Some(commit) = &item.commit else { return Ok(Vec::new()) };
        let hlc = commit.header().hlc;
        let sides = commit.body().mutations.iter().map(|mutation| {
            let payload = match &mutation.op {
                Op::Put(payload) => Some(payload),
                Op::Delete => None,
            };
            let side = self.side_of(item.dot, hlc, payload, len_max)?;
            let (collection, key) = (Some(self.name(mutation.coll)), Some(Key(mutation.key.clone())));
            Ok(Side { collection, key, ..side })
        });
        sides.collect()
    }

    fn side(&self, live: &Live, len_max: u64) -> Result<Side, Error> {
        self.side_of(live.dot, live.hlc, Some(&live.payload), len_max)
    }

    fn side_of(&self, dot: Dot, hlc: Hlc, payload: Option<&Payload>, len_max: u64) -> Result<Side, Error> {
        Ok(Side {
            value: told::value(&self.snapshot, payload, len_max)?,
            len: told::len(payload),
            dot: dot.to_string(),
            device: told::device(&dot.writer),
            here: dot.writer.device() == self.here,
            hlc: hlc.0,
            collection: None,
            key: None,
            diff: None,
        })
    }

    /// The last write that all sides had seen, if it can still be read.
    fn ancestor(&self, contest: &Contest) -> Result<Option<Side>, Error> {
        let Some(touch) = ancestor(self.space, contest)? else { return Ok(None) };
        let Op::Put(payload) = &touch.op else { return Ok(None) };
        let side = self.side_of(touch.dot, touch.hlc, Some(payload), u64::MAX)?;
        Ok(Some(side).filter(|side| side.value.is_some()))
    }
}

/// The last put that all sides superseded, directly or by way of others.
fn ancestor(space: &Space, contest: &Contest) -> Result<Option<replica::Touch>, Error> {
    let past =
        space.slot.call_blocking(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.past())))?;
    let touches = past.touches(&contest.place)?;
    let by_dot: BTreeMap<Dot, &replica::Touch> = touches.iter().map(|touch| (touch.dot, touch)).collect();
    let seen_by = |side: &Live| {
        let mut seen = std::collections::BTreeSet::new();
        let mut left = vec![side.dot];
        while let Some(touch) = left.pop().and_then(|dot| by_dot.get(&dot)) {
            left.extend(touch.supersedes.iter().copied().filter(|dot| seen.insert(*dot)));
        }
        seen
    };
    let mut common = seen_by(&contest.winner);
    for loser in &contest.losers {
        let seen = seen_by(loser);
        common.retain(|dot| seen.contains(dot));
    }
    let puts = common.iter().filter_map(|dot| by_dot.get(dot)).filter(|touch| matches!(touch.op, Op::Put(_)));
    Ok(puts.max_by_key(|touch| (touch.hlc, touch.dot)).map(|touch| (*touch).clone()))
}

fn id_of_siblings(space: &SpaceId, contest: &Contest) -> String {
    let Place { coll, key } = &contest.place;
    let dots: Vec<u8> =
        [&contest.winner].into_iter().chain(&contest.losers).flat_map(|live| live.dot.to_bytes()).collect();
    id(space, &[b"siblings", coll.as_bytes(), key, &dots])
}

fn id(space: &SpaceId, parts: &[&[u8]]) -> String {
    let hash = crdt::derive("conflict", &parts.concat());
    let digits = data_encoding::HEXLOWER.encode(&hash[..6]);
    format!("{}{digits}", &space.to_string()[..SPACE_DIGITS])
}

fn kind(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Rejected => "rejected",
        ItemKind::Orphaned => "orphaned",
        ItemKind::Reissued => "reissued",
        ItemKind::Unconfirmed => "unconfirmed",
    }
}
