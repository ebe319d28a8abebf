//! A transaction: reads of one moment, and writes that count only while these reads are so.

use crdt::{Class, Dot};
use disk::RealDisk;
use replica::{KeyRange, Order};

use super::{Collection, Error, Space};
use crate::keytext::Key;
use crate::slot::{self, Turn};
use crate::verbs::{Verb, apply};

/// Reads of one moment and writes that land together, or not at all if something it read has changed.
pub struct Transaction {
    pub(super) space: Space,
    pub(super) inner: replica::Transaction<RealDisk>,
}

impl Transaction {
    /// The value at a key, own writes included. If it changes before the commit, there is none.
    pub fn get(&mut self, collection: &Collection, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.inner.get(collection.id, &Key::plain(key).0)?)
    }

    /// Every key that begins with `prefix`, with its value, own writes included. If one comes, goes or changes before the
    /// commit, there is none.
    pub fn scan(&mut self, collection: &Collection, prefix: &str) -> Result<Vec<(Key, Vec<u8>)>, Error> {
        let range = KeyRange::prefix(&crdt::key::prefix_of_text(prefix));
        let found = self.inner.scan(collection.id, &range, Order::Ascending, usize::MAX)?;
        Ok(found.into_iter().map(|(key, value)| (Key(key), value)).collect())
    }

    /// Sets the value at a key.
    pub fn put(&mut self, collection: &Collection, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.inner.put(collection.id, &Key::plain(key).0, value.as_ref())?)
    }

    /// Takes the value at a key away.
    pub fn delete(&mut self, collection: &Collection, key: &str) -> Result<(), Error> {
        Ok(self.inner.delete(collection.id, &Key::plain(key).0)?)
    }

    /// Any other verb.
    pub fn carry_out(&mut self, collection: &Collection, key: &str, verb: &Verb) -> Result<(), Error> {
        Ok(apply(&mut self.inner, collection.id, &Key::plain(key).0, verb)?)
    }

    /// Makes all of it durable in one step; [`Error::Conflict`] if something it read has changed since it began.
    pub fn commit(self) -> Result<Dot, Error> {
        let mut inner = Some(self.inner);
        let committed = self.space.space.slot.call_blocking(1_024, move |owner, now| {
            let Some(transaction) = inner.take() else { return Turn::Done(Err(slot::Error::Contended)) };
            let live = match owner.live_to_write() {
                Ok(live) => live,
                Err(error) => return Turn::Done(Err(error)),
            };
            // Run again it would read something else: that is the caller's to decide.
            let committed = live.replica.commit(now, transaction, Class::Normal);
            if let Ok(committed) = &committed {
                owner.committed(now, committed.dot);
            }
            Turn::Done(committed.map_err(Into::into))
        });
        match committed {
            Ok(committed) => Ok(committed.dot),
            Err(slot::Error::Commit(error)) => Err(error.into()),
            Err(error) => Err(error.into()),
        }
    }
}
