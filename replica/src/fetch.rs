//! A Handle whose trees are fetched from a peer: nodes by hash, level by level, then the values they name.
//!
//! What is damaged here counts as what is not here.

use std::collections::BTreeSet;

use btree::{Fresh, Hash, Kind, Node, Source, empty_root};
use crdt::{BlobRef, Handle, Payload, Time};
use disk::Disk;
use sync::{Adoption, NodeId};

use crate::error::Error;
use crate::replica::Replica;

/// A fetch under way. Nothing of it is believed or written before it is whole.
pub(crate) struct Fetch {
    pub(crate) handle: Handle,
    pub(crate) fresh: Fresh,
    /// Named by what is here, and not here.
    pub(crate) wanted: BTreeSet<NodeId>,
}

impl<D: Disk> Replica<D> {
    /// Begins to fetch a Handle, or goes on with it; what a fetch of another one has brought stays of use.
    pub(crate) fn adopt_fetched(&mut self, now: Time, handle: Handle) -> Result<Adoption, Error> {
        let fetched = self.fetch.take();
        let mut fetch = match fetched {
            Some(fetch) if fetch.handle == handle => fetch,
            Some(fetch) => Fetch { handle, wanted: BTreeSet::new(), ..fetch },
            None => Fetch { handle, fresh: Fresh::new(self.pending.salt), wanted: BTreeSet::new() },
        };
        fetch.wanted = self.missing(&fetch)?;
        let wanted = fetch.wanted.iter().copied().collect();
        self.fetch = Some(fetch);
        self.go_on(now, wanted)
    }

    /// Takes fetched nodes. Bytes nobody asked for, or that do not hash to their name, are the sender's fault.
    pub(crate) fn take_nodes(
        &mut self,
        now: Time,
        nodes: Vec<(Kind, Hash, Vec<u8>)>,
    ) -> Result<Adoption, Error> {
        self.check_mendable()?;
        self.take_lost(now, &nodes)?;
        let Some(mut fetch) = self.fetch.take() else { return Ok(Adoption::Stale) };
        let mut wanted = Vec::new();
        let taken: Result<(), Error> = nodes.into_iter().try_for_each(|(kind, hash, bytes)| {
            if fetch.wanted.contains(&(kind, hash)) {
                self.take_node(&mut fetch, kind, hash, &bytes, &mut wanted)?;
            }
            Ok(())
        });
        self.fetch = Some(fetch);
        taken?;
        self.go_on(now, wanted)
    }

    /// Whether a fetch is under way, and of which version.
    pub fn fetching(&self) -> Option<u64> {
        self.fetch.as_ref().map(|fetch| fetch.handle.version)
    }

    /// A node that is wanted, if these are its bytes; what it names and is not here is wanted from now on.
    pub(crate) fn take_node(
        &self,
        fetch: &mut Fetch,
        kind: Kind,
        hash: Hash,
        bytes: &[u8],
        wanted: &mut Vec<NodeId>,
    ) -> Result<(), Error> {
        if self.pending.salt.hash(kind, bytes) != hash {
            return Err(Error::WrongNode { hash });
        }
        fetch.fresh.insert_raw(kind, bytes)?;
        fetch.wanted.remove(&(kind, hash));
        for lost in self.lacking_below(&fetch.fresh, named_by(kind, hash, bytes)?)? {
            if fetch.wanted.insert(lost) {
                wanted.push(lost);
            }
        }
        Ok(())
    }

    /// Adopts what is whole; else says what to ask for next.
    fn go_on(&mut self, now: Time, wanted: Vec<NodeId>) -> Result<Adoption, Error> {
        let mut fetch = self.fetch.take().expect("it was there a moment ago");
        if !fetch.wanted.is_empty() {
            self.fetch = Some(fetch);
            return Ok(Adoption::Fetch(wanted));
        }
        // What a fetch of another Handle has brought may be here without what it names.
        fetch.wanted = self.missing(&fetch)?;
        if !fetch.wanted.is_empty() {
            let wanted = fetch.wanted.iter().copied().collect();
            self.fetch = Some(fetch);
            return Ok(Adoption::Fetch(wanted));
        }
        let Fetch { handle, fresh, .. } = &fetch;
        match disk::during("fetch", || self.rebuild_fetched(now, handle.clone(), fresh.clone())) {
            Ok(()) => Ok(Adoption::Adopted),
            Err(error) if self.is_only_damage(&error, handle) => {
                self.wait_to_adopt(handle);
                self.fetch = Some(fetch);
                Ok(Adoption::Fetch(Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes up a Handle of which everything was fetched that was not here.
    pub(crate) fn rebuild_fetched(
        &mut self,
        now: Time,
        handle: Handle,
        mut fresh: Fresh,
    ) -> Result<(), Error> {
        let roots = roots(&handle);
        for (kind, root) in roots {
            // Each node was checked by its hash; this checks that they fit each other.
            let missing = btree::missing(Source::new(&self.pending.nodes, &fresh), kind, &root)?;
            if let Some(hash) = missing.into_iter().next() {
                return Err(Error::BadNode { hash, reason: "it is not a node of the tree that names it" });
            }
        }
        // Before anything is written: what it is held against may be damaged.
        self.check_covers_base(&handle, &fresh)?;
        match self.pending.nodes.is_damaged() {
            true if self.is_inbox_whole() => return self.rebuild_sound(now, handle, fresh),
            // Nobody else has the inbox, so that its pack stays, and what was fetched goes into one beside it.
            true => {}
            false => fresh.keep_trees(&roots),
        }
        self.rebuild_on(now, handle, fresh, &[])
    }

    /// What is named by what is here already, from the roots down.
    fn missing(&self, fetch: &Fetch) -> Result<BTreeSet<NodeId>, Error> {
        self.lacking_below(&fetch.fresh, roots(&fetch.handle).to_vec())
    }

    /// Of these, and of all that is below them, what is not here.
    pub(crate) fn lacking_below(
        &self,
        fresh: &Fresh,
        mut open: Vec<NodeId>,
    ) -> Result<BTreeSet<NodeId>, Error> {
        let is_damaged = self.pending.nodes.is_damaged();
        let (mut lacking, mut seen) = (BTreeSet::new(), BTreeSet::new());
        while let Some((kind, hash)) = open.pop() {
            if hash == empty_root(kind) || !seen.insert((kind, hash)) {
                continue;
            }
            match fresh.raw(&hash).filter(|_| fresh.kind(&hash) == Some(kind)) {
                Some(bytes) => open.extend(named_by(kind, hash, bytes)?),
                None if !self.is_here(fresh, (kind, hash)) => drop(lacking.insert((kind, hash))),
                // Anything may be damaged below what is whole.
                None if is_damaged && kind.is_tree() => match self.pending.nodes.raw(&hash) {
                    Ok(Some(bytes)) => open.extend(named_by(kind, hash, &bytes)?),
                    Ok(None) | Err(_) => drop(lacking.insert((kind, hash))),
                },
                None => {}
            }
        }
        Ok(lacking)
    }

    /// A node in a pack has all below it here, values included: only whole trees are written. The name of another kind
    /// of thing is one that nobody can send.
    fn is_here(&self, fresh: &Fresh, (kind, hash): NodeId) -> bool {
        let packed = || self.pending.nodes.find(&hash).map(|(kind, _)| kind);
        let value = || self.pending.overlay.blobs.get(&hash).map(|_| Kind::Chunk);
        fresh.kind(&hash).or_else(packed).or_else(value) == Some(kind)
    }
}

pub(crate) fn roots(handle: &Handle) -> [NodeId; 2] {
    [(Kind::Data, Hash(handle.data_root)), (Kind::Vector, Hash(handle.vv_root))]
}

/// The children of a branch, the values of a leaf of data.
fn named_by(kind: Kind, hash: Hash, bytes: &[u8]) -> Result<Vec<NodeId>, Error> {
    if !kind.is_tree() {
        return Ok(Vec::new());
    }
    let malformed = |damage| btree::Error::Malformed { kind, hash, damage };
    let node = Node::decode(kind, bytes).map_err(malformed)?;
    if !node.is_leaf() {
        return Ok((0..node.len()).map(|row| (kind, node.child(row).hash)).collect());
    }
    if kind == Kind::Vector {
        return Ok(Vec::new());
    }
    let payloads = (0..node.len()).map(|row| Payload::decode(&node.value(row).payload));
    let mut named = Vec::new();
    for payload in payloads {
        match payload.map_err(|_| Error::BadNode { hash, reason: "an entry's payload is none" })? {
            Payload::Blob(BlobRef { kind: BlobRef::CHUNK, hash, .. }) => {
                named.push((Kind::Chunk, Hash(hash)))
            }
            // Manifests of chunks are not made by this version; their reader finds them not local.
            Payload::Blob(_) | Payload::Inline(_) => {}
        }
    }
    Ok(named)
}
