//! The inbox: what lost against what, and the ways to settle it.
//!
//! Writes that disagree are derived from the state, so equal replicas list the same ones; what this device wrote and
//! counts no more is known here alone. Everything blocks: callers bring a thread of their own.

mod ancestor;
mod describe;
mod diff;
mod held;
mod index;
mod merge;
mod news;
mod retain;
mod settle;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crdt::view::Manner;
use crdt::{CollId, DeviceId, Policy, SpaceId};
use disk::RealDisk;
use replica::{Collection, Contest, ContestKind, Item, ItemKind, Place, Snapshot, Touch};

use crate::api::types::Conflict;
use crate::slot::{Error, Turn};
use crate::space::Space;
use ancestor::ancestor;
pub(crate) use index::Index;
pub(crate) use news::News;
pub(crate) use retain::keep_losers;
pub(crate) use settle::settle_at;
pub use settle::{Settle, settle};

/// Longest value that a list shows.
const LISTED_LEN_MAX: u64 = 1 << 10;

/// Digits of an id that are those of its space, so that an id alone says where to ask.
pub const SPACE_DIGITS: usize = 4;

/// Every kind, by the word for it.
pub const KINDS: [&str; 9] =
    ["siblings", "deleted", "revived", "replaced", "name", "rejected", "orphaned", "reissued", "unconfirmed"];

/// Which conflicts are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those of this collection, by its name.
    pub collection: Option<String>,
    /// Those at this encoded key; of a document all of its fields.
    pub key: Option<Vec<u8>>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    fn wants(&self, found: &Found, conflict: &Conflict) -> bool {
        let is = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        is(&self.collection, conflict.collection.as_deref())
            && is(&self.kind, Some(&conflict.kind))
            && self.key.as_ref().is_none_or(|key| {
                let is_field = matches!(found, Found::Contest(contest) if contest.place.key == *key);
                is_field || conflict.key.as_ref().is_some_and(|at| at.0 == *key)
            })
    }
}

/// One conflict, as far as settling it needs.
#[derive(Clone)]
enum Found {
    Contest(Contest),
    Item(Box<Item>),
    /// Several collections of one name, by the names they are told apart with.
    Name(String, Vec<String>),
}

impl Found {
    fn item(item: Item) -> Found {
        Found::Item(Box::new(item))
    }
}

/// What a conflict is known by: of its space, of where it is and of every write in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id([u8; ID_LEN]);

/// Bytes of an id: those of its space first.
const ID_LEN: usize = SPACE_DIGITS / 2 + 6;

impl Id {
    fn of(space: &SpaceId, parts: &[&[u8]]) -> Id {
        let hash = crdt::derive("conflict", &parts.concat());
        let mut id = [0; ID_LEN];
        let (of, is) = id.split_at_mut(SPACE_DIGITS / 2);
        of.copy_from_slice(&space.0[..of.len()]);
        is.copy_from_slice(&hash[..is.len()]);
        Id(id)
    }

    /// Nothing where no conflict has such an id.
    fn parse(text: &str) -> Option<Id> {
        Some(Id(data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A state of a space, its open conflicts, and the words to describe them.
struct View<'a> {
    space: &'a Space,
    snapshot: Snapshot<RealDisk>,
    collections: BTreeMap<CollId, (String, Manner)>,
    here: DeviceId,
}

/// How many are open. Beyond those at 65,536 keys the others are not counted.
pub async fn count(space: &Arc<Space>) -> Result<u64, Error> {
    let space = space.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let open = index::refresh(&space)?.1.len();
        Ok(open as u64 + items(&space)?.len() as u64)
    });
    counted.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Those that are open: by collection and key, then what this device holds alone. Asking for those of a collection that
/// has none and never will, as its policy is, is [`Error::Peaceful`].
pub fn list(space: &Space, filter: &Filter) -> Result<Vec<Conflict>, Error> {
    let mut listed = Vec::new();
    let mut peaceful = None;
    each(
        space,
        |view| peaceful = view.peaceful(filter),
        |view, found| {
            let conflict = view.describe(found, LISTED_LEN_MAX)?;
            if filter.wants(found, &conflict) && listed.len() < filter.limit {
                listed.push(conflict);
            }
            Ok(listed.len() < filter.limit)
        },
    )?;
    match peaceful {
        Some(policy) if listed.is_empty() => Err(Error::Peaceful { policy }),
        _ => Ok(listed),
    }
}

/// The one of this id with everything that is known about it.
pub fn show(space: &Space, id: &str) -> Result<Option<Conflict>, Error> {
    let Some((view, found)) = find(space, id)? else { return Ok(None) };
    view.whole(&found).map(Some)
}

/// Looks for the conflict at one key after another of a state.
pub(crate) struct OpenAt<'a> {
    space: SpaceId,
    snapshot: &'a Snapshot<RealDisk>,
    /// What was found last: the next key is often one of the same document, which is not read again for each.
    last: Option<(Place, Vec<Contest>)>,
}

impl<'a> OpenAt<'a> {
    pub(crate) fn new(space: SpaceId, snapshot: &'a Snapshot<RealDisk>) -> OpenAt<'a> {
        OpenAt { space, snapshot, last: None }
    }

    pub(crate) fn snapshot(&self) -> &'a Snapshot<RealDisk> {
        self.snapshot
    }

    /// The id of the conflict at a key, if there is one: at a field also that of its whole document.
    pub(crate) fn id(&mut self, place: &Place) -> Result<Option<String>, replica::Error> {
        let named = self.snapshot.contest_place(place.clone())?;
        if self.last.as_ref().is_none_or(|(last, _)| *last != named) {
            let contests = self.snapshot.contests(&named)?;
            self.last = Some((named, contests));
        }
        let mut contests = self.last.iter().flat_map(|(_, contests)| contests);
        let at = contests.find(|contest| contest.place == *place || contest.document_is_gone());
        Ok(at.map(|contest| id_of_contest(&self.space, contest).to_string()))
    }
}

/// The open conflict of this id.
fn find<'a>(space: &'a Space, id: &str) -> Result<Option<(View<'a>, Found)>, Error> {
    let Some(id) = Id::parse(id) else { return Ok(None) };
    let (snapshot, place) = {
        let (snapshot, index) = index::refresh(space)?;
        (snapshot, index.place(&id))
    };
    let described = snapshot.collections()?;
    let view = View::of(space, snapshot, &described)?;
    if let Some(place) = place {
        let mut open = view.snapshot.contests(&place)?.into_iter();
        let contest = open.find(|contest| id_of_contest(&space.id, contest) == id);
        return Ok(contest.map(|contest| (view, Found::Contest(contest))));
    }
    let mut others = names(&described).into_iter().chain(items(space)?.into_iter().map(Found::item));
    let found = others.find(|found| view.id(found) == id);
    Ok(found.map(|found| (view, found)))
}

/// Names that several collections bear.
fn names(described: &[Collection]) -> Vec<Found> {
    let mut same_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for collection in described {
        same_name.entry(&collection.descriptor.name).or_default().push(collection.name.clone());
    }
    let several = same_name.into_iter().filter(|(_, names)| names.len() > 1);
    several.map(|(name, names)| Found::Name(name.to_string(), names)).collect()
}

/// Calls `visit` with each open conflict until it has seen enough; before that `begin`, once.
fn each(
    space: &Space,
    begin: impl FnOnce(&View<'_>),
    mut visit: impl FnMut(&View<'_>, &Found) -> Result<bool, Error>,
) -> Result<(), Error> {
    let (snapshot, places) = {
        let (snapshot, index) = index::refresh(space)?;
        (snapshot, index.places())
    };
    let described = snapshot.collections()?;
    let view = View::of(space, snapshot, &described)?;
    begin(&view);
    for place in places {
        for contest in view.snapshot.contests(&place)? {
            if !visit(&view, &Found::Contest(contest))? {
                return Ok(());
            }
        }
    }
    for found in names(&described).into_iter().chain(items(space)?.into_iter().map(Found::item)) {
        if !visit(&view, &found)? {
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

impl<'a> View<'a> {
    fn of(
        space: &'a Space,
        snapshot: Snapshot<RealDisk>,
        described: &[Collection],
    ) -> Result<View<'a>, Error> {
        let here = space
            .slot
            .call_blocking(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.device().id())))?;
        let mut collections = BTreeMap::new();
        for collection in described {
            let manner = snapshot.manner(collection.id)?.unwrap_or_default();
            collections.insert(collection.id, (collection.name.clone(), manner));
        }
        Ok(View { space, snapshot, collections, here })
    }

    /// One of them with everything that is known about it.
    fn whole(&self, found: &Found) -> Result<Conflict, Error> {
        let ancestor = match found {
            Found::Contest(contest) => ancestor(self.space, contest)?,
            Found::Item(_) | Found::Name(..) => None,
        };
        self.whole_from(found, ancestor)
    }

    /// The same, where it is known what all its sides had seen.
    fn whole_from(&self, found: &Found, ancestor: Option<Touch>) -> Result<Conflict, Error> {
        let mut conflict = self.describe(found, u64::MAX)?;
        if let (Found::Contest(contest), Some(touch)) = (found, ancestor) {
            conflict.ancestor = self.ancestor(contest, &touch)?;
        }
        diff::add(&mut conflict);
        Ok(conflict)
    }

    fn id(&self, found: &Found) -> Id {
        match found {
            Found::Contest(contest) => id_of_contest(&self.space.id, contest),
            Found::Item(item) => {
                Id::of(&self.space.id, &[b"item", item_kind(item.kind).as_bytes(), &item.dot.to_bytes()])
            }
            Found::Name(name, names) => {
                Id::of(&self.space.id, &[b"name", name.as_bytes(), names.concat().as_bytes()])
            }
        }
    }

    /// The policy of the collection that is asked for, where writes of it never disagree.
    fn peaceful(&self, filter: &Filter) -> Option<Policy> {
        let wanted = filter.collection.as_ref()?;
        let (_, manner) = self.collections.values().find(|(name, _)| name == wanted)?;
        let is_one = matches!(manner.policy, Policy::Lww | Policy::Mv | Policy::Copies | Policy::Map);
        (!is_one).then_some(manner.policy)
    }
}

fn id_of_contest(space: &SpaceId, contest: &Contest) -> Id {
    let Place { coll, key } = &contest.place;
    let dots: Vec<u8> = contest.dots().flat_map(|dot| dot.to_bytes()).collect();
    Id::of(space, &[contest_kind(contest.kind).as_bytes(), coll.as_bytes(), key, &dots])
}

fn contest_kind(kind: ContestKind) -> &'static str {
    match kind {
        ContestKind::Siblings => "siblings",
        ContestKind::Deleted => "deleted",
        ContestKind::Revived => "revived",
        ContestKind::Replaced => "replaced",
    }
}

fn item_kind(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Rejected => "rejected",
        ItemKind::Orphaned => "orphaned",
        ItemKind::Reissued => "reissued",
        ItemKind::Unconfirmed => "unconfirmed",
    }
}
