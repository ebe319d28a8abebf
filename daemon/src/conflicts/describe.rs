//! A conflict in words and values, as its collection reads them.

use std::collections::BTreeMap;

use crdt::view::lww::Live;
use crdt::view::{Manner, copies};
use crdt::{CollId, Dot, Hlc, Op, Payload, Policy};
use replica::{Contest, ContestKind, Item, Touch};

use super::{Found, View, contest_kind, item_kind};
use crate::api::types::{Conflict, Key, Side, Value};
use crate::document;
use crate::slot::Error;
use crate::told;

/// One write that is to be described.
struct Write<'a> {
    dot: Dot,
    hlc: Hlc,
    payload: Option<&'a Payload>,
}

impl<'a> Write<'a> {
    fn of(live: &'a Live) -> Write<'a> {
        Write { dot: live.dot, hlc: live.hlc, payload: Some(&live.payload) }
    }
}

impl View<'_> {
    pub(super) fn describe(&self, found: &Found, len_max: u64) -> Result<Conflict, Error> {
        let mut conflict = Conflict {
            id: self.id(found).to_string(),
            space: self.space.name.clone(),
            collection: None,
            key: None,
            path: None,
            kind: "name".to_string(),
            policy: None,
            winner: None,
            losers: Vec::new(),
            reason: None,
            ancestor: None,
        };
        match found {
            Found::Contest(contest) => self.describe_contest(&mut conflict, contest, len_max)?,
            Found::Item(item) => {
                conflict.kind = item_kind(item.kind).to_string();
                conflict.reason = Some(item.reason.clone());
                conflict.losers = self.writes(item, len_max)?;
                if let [only] = conflict.losers.as_slice() {
                    (conflict.collection, conflict.key) = (only.collection.clone(), only.key.clone());
                    conflict.path.clone_from(&only.path);
                }
            }
            Found::Name(name, names) => {
                conflict.collection = Some(name.clone());
                conflict.reason = Some(format!("collections of one name: {}", names.join(", ")));
            }
        }
        Ok(conflict)
    }

    fn describe_contest(
        &self,
        conflict: &mut Conflict,
        contest: &Contest,
        len_max: u64,
    ) -> Result<(), Error> {
        let coll = contest.place.coll;
        conflict.kind = contest_kind(contest.kind).to_string();
        conflict.collection = Some(self.name(coll));
        conflict.key = Some(self.name_of(coll, &contest.place.key)?);
        conflict.path = told::pointer(&self.manner(coll), &contest.place.key);
        conflict.policy = Some(contest.policy.to_string());
        if contest.document_is_gone() {
            return self.describe_document(conflict, contest, len_max);
        }
        let side = |live: &Live, key: &[u8]| self.side(coll, key, &Write::of(live), len_max);
        if let Some(winner) = &contest.winner {
            let mut winner = side(winner, &contest.shown_at)?;
            if contest.kind == ContestKind::Replaced {
                winner.path = told::pointer(&self.manner(coll), &contest.shown_at);
                let at = winner.path.as_deref().unwrap_or_default();
                conflict.reason = Some(format!("a later write at {at} takes its place"));
            }
            conflict.winner = Some(winner);
        }
        let names = self.copy_names(contest)?;
        for loser in &contest.losers {
            let key = names.get(&loser.dot).cloned();
            conflict.losers.push(Side { key, ..side(loser, &contest.place.key)? });
        }
        Ok(())
    }

    /// A document that one deleted and another edited: all that is left of it is one side.
    fn describe_document(
        &self,
        conflict: &mut Conflict,
        contest: &Contest,
        len_max: u64,
    ) -> Result<(), Error> {
        let live = contest.winner.iter().chain(&contest.losers);
        let len = live.clone().map(|live| told::len(Some(&live.payload))).sum();
        let latest = live.max_by_key(|live| (live.hlc, live.dot)).expect("fields are left");
        let value = contest.document.clone().filter(|_| len <= len_max);
        let value = value.map(|fields| Value::Json(document::to_value(fields)));
        let place = &contest.place;
        let bare = Write { payload: None, ..Write::of(latest) };
        let left = Side { value, len, ..self.side(place.coll, &place.key, &bare, len_max)? };
        if contest.kind == ContestKind::Deleted {
            conflict.losers.push(left);
            conflict.reason = Some("who deleted the document had not seen what is left of it".to_string());
        } else {
            conflict.winner = Some(left);
            conflict.reason =
                Some("who deleted the document had not seen this, and so it is there again".to_string());
        }
        Ok(())
    }

    fn name(&self, coll: CollId) -> String {
        self.collections.get(&coll).map_or_else(|| coll.to_string(), |(name, _)| name.clone())
    }

    fn manner(&self, coll: CollId) -> Manner {
        self.collections.get(&coll).map(|(_, manner)| *manner).unwrap_or_default()
    }

    /// The key that a person knows it by: of a field that of its document.
    fn name_of(&self, coll: CollId, key: &[u8]) -> Result<Key, Error> {
        let place = replica::Place { coll, key: key.to_vec() };
        Ok(Key(self.snapshot.contest_place(place)?.key))
    }

    /// The names that the losers of a key show under, where each has one.
    fn copy_names(&self, contest: &Contest) -> Result<BTreeMap<Dot, Key>, Error> {
        if contest.policy != Policy::Copies {
            return Ok(BTreeMap::new());
        }
        let key = &contest.place.key;
        let live = self.snapshot.live(contest.place.coll, key)?;
        // A key too long for the names of copies, which nobody honest writes, has none.
        let copies = copies::copies(key, &live).unwrap_or_default();
        Ok(copies.into_iter().map(|copy| (copy.live.dot, Key(copy.key))).collect())
    }

    /// All that a commit wrote which counts no more.
    fn writes(&self, item: &Item, len_max: u64) -> Result<Vec<Side>, Error> {
        let Some(commit) = &item.commit else { return Ok(Vec::new()) };
        let hlc = commit.header().hlc;
        let sides = commit.body().mutations.iter().map(|mutation| {
            let payload = match &mutation.op {
                Op::Put(payload) => Some(payload),
                Op::Delete => None,
            };
            let write = Write { dot: item.dot, hlc, payload };
            let side = self.side(mutation.coll, &mutation.key, &write, len_max)?;
            Ok(Side {
                collection: Some(self.name(mutation.coll)),
                key: Some(self.name_of(mutation.coll, &mutation.key)?),
                path: told::pointer(&self.manner(mutation.coll), &mutation.key),
                ..side
            })
        });
        sides.collect()
    }

    fn side(&self, coll: CollId, key: &[u8], write: &Write<'_>, len_max: u64) -> Result<Side, Error> {
        let Write { dot, hlc, payload } = *write;
        Ok(Side {
            value: told::value(&self.snapshot, &self.manner(coll), key, payload, len_max)?,
            len: told::len(payload),
            dot: dot.to_string(),
            device: told::device(&dot.writer),
            here: dot.writer.device() == self.here,
            hlc: hlc.0,
            collection: None,
            key: None,
            path: None,
            diff: None,
        })
    }

    /// The last write that all sides had seen, if its value can still be read.
    pub(super) fn ancestor(&self, contest: &Contest, touch: &Touch) -> Result<Option<Side>, Error> {
        let Op::Put(payload) = &touch.op else { return Ok(None) };
        let write = Write { dot: touch.dot, hlc: touch.hlc, payload: Some(payload) };
        let side = self.side(contest.place.coll, &contest.place.key, &write, u64::MAX)?;
        Ok(Some(side).filter(|side| side.value.is_some()))
    }
}
