//! New nodes and chunks that are in no pack yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Error;
use crate::hash::{Hash, Kind, Salt};
use crate::node::Node;
use crate::pack::RAW_LEN_MAX;

/// What was made or fetched since the last pack, by hash. A [`crate::Source`] reads it together with the packs.
#[derive(Clone, Debug)]
pub struct Fresh {
    salt: Salt,
    pieces: BTreeMap<Hash, Piece>,
    len: usize,
}

/// A node, which is read decoded, or bytes that the tree does not look into.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Node(Arc<Node>),
    Raw(Kind, Arc<[u8]>),
}

impl Piece {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Piece::Node(node) => node.kind(),
            Piece::Raw(kind, _) => *kind,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Piece::Node(node) => node.as_bytes(),
            Piece::Raw(_, bytes) => bytes,
        }
    }
}

impl Fresh {
    /// Nothing yet.
    pub fn new(salt: Salt) -> Fresh {
        Fresh { salt, pieces: BTreeMap::new(), len: 0 }
    }

    /// Takes bytes from a peer or of a chunk, and returns their name. A node that is malformed is refused; whether
    /// it fits a tree is for [`crate::missing`] and [`crate::verify`] to say.
    pub fn insert_raw(&mut self, kind: Kind, bytes: &[u8]) -> Result<Hash, Error> {
        if bytes.len() > RAW_LEN_MAX {
            return Err(Error::RawLen { len: bytes.len() });
        }
        let hash = self.salt.hash(kind, bytes);
        let piece = match kind.is_tree() {
            true => Piece::Node(Arc::new(Node::decode(kind, bytes).map_err(|damage| Error::Malformed {
                kind,
                hash,
                damage,
            })?)),
            false => Piece::Raw(kind, bytes.into()),
        };
        self.insert(hash, piece);
        Ok(hash)
    }

    pub(crate) fn insert_node(&mut self, hash: Hash, node: Arc<Node>) {
        self.insert(hash, Piece::Node(node));
    }

    fn insert(&mut self, hash: Hash, piece: Piece) {
        let len = piece.as_bytes().len();
        if self.pieces.insert(hash, piece).is_none() {
            self.len += len;
        }
    }

    /// Whether something of this name is here.
    pub fn contains(&self, hash: &Hash) -> bool {
        self.pieces.contains_key(hash)
    }

    /// The bytes of this name, if they are here.
    pub fn raw(&self, hash: &Hash) -> Option<&[u8]> {
        self.pieces.get(hash).map(Piece::as_bytes)
    }

    /// What has this name here. A name is that of one kind of thing.
    pub fn kind(&self, hash: &Hash) -> Option<Kind> {
        self.pieces.get(hash).map(Piece::kind)
    }

    /// The number of nodes and chunks.
    pub fn count(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The bytes of all nodes and chunks.
    pub fn byte_len(&self) -> usize {
        self.len
    }

    /// Everything, in the order of the hashes.
    pub fn iter(&self) -> impl Iterator<Item = (Hash, Kind, &[u8])> {
        self.pieces.iter().map(|(hash, piece)| (*hash, piece.kind(), piece.as_bytes()))
    }

    /// Moves all of `other` here.
    pub fn absorb(&mut self, other: Fresh) {
        other.pieces.into_iter().for_each(|(hash, piece)| self.insert(hash, piece));
    }

    /// Drops the nodes that none of these trees reaches, as rewriting a tree again and again leaves them behind.
    /// Chunks, manifests and batches stay: only their owner knows who names them.
    pub fn keep_trees(&mut self, roots: &[(Kind, Hash)]) {
        let mut kept = BTreeMap::new();
        let mut open: Vec<Hash> = roots.iter().map(|(_, root)| *root).collect();
        while let Some(hash) = open.pop() {
            let Some(Piece::Node(node)) = self.pieces.remove(&hash) else { continue };
            if !node.is_leaf() {
                open.extend((0..node.len()).map(|i| node.child(i).hash));
            }
            kept.insert(hash, Piece::Node(node));
        }
        let raw = std::mem::take(&mut self.pieces).into_iter().filter(|(_, piece)| !piece.kind().is_tree());
        kept.extend(raw);
        self.len = kept.values().map(|piece| piece.as_bytes().len()).sum();
        self.pieces = kept;
    }

    pub(crate) fn node(&self, kind: Kind, hash: &Hash) -> Option<Arc<Node>> {
        match self.pieces.get(hash)? {
            Piece::Node(node) if node.kind() == kind => Some(node.clone()),
            Piece::Node(_) | Piece::Raw(..) => None,
        }
    }
}
