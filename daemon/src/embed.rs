//! A replica inside another program: no sockets, no threads of its own, the same folder and the same guarantees.

use std::path::Path;
use std::sync::Arc;

use crdt::{Class, CollId, Descriptor, Dot, Element, Policy};
use disk::RealDisk;
use replica::{KeyRange, Order, Snapshot};

use crate::api::types::{Conflict, Settled};
use crate::config::{self, Settings};
use crate::conflicts::{self, Filter, Settle};
use crate::feed::{self, Follower, Start};
use crate::identity::Identity;
use crate::keytext::Key;
use crate::slot::{self, Turn};
use crate::space::{self, Condition, check_name};
use crate::spaces::{self, Spaces};
use crate::verbs::{Verb, apply, carry_out};

/// How often a transaction is run again whose reads changed.
const ATTEMPTS_MAX: usize = 64;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings of the folder.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] spaces::Error),
    /// The space.
    #[error(transparent)]
    Space(#[from] slot::Error),
    /// The change feed.
    #[error(transparent)]
    Feed(#[from] feed::Error),
    /// Names of spaces and collections.
    #[error("{0}")]
    Name(String),
    /// The transaction read something that has changed since: run it again.
    #[error("what the transaction read has changed since")]
    Conflict,
}

impl From<replica::Error> for Error {
    fn from(error: replica::Error) -> Error {
        Error::Space(error.into())
    }
}

impl From<replica::CommitError> for Error {
    fn from(error: replica::CommitError) -> Error {
        match error {
            replica::CommitError::Conflict { .. } | replica::CommitError::Retry => Error::Conflict,
            error => Error::Space(error.into()),
        }
    }
}

/// A data directory, opened by this program. Only one at a time may have it open.
pub struct Replica {
    spaces: Arc<Spaces>,
}

/// One space of a [`Replica`].
#[derive(Clone)]
pub struct Space {
    spaces: Arc<Spaces>,
    space: Arc<space::Space>,
}

/// One ordered map of a [`Space`].
#[derive(Clone)]
pub struct Collection {
    space: Space,
    id: CollId,
}

/// Reads of one moment and writes that land together, or not at all if something it read has changed.
pub struct Transaction {
    space: Space,
    inner: replica::Transaction<RealDisk>,
}

impl Replica {
    /// Opens the data directory at `dir`, and makes it a new device if there is none.
    pub fn open(dir: impl AsRef<Path>) -> Result<Replica, Error> {
        let dir = dir.as_ref();
        if !dir.join(crate::identity::FILE_NAME).exists() {
            Identity::create(dir).map_err(spaces::Error::from)?;
        }
        let settings = Settings::load(dir)?;
        Ok(Replica { spaces: Arc::new(Spaces::open(dir, settings, replica::Mode::ReadWrite)?) })
    }

    /// The space of this name; made here, and homed here, if there is none.
    pub fn space(&self, name: &str) -> Result<Space, Error> {
        let space = match self.spaces.find(name) {
            Some(space) => space,
            None => self.spaces.create(name)?,
        };
        Ok(Space { spaces: self.spaces.clone(), space })
    }

    /// The names of all spaces.
    pub fn spaces(&self) -> Vec<String> {
        self.spaces.all().iter().map(|space| space.name.clone()).collect()
    }
}

impl Drop for Replica {
    /// What was acknowledged is durable anyway; this saves the next start the replay.
    fn drop(&mut self) {
        self.spaces.close_blocking();
        self.spaces.release();
    }
}

impl Space {
    /// The collection of this name; made with the policy `lww` if there is none.
    pub fn collection(&self, name: &str) -> Result<Collection, Error> {
        self.collection_of(name, Policy::Lww)
    }

    /// The collection of this name; made with this policy if there is none.
    pub fn collection_of(&self, name: &str, policy: Policy) -> Result<Collection, Error> {
        check_name(name).map_err(Error::Name)?;
        let found = self.space.collection(&self.snapshot()?, name)?;
        let id = match found {
            Some(id) => id,
            None => {
                let descriptor = Descriptor { name: name.to_string(), policy, params: Vec::new() };
                let id = self.space.slot.call_blocking(name.len(), space::create_collection(descriptor))?;
                self.space.forget_names();
                id
            }
        };
        Ok(Collection { space: self.clone(), id })
    }

    /// A transaction on what is visible now.
    pub fn begin(&self) -> Result<Transaction, Error> {
        let begun = self
            .space
            .slot
            .call_blocking(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.begin())))?;
        Ok(Transaction { space: self.clone(), inner: begun })
    }

    /// Reads everything again and compares it with what it should be; damage is in the report.
    pub fn verify(&self) -> Result<replica::Report, Error> {
        let report = self.space.slot.call_blocking(0, |owner, _| {
            Turn::Done(owner.live().and_then(|live| live.replica.verify().map_err(Into::into)))
        });
        Ok(report?)
    }

    /// Runs `work` in a transaction and commits it; again from the beginning, up to 64 times, where something that it
    /// read has changed meanwhile. What `work` does beside reading and writing happens each time.
    pub fn transact<T>(
        &self,
        mut work: impl FnMut(&mut Transaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS_MAX {
            let mut transaction = self.begin()?;
            let value = work(&mut transaction)?;
            match transaction.commit() {
                Ok(_) => return Ok(value),
                Err(Error::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Conflict)
    }

    /// What is in conflict in it, at most `limit` of them.
    pub fn conflicts(&self, limit: usize) -> Result<Vec<Conflict>, Error> {
        Ok(conflicts::list(&self.space, &Filter { limit, ..Filter::default() })?)
    }

    /// Settles one of them.
    pub fn settle(&self, id: &str, how: &Settle) -> Result<Settled, Error> {
        Ok(conflicts::settle(&self.space, id, how)?)
    }

    /// The change feed, from now on or from an earlier cursor.
    pub fn watch(&self, start: Start) -> Result<Follower, Error> {
        Ok(Follower::new(&self.spaces, self.space.clone(), None, start)?)
    }

    /// Its name on this device.
    pub fn name(&self) -> &str {
        &self.space.name
    }

    fn snapshot(&self) -> Result<Snapshot<RealDisk>, Error> {
        Ok(self.space.slot.snapshot_blocking()?)
    }
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

    /// Takes the value at a key away, durably; whether there was one.
    pub fn delete(&self, key: &str) -> Result<bool, Error> {
        match self.write(key, Verb::Delete) {
            Ok(_) => Ok(true),
            Err(Error::Space(slot::Error::NoKey)) => Ok(false),
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
        let snapshot = self.space.snapshot()?;
        let manner = snapshot.manner(self.id)?.unwrap_or_default();
        Ok(snapshot.entry(self.id, manner, &Key::plain(key).0)?.map(|entry| entry.value))
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

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Space({} in {})", self.space.name, self.spaces.data().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_program_writes_reads_and_finds_it_again() {
        let data = Scratch::new("embed");
        {
            let replica = Replica::open(data.path()).unwrap();
            let notes = replica.space("mine").unwrap().collection("notes").unwrap();
            notes.put("greeting", "hello").unwrap();
            notes.put("other", "x").unwrap();
            notes.delete("other").unwrap();
        }
        let replica = Replica::open(data.path()).unwrap();
        let notes = replica.space("mine").unwrap().collection("notes").unwrap();
        assert_eq!(notes.get("greeting").unwrap().as_deref(), Some(&b"hello"[..]));
        assert_eq!(notes.get("other").unwrap(), None);
        let all: Vec<_> = notes.scan("gr").unwrap().into_iter().map(|(key, _)| key.to_string()).collect();
        assert_eq!(all, ["greeting"]);
    }

    #[test]
    fn a_transaction_whose_reads_changed_is_refused_whole() {
        let data = Scratch::new("embed-conflict");
        let replica = Replica::open(data.path()).unwrap();
        let space = replica.space("mine").unwrap();
        let stock = space.collection("stock").unwrap();
        stock.put("apples", "3").unwrap();
        let mut sale = space.begin().unwrap();
        assert_eq!(sale.get(&stock, "apples").unwrap().as_deref(), Some(&b"3"[..]));
        sale.put(&stock, "apples", "2").unwrap();
        sale.put(&stock, "sold", "1").unwrap();
        stock.put("apples", "0").unwrap();
        assert!(matches!(sale.commit(), Err(Error::Conflict)));
        assert_eq!(stock.get("sold").unwrap(), None);
    }

    #[test]
    fn what_changed_meanwhile_is_read_again() {
        let data = Scratch::new("embed-retry");
        let replica = Replica::open(data.path()).unwrap();
        let space = replica.space("mine").unwrap();
        let stock = space.collection("stock").unwrap();
        stock.put("apples", "3").unwrap();
        let mut runs = 0;
        let left = space.transact(|tx| {
            let counted = tx.scan(&stock, "")?.len();
            runs += 1;
            if runs == 1 {
                stock.put("pears", "1")?;
            }
            tx.put(&stock, "count", counted.to_string())?;
            Ok(counted)
        });
        assert_eq!((left.unwrap(), runs), (2, 2), "a key that came into the range is a change");
        assert_eq!(stock.get("count").unwrap().as_deref(), Some(&b"2"[..]));
    }

    #[test]
    fn a_follower_is_told_what_is_written() {
        let data = Scratch::new("embed-watch");
        let cursor = {
            let replica = Replica::open(data.path()).unwrap();
            let space = replica.space("mine").unwrap();
            let notes = space.collection("notes").unwrap();
            let mut follower = space.watch(Start::Now).unwrap();
            notes.put("a", "1").unwrap();
            notes.delete("a").unwrap();
            let told = follower.next_events().unwrap();
            let ops: Vec<&str> = told.iter().map(|event| event.data.changes[0].op.as_str()).collect();
            assert_eq!(ops, ["put", "delete"]);
            notes.put("b", "2").unwrap();
            follower.cursor()
        };
        let replica = Replica::open(data.path()).unwrap();
        let space = replica.space("mine").unwrap();
        let mut follower = space.watch(Start::Cursor(cursor)).unwrap();
        let told = follower.next_events().unwrap();
        assert_eq!(told.len(), 1, "a restart loses nothing and repeats nothing here");
        assert_eq!(told[0].data.changes[0].key, Key::plain("b"));
        assert_eq!(follower.next_events().unwrap(), []);
    }

    #[test]
    fn one_directory_has_one_owner() {
        let data = Scratch::new("embed-lock");
        let replica = Replica::open(data.path()).unwrap();
        assert!(matches!(Replica::open(data.path()), Err(Error::Folder(spaces::Error::InUse { .. }))));
        drop(replica);
        assert!(Replica::open(data.path()).is_ok());
    }
}
