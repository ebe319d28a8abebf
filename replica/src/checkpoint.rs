//! From the overlay into the local trees: nodes to a pack, then the manifest, and the log before it is folded.

use btree::{Fresh, Kind, Nodes, PackRef, Value};
use crdt::vector::Row;
use crdt::{Time, Tip, WriterId};
use disk::Disk;

use crate::error::Error;
use crate::home::Roots;
use crate::manifest::Manifest;
use crate::overlay::Overlay;
use crate::replica::Replica;
use crate::snapshot::Snapshot;

/// The work of a checkpoint, as a value: any thread may run it, while its replica goes on.
pub struct CheckpointJob<D: Disk> {
    visible: Snapshot<D>,
    pack: String,
    collections: u64,
    /// The manifest as it will be, but for the new roots and pack.
    manifest: Manifest,
}

/// A checkpoint whose pack is durable and whose manifest is not written yet.
pub struct CheckpointDone<D: Disk> {
    visible: Snapshot<D>,
    collections: u64,
    local: Roots,
    pack: PackRef,
    manifest: Manifest,
}

impl<D: Disk> Replica<D> {
    /// Whether the overlay has grown to where a checkpoint pays.
    pub fn checkpoint_due(&self) -> bool {
        let overlay = &self.pending.overlay;
        // The log counts, too: commits that supersede each other leave little in the overlay, and recovery reads all.
        let unfolded = self.log.end().0 - self.manifest.position.0;
        overlay.len() >= self.limits.overlay_entries
            || overlay.bytes().max(usize::try_from(unfolded).unwrap_or(usize::MAX))
                >= self.limits.overlay_bytes
    }

    /// Flushes, folds all of it into the local trees, and moves the start of recovery: all at once.
    pub fn checkpoint(&mut self, now: Time) -> Result<(), Error> {
        self.flush()?;
        if let Some(job) = self.begin_checkpoint()? {
            let done = job.run()?;
            self.finish_checkpoint(now, done)?;
        }
        Ok(())
    }

    /// The work of folding what is visible now; none if nothing came since the last checkpoint.
    pub fn begin_checkpoint(&mut self) -> Result<Option<CheckpointJob<D>>, Error> {
        if self.is_unread {
            // Nothing was written here, and what the log holds is read first.
            return Ok(None);
        }
        self.check_writable()?;
        let is_folded = self.visible.0.overlay.is_empty() && self.manifest.position == self.visible_end;
        // A Handle that covered the tail lets a start read less, once a manifest says so.
        if is_folded && self.log_needed(&self.manifest) == self.manifest.log_start {
            return Ok(None);
        }
        let mut manifest = self.manifest.clone();
        manifest.position = self.visible_end;
        // Notes as they are durable: one ahead of the log would claim rows that a crash took away.
        manifest.notes = self.notes.visible();
        let (visible, pack, collections) = (self.snapshot(), self.next_pack_name(), self.collections);
        Ok(Some(CheckpointJob { visible, pack, collections, manifest }))
    }

    /// Makes a finished job count: one manifest write, then the overlay holds only what came since.
    ///
    /// A job that began before the local trees moved otherwise, or before a collection took nodes that it may have counted
    /// on, is of no use, and is dropped.
    pub fn finish_checkpoint(&mut self, now: Time, done: CheckpointDone<D>) -> Result<(), Error> {
        self.check_writable()?;
        let folded = &done.visible.0;
        if folded.local != self.pending.local || done.collections != self.collections {
            return Ok(());
        }
        let nodes = self.pending.nodes.with_pack(&done.pack)?;
        let mut manifest = self.manifest.clone();
        manifest.local = done.local;
        manifest.position = done.manifest.position;
        manifest.notes = done.manifest.notes;
        manifest.packs = nodes.packs();
        self.write_manifest(now, manifest)?;
        self.pending.nodes = nodes;
        self.pending.local = done.local;
        self.pending.overlay = self.pending.overlay.rebase(&folded.overlay);
        self.rebase_visible(&folded.overlay);
        self.tidy_packs(now)
    }

    /// What readers see is the same as before, relative to the new local trees.
    fn rebase_visible(&mut self, folded: &Overlay) {
        let mut view = self.pending.clone();
        view.overlay = self.visible.0.overlay.rebase(folded);
        view.change = self.visible.0.change;
        self.visible = Snapshot(view.into());
    }

    /// A name no pack of this folder has had.
    pub(crate) fn next_pack_name(&mut self) -> String {
        self.packs_made += 1;
        format!("{:08x}-{:08x}.pack", self.manifest.opens, self.packs_made)
    }
}

impl<D: Disk> CheckpointJob<D> {
    /// Does the work: reads and writes packs, and touches nothing else.
    pub fn run(self) -> Result<CheckpointDone<D>, Error> {
        let view = &self.visible.0;
        let mut fresh = Fresh::new(view.salt);
        let local = fold_overlay(&view.nodes, &mut fresh, view.local, &view.overlay)?;
        let mut manifest = self.manifest;
        manifest.local = local;
        let pack = write_pack(&view.nodes, &self.pack, fresh, &mut manifest)?;
        let (visible, collections) = (self.visible, self.collections);
        Ok(CheckpointDone { visible, collections, local, pack, manifest })
    }
}

/// The trees with an overlay folded in; new nodes, and its values, in `fresh`.
pub(crate) fn fold_overlay<D: Disk>(
    nodes: &Nodes<D>,
    fresh: &mut Fresh,
    roots: Roots,
    overlay: &Overlay,
) -> Result<Roots, Error> {
    for bytes in overlay.blobs.values() {
        fresh.insert_raw(Kind::Chunk, bytes)?;
    }
    let entries = overlay.entries.iter();
    let entries = entries.map(|(key, added)| (key.clone(), added.as_ref().map(|added| added.value())));
    let data = btree::apply(nodes, fresh, Kind::Data, &roots.data, entries)?;
    let tips = overlay.vector.iter().map(|(writer, tip)| vector_row(writer, tip));
    let vector = btree::apply(nodes, fresh, Kind::Vector, &roots.vector, tips)?;
    Ok(Roots { data, vector })
}

/// A writer's row, as a change to a tree of vectors.
pub(crate) fn vector_row(writer: &WriterId, tip: &Tip) -> (Vec<u8>, Option<Value>) {
    let row = Row::new(writer, tip);
    (row.key, Some(Value { hlc: row.hlc.0, payload: row.payload }))
}

/// Writes new nodes with a copy of the manifest they are for, and makes them durable.
///
/// The copy opens a folder whose `manifest` was copied after its packs. It names the pack it is in with length 0, since
/// a file cannot hold its own length.
pub(crate) fn write_pack<D: Disk>(
    nodes: &Nodes<D>,
    name: &str,
    fresh: Fresh,
    manifest: &mut Manifest,
) -> Result<PackRef, Error> {
    manifest.sequence += 1;
    manifest.packs.push(PackRef { name: name.to_owned(), len: 0 });
    Ok(btree::write_pack(nodes, name, fresh, &manifest.encode())?)
}
