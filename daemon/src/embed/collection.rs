//! One collection: values by key, and the verbs of its policy.

use crdt::view::mv::Context;
use crdt::{CollId, Dot, Element};
use replica::{KeyRange, Order};

use super::{Error, Space};
use crate::keytext::Key;
use crate::slot;
use crate::space::Condition;
use crate::verbs::{Verb, carry_out, seen};

/// One ordered map of a [`Space`].
#[derive(Clone)]
pub struct Collection {
    pub(super) space: Space,
    pub(super) id: CollId,
}

impl Collection {
    /// The value at a key.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.space.snapshot()?.get(self.id, &Key::plain(key).0)?)
    }

    /// Sets the value at a key; durable when this returns.
    pub fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Result<Dot, Error> {
        self.write(key, Verb::Put(value.as_ref().to_vec()))
    }

    /// Sets the value at a key in place of what a [`Collection::read`] saw there, and of nothing else.
    pub fn put_seen(&self, key: &str, value: impl AsRef<[u8]>, seen: &Context) -> Result<Dot, Error> {
        self.write(key, Verb::PutSeen(value.as_ref().to_vec(), seen.clone()))
    }

    /// Takes the value at a key away, durably; whether there was one.
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        self.take_away(key, Verb::Delete)
    }

    /// Takes away what a [`Collection::read`] saw at a key, and nothing else; whether any of it was there.
    pub fn delete_seen(&self, key: &str, seen: &Context) -> Result<bool, Error> {
        self.take_away(key, Verb::DeleteSeen(seen.clone()))
    }

    fn take_away(&self, key: &str, verb: Verb) -> Result<bool, Error> {
        match self.write(key, verb) {
            Ok(_) => Ok(true),
            Err(Error::Space(slot::Error::NoKey | slot::Error::Unseen)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts up, or down; durable when this returns.
    pub fn increment(&self, key: &str, by: i64) -> Result<Dot, Error> {
        self.write(key, Verb::Increment(by))
    }

    /// Puts an element into a set.
    pub fn add(&self, set: &str, element: &str) -> Result<Dot, Error> {
        self.write(set, Verb::Add(vec![Element::Text(element.to_owned())]))
    }

    /// Takes an element out of a set.
    pub fn remove(&self, set: &str, element: &str) -> Result<Dot, Error> {
        self.write(set, Verb::Remove(vec![Element::Text(element.to_owned())]))
    }

    /// Any other verb.
    pub fn carry_out(&self, key: &str, verb: Verb) -> Result<Dot, Error> {
        self.write(key, verb)
    }

    /// What a key reads as, by the policy of the collection.
    pub fn value(&self, key: &str) -> Result<Option<replica::Value>, Error> {
        Ok(self.entry(key)?.map(|entry| entry.value))
    }

    /// What a key of a register reads as, and what to say when writing in its place.
    pub fn read(&self, key: &str) -> Result<Option<(replica::Value, Context)>, Error> {
        Ok(self.entry(key)?.map(|entry| {
            let seen = seen(&entry);
            (entry.value, seen)
        }))
    }

    fn entry(&self, key: &str) -> Result<Option<replica::Entry>, Error> {
        let snapshot = self.space.snapshot()?;
        let manner = snapshot.manner(self.id)?.unwrap_or_default();
        Ok(snapshot.entry(self.id, manner, &Key::plain(key).0)?)
    }

    fn write(&self, key: &str, verb: Verb) -> Result<Dot, Error> {
        let work = carry_out(self.id, Key::plain(key).0, verb.clone(), Condition::None);
        Ok(self.space.space.slot.call_blocking(key.len() + verb.len(), work)?.dot)
    }

    /// Every key that begins with `prefix`, with its value, in order. The encoded keys sort as their values do.
    pub fn scan(&self, prefix: &str) -> Result<Vec<(Key, Vec<u8>)>, Error> {
        let snapshot = self.space.snapshot()?;
        let range = KeyRange::prefix(&crdt::key::prefix_of_text(prefix));
        let mut found = Vec::new();
        for reading in snapshot.scan(self.id, &range, Order::Ascending)? {
            let reading = reading?;
            let value = snapshot.value(&reading.winner.payload)?;
            found.push((Key(reading.key), value));
        }
        Ok(found)
    }
}
