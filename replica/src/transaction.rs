//! A transaction: reads remembered, writes buffered, nothing touched until it commits.

use std::collections::{BTreeMap, BTreeSet};

use btree::{Hash, Kind};
use crdt::commit::PAYLOAD_INLINE_MAX;
use crdt::view::counter::Total;
use crdt::view::mv::Context;
use crdt::view::set::Phase;
use crdt::{BlobRef, CollId, Dot, Payload, Policy, system};
use disk::Disk;
use planted::Bug;

use crate::changes::Changes;
use crate::error::{CommitError, Error};
use crate::record::Note;
use crate::snapshot::{KeyRange, Order, Reading, Snapshot};

/// Largest value: it travels whole, in one frame. Larger ones need a manifest of chunks.
pub(crate) const VALUE_LEN_MAX: usize = sync::frame::BLOB_LEN_MAX;

/// Reads of one visible state, and writes that are valid only while those reads are.
///
/// It sees its own writes. Committing it fails if any key or gap that it read has changed since its snapshot.
pub struct Transaction<D: Disk> {
    pub(crate) snapshot: Snapshot<D>,
    pub(crate) reads: Reads,
    pub(crate) writes: BTreeMap<(CollId, Vec<u8>), Write>,
    pub(crate) blobs: BTreeMap<Hash, Vec<u8>>,
    pub(crate) notes: Vec<Note>,
    /// What is known of the collections written to: asking for every row of a batch would be half its work.
    pub(crate) policies: BTreeMap<CollId, Option<Policy>>,
    inline_bytes: usize,
}

/// An encoded key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// What a transaction wants at a key.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// A new value; with [`Scope::Resolved`] it stands for all that was alive.
    Put(Payload, Scope),
    /// Nothing.
    Delete,
    /// Nothing in place of what somebody saw.
    DeleteSeen(Context),
    /// These writes alive there go, and the others stay.
    Discard(BTreeSet<Dot>),
    /// So much more on a counter: what that makes is known at the commit, when its writer is.
    Count(Total),
    /// An element of a set that only goes forward, unless it is there or further already.
    Advance(Phase),
}

/// What becomes of concurrent writes that a put does not beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// As the collection says.
    AsConfigured,
    /// Superseded: somebody looked at them.
    Resolved,
    /// Superseded as far as its writer saw them.
    Saw(Context),
    /// As the collection says, and these go: the transaction deletes copies of the key, too.
    Beside(BTreeSet<Dot>),
}

/// What a transaction looked at: points, and ranges with their gaps, as physical keys without dots.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    points: BTreeSet<Vec<u8>>,
    pub(crate) ranges: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Reads {
    fn contains(&self, key: &[u8]) -> bool {
        let in_range = |(lo, hi): &(Vec<u8>, Option<Vec<u8>>)| {
            lo.as_slice() <= key && hi.as_ref().is_none_or(|hi| key < hi.as_slice())
        };
        self.points.contains(key) || self.ranges.iter().any(in_range)
    }

    fn is_empty(&self) -> bool {
        self.points.is_empty() && self.ranges.is_empty()
    }
}

impl<D: Disk> Transaction<D> {
    pub(crate) fn new(snapshot: Snapshot<D>) -> Self {
        Self {
            snapshot,
            reads: Reads::default(),
            writes: BTreeMap::new(),
            blobs: BTreeMap::new(),
            notes: Vec::new(),
            policies: BTreeMap::new(),
            inline_bytes: 0,
        }
    }

    /// The state it reads.
    pub fn snapshot(&self) -> &Snapshot<D> {
        &self.snapshot
    }

    /// The value at a key, its own writes included.
    pub fn get(&mut self, coll: CollId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        match self.writes.get(&(coll, key.to_vec())) {
            Some(Write::Put(payload, _)) => self.value(payload).map(Some),
            Some(Write::Delete | Write::DeleteSeen(_)) => Ok(None),
            Some(Write::Discard(_) | Write::Count(_) | Write::Advance(_)) | None => {
                let read = self.read(coll, key)?;
                read.map(|read| self.value(&read.winner.payload)).transpose()
            }
        }
    }

    /// Everything alive at a key in its snapshot, its own writes not included.
    pub fn read(&mut self, coll: CollId, key: &[u8]) -> Result<Option<Reading>, Error> {
        self.reads.points.insert([coll.as_bytes().as_slice(), key].concat());
        self.snapshot.read(coll, key)
    }

    /// Counts a range as read, though somebody else has read it.
    pub fn depend(&mut self, coll: CollId, range: &KeyRange) {
        self.reads.ranges.push(range.physical(coll));
    }

    /// Up to `limit` keys and values of a range, its own writes included.
    ///
    /// What it read reaches as far as the last key it returns, gaps included; with fewer than `limit` keys, over
    /// the whole range.
    pub fn scan(
        &mut self,
        coll: CollId,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<KeyValue>, Error> {
        let found = self.merged(coll, range, order, limit)?;
        let read = match found.last() {
            Some((last, _)) if found.len() == limit => match order {
                Order::Ascending => KeyRange { to: KeyRange::key(last).to, ..range.clone() },
                Order::Descending => KeyRange { from: last.clone(), ..range.clone() },
            },
            _ => range.clone(),
        };
        if planted::is(Bug::ValidateReturnedOnly) {
            let returned = found.iter().map(|(key, _)| [coll.as_bytes().as_slice(), key].concat());
            self.reads.points.extend(returned);
        } else {
            self.reads.ranges.push(read.physical(coll));
        }
        found.into_iter().map(|(key, payload)| Ok((key, self.value(&payload)?))).collect()
    }

    /// Sets the value at a key. Where all values are shown it replaces those of the transaction's snapshot;
    /// [`Transaction::put_seen`] those that somebody saw.
    pub fn put(&mut self, coll: CollId, key: &[u8], value: &[u8]) -> Result<(), CommitError> {
        let scope = match self.check_put(coll, key, "put")? {
            Some(Policy::Mv) => Scope::Saw(Context::of(&self.snapshot.live(coll, key)?)),
            _ => self.discarded(coll, key).cloned().map_or(Scope::AsConfigured, Scope::Beside),
        };
        self.write(coll, key, value, scope)
    }

    /// Takes away whatever is alive at a key: of a document all of it or one field with what is inside, of a set
    /// all that its elements are known by here.
    pub fn delete(&mut self, coll: CollId, key: &[u8]) -> Result<(), CommitError> {
        check_key(coll, key)?;
        self.delete_by_policy(coll, key)
    }

    /// A local note, durable exactly when the commit is, never replicated. An empty value takes it away.
    pub fn note(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        crate::notes::check(key, value)?;
        self.notes.push((key.to_vec(), value.to_vec()));
        Ok(())
    }

    /// How many keys it writes.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether it writes nothing.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// The bytes of all keys, and of the values that lie inside the commit.
    pub(crate) fn inline_bytes(&self) -> usize {
        self.inline_bytes
    }

    /// The bytes of the values that travel beside it.
    pub(crate) fn blob_bytes(&self) -> usize {
        self.blobs.values().map(Vec::len).sum()
    }

    /// Refuses it if a key it read has changed since its snapshot; `changes` includes what is only pending.
    pub(crate) fn validate(&self, changes: &Changes) -> Result<(), CommitError> {
        if self.reads.is_empty() {
            return Ok(());
        }
        let mut changed = changes.since(self.snapshot.change()).ok_or(CommitError::Retry)?;
        match changed.find(|key| self.reads.contains(key)) {
            None => Ok(()),
            Some(key) => {
                let (coll, key) = key.split_at(CollId::LEN);
                let coll = CollId(coll.try_into().expect("split at its length"));
                Err(CommitError::Conflict { coll, key: key.to_vec() })
            }
        }
    }

    pub(crate) fn write(
        &mut self,
        coll: CollId,
        key: &[u8],
        value: &[u8],
        losers: Scope,
    ) -> Result<(), CommitError> {
        check_key(coll, key)?;
        if value.len() > VALUE_LEN_MAX {
            return Err(CommitError::ValueTooLarge { len: value.len(), max: VALUE_LEN_MAX });
        }
        let payload = self.payload(value);
        self.set(coll, key, Write::Put(payload, losers));
        Ok(())
    }

    pub(crate) fn set(&mut self, coll: CollId, key: &[u8], write: Write) {
        let inline = match &write {
            Write::Put(Payload::Inline(value), _) => value.len(),
            _ => 0,
        };
        self.inline_bytes += key.len() + inline;
        if coll == system::coll() {
            self.policies.clear();
        }
        self.writes.insert((coll, key.to_vec()), write);
    }

    /// The writes alive at a key that go, whatever else becomes of it.
    pub(crate) fn discarded(&self, coll: CollId, key: &[u8]) -> Option<&BTreeSet<Dot>> {
        match self.writes.get(&(coll, key.to_vec())) {
            Some(Write::Discard(dots) | Write::Put(_, Scope::Beside(dots))) => Some(dots),
            _ => None,
        }
    }

    fn payload(&mut self, value: &[u8]) -> Payload {
        if value.len() <= PAYLOAD_INLINE_MAX {
            return Payload::Inline(value.to_vec());
        }
        let hash = self.snapshot.0.salt.hash(Kind::Chunk, value);
        self.blobs.entry(hash).or_insert_with(|| value.to_vec());
        Payload::Blob(BlobRef { kind: Kind::Chunk as u8, hash: hash.0, len: value.len() as u64 })
    }

    pub(crate) fn value(&self, payload: &Payload) -> Result<Vec<u8>, Error> {
        if let Payload::Blob(blob) = payload
            && let Some(bytes) = self.blobs.get(&Hash(blob.hash))
        {
            return Ok(bytes.clone());
        }
        self.snapshot.value(payload)
    }

    /// The range as it would be after this transaction, up to `limit` keys.
    fn merged(
        &self,
        coll: CollId,
        range: &KeyRange,
        order: Order,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Payload)>, Error> {
        let mut found: BTreeMap<Vec<u8>, Payload> = BTreeMap::new();
        // Own deletes can hide as many keys as there are.
        let hidden =
            self.writes.values().filter(|write| matches!(write, Write::Delete | Write::DeleteSeen(_)));
        let hidden = hidden.count();
        for read in self.snapshot.scan(coll, range, order)?.take(limit.saturating_add(hidden)) {
            let read = read?;
            found.insert(read.key, read.winner.payload);
        }
        let is_in = |key: &Vec<u8>| *key >= range.from && range.to.as_ref().is_none_or(|to| key < to);
        for ((_, key), write) in self.writes.iter().filter(|((c, key), _)| *c == coll && is_in(key)) {
            match write {
                Write::Put(payload, _) => found.insert(key.clone(), payload.clone()),
                Write::Delete | Write::DeleteSeen(_) => found.remove(key),
                // Until the commit it reads what is there: what shows afterwards is for the views to say.
                Write::Discard(_) | Write::Count(_) | Write::Advance(_) => None,
            };
        }
        Ok(match order {
            Order::Ascending => found.into_iter().take(limit).collect(),
            Order::Descending => found.into_iter().rev().take(limit).collect(),
        })
    }
}

pub(crate) fn check_key(coll: CollId, key: &[u8]) -> Result<(), CommitError> {
    if coll.rule().home_only() {
        return Err(CommitError::HomeOnly { coll });
    }
    crdt::key::check(key).map_err(|_| CommitError::BadKey)
}
