//! Where nodes are read from: packs through a cache, and what is not in a pack yet.

use std::sync::Arc;

use disk::Disk;

use crate::cache::Cache;
use crate::damaged::Damaged;
use crate::error::{Damage, Error};
use crate::fresh::Fresh;
use crate::hash::{Hash, Kind, Salt};
use crate::node::Node;
use crate::pack::{Pack, PackRef, Place};

/// A handle to the nodes and chunks of a space's packs: cheap to clone, for any number of threads.
///
/// It names its packs once and for all; a new pack gives a new handle ([`Nodes::with_pack`]), so who still reads
/// through an old one is not disturbed.
pub struct Nodes<D: Disk> {
    disk: D,
    salt: Salt,
    cache: Cache,
    packs: Arc<[Arc<Pack<D::File>>]>,
    damaged: Damaged,
}

impl<D: Disk> Clone for Nodes<D> {
    fn clone(&self) -> Nodes<D> {
        Nodes {
            disk: self.disk.clone(),
            salt: self.salt,
            cache: self.cache.clone(),
            packs: self.packs.clone(),
            damaged: self.damaged.clone(),
        }
    }
}

impl<D: Disk> Nodes<D> {
    /// No packs yet. `disk` is the folder of the packs.
    pub fn new(disk: D, salt: Salt) -> Nodes<D> {
        Nodes { disk, salt, cache: Cache::default(), packs: Arc::new([]), damaged: Damaged::default() }
    }

    /// Opens these packs, and checks the index of each.
    pub fn open(disk: D, salt: Salt, packs: &[PackRef]) -> Result<Nodes<D>, Error> {
        let packs =
            packs.iter().map(|pack| Pack::open(&disk, pack).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(Nodes { disk, salt, cache: Cache::default(), packs, damaged: Damaged::default() })
    }

    /// Opens these packs but for those whose index cannot be read: what is in them is lost. Each that is damaged is noted.
    pub fn open_readable(disk: D, salt: Salt, packs: &[PackRef]) -> Nodes<D> {
        let nodes = Nodes::new(disk, salt);
        let open = |pack: &PackRef| {
            let opened = Pack::open_readable(&nodes.disk, pack);
            if !matches!(opened, Ok((_, Ok(())))) {
                nodes.damaged.note(&Hash([0; 32]), Some(&pack.name));
            }
            opened.ok().map(|(opened, _)| Arc::new(opened))
        };
        let packs = packs.iter().filter_map(open).collect();
        Nodes { packs, ..nodes }
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

    /// Whether something of this name is in a pack, and not known to be damaged there.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.find(hash).is_some()
    }

    /// What has this name in a pack, and its length. A name is that of one kind of thing. What is known to be damaged is
    /// not found.
    pub fn find(&self, hash: &Hash) -> Option<(Kind, usize)> {
        let sound =
            |pack: &Arc<Pack<D::File>>| pack.find(hash).filter(|_| !self.damaged.contains(hash, pack.name()));
        let place = self.packs.iter().rev().find_map(sound)?;
        Some((place.kind, place.len))
    }

    /// The bytes of this name, whatever their kind, if they are in a pack. They were hashed again.
    pub fn raw(&self, hash: &Hash) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.read(hash, |_| true)?.map(|(_, _, bytes)| bytes))
    }

    /// The bytes of a value of this name, if they are in a pack. They were hashed again.
    pub fn chunk(&self, hash: &Hash) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.read(hash, |place| place.kind == Kind::Chunk)?.map(|(_, _, bytes)| bytes))
    }

    /// The first copy that is whole. The newest pack is the likeliest to hold what is asked for.
    fn read(&self, hash: &Hash, is_asked: impl Fn(&Place) -> bool) -> Result<Option<Read<'_, D>>, Error> {
        let mut failed = None;
        for pack in self.packs.iter().rev() {
            let Some(place) = pack.find(hash).filter(&is_asked) else { continue };
            match pack.read(&self.salt, hash, place) {
                Ok(bytes) => return Ok(Some((pack, place, bytes))),
                Err(error) => {
                    self.damaged.note(hash, Some(pack.name()));
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Whether something was met that is not what was written, and is not mended.
    pub fn is_damaged(&self) -> bool {
        !self.damaged.is_empty()
    }

    /// Rises whenever damage is met that was not known.
    pub fn damage_noted(&self) -> u64 {
        self.damaged.noted()
    }

    /// Something is lacking that nobody has met here: nothing below a node is taken for whole.
    pub fn suspect(&self) {
        self.damaged.note(&Hash([0; 32]), None);
    }

    /// Reads one copy again, and notes it if it is damaged. One that this pack does not have is fine.
    pub fn check(&self, pack: &str, hash: &Hash) -> Result<(), Error> {
        let found = self.packs.iter().find(|it| it.name() == pack).and_then(|it| Some((it, it.find(hash)?)));
        let Some((pack, place)) = found else { return Ok(()) };
        pack.read(&self.salt, hash, place).map(drop).inspect_err(|_| {
            self.damaged.note(hash, Some(pack.name()));
        })
    }

    /// Reads again what was noted, and forgets what turns out whole: a read may fail once. Whether anything is left, or was
    /// in no pack: that is forgotten, too, since whoever goes through the trees finds it.
    pub fn check_again(&self) -> bool {
        let mut is_left = false;
        for entry in self.damaged.all() {
            let is_whole = entry.1.as_ref().is_none_or(|pack| self.check(pack, &entry.0).is_ok());
            is_left |= !is_whole || entry.1.is_none();
            if is_whole {
                self.damaged.forget(&entry);
            }
        }
        is_left
    }

    /// What is known to be damaged: its name, and that of its pack.
    pub fn damaged(&self) -> Vec<(Hash, String)> {
        let entries = self.damaged.all().into_iter();
        entries.filter_map(|(hash, pack)| Some((hash, pack?))).collect()
    }

    /// These packs are whole again: what was noted was in others.
    pub fn forget_damaged(&self) {
        self.damaged.all().iter().for_each(|entry| self.damaged.forget(entry));
    }

    /// Everything in a pack that is not known to be damaged there goes into `fresh`.
    pub fn salvage(&self, name: &str, fresh: &mut Fresh) -> Result<(), Error> {
        let Some(pack) = self.packs.iter().find(|pack| pack.name() == name) else { return Ok(()) };
        for (hash, place) in pack.places().filter(|(hash, _)| !self.damaged.contains(hash, name)) {
            let bytes = pack.read(&self.salt, &hash, place).inspect_err(|_| {
                self.damaged.note(&hash, Some(name));
            })?;
            fresh.insert_raw(place.kind, &bytes)?;
        }
        Ok(())
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
        let Some((pack, place, bytes)) = self.read(hash, |place| place.kind == kind)? else {
            self.damaged.note(hash, None);
            return Err(Error::Missing { kind, hash: *hash });
        };
        Node::decode(kind, &bytes).map_err(|damage| pack.damaged(place.offset, damage))
    }
}

/// A copy that is whole: in which pack, where there, and its bytes.
type Read<'a, D> = (&'a Pack<<D as Disk>::File>, Place, Vec<u8>);

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
