//! What can be done at one key, whatever the policy of its collection.

use crdt::key::Element;
use crdt::view::mv::Context;
use crdt::{CollId, Dot, Policy, Time};
use disk::RealDisk;
use replica::{Committed, KeyRange, Order, Rename, Snapshot, Transaction};
use serde_json::Value;

use crate::document;
use crate::slot::{Error, Turn};
use crate::space::{Condition, DiskOwner, Done, commit, transact_unless_so};

/// One verb.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// A value; where documents are kept, a JSON object of which the fields that differ are written.
    Put(Vec<u8>),
    /// A value in place of what somebody saw.
    PutSeen(Vec<u8>, Context),
    /// Nothing there any more; refused when there is nothing.
    Delete,
    /// Nothing in place of what somebody saw; refused when none of that is there.
    DeleteSeen(Context),
    /// An RFC 7396 merge patch of a document.
    Merge(Value),
    /// An RFC 6902 patch of a document.
    Patch(json_patch::Patch),
    /// So much more on a counter, or less.
    Increment(i64),
    /// An element into the set of this name.
    Add(Vec<Element>),
    /// An element out of it; refused when it is not in it.
    Remove(Vec<Element>),
    /// Another name for what is there.
    Rename(Vec<u8>, Rename),
}

impl Verb {
    /// The key that it writes, given that of its request: that of an element, where it is about one.
    pub(crate) fn place(&self, key: &[u8]) -> Result<Vec<u8>, Error> {
        let (Verb::Add(element) | Verb::Remove(element)) = self else { return Ok(key.to_vec()) };
        let place = crdt::view::set::key_of(&set_of(key)?, element);
        Ok(place.map_err(|_| replica::CommitError::BadKey)?)
    }

    /// About how much it brings.
    pub(crate) fn len(&self) -> usize {
        match self {
            Verb::Put(value) | Verb::PutSeen(value, _) => value.len(),
            Verb::Merge(patch) => patch.to_string().len(),
            _ => 64,
        }
    }
}

/// What a reader of a register saw there.
pub(crate) fn seen(entry: &replica::Entry) -> Context {
    Context::of(&[std::slice::from_ref(&entry.latest), &entry.losers].concat())
}

/// The command of one verb at one key.
pub(crate) fn carry_out(
    coll: CollId,
    key: Vec<u8>,
    verb: Verb,
    condition: Condition,
) -> impl FnMut(&mut DiskOwner, Time) -> Turn<Done> + Send + 'static {
    move |owner, now| {
        let verbs = |tx: &mut Transaction<RealDisk>| {
            let must_be_there = matches!(verb, Verb::Delete | Verb::DeleteSeen(_));
            if must_be_there {
                // First of all whether the collection knows the verb.
                apply(tx, coll, &key, &verb)?;
            }
            if condition != Condition::None || must_be_there {
                let found = found(tx, coll, &key)?;
                condition.check(found)?;
                match (found, &verb) {
                    (None, _) if must_be_there => return Err(Error::NoKey),
                    (Some(found), Verb::DeleteSeen(seen)) => check_seen(tx, coll, &key, found, seen)?,
                    _ => {}
                }
            }
            if must_be_there { Ok(()) } else { apply(tx, coll, &key, &verb) }
        };
        transact_unless_so(owner, now, verbs, |snapshot| made_by(snapshot, coll, &key, &verb)).into()
    }
}

/// The one write that made a key what a verb wants; none where several did.
fn made_by(
    snapshot: &Snapshot<RealDisk>,
    coll: CollId,
    key: &[u8],
    verb: &Verb,
) -> Result<Option<Dot>, Error> {
    let range = match verb {
        Verb::Add(_) | Verb::Remove(_) => KeyRange::key(&verb.place(key)?),
        _ => KeyRange::of(snapshot.manner(coll)?.unwrap_or_default().policy, key),
    };
    let mut by = None;
    for read in snapshot.scan(coll, &range, Order::Ascending)? {
        let read = read?;
        if !read.losers.is_empty() || by.is_some_and(|by| by != read.winner.dot) {
            return Ok(None);
        }
        by = Some(read.winner.dot);
    }
    Ok(by)
}

/// The same beside others in a transaction. A delete may find nothing there: it is as it is to be. Not so where it finds what it
/// does not name.
pub(crate) fn apply_beside(
    tx: &mut Transaction<RealDisk>,
    coll: CollId,
    key: &[u8],
    verb: &Verb,
) -> Result<(), Error> {
    apply(tx, coll, key, verb)?;
    if let Verb::DeleteSeen(seen) = verb
        && let Some(found) = found(tx, coll, key)?
    {
        check_seen(tx, coll, key, found, seen)?;
    }
    Ok(())
}

/// The command that deletes every key of a range; how many there were. Where there are none, nothing is written.
pub(crate) fn delete_range(
    coll: CollId,
    range: KeyRange,
) -> impl FnMut(&mut DiskOwner, Time) -> Turn<(Option<Committed>, usize)> + Send + 'static {
    move |owner, now| {
        let mut delete = || {
            let mut transaction = owner.live_to_write()?.replica.begin();
            let count = transaction.delete_range(coll, &range)?;
            let committed = (count > 0).then(|| commit(owner, now, transaction)).transpose()?;
            Ok((committed, count))
        };
        delete().into()
    }
}

/// Writes a verb into a transaction.
pub(crate) fn apply(
    tx: &mut Transaction<RealDisk>,
    coll: CollId,
    key: &[u8],
    verb: &Verb,
) -> Result<(), Error> {
    match verb {
        Verb::Put(value) if is_of_documents(tx, coll)? => {
            let fields = document::parse(value).map_err(|why| Error::NotDocument { why })?;
            tx.put_document(coll, key, &fields)?;
        }
        Verb::Put(value) => tx.put(coll, key, value)?,
        Verb::PutSeen(value, seen) => tx.put_seen(coll, key, value, seen.clone())?,
        Verb::Delete => tx.delete(coll, key)?,
        Verb::DeleteSeen(seen) => tx.delete_seen(coll, key, seen.clone())?,
        Verb::Merge(patch) => edit(tx, coll, key, |value| {
            json_patch::merge(value, patch);
            Ok(())
        })?,
        Verb::Patch(patch) => {
            edit(tx, coll, key, |value| document::patch(value, patch).map_err(|why| Error::BadPatch { why }))?
        }
        Verb::Increment(by) => {
            let (plus, minus) = if *by < 0 { (0, by.unsigned_abs()) } else { (by.unsigned_abs(), 0) };
            tx.count(coll, key, plus, minus)?;
        }
        Verb::Add(element) => tx.add(coll, &set_of(key)?, element)?,
        Verb::Remove(element) => {
            let set = set_of(key)?;
            let place = verb.place(key)?;
            // First of all whether the collection knows the verb.
            tx.remove(coll, &set, element)?;
            let manner = tx.manner(coll)?;
            let live = tx.read(coll, &place)?.map(|read| [vec![read.winner], read.losers].concat());
            let shown = live.as_ref().zip(manner).map(|(live, manner)| crdt::view::show(&manner, live));
            if shown != Some(crdt::view::Shown::Present) {
                return Err(Error::NoKey);
            }
        }
        Verb::Rename(new, how) => tx.rename(coll, key, new, *how)?,
    }
    Ok(())
}

/// Reads a document, changes it, and writes what differs; there is an empty one where there was none.
fn edit(
    tx: &mut Transaction<RealDisk>,
    coll: CollId,
    key: &[u8],
    change: impl FnOnce(&mut Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut value = document::to_value(tx.document(coll, key)?.unwrap_or_default());
    change(&mut value)?;
    let fields = document::from_value(value).map_err(|why| Error::NotDocument { why })?;
    Ok(tx.put_document(coll, key, &fields)?)
}

/// A delete takes something away, or says that it does not. What a context names that never came here is for the commit to
/// refuse.
fn check_seen(
    tx: &mut Transaction<RealDisk>,
    coll: CollId,
    key: &[u8],
    found: Dot,
    seen: &Context,
) -> Result<(), Error> {
    let is_copy = tx.manner(coll)?.is_some_and(|manner| manner.policy == Policy::Copies)
        && crdt::view::copies::original(key).is_some();
    let live = if is_copy { vec![found] } else { dots(tx.read(coll, key)?) };
    if live.iter().any(|dot| seen.dots().contains(dot)) {
        return Ok(());
    }
    for dot in seen.dots() {
        if tx.snapshot().tip(&dot.writer)?.is_none_or(|tip| tip.seq < dot.seq) {
            return Ok(());
        }
    }
    Err(Error::Unseen)
}

fn dots(read: Option<replica::Reading>) -> Vec<Dot> {
    read.iter().flat_map(|read| [&read.winner].into_iter().chain(&read.losers)).map(|live| live.dot).collect()
}

/// The latest write of what is at a key. Reading it is part of the transaction.
fn found(tx: &mut Transaction<RealDisk>, coll: CollId, key: &[u8]) -> Result<Option<crdt::Dot>, Error> {
    let manner = tx.manner(coll)?.unwrap_or_default();
    match manner.policy {
        // A copy lives at the key it is a copy of.
        Policy::Copies if crdt::view::copies::original(key).is_some() => {
            let original = crdt::view::copies::original(key).unwrap_or_default();
            let Some(read) = tx.read(coll, &original)? else { return Ok(None) };
            let live = [vec![read.winner], read.losers].concat();
            let copies = crdt::view::copies::copies(&original, &live).unwrap_or_default();
            Ok(copies.iter().find(|copy| copy.key == key).map(|copy| copy.live.dot))
        }
        Policy::Lww | Policy::Mv | Policy::Copies => Ok(tx.read(coll, key)?.map(|read| read.winner.dot)),
        _ => {
            let range = KeyRange::of(manner.policy, key);
            tx.depend(coll, &range);
            if let Some(entry) = tx.snapshot().entry(coll, manner, key)? {
                return Ok(Some(entry.latest.dot));
            }
            // A field; or what is left of a document that somebody deleted, which a delete takes away for good.
            let first = tx.snapshot().scan(coll, &range, Order::Ascending)?.next().transpose()?;
            Ok(first.map(|read| read.winner.dot))
        }
    }
}

fn is_of_documents(tx: &Transaction<RealDisk>, coll: CollId) -> Result<bool, Error> {
    Ok(tx.manner(coll)?.is_some_and(|manner| manner.policy == Policy::Map))
}

/// The set that a key names.
fn set_of(key: &[u8]) -> Result<Element, Error> {
    let bad = || Error::Commit(replica::CommitError::BadKey);
    let mut elements = crdt::key::decode(key).map_err(|_| bad())?;
    if elements.len() == 1 { Ok(elements.swap_remove(0)) } else { Err(bad()) }
}
