//! `Hash`, and what is hashed: a kind byte and the bytes, keyed by the space's salt.

use std::fmt;

/// The name of immutable bytes: equal hashes mean equal bytes of the same kind, in the same space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What hashed bytes are. It is part of the hash, so one kind can never be read as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A node of a tree of entries.
    Data = 1,
    /// A node of a tree of writers and their tips.
    Vector = 2,
    /// A piece of a large value, or a whole one.
    Chunk = 3,
    /// The list of the chunks of a large value.
    Manifest = 4,
    /// The commits folded between two Handles.
    Batch = 5,
}

impl Kind {
    /// The kind a byte stands for, if it stands for one.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        [Kind::Data, Kind::Vector, Kind::Chunk, Kind::Manifest, Kind::Batch]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// Whether bytes of this kind are nodes of a tree.
    pub fn is_tree(self) -> bool {
        matches!(self, Kind::Data | Kind::Vector)
    }
}

/// The secret of a space that keys its hashes and its cuts: outsiders cannot ask whether known content is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Salt {
    /// The name of `bytes` as a `kind` in this space.
    pub fn hash(&self, kind: Kind, bytes: &[u8]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[kind as u8]).update(bytes);
        Hash(*hasher.finalize().as_bytes())
    }

    /// The seed of the hash that decides where nodes end. Its own derivation, so that a cut tells nothing of the salt.
    pub(crate) fn boundary_seed(&self) -> u64 {
        let derived = blake3::keyed_hash(&self.0, b"boundary");
        let first: [u8; 8] = derived.as_bytes()[..8].try_into().expect("a hash has 32 bytes");
        u64::from_le_bytes(first)
    }
}

/// The root of a tree without entries, the same in every space. No node has this hash.
pub const fn empty_root(kind: Kind) -> Hash {
    let mut bytes = [0; 32];
    bytes[31] = kind as u8;
    Hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_salt_are_part_of_the_hash() {
        let salt = Salt([7; 32]);
        assert_ne!(salt.hash(Kind::Data, b"x"), salt.hash(Kind::Vector, b"x"));
        assert_ne!(salt.hash(Kind::Data, b"x"), Salt([8; 32]).hash(Kind::Data, b"x"));
        assert_eq!(salt.hash(Kind::Data, b"x").to_string().len(), 64);
    }

    #[test]
    fn a_kind_survives_its_byte() {
        assert_eq!(Kind::from_byte(Kind::Batch as u8), Some(Kind::Batch));
        assert_eq!(Kind::from_byte(0), None);
        assert_eq!(Kind::from_byte(6), None);
    }
}
