//! Packs kept few and mostly alive: small ones merged, and nodes left behind that nothing reaches.

use std::collections::BTreeSet;

use btree::{Fresh, Hash, Kind, Nodes, PackRef};
use crdt::{Payload, Time};
use disk::Disk;

use crate::checkpoint::write_pack;
use crate::error::Error;
use crate::home::Roots;
use crate::replica::Replica;
use crate::snapshot::Snapshot;

/// Packs of about one size before they become one: each look-up asks every pack, and each merge copies its bytes.
const MERGE_COUNT: usize = 8;
/// Packs up to this length are of one size; then each size is [`MERGE_COUNT`] times the one before.
const SMALLEST_LEN: u64 = 256 << 10;
/// A pack is not merged into a longer one than this.
const PACK_LEN_MAX: u64 = 64 << 20;

/// What a tidying keeps of the packs that it rewrites.
enum Keep {
    Everything,
    Only(BTreeSet<Hash>),
}

impl<D: Disk> Replica<D> {
    /// Merges small packs, or collects what is dead where too much is. To be called after a pack was added; most calls
    /// find nothing to do.
    pub(crate) fn tidy_packs(&mut self, now: Time) -> Result<(), Error> {
        // A fetch counts on what is here to stay, and so does a Handle that is in doubt; what is damaged is healed first,
        // since what cannot be read cannot be called dead. Merging takes nothing away.
        let may_collect = self.fetch.is_none() && !self.is_in_doubt && !self.pending.nodes.is_damaged();
        if may_collect && self.is_wasteful()? {
            return self.collect(now);
        }
        let nodes = &self.pending.nodes;
        let damaged: BTreeSet<String> = nodes.damaged().into_iter().map(|(_, pack)| pack).collect();
        let mut packs = nodes.packs();
        packs.retain(|pack| !damaged.contains(&pack.name));
        let crowd = crowd(&packs);
        self.rewrite(now, &crowd, &Keep::Everything)
    }

    /// Takes away what nothing reaches.
    pub(crate) fn collect(&mut self, now: Time) -> Result<(), Error> {
        let live = self.live()?;
        let dead = self.partly_dead(&live);
        self.collections += 1;
        self.blob_len = None;
        self.rewrite(now, &dead, &Keep::Only(live))
    }

    /// Whether the packs hold several times what the trees and values take.
    fn is_wasteful(&mut self) -> Result<bool, Error> {
        let total: u64 = self.pending.nodes.packs().iter().map(|pack| pack.len).sum();
        if total < self.limits.waste_bytes {
            return Ok(false);
        }
        let nodes = &self.pending.nodes;
        let blob_len = *self.blob_len.get_or_insert_with(|| blob_len(nodes));
        let live = blob_len + tree_len(nodes, &self.pending.local.data)?;
        Ok(total > 3 * live + self.limits.waste_bytes)
    }

    /// Everything that somebody may still ask for: the trees of base and local, the vectors of recent bases, and every
    /// value that a live entry or a commit in the outbox names.
    fn live(&self) -> Result<BTreeSet<Hash>, Error> {
        let nodes = &self.pending.nodes;
        let mut live = BTreeSet::new();
        let Roots { data, vector } = self.pending.base_roots();
        let local = self.pending.local;
        let recent = self.manifest.recent.iter().map(|(_, root)| *root);
        for root in [vector, local.vector].into_iter().chain(recent) {
            btree::reachable(nodes, Kind::Vector, &root, &mut live)?;
        }
        for root in [data, local.data] {
            btree::reachable(nodes, Kind::Data, &root, &mut live)?;
        }
        let mut blobs = BTreeSet::new();
        add_blobs_of_tree(nodes, &local.data, &mut blobs)?;
        for change in btree::diff(nodes, &local.data, nodes, &data, Kind::Data)? {
            blobs.extend(change?.after.and_then(|value| blob_of(&value.payload)));
        }
        for place in self.tail.writers().flat_map(|(_, tail)| tail.places()) {
            let commit = self.read_commit(place)?;
            blobs.extend(commit.body().blobs().iter().map(|blob| Hash(blob.hash)));
        }
        let added = self.pending.overlay.entries.values().flatten();
        blobs.extend(added.filter_map(|added| blob_of(&added.payload)));
        live.extend(blobs);
        live.extend(self.inbox_blobs()?);
        live.extend(self.manifest.evidence);
        Ok(live)
    }

    /// Packs with something dead in them. All of them, since a node that is found in a pack is taken to have everything
    /// below it in packs: none may stay whose children go.
    fn partly_dead(&self, live: &BTreeSet<Hash>) -> Vec<String> {
        let nodes = &self.pending.nodes;
        let has_dead =
            |pack: &PackRef| nodes.pack_entries(&pack.name).iter().any(|(_, hash, _)| !live.contains(hash));
        nodes.packs().into_iter().filter(has_dead).map(|pack| pack.name).collect()
    }

    /// Writes what is kept of some packs to new ones, then one manifest that names those instead. The old files stay for
    /// a while, for copies under way and for readers that are still at them.
    fn rewrite(&mut self, now: Time, names: &[String], keep: &Keep) -> Result<(), Error> {
        if names.is_empty() {
            return Ok(());
        }
        let before = self.pending.nodes.clone();
        let mut nodes = before.clone();
        for name in names {
            nodes = nodes.without_pack(name);
        }
        let mut fresh = Fresh::new(before.salt());
        for name in names {
            for (kind, hash, _) in before.pack_entries(name) {
                if matches!(keep, Keep::Only(live) if !live.contains(&hash)) {
                    continue;
                }
                let missing = btree::Error::Missing { kind, hash };
                fresh.insert_raw(kind, &before.raw(&hash)?.ok_or(missing)?)?;
                if fresh.byte_len() as u64 >= PACK_LEN_MAX {
                    nodes =
                        self.write_rest(nodes, std::mem::replace(&mut fresh, Fresh::new(before.salt())))?;
                }
            }
        }
        let nodes = self.write_rest(nodes, fresh)?;
        let mut manifest = self.manifest.clone();
        manifest.packs = nodes.packs();
        self.write_manifest(now, manifest)?;
        self.take_nodes_of(nodes);
        Ok(())
    }

    pub(crate) fn write_rest(&mut self, nodes: Nodes<D>, fresh: Fresh) -> Result<Nodes<D>, Error> {
        if fresh.is_empty() {
            return Ok(nodes);
        }
        let name = self.next_pack_name();
        let mut manifest = self.manifest.clone();
        manifest.packs = nodes.packs();
        let pack = write_pack(&nodes, &name, fresh, &mut manifest)?;
        Ok(nodes.with_pack(&pack)?)
    }

    /// The same state for the owner and for readers, read from other files.
    pub(crate) fn take_nodes_of(&mut self, nodes: Nodes<D>) {
        let mut visible = (*self.visible.0).clone();
        visible.nodes = nodes.clone();
        self.pending.nodes = nodes;
        self.visible = Snapshot(visible.into());
    }
}

/// The packs of one size of which there are enough to merge; the smallest size first.
fn crowd(packs: &[PackRef]) -> Vec<String> {
    let mut len_max = SMALLEST_LEN;
    let mut len_min = 0;
    while len_max <= PACK_LEN_MAX {
        let of_size = packs.iter().filter(|pack| (len_min..len_max).contains(&pack.len));
        let names: Vec<String> = of_size.map(|pack| pack.name.clone()).collect();
        if names.len() >= MERGE_COUNT {
            return names;
        }
        (len_min, len_max) = (len_max, len_max * MERGE_COUNT as u64);
    }
    Vec::new()
}

/// About the bytes of a tree: what its root says of its entries.
fn tree_len<D: Disk>(nodes: &Nodes<D>, root: &Hash) -> Result<u64, Error> {
    if *root == btree::empty_root(Kind::Data) {
        return Ok(0);
    }
    let node = nodes.load(Kind::Data, root)?;
    Ok(if node.is_leaf() { 0 } else { (0..node.len()).map(|row| node.child(row).bytes).sum() })
}

fn blob_len<D: Disk>(nodes: &Nodes<D>) -> u64 {
    let entries = nodes.packs().into_iter().flat_map(|pack| nodes.pack_entries(&pack.name));
    entries.filter(|(kind, ..)| *kind == Kind::Chunk).map(|(_, _, len)| len as u64).sum()
}

pub(crate) fn add_blobs_of_tree<D: Disk>(
    nodes: &Nodes<D>,
    root: &Hash,
    blobs: &mut BTreeSet<Hash>,
) -> Result<(), Error> {
    let (lo, hi) = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
    let mut entries = btree::range(nodes, Kind::Data, root, lo, hi, btree::Direction::Forward)?;
    while entries.advance()? {
        blobs.extend(blob_of(entries.payload()));
    }
    Ok(())
}

fn blob_of(payload: &[u8]) -> Option<Hash> {
    match Payload::decode(payload) {
        Ok(Payload::Blob(blob)) => Some(Hash(blob.hash)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(name: &str, len: u64) -> PackRef {
        PackRef { name: name.into(), len }
    }

    #[test]
    fn packs_of_one_size_are_merged_and_others_left_alone() {
        let mut packs: Vec<_> = (0..7).map(|n| pack(&format!("s{n}"), 1000)).collect();
        packs.push(pack("large", PACK_LEN_MAX + 1));
        packs.push(pack("middle", SMALLEST_LEN));
        assert_eq!(crowd(&packs), [""; 0]);
        packs.push(pack("s7", SMALLEST_LEN - 1));
        assert_eq!(crowd(&packs).len(), 8);
        assert!(crowd(&packs).iter().all(|name| name.starts_with('s')));
        let huge: Vec<_> = (0..20).map(|n| pack(&format!("{n}"), PACK_LEN_MAX + 1)).collect();
        assert_eq!(crowd(&huge), [""; 0]);
    }
}
