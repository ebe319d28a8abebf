//! Collections: how they are made, which one a name means, and how they treat concurrent writes.

use crdt::view::lww::lww;
use crdt::view::{Manner, Siblings};
use crdt::{CollId, Descriptor, Dot, Hlc, Policy, system};
use disk::Disk;

use crate::error::{CommitError, Error};
use crate::home::HomeWrite;
use crate::snapshot::{KeyRange, Order, Snapshot};
use crate::transaction::Transaction;
use crate::view::View;

/// When a descriptor was first there, the collection it describes, and the descriptor.
type Described = ((Hlc, Dot), CollId, Descriptor);

/// Digits of the id that tell two collections of one name apart.
const SUFFIX_DIGITS: usize = 8;

/// A collection, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    /// The name that means it here: its own, or with a part of its id where another one has that name.
    pub name: String,
    /// Its id.
    pub id: CollId,
    /// What it was made as.
    pub descriptor: Descriptor,
}

impl<D: Disk> Transaction<D> {
    /// Makes a collection, or finds that it is there; either way its id.
    pub fn create_collection(&mut self, descriptor: &Descriptor) -> Result<CollId, CommitError> {
        let id = descriptor.id();
        let key = Descriptor::key(&id);
        // An id names its descriptor: once there, another copy would say the same.
        if self.get(system::coll(), &key)?.is_none() {
            self.put(system::coll(), &key, &descriptor.encode())?;
        }
        Ok(id)
    }
}

impl<D: Disk> Snapshot<D> {
    /// The collection that a name means: the one the home pinned, else the one that was there first.
    pub fn collection(&self, name: &str) -> Result<Option<CollId>, Error> {
        Ok(self.collections()?.into_iter().find(|collection| collection.name == name).map(|found| found.id))
    }

    /// Every collection, by name.
    pub fn collections(&self) -> Result<Vec<Collection>, Error> {
        let mut described = self.described()?;
        described.sort_by(|a, b| (&a.2.name, a.0).cmp(&(&b.2.name, b.0)));
        let mut collections: Vec<Collection> = Vec::with_capacity(described.len());
        for same_name in described.chunk_by(|a, b| a.2.name == b.2.name) {
            let pinned = self.pinned(&same_name[0].2.name)?;
            let owner = pinned.unwrap_or(same_name[0].1);
            collections.extend(same_name.iter().map(|(_, id, descriptor)| {
                let name = if *id == owner { descriptor.name.clone() } else { suffixed(descriptor, id) };
                Collection { name, id: *id, descriptor: descriptor.clone() }
            }));
        }
        collections.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(collections)
    }

    /// What a collection was made as.
    pub fn descriptor(&self, coll: CollId) -> Result<Option<Descriptor>, Error> {
        self.0.descriptor(coll)
    }

    /// Every descriptor whose id is its own, with when it was first there.
    fn described(&self) -> Result<Vec<Described>, Error> {
        let mut described = Vec::new();
        for read in self.scan(system::coll(), &KeyRange::all(), Order::Ascending)? {
            let read = read?;
            let live = read.losers.iter().chain([&read.winner]);
            let first = live.map(|live| (live.hlc, live.dot)).min().expect("a reading has a winner");
            if let Some(descriptor) = decode(&self.value(&read.winner.payload)?, &read.key) {
                described.push((first, descriptor.id(), descriptor));
            }
        }
        Ok(described)
    }

    /// The collection that the home pinned a name to.
    fn pinned(&self, name: &str) -> Result<Option<CollId>, Error> {
        let pinned = self.get(system::name(), &crdt::key::plain(name.as_bytes()))?;
        Ok(pinned.and_then(|id| id.try_into().ok()).map(CollId))
    }
}

impl<D: Disk> View<D> {
    pub(crate) fn descriptor(&self, coll: CollId) -> Result<Option<Descriptor>, Error> {
        let key = Descriptor::key(&coll);
        let live = self.live(system::coll(), &key)?;
        match live.first() {
            Some(live) => Ok(decode(&self.value(&live.payload)?, &key)),
            None => Ok(None),
        }
    }

    /// How a collection is read and written: as it was made, unless the home says otherwise; none: nobody said here yet.
    pub(crate) fn manner(&self, coll: CollId) -> Result<Option<Manner>, Error> {
        let Some(descriptor) = self.descriptor(coll)? else { return Ok(None) };
        let made = Manner::described(&descriptor);
        let said = self.live(system::meta(), &Descriptor::key(&coll))?;
        let said = match lww(&said) {
            // What is no manner, or none for what is stored there, says nothing.
            Some(read) => Manner::decode(&self.value(&read.winner.payload)?).ok(),
            None => None,
        };
        Ok(Some(said.filter(|said| made.may_become(said)).unwrap_or(made)))
    }
}

impl<D: Disk> Snapshot<D> {
    /// How a collection is read and written; none: its descriptor is not here yet.
    pub fn manner(&self, coll: CollId) -> Result<Option<Manner>, Error> {
        self.0.manner(coll)
    }
}

/// What the home writes to have a collection read in another manner from now on.
pub fn view_write(coll: CollId, manner: &Manner) -> HomeWrite {
    HomeWrite { coll: system::meta(), key: Descriptor::key(&coll), value: Some(manner.encode()) }
}

/// The parameters of an `lww` collection that keeps what lost until somebody resolves it.
pub fn keep_losers() -> Vec<u8> {
    Manner { siblings: Siblings::Keep, ..Manner::of(Policy::Lww) }.params()
}

/// A descriptor stored under its own id; others are ignored.
fn decode(bytes: &[u8], key: &[u8]) -> Option<Descriptor> {
    Descriptor::decode(bytes).ok().filter(|descriptor| Descriptor::key(&descriptor.id()) == key)
}

fn suffixed(descriptor: &Descriptor, id: &CollId) -> String {
    // The first byte is the rule, which says little about which collection it is.
    format!("{}~{}", descriptor.name, &id.to_string()[2..2 + SUFFIX_DIGITS])
}
