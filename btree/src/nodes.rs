//! Where nodes are read from: packs through a cache, and what is not in a pack yet.

use std::sync::Arc;

use disk::Disk;

use crate::cache::Cache;
use crate::error::{Damage, Error};
use crate::fresh::Fresh;
use crate::hash::{Hash, Kind, Salt};
use crate::node::Node;
use crate::pack::{Pack, PackRef};

/// A handle to the nodes and chunks of a space's packs: cheap to clone, for any number of threads.
///
/// It names its packs once and for all; a new pack gives a new handle ([`Nodes::with_pack`]), so who still reads
/// through an old one is not disturbed.
pub struct Nodes<D: Disk> {
    disk: D,
    salt: Salt,
    cache: Cache,
    packs: Arc<[Arc<Pack<D::File>>]>,
}

impl<D: Disk> Clone for Nodes<D> {
    fn clone(&self) -> Nodes<D> {
        Nodes {
            disk: self.disk.clone(),
            salt: self.salt,
            cache: self.cache.clone(),
            packs: self.packs.clone(),
        }
    }
}

impl<D: Disk> Nodes<D> {
    /// No packs yet. `disk` is the folder of the packs.
    pub fn new(disk: D, salt: Salt) -> Nodes<D> {
        Nodes { disk, salt, cache: Cache::default(), packs: Arc::new([]) }
    }

    /// Opens these packs, and checks the index of each.
    pub fn open(disk: D, salt: Salt, packs: &[PackRef]) -> Result<Nodes<D>, Error> {
        let packs =
            packs.iter().map(|pack| Pack::open(&disk, pack).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Nodes { disk, salt, cache: Cache::default(), packs })
    }

    /// The same, with this cache. Spaces may share one.
    pub fn with_cache(mut self, cache: Cache) -> Nodes<D> {
        self.cache = cache;
        self
    }

    /// These packs and one more.
    pub fn with_pack(&self, pack: &PackRef) -> Result<Nodes<D>, Error> {
        let opened = Arc::new(Pack::open(&self.disk, pack)?);
        Ok(Nodes { packs: self.packs.iter().cloned().chain([opened]).collect(), ..self.clone() })
    }

    /// These packs without one. Its file stays: older handles may still read it.
    pub fn without_pack(&self, name: &str) -> Nodes<D> {
        let packs = self.packs.iter().filter(|pack| pack.name() != name).cloned().collect();
        Nodes { packs, ..self.clone() }
    }

    /// The packs, in the order they were added.
    pub fn packs(&self) -> Vec<PackRef> {
        self.packs.iter().map(|pack| pack.to_ref()).collect()
    }

    /// What one pack holds, in the order of the hashes; nothing if it is not one of these.
    pub fn pack_entries(&self, name: &str) -> Vec<(Kind, Hash, usize)> {
        self.packs.iter().filter(|pack| pack.name() == name).flat_map(|pack| pack.entries()).collect()
    }

    /// The key of this space's hashes.
    pub fn salt(&self) -> Salt {
        self.salt
    }

    pub(crate) fn disk(&self) -> &D {
        &self.disk
    }

    /// Whether something of this name is in a pack.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.find(hash).is_some()
    }

    /// What has this name in a pack, and its length. A name is that of one kind of thing.
    pub fn find(&self, hash: &Hash) -> Option<(Kind, usize)> {
        let place = self.packs.iter().rev().find_map(|pack| pack.find(hash))?;
        Some((place.kind, place.len))
    }

    /// The bytes of this name, whatever their kind, if they are in a pack. They were hashed again.
    pub fn raw(&self, hash: &Hash) -> Result<Option<Vec<u8>>, Error> {
        // The newest pack is the likeliest to hold what is asked for.
        match self.packs.iter().rev().find_map(|pack| Some((pack, pack.find(hash)?))) {
            Some((pack, place)) => pack.read(&self.salt, hash, place).map(Some),
            None => Ok(None),
        }
    }

    /// The node of this name, verified when it was read from its pack.
    pub fn load(&self, kind: Kind, hash: &Hash) -> Result<Arc<Node>, Error> {
        if let Some(node) = self.cache.get(kind, hash) {
            return Ok(node);
        }
        let node = Arc::new(self.load_uncached(kind, hash)?);
        self.cache.insert(*hash, node.clone());
        Ok(node)
    }

    pub(crate) fn load_uncached(&self, kind: Kind, hash: &Hash) -> Result<Node, Error> {
        let found = self.packs.iter().rev().find_map(|pack| {
            let place = pack.find(hash).filter(|place| place.kind == kind)?;
            Some((pack, place))
        });
        let (pack, place) = found.ok_or(Error::Missing { kind, hash: *hash })?;
        let bytes = pack.read(&self.salt, hash, place)?;
        Node::decode(kind, &bytes).map_err(|damage| pack.damaged(place.offset, damage))
    }
}

/// Packs, and what is not in one yet: everything a tree is read from.
pub struct Source<'a, D: Disk> {
    nodes: &'a Nodes<D>,
    fresh: Option<&'a Fresh>,
}

impl<D: Disk> Clone for Source<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D: Disk> Copy for Source<'_, D> {}

impl<'a, D: Disk> From<&'a Nodes<D>> for Source<'a, D> {
    fn from(nodes: &'a Nodes<D>) -> Source<'a, D> {
        Source { nodes, fresh: None }
    }
}

impl<'a, D: Disk> Source<'a, D> {
    /// Reads both; what is in `fresh` is found there.
    pub fn new(nodes: &'a Nodes<D>, fresh: &'a Fresh) -> Source<'a, D> {
        Source { nodes, fresh: Some(fresh) }
    }

    /// The packs.
    pub fn nodes(&self) -> &'a Nodes<D> {
        self.nodes
    }

    /// What is not in a pack.
    pub fn fresh(&self) -> Option<&'a Fresh> {
        self.fresh
    }

    /// The node of this name.
    pub fn load(&self, kind: Kind, hash: &Hash) -> Result<Arc<Node>, Error> {
        match self.fresh.and_then(|fresh| fresh.node(kind, hash)) {
            Some(node) => Ok(node),
            None => self.nodes.load(kind, hash),
        }
    }

    /// Whether something of this name can be read.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.fresh.is_some_and(|fresh| fresh.contains(hash)) || self.nodes.contains(hash)
    }

    /// The bytes of this name, whatever their kind, if they are here.
    pub fn raw(&self, hash: &Hash) -> Result<Option<Vec<u8>>, Error> {
        match self.fresh.and_then(|fresh| fresh.raw(hash)) {
            Some(bytes) => Ok(Some(bytes.to_vec())),
            None => self.nodes.raw(hash),
        }
    }

    /// A child, one level below its parent: whatever a root's signer did, going down comes to an end.
    pub(crate) fn child(&self, parent: &Node, i: usize) -> Result<Arc<Node>, Error> {
        let (kind, child) = (parent.kind(), parent.child(i));
        let node = self.load(kind, &child.hash)?;
        let total = node.total();
        match node.level() + 1 == parent.level() && (total.count, total.bytes) == (child.count, child.bytes) {
            true => Ok(node),
            false => Err(Error::Shape { kind, hash: child.hash, damage: Damage::Parent }),
        }
    }

    /// The node of this name, read and hashed again whatever a cache holds.
    pub(crate) fn load_anew(&self, kind: Kind, hash: &Hash) -> Result<Arc<Node>, Error> {
        match self.fresh.and_then(|fresh| fresh.node(kind, hash)) {
            Some(node) if self.nodes.salt.hash(kind, node.as_bytes()) == *hash => Ok(node),
            Some(_) => Err(Error::Malformed { kind, hash: *hash, damage: Damage::Hash }),
            None => self.nodes.load_uncached(kind, hash).map(Arc::new),
        }
    }

    /// The top of a tree, if it has any entry.
    pub(crate) fn root(&self, kind: Kind, root: &Hash) -> Result<Option<Arc<Node>>, Error> {
        if *root == crate::hash::empty_root(kind) {
            return Ok(None);
        }
        self.load(kind, root).map(Some)
    }
}
