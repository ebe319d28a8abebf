//! The verbs of each policy: what a transaction writes for them, and which a collection refuses.

use std::collections::{BTreeMap, BTreeSet};

use crdt::key::{self, Element, KEY_LEN_MAX};
use crdt::view::copies::{NAME_ROOM, copies, original};
use crdt::view::counter::Total;
use crdt::view::map::{self, MARKER, Parts};
use crdt::view::mv::Context;
use crdt::view::set::{self, ADDED, Phase};
use crdt::view::{Json, Manner};
use crdt::{CollId, Descriptor, Dot, Hlc, Payload, Policy, WriterId, system};
use disk::Disk;
use planted::Bug;

use crate::error::{CommitError, Error};
use crate::snapshot::{KeyRange, Order};
use crate::transaction::{Scope, Transaction, Write, check_key};
use crate::values::{is_in_groups, parts_of};

/// How far a rename goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rename {
    /// What is at the new name is replaced.
    pub force: bool,
    /// Values that lost are given up: what is shown is what moves.
    pub resolve: bool,
}

impl<D: Disk> Transaction<D> {
    /// How a collection is read and written here, one that this very transaction makes included.
    pub fn manner(&self, coll: CollId) -> Result<Option<Manner>, Error> {
        let made = self.writes.get(&(system::coll(), Descriptor::key(&coll)));
        if let Some(Write::Put(Payload::Inline(descriptor), _)) = made {
            return Ok(Descriptor::decode(descriptor).ok().map(|made| Manner::described(&made)));
        }
        self.snapshot.manner(coll)
    }

    /// Sets the value at a key in place of what somebody saw there, and of nothing else.
    pub fn put_seen(
        &mut self,
        coll: CollId,
        key: &[u8],
        value: &[u8],
        seen: Context,
    ) -> Result<(), CommitError> {
        self.check_put(coll, key, "put with a context")?;
        let seen = self.discarded(coll, key).map_or(seen.clone(), |dots| seen.and(dots));
        self.write(coll, key, value, Scope::Saw(seen))
    }

    /// Takes away what somebody saw at a key, and nothing else.
    pub fn delete_seen(&mut self, coll: CollId, key: &[u8], seen: Context) -> Result<(), CommitError> {
        check_key(coll, key)?;
        match self.policy(coll)? {
            None | Some(Policy::Lww | Policy::Mv) => self.set(coll, key, Write::DeleteSeen(seen)),
            Some(Policy::Copies) => match original(key) {
                Some(original) => self.discard_copy(coll, &original, key, Some(&seen))?,
                None => {
                    let seen = self.discarded(coll, key).map_or(seen.clone(), |dots| seen.and(dots));
                    self.set(coll, key, Write::DeleteSeen(seen));
                }
            },
            policy => return Err(refused(policy, "delete with a context")),
        }
        Ok(())
    }

    /// Counts up by `plus` and down by `minus`. It reads nothing, so it never conflicts.
    pub fn count(&mut self, coll: CollId, key: &[u8], plus: u64, minus: u64) -> Result<(), CommitError> {
        check_key(coll, key)?;
        let more = match self.policy(coll)? {
            Some(Policy::GCounter) if minus > 0 => {
                return Err(wrong(Policy::GCounter, "decrement", "increments; a pn-counter takes both"));
            }
            Some(Policy::GCounter) => Total { plus, minus: None },
            Some(Policy::PnCounter) => Total { plus, minus: Some(minus) },
            policy => return Err(refused(policy, "increment")),
        };
        let more = match self.writes.get(&(coll, key.to_vec())) {
            Some(Write::Count(before)) => before.plus(&more).ok_or(CommitError::CountTooLarge)?,
            _ => more,
        };
        self.set(coll, key, Write::Count(more));
        Ok(())
    }

    /// Puts an element into a set.
    pub fn add(&mut self, coll: CollId, of: &Element, element: &[Element]) -> Result<(), CommitError> {
        let key = set::key_of(of, element).map_err(|_| CommitError::BadKey)?;
        check_key(coll, &key)?;
        match self.policy(coll)? {
            Some(Policy::OrSet) => self.write(coll, &key, ADDED, Scope::AsConfigured)?,
            Some(Policy::GSet | Policy::TwoPhaseSet) => self.set(coll, &key, Write::Advance(Phase::Present)),
            policy => return Err(refused(policy, "add")),
        }
        Ok(())
    }

    /// Takes an element out of a set: as far as it was added here, or for good where the policy says so.
    pub fn remove(&mut self, coll: CollId, of: &Element, element: &[Element]) -> Result<(), CommitError> {
        let key = set::key_of(of, element).map_err(|_| CommitError::BadKey)?;
        check_key(coll, &key)?;
        match self.policy(coll)? {
            Some(Policy::OrSet) if planted::is(Bug::RemoveOneAdd) => {
                let latest = self.snapshot.live(coll, &key)?.iter().map(|live| live.dot).max();
                self.set(coll, &key, Write::Discard(latest.into_iter().collect()));
            }
            Some(Policy::OrSet) => self.set(coll, &key, Write::Delete),
            Some(Policy::TwoPhaseSet) => self.set(coll, &key, Write::Advance(Phase::Removed)),
            policy => return Err(refused(policy, "remove")),
        }
        Ok(())
    }

    /// A document as this transaction leaves it. If any of it changes before the commit, there is none.
    pub fn document(
        &mut self,
        coll: CollId,
        key: &[u8],
    ) -> Result<Option<BTreeMap<String, Json>>, CommitError> {
        let (manner, document) = self.document_at(coll, key, "document")?;
        let read = self.parts(coll, &document)?.read(&manner);
        Ok(match read.value {
            Some(Json::Object(fields)) => Some(fields),
            _ => None,
        })
    }

    /// Makes a document what is given, by writing the fields that differ, and only those.
    pub fn put_document(
        &mut self,
        coll: CollId,
        key: &[u8],
        value: &BTreeMap<String, Json>,
    ) -> Result<(), CommitError> {
        check_key(coll, key)?;
        let (manner, document) = self.document_at(coll, key, "document")?;
        let parts = self.parts(coll, &document)?;
        let shown = parts.read(&manner);
        let wanted = map::flatten(value);
        for path in parts.fields.keys().filter(|path| !wanted.contains_key(*path)) {
            self.set(coll, &field_key(&document, path)?, Write::Delete);
        }
        for (path, json) in wanted {
            let is_so = |values: &Vec<map::Value>| values[0].json == json && !shown.hidden.contains(&path);
            if shown.value.is_none() || !parts.fields.get(&path).is_some_and(is_so) {
                self.write(coll, &field_key(&document, &path)?, &json.encode(), Scope::AsConfigured)?;
            }
        }
        if parts.marker.is_empty() {
            self.write(coll, key, MARKER, Scope::AsConfigured)?;
        }
        Ok(())
    }

    /// Takes away every key of a range, as far as it is known here; how many there were. Of documents and sets, those whose
    /// names are in it.
    pub fn delete_range(&mut self, coll: CollId, range: &KeyRange) -> Result<usize, CommitError> {
        let policy = self.policy(coll)?;
        if !matches!(policy, Some(Policy::Lww | Policy::Mv | Policy::Copies | Policy::Map | Policy::OrSet)) {
            return Err(refused(policy, "delete"));
        }
        self.reads.ranges.push(range.physical(coll));
        let found: Result<Vec<Vec<u8>>, Error> =
            self.snapshot.scan(coll, range, Order::Ascending)?.map(|read| Ok(read?.key)).collect();
        let own = self.writes.range((coll, range.from.clone())..).take_while(|((of, _), _)| *of == coll);
        let own = own.map(|((_, key), _)| key).filter(|key| range.to.as_ref().is_none_or(|to| *key < to));
        let keys: BTreeSet<Vec<u8>> = found?.into_iter().chain(own.cloned().collect::<Vec<_>>()).collect();
        let mut names = BTreeSet::new();
        for key in &keys {
            check_key(coll, key)?;
            self.set(coll, key, Write::Delete);
            if is_in_groups(policy.unwrap_or_default()) {
                let first = key::decode(key).map_err(|_| CommitError::BadKey)?.swap_remove(0);
                names.insert(key::encode(&[first]).map_err(|_| CommitError::BadKey)?);
            }
        }
        Ok(if names.is_empty() { keys.len() } else { names.len() })
    }

    /// Moves what is at `old` to `new`, in one step everywhere. What somebody writes at `old` meanwhile stays there.
    pub fn rename(&mut self, coll: CollId, old: &[u8], new: &[u8], how: Rename) -> Result<(), CommitError> {
        check_key(coll, old)?;
        match self.check_rename(coll, new)? {
            Policy::Map => return self.rename_document(coll, old, new, how),
            _ if old == new => return Err(CommitError::Taken { key: new.to_vec() }),
            _ => {}
        }
        let missing = || CommitError::Missing { key: old.to_vec() };
        let read = self.read(coll, old)?.ok_or_else(missing)?;
        if !read.losers.is_empty() && !how.resolve {
            return Err(CommitError::Disputed { key: old.to_vec() });
        }
        if self.read(coll, new)?.is_some() && !how.force {
            return Err(CommitError::Taken { key: new.to_vec() });
        }
        self.set(coll, old, Write::Delete);
        self.set(coll, new, Write::Put(read.winner.payload, Scope::AsConfigured));
        Ok(())
    }

    fn rename_document(
        &mut self,
        coll: CollId,
        old: &[u8],
        new: &[u8],
        how: Rename,
    ) -> Result<(), CommitError> {
        let (manner, document) = self.document_at(coll, old, "rename of a field")?;
        let read = self.parts(coll, &document)?.read(&manner);
        let Some(Json::Object(fields)) = read.value else {
            return Err(CommitError::Missing { key: old.to_vec() });
        };
        if !(read.contested.is_empty() && read.hidden.is_empty() || how.resolve) {
            return Err(CommitError::Disputed { key: old.to_vec() });
        }
        if old == new || self.document(coll, new)?.is_some() && !how.force {
            return Err(CommitError::Taken { key: new.to_vec() });
        }
        self.delete(coll, old)?;
        self.put_document(coll, new, &fields)
    }

    fn check_rename(&mut self, coll: CollId, new: &[u8]) -> Result<Policy, CommitError> {
        let policy = self.policy(coll)?;
        match policy {
            Some(Policy::Lww | Policy::Mv | Policy::Copies) => drop(self.check_put(coll, new, "rename")?),
            Some(Policy::Map) => check_key(coll, new)?,
            policy => return Err(refused(policy, "rename")),
        }
        Ok(policy.unwrap_or_default())
    }

    /// Whether a value may be put at a key; the policy, where it is known here.
    pub(crate) fn check_put(
        &mut self,
        coll: CollId,
        key: &[u8],
        verb: &'static str,
    ) -> Result<Option<Policy>, CommitError> {
        check_key(coll, key)?;
        let policy = self.policy(coll)?;
        match policy {
            // Who knows the id and no more writes by its rule: the descriptor may come later.
            None | Some(Policy::Lww | Policy::Mv) => Ok(policy),
            Some(Policy::Copies) if original(key).is_some() => {
                Err(CommitError::CopyName { key: key.to_vec() })
            }
            Some(Policy::Copies) if key.len() + NAME_ROOM > KEY_LEN_MAX => Err(CommitError::BadKey),
            Some(Policy::Copies) => Ok(policy),
            Some(policy) => Err(refused(Some(policy), verb)),
        }
    }

    /// The delete of a policy.
    pub(crate) fn delete_by_policy(&mut self, coll: CollId, key: &[u8]) -> Result<(), CommitError> {
        match self.policy(coll)? {
            None | Some(Policy::Lww) => self.set(coll, key, Write::Delete),
            Some(Policy::Mv) => {
                let seen = Context::of(&self.snapshot.live(coll, key)?);
                self.set(coll, key, Write::DeleteSeen(seen));
            }
            Some(Policy::Copies) => match original(key) {
                Some(original) => self.discard_copy(coll, &original, key, None)?,
                None => self.set(coll, key, Write::Delete),
            },
            Some(Policy::Map | Policy::OrSet) => {
                let elements = key::decode(key).map_err(|_| CommitError::BadKey)?;
                let (from, to) = key::range_of_tuple(&elements).map_err(|_| CommitError::BadKey)?;
                self.delete_range(coll, &KeyRange { from, to: Some(to) })?;
            }
            policy => return Err(refused(policy, "delete")),
        }
        Ok(())
    }

    /// A copy goes; where it is said what somebody saw, only if that is in it.
    fn discard_copy(
        &mut self,
        coll: CollId,
        original: &[u8],
        copy: &[u8],
        seen: Option<&Context>,
    ) -> Result<(), CommitError> {
        let Some(read) = self.read(coll, original)? else { return Ok(()) };
        let live = [vec![read.winner], read.losers].concat();
        let named = copies(original, &live).map_err(|_| CommitError::BadKey)?;
        let dots = named.iter().filter(|named| named.key == copy).map(|named| named.live.dot);
        let dots = dots.filter(|dot| seen.is_none_or(|seen| seen.dots().contains(dot)));
        let dots: BTreeSet<Dot> =
            self.discarded(coll, original).into_iter().flatten().copied().chain(dots).collect();
        // What the transaction wants at the key itself stays.
        let write = match self.writes.get(&(coll, original.to_vec())) {
            Some(Write::Put(payload, Scope::Saw(seen))) => {
                Write::Put(payload.clone(), Scope::Saw(seen.and(&dots)))
            }
            Some(Write::Put(payload, Scope::Resolved)) => Write::Put(payload.clone(), Scope::Resolved),
            Some(Write::Put(payload, _)) => Write::Put(payload.clone(), Scope::Beside(dots)),
            Some(Write::DeleteSeen(seen)) => Write::DeleteSeen(seen.and(&dots)),
            Some(Write::Delete) => Write::Delete,
            Some(Write::Discard(_) | Write::Count(_) | Write::Advance(_)) | None => Write::Discard(dots),
        };
        self.set(coll, original, write);
        Ok(())
    }

    pub(crate) fn policy(&mut self, coll: CollId) -> Result<Option<Policy>, Error> {
        if let Some(policy) = self.policies.get(&coll) {
            return Ok(*policy);
        }
        let policy = self.manner(coll)?.map(|manner| manner.policy);
        self.policies.insert(coll, policy);
        Ok(policy)
    }

    /// The document that a key names.
    pub(crate) fn document_at(
        &mut self,
        coll: CollId,
        key: &[u8],
        verb: &'static str,
    ) -> Result<(Manner, Element), CommitError> {
        let manner = self.manner(coll)?.filter(|manner| manner.policy == Policy::Map);
        let Some(manner) = manner else { return Err(refused(self.policy(coll)?, verb)) };
        match map::split(key) {
            Some((document, path)) if path.is_empty() => Ok((manner, document)),
            _ => Err(CommitError::BadKey),
        }
    }

    /// What is alive of a document, own writes included. All of it is read, gaps too.
    pub(crate) fn parts(&mut self, coll: CollId, document: &Element) -> Result<Parts, CommitError> {
        let tuple = std::slice::from_ref(document);
        let (from, to) = key::range_of_tuple(tuple).map_err(|_| CommitError::BadKey)?;
        let range = KeyRange { from, to: Some(to) };
        self.reads.ranges.push(range.physical(coll));
        let mut parts = parts_of(&self.snapshot, self.snapshot.scan(coll, &range, Order::Ascending)?)?;
        let own = self.writes.range((coll, range.from.clone())..);
        let own =
            own.take_while(|((of, key), _)| *of == coll && range.to.as_ref().is_some_and(|to| key < to));
        for ((_, key), write) in own {
            let Some((_, path)) = map::split(key) else { continue };
            match (write, path.is_empty()) {
                (Write::Put(payload, _), _) => {
                    // Later than all that is there, as it will be.
                    let dot = Dot::new(WriterId([0xff; 24]), u64::MAX);
                    let live = crdt::view::Live { dot, hlc: Hlc(u64::MAX), payload: payload.clone() };
                    parts.add(path, vec![live], &[self.value(payload)?]);
                }
                (Write::Delete, true) => parts.marker.clear(),
                (Write::Delete, false) => drop(parts.fields.remove(&path)),
                _ => {}
            }
        }
        Ok(parts)
    }
}

pub(crate) fn field_key(document: &Element, path: &[String]) -> Result<Vec<u8>, CommitError> {
    map::key_of(document, path).map_err(|_| CommitError::BadKey)
}

fn wrong(policy: Policy, verb: &'static str, instead: &'static str) -> CommitError {
    CommitError::WrongVerb { policy, verb, instead }
}

/// The refusal of a verb, with what the policy takes.
pub(crate) fn refused(policy: Option<Policy>, verb: &'static str) -> CommitError {
    let policy = policy.unwrap_or_default();
    let instead = match policy {
        Policy::Lww | Policy::Mv | Policy::Copies => "put, delete and rename",
        Policy::Map => "documents: put, patch, delete and rename of JSON objects",
        Policy::OrSet => "add, remove and delete",
        Policy::GSet => "add",
        Policy::TwoPhaseSet => "add and remove",
        Policy::GCounter => "increments",
        Policy::PnCounter => "increments and decrements",
        Policy::Text | Policy::List | Policy::Strong => "nothing in this version",
    };
    wrong(policy, verb, instead)
}
