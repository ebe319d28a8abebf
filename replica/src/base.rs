//! The base moves: nodes to a pack, one manifest write, and what follows from it for the tail and for readers.

use std::collections::BTreeMap;
use std::sync::Arc;

use btree::{Fresh, Hash, Nodes};
use crdt::{Handle, Time, WriterId};
use disk::Disk;

use crate::checkpoint::write_pack;
use crate::error::Error;
use crate::history::vector_changes;
use crate::home::Roots;
use crate::manifest::{Manifest, RECENT_MAX};
use crate::replica::Replica;
use crate::view::tip_in;

impl<D: Disk> Replica<D> {
    /// Moves the base, by one manifest write, to a Handle whose trees are in the packs.
    pub(crate) fn move_base(&mut self, now: Time, handle: Handle) -> Result<(), Error> {
        let nodes = self.pending.nodes.clone();
        self.write_base(now, &handle, &nodes, self.manifest.clone())?;
        let taken = self.take_base(handle, nodes);
        self.stop_on_error(taken)
    }

    /// New nodes in a pack of their own, durable: a manifest must never name a root whose nodes may be lost.
    pub(crate) fn write_nodes(
        &mut self,
        handle: &Handle,
        fresh: Fresh,
        mut manifest: Manifest,
    ) -> Result<Nodes<D>, Error> {
        if fresh.is_empty() {
            return Ok(self.pending.nodes.clone());
        }
        let name = self.next_pack_name();
        manifest.base = handle.clone();
        let pack = write_pack(&self.pending.nodes, &name, fresh, &mut manifest)?;
        Ok(self.pending.nodes.with_pack(&pack)?)
    }

    /// One manifest write that names this base and these packs.
    pub(crate) fn write_base(
        &mut self,
        now: Time,
        handle: &Handle,
        nodes: &Nodes<D>,
        mut manifest: Manifest,
    ) -> Result<(), Error> {
        let before = std::mem::replace(&mut manifest.base, handle.clone());
        if before.version > 0 && before.version != handle.version {
            manifest.recent.push((before.version, Hash(before.vv_root)));
        }
        let excess = manifest.recent.len().saturating_sub(RECENT_MAX);
        manifest.recent.drain(..excess);
        manifest.ring = self.ring.records().to_vec();
        manifest.packs = nodes.packs();
        self.write_manifest(now, manifest)
    }

    /// The manifest says so: the base is this Handle now, for the owner and, in the same step, for readers. After an error
    /// memory is behind the manifest, and whoever called stops the replica.
    pub(crate) fn take_base(&mut self, handle: Handle, nodes: Nodes<D>) -> Result<(), Error> {
        let before = Hash(self.pending.base.vv_root);
        let after = Hash(handle.vv_root);
        for (writer, tip) in vector_changes(&nodes, &before, &after)? {
            self.tail.cover(&writer, tip.seq);
        }
        let mut covered: BTreeMap<WriterId, u64> = BTreeMap::new();
        for writer in self.heads.writers() {
            covered.insert(writer, tip_in(&nodes, &after, &writer)?.map_or(0, |tip| tip.seq));
        }
        // What the base covers, everybody has before a commit's base lets it in.
        self.heads.forget(|dot| covered.get(&dot.writer).is_some_and(|seq| *seq >= dot.seq));
        // The present base again is no reason to give up what is fetched of a newer one.
        if handle.version > self.pending.base.version {
            self.fetch = None;
            self.is_in_doubt = false;
        }
        self.pending.base = Arc::new(handle);
        self.pending.nodes = nodes;
        self.pending.change = self.changes.version();
        self.show();
        self.close_writers()
    }
}

/// What a Handle signs.
pub(crate) fn roots_of(handle: &Handle) -> Roots {
    Roots { data: Hash(handle.data_root), vector: Hash(handle.vv_root) }
}
