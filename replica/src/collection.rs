//! Collections: how they are made, which one a name means, and how they treat concurrent writes.

use crdt::view::lww::{Live, Losers, supersedes_delete, supersedes_put};
use crdt::{CollId, Descriptor, Dot, Encoder, Hlc, Policy, Supersede, system};
use disk::Disk;

use crate::error::{CommitError, Error};
use crate::replica::Replica;
use crate::snapshot::{KeyRange, Order, Snapshot};
use crate::transaction::{Scope, Transaction, Write};
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
    fn descriptor(&self, coll: CollId) -> Result<Option<Descriptor>, Error> {
        let key = Descriptor::key(&coll);
        let live = self.live(system::coll(), &key)?;
        match live.first() {
            Some(live) => Ok(decode(&self.value(&live.payload)?, &key)),
            None => Ok(None),
        }
    }
}

impl<D: Disk> Replica<D> {
    /// The dots that a write at a key replaces, of all that is pending.
    pub(crate) fn superseded(
        &mut self,
        coll: CollId,
        key: &[u8],
        write: &Write,
        dot: Dot,
        hlc: Hlc,
    ) -> Result<Vec<Dot>, Error> {
        let rule = coll.rule();
        if rule.supersede() == Supersede::HomeOnly && !dot.writer.is_home() {
            return Ok(Vec::new());
        }
        let mut live: Vec<Live> = self.pending.live(coll, key)?;
        live.retain(|live| rule.may_supersede(&dot.writer, &live.dot.writer));
        Ok(match write {
            _ if live.is_empty() => Vec::new(),
            Write::Put(_, Scope::AsConfigured) => supersedes_put(&live, self.losers(coll)?, hlc, dot),
            Write::Put(_, Scope::Resolved) | Write::Delete => supersedes_delete(&live),
            Write::Discard(dots) => {
                live.retain(|live| dots.contains(&live.dot));
                supersedes_delete(&live)
            }
        })
    }

    /// How a collection treats writes that lost.
    fn losers(&mut self, coll: CollId) -> Result<Losers, Error> {
        if let Some(losers) = self.losers.get(&coll) {
            return Ok(*losers);
        }
        let Some(descriptor) = self.pending.descriptor(coll)? else { return Ok(Losers::Replace) };
        let losers = losers_of(&descriptor);
        self.losers.insert(coll, losers);
        Ok(losers)
    }
}

/// The parameters of an `lww` collection that keeps what lost until somebody resolves it.
pub fn keep_losers() -> Vec<u8> {
    let mut params = Encoder::new();
    params.array(1).uint(1);
    params.finish()
}

fn losers_of(descriptor: &Descriptor) -> Losers {
    match descriptor.policy {
        Policy::Copies => Losers::Keep,
        _ if descriptor.params == keep_losers() => Losers::Keep,
        _ => Losers::Replace,
    }
}

/// A descriptor stored under its own id; others are ignored.
fn decode(bytes: &[u8], key: &[u8]) -> Option<Descriptor> {
    Descriptor::decode(bytes).ok().filter(|descriptor| Descriptor::key(&descriptor.id()) == key)
}

fn suffixed(descriptor: &Descriptor, id: &CollId) -> String {
    // The first byte is the rule, which says little about which collection it is.
    format!("{}~{}", descriptor.name, &id.to_string()[2..2 + SUFFIX_DIGITS])
}
