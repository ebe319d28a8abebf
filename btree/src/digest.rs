//! What a reader saw, in 32 bytes: the keys of a range with their dots, and so their absence.

use std::ops::Bound;

use disk::Disk;

use crate::cursor::{Direction, range};
use crate::error::Error;
use crate::hash::{Hash, Kind, Salt};
use crate::nodes::Source;

/// Keeps a digest of keys apart from every kind of hashed bytes.
const DOMAIN: u8 = 0x80;

/// Takes keys in ascending order. Two digests are equal if and only if the keys are.
///
/// Values do not enter: a key ends in a dot, and a dot is written once.
#[derive(Clone)]
pub struct Digest {
    hasher: blake3::Hasher,
}

impl Digest {
    /// The digest of no keys so far.
    pub fn new(salt: &Salt) -> Digest {
        let mut hasher = blake3::Hasher::new_keyed(&salt.0);
        hasher.update(&[DOMAIN]);
        Digest { hasher }
    }

    /// Adds the next key.
    pub fn add(&mut self, key: &[u8]) {
        // The length first, so that no two lists of keys run together to the same bytes.
        self.hasher.update(&(key.len() as u64).to_le_bytes()).update(key);
    }

    /// The digest of the keys.
    pub fn finish(&self) -> [u8; 32] {
        *self.hasher.finalize().as_bytes()
    }
}

/// The digest of the keys of a tree between two bounds.
pub fn digest<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    kind: Kind,
    root: &Hash,
    bounds: (Bound<&[u8]>, Bound<&[u8]>),
) -> Result<[u8; 32], Error> {
    let source = source.into();
    let mut digest = Digest::new(&source.nodes().salt());
    let mut cursor = range(source, kind, root, bounds.0, bounds.1, Direction::Forward)?;
    let mut key = Vec::new();
    while cursor.advance()? {
        cursor.write_key(&mut key);
        digest.add(&key);
    }
    Ok(digest.finish())
}
