//! What a key reads as by the policy of its collection: a value, several, a document, a set, a count.

use std::collections::BTreeMap;
use std::iter::Peekable;

use crdt::key::{self, Element};
use crdt::view::lww::Live;
use crdt::view::map::{self, Parts};
use crdt::view::{Json, Manner, Shown, set, show};
use crdt::{CollId, Policy};
use disk::Disk;

use crate::error::Error;
use crate::snapshot::{KeyRange, Order, Reading, Scan, Snapshot};

/// What is read at a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// One value.
    Bytes(Vec<u8>),
    /// Values that nobody has chosen between, the highest first.
    Many(Vec<Vec<u8>>),
    /// A document.
    Document(BTreeMap<String, Json>),
    /// The elements of a set, in order.
    Set(Vec<Vec<Element>>),
    /// A counter.
    Count(i128),
}

/// A key with what is read there.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The encoded key: of a document or a set its name.
    pub key: Vec<u8>,
    /// What is read.
    pub value: Value,
    /// The latest of the writes that make it up.
    pub latest: Live,
    /// Of a register: the other live writes, the highest first.
    pub losers: Vec<Live>,
    /// How many values it has that are not shown, or not shown alone.
    pub disputed: usize,
}

/// The entries of a range.
pub struct Entries<'a, D: Disk> {
    snapshot: &'a Snapshot<D>,
    manner: Manner,
    scan: Peekable<Scan<'a, D>>,
}

/// Whether several keys of a collection of this policy make up one thing: their first element names it.
pub(crate) fn is_in_groups(policy: Policy) -> bool {
    matches!(policy, Policy::Map | Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet)
}

impl<D: Disk> Snapshot<D> {
    /// What is read at a key; none: nothing is there. Of a document or a set it is the name.
    pub fn entry(&self, coll: CollId, manner: Manner, key: &[u8]) -> Result<Option<Entry>, Error> {
        if !is_in_groups(manner.policy) {
            let read = self.read(coll, key)?;
            return read.map_or(Ok(None), |read| self.entry_of(&manner, read));
        }
        let elements = key::decode(key).map_err(|_| Error::BadEntry { reason: "its key" })?;
        let Ok((from, to)) = key::range_of_tuple(&elements[..1]) else { return Ok(None) };
        if elements.len() > 1 {
            return Ok(None);
        }
        let range = KeyRange { from, to: Some(to) };
        self.entries(coll, manner, &range, Order::Ascending)?.next().transpose()
    }

    /// What is read in a range of keys, in order. The range is one of names.
    pub fn entries(
        &self,
        coll: CollId,
        manner: Manner,
        range: &KeyRange,
        order: Order,
    ) -> Result<Entries<'_, D>, Error> {
        Ok(Entries { snapshot: self, manner, scan: self.scan(coll, range, order)?.peekable() })
    }

    /// The entry of one key; none where what lives there says nothing.
    fn entry_of(&self, manner: &Manner, read: Reading) -> Result<Option<Entry>, Error> {
        let Reading { key, winner, losers } = read;
        let live = [std::slice::from_ref(&winner), &losers].concat();
        let (value, disputed) = match show(manner, &live) {
            Shown::Absent | Shown::Present => return Ok(None),
            Shown::Count(count) => (Value::Count(count), 0),
            Shown::One(winner, losers) => (Value::Bytes(self.value(&winner.payload)?), losers.len()),
            Shown::Many(all) => {
                let values = all.iter().map(|live| self.value(&live.payload)).collect::<Result<_, _>>()?;
                (Value::Many(values), all.len() - 1)
            }
        };
        Ok(Some(Entry { key, value, latest: winner, losers, disputed }))
    }

    /// The entry that the keys of one name make up.
    fn entry_of_all(
        &self,
        manner: &Manner,
        name: &Element,
        reads: Vec<Reading>,
    ) -> Result<Option<Entry>, Error> {
        let latest = reads.iter().map(|read| &read.winner).max_by_key(|live| (live.hlc, live.dot)).cloned();
        let (Some(latest), Ok(key)) = (latest, key::encode(std::slice::from_ref(name))) else {
            return Ok(None);
        };
        let (value, disputed) = if manner.policy == Policy::Map {
            let read = parts_of(self, reads.into_iter().map(Ok))?.read(manner);
            let Some(Json::Object(fields)) = read.value else { return Ok(None) };
            (Value::Document(fields), read.contested.len() + read.hidden.len())
        } else {
            let mut elements = Vec::new();
            for read in reads {
                let live = [vec![read.winner], read.losers].concat();
                if let (Some((_, element)), Shown::Present) = (set::split(&read.key), show(manner, &live)) {
                    elements.push((read.key, element));
                }
            }
            if elements.is_empty() {
                return Ok(None);
            }
            elements.sort_by(|a, b| a.0.cmp(&b.0));
            (Value::Set(elements.into_iter().map(|(_, element)| element).collect()), 0)
        };
        Ok(Some(Entry { key, value, latest, losers: Vec::new(), disputed }))
    }
}

/// What is alive of the document whose keys these are.
pub(crate) fn parts_of<D: Disk>(
    snapshot: &Snapshot<D>,
    reads: impl Iterator<Item = Result<Reading, Error>>,
) -> Result<Parts, Error> {
    let mut parts = Parts::default();
    for read in reads {
        let read = read?;
        let Some((_, path)) = map::split(&read.key) else { continue };
        let live = [vec![read.winner], read.losers].concat();
        let bytes = live.iter().map(|live| snapshot.value(&live.payload)).collect::<Result<Vec<_>, _>>()?;
        parts.add(path, live, &bytes);
    }
    Ok(parts)
}

impl<D: Disk> Iterator for Entries<'_, D> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let first = match self.scan.next()? {
                Ok(read) => read,
                Err(error) => return Some(Err(error)),
            };
            let entry = if is_in_groups(self.manner.policy) {
                self.group(first)
            } else {
                self.snapshot.entry_of(&self.manner, first)
            };
            match entry.transpose() {
                Some(entry) => return Some(entry),
                None => continue,
            }
        }
    }
}

impl<D: Disk> Entries<'_, D> {
    fn group(&mut self, first: Reading) -> Result<Option<Entry>, Error> {
        let name = |read: &Reading| key::decode(&read.key).ok().map(|mut elements| elements.swap_remove(0));
        let of = name(&first).ok_or(Error::BadEntry { reason: "its key" })?;
        let mut reads = vec![first];
        while let Some(next) = self.scan.next_if(|next| match next {
            Ok(read) => name(read).as_ref() == Some(&of),
            Err(_) => true,
        }) {
            reads.push(next?);
        }
        self.snapshot.entry_of_all(&self.manner, &of, reads)
    }
}
