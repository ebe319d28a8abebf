//! One state of a replica: the local trees, what was folded since, and the base it rests on.

use std::ops::Bound;
use std::sync::Arc;

use btree::{Direction, Hash, Kind, Nodes, Salt, Source};
use crdt::view::lww::Live;
use crdt::{BlobRef, CollId, Handle, Hlc, Payload, Proofs, Tip, WriterId, split_physical};
use disk::Disk;

use crate::error::Error;
use crate::home::Roots;
use crate::merge::{self, Merged};
use crate::overlay::Overlay;

/// A state, as its owner works on it or as readers see it. Cheap to clone.
pub(crate) struct View<D: Disk> {
    pub(crate) nodes: Nodes<D>,
    pub(crate) salt: Salt,
    /// Unsigned roots of everything held up to the checkpoint.
    pub(crate) local: Roots,
    pub(crate) base: Arc<Handle>,
    pub(crate) overlay: Overlay,
    /// What is proven against writers: with the base it says how far each of them counts.
    pub(crate) proofs: Arc<Proofs>,
    /// The number of the last change in it.
    pub(crate) change: u64,
}

impl<D: Disk> Clone for View<D> {
    fn clone(&self) -> Self {
        Self {
            nodes: self.nodes.clone(),
            salt: self.salt,
            local: self.local,
            base: self.base.clone(),
            overlay: self.overlay.clone(),
            proofs: self.proofs.clone(),
            change: self.change,
        }
    }
}

impl<D: Disk> View<D> {
    /// The roots of the base.
    pub(crate) fn base_roots(&self) -> Roots {
        Roots { data: Hash(self.base.data_root), vector: Hash(self.base.vv_root) }
    }

    /// How far a writer has been folded.
    pub(crate) fn tip(&self, writer: &WriterId) -> Result<Option<Tip>, Error> {
        match self.overlay.vector.get(writer) {
            Some(tip) => Ok(Some(*tip)),
            None => tip_in(&self.nodes, &self.local.vector, writer),
        }
    }

    /// How far the base covers a writer.
    pub(crate) fn base_tip(&self, writer: &WriterId) -> Result<Option<Tip>, Error> {
        tip_in(&self.nodes, &Hash(self.base.vv_root), writer)
    }

    /// Entries of a range of physical keys.
    pub(crate) fn entries(
        &self,
        bounds: (Bound<&[u8]>, Bound<&[u8]>),
        direction: Direction,
    ) -> Result<Merged<'_, D>, Error> {
        let (lo, hi) = bounds;
        let tree = btree::range(&self.nodes, Kind::Data, &self.local.data, lo, hi, direction)?;
        Ok(Merged::new(tree, &self.overlay, bounds, direction))
    }

    /// The live dots under a key.
    pub(crate) fn live(&self, coll: CollId, key: &[u8]) -> Result<Vec<Live>, Error> {
        let (lo, hi) = key_bounds(coll, key);
        let bounds = (Bound::Included(lo.as_slice()), Bound::Excluded(hi.as_slice()));
        self.entries(bounds, Direction::Forward)?.map(|entry| live(&entry?)).collect()
    }

    /// The bytes of a payload.
    pub(crate) fn value(&self, payload: &Payload) -> Result<Vec<u8>, Error> {
        match payload {
            Payload::Inline(bytes) => Ok(bytes.clone()),
            Payload::Blob(blob) => self.blob(blob),
        }
    }

    /// The bytes of a value that is stored by hash.
    pub(crate) fn blob(&self, blob: &BlobRef) -> Result<Vec<u8>, Error> {
        let hash = Hash(blob.hash);
        if let Some(bytes) = self.overlay.blobs.get(&hash).filter(|bytes| is_chunk(blob, bytes.len() as u64))
        {
            return Ok(bytes.to_vec());
        }
        // Also where it was called damaged: a read may have failed once. One that is says so.
        let bytes = self.nodes.chunk(&hash)?.filter(|bytes| is_chunk(blob, bytes.len() as u64));
        bytes.ok_or(Error::NotLocal { hash })
    }

    /// How long the value of this name is, if its bytes are here. A node of a tree is no value.
    pub(crate) fn blob_len(&self, hash: &Hash) -> Option<u64> {
        match self.overlay.blobs.get(hash) {
            Some(bytes) => Some(bytes.len() as u64),
            None => self.nodes.find(hash).filter(|(kind, _)| *kind == Kind::Chunk).map(|(_, len)| len as u64),
        }
    }

    /// Whether the bytes of a value are here.
    pub(crate) fn has_blob(&self, blob: &BlobRef) -> bool {
        self.blob_len(&Hash(blob.hash)).is_some_and(|len| is_chunk(blob, len))
    }
}

/// Whether a chunk of this length is all of the value.
fn is_chunk(blob: &BlobRef, len: u64) -> bool {
    blob.kind == BlobRef::CHUNK && blob.len == len
}

/// A writer's row in a tree of vectors.
pub(crate) fn tip_in<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    root: &Hash,
    writer: &WriterId,
) -> Result<Option<Tip>, Error> {
    let key = crdt::vector::Row::key(writer);
    let Some(value) = btree::get(source, Kind::Vector, root, &key)? else { return Ok(None) };
    let (_, tip) = crdt::vector::Row::decode(&key, Hlc(value.hlc), &value.payload)?;
    Ok(Some(tip))
}

/// The physical keys of every dot under a key: from the first to before the second.
pub(crate) fn key_bounds(coll: CollId, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut lo = Vec::with_capacity(CollId::LEN + key.len());
    lo.extend_from_slice(coll.as_bytes());
    lo.extend_from_slice(key);
    let mut hi = lo.clone();
    // A key ends in 00 and no key is a prefix of another, so nothing else lies between these two.
    let last = hi.last_mut().expect("a key is never empty");
    *last += 1;
    (lo, hi)
}

/// The live dot that an entry is.
pub(crate) fn live((physical, added): &merge::Entry) -> Result<Live, Error> {
    let (_, _, dot) = split_physical(physical).ok_or(Error::BadEntry { reason: "its key" })?;
    let payload = Payload::decode(&added.payload).map_err(|_| Error::BadEntry { reason: "its payload" })?;
    Ok(Live { dot, hlc: Hlc(added.hlc), payload })
}
