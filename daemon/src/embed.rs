//! A replica inside another program: no sockets, the same folder and the same guarantees, and no thread of its own but for
//! a resolver of conflicts.

mod collection;
mod resolver;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use crdt::{Descriptor, Policy};
use disk::RealDisk;
use replica::Snapshot;

use crate::api::types::{Conflict, Settled};
use crate::config::{self, Settings};
use crate::conflicts::{self, Filter, Settle};
use crate::feed::{self, Follower, Start};
use crate::identity::Identity;
use crate::slot::{self, Turn};
use crate::space::{self, check_name};
use crate::spaces::{self, Spaces};
pub use collection::Collection;
pub use resolver::{Resolver, ResolverError};
pub use transaction::Transaction;

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

    /// What came of conflicts here since the start, by the policy of their collection and by outcome: what `/metrics` shows as
    /// `strandline_conflicts_total`.
    pub fn conflict_outcomes(&self) -> BTreeMap<(String, &'static str), u64> {
        self.space.metrics.outcomes()
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

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Space({} in {})", self.space.name, self.spaces.data().display())
    }
}
