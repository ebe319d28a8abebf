//! From commits to live dots: everything written minus everything superseded.

use crate::clock::Hlc;
use crate::commit::{BlobRef, Commit, Mutation, Op, PAYLOAD_INLINE_MAX, Payload};
use crate::error::{Error, Problem};
use crate::id::{CollId, Dot};

/// The key of one live dot: collection, key, writer, number.
///
/// Keys delimit themselves, so the order of bytes is the order of (collection, key, dot), and all dots of a
/// key stand together.
pub fn physical(coll: &CollId, key: &[u8], dot: &Dot) -> Vec<u8> {
    let mut physical = Vec::with_capacity(CollId::LEN + key.len() + Dot::LEN);
    physical.extend_from_slice(&coll.0);
    physical.extend_from_slice(key);
    physical.extend_from_slice(&dot.to_bytes());
    physical
}

/// What every dot of a key begins with.
pub fn physical_prefix(coll: &CollId, key: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(CollId::LEN + key.len());
    prefix.extend_from_slice(&coll.0);
    prefix.extend_from_slice(key);
    prefix
}

/// Collection, key and dot of what [`physical`] made; nothing for bytes too short to be one.
pub fn split_physical(physical: &[u8]) -> Option<(CollId, &[u8], Dot)> {
    let (coll, rest) = physical.split_first_chunk()?;
    let (key, dot) = rest.split_last_chunk()?;
    Some((CollId(*coll), key, Dot::from_bytes(dot)))
}

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<'a> {
    /// This dot is superseded, whether it lives or not.
    Remove(Vec<u8>),
    /// This dot lives.
    Put(Vec<u8>, Hlc, &'a Payload),
}

/// What a commit that is ready does to the state, in order: each mutation first supersedes, then writes.
///
/// Superseded dots that the collection's rule does not allow are left out.
pub fn effects(commit: &Commit) -> impl Iterator<Item = Effect<'_>> {
    let of_one = move |mutation| removals_of(commit, mutation).chain(put_of(commit, mutation));
    commit.body().mutations.iter().flat_map(of_one)
}

/// What a set of commits in no order does to the state: all puts first, then all that is superseded.
///
/// In any other order a put could come after the removal that another commit of the set has for it. The caller
/// takes the removals from what was there and from the puts alike.
pub fn batch_effects<'a, I>(commits: I) -> impl Iterator<Item = Effect<'a>>
where
    I: IntoIterator<Item = &'a Commit> + Clone,
{
    let puts = commits.clone().into_iter().flat_map(puts);
    puts.chain(commits.into_iter().flat_map(removals))
}

fn puts(commit: &Commit) -> impl Iterator<Item = Effect<'_>> {
    commit.body().mutations.iter().filter_map(move |mutation| put_of(commit, mutation))
}

fn removals(commit: &Commit) -> impl Iterator<Item = Effect<'_>> {
    commit.body().mutations.iter().flat_map(move |mutation| removals_of(commit, mutation))
}

fn put_of<'a>(commit: &Commit, mutation: &'a Mutation) -> Option<Effect<'a>> {
    match &mutation.op {
        Op::Put(payload) => {
            let key = physical(&mutation.coll, &mutation.key, &commit.dot());
            Some(Effect::Put(key, commit.header().hlc, payload))
        }
        Op::Delete => None,
    }
}

fn removals_of<'a>(commit: &'a Commit, mutation: &'a Mutation) -> impl Iterator<Item = Effect<'a>> {
    let rule = mutation.coll.rule();
    let allowed = move |dot: &&Dot| rule.may_supersede(&commit.header().writer, &dot.writer);
    let removal = |dot| Effect::Remove(physical(&mutation.coll, &mutation.key, dot));
    mutation.supersedes.iter().filter(allowed).map(removal)
}

const INLINE: u8 = 0;
const BLOB_LEN: usize = 1 + 32 + 8;

impl Payload {
    /// The bytes under which the tree stores it: one more than the value has, while it is inline.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Payload::Inline(bytes) => {
                let mut stored = Vec::with_capacity(1 + bytes.len());
                stored.push(INLINE);
                stored.extend_from_slice(bytes);
                stored
            }
            Payload::Blob(blob) => {
                let mut stored = Vec::with_capacity(BLOB_LEN);
                stored.push(blob.kind);
                stored.extend_from_slice(&blob.hash);
                stored.extend_from_slice(&blob.len.to_be_bytes());
                stored
            }
        }
    }

    /// Reads what the tree stored.
    pub fn decode(stored: &[u8]) -> Result<Payload, Error> {
        let (kind, rest) = stored.split_first().ok_or(Error::encoding(0, Problem::Truncated))?;
        match *kind {
            INLINE if rest.len() <= PAYLOAD_INLINE_MAX => Ok(Payload::Inline(rest.to_vec())),
            INLINE => {
                let (len, max) = (rest.len() as u64, PAYLOAD_INLINE_MAX as u64);
                Err(Error::TooLarge { what: "payload", len, max })
            }
            kind @ (BlobRef::CHUNK | BlobRef::MANIFEST) => decode_blob(kind, rest),
            _ => Err(Error::encoding(0, Problem::Range)),
        }
    }
}

fn decode_blob(kind: u8, rest: &[u8]) -> Result<Payload, Error> {
    let length = || Error::encoding(1, Problem::Length);
    let (hash, len) = rest.split_first_chunk().ok_or_else(length)?;
    let len = u64::from_be_bytes(len.try_into().map_err(|_| length())?);
    Ok(Payload::Blob(BlobRef { kind, hash: *hash, len }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WriterId;

    fn check_stored(payload: Payload, len: usize) {
        let stored = payload.encode();
        assert_eq!(stored.len(), len);
        assert_eq!(Payload::decode(&stored), Ok(payload));
    }

    #[test]
    fn stored_payload_costs_one_byte_more_than_its_value() {
        check_stored(Payload::Inline(vec![]), 1);
        check_stored(Payload::Inline(vec![7; 1024]), 1025);
        check_stored(Payload::Blob(BlobRef { kind: BlobRef::MANIFEST, hash: [1; 32], len: u64::MAX }), 41);
    }

    #[test]
    fn stored_payload_of_another_shape_is_refused() {
        let blob = Payload::Blob(BlobRef { kind: BlobRef::CHUNK, hash: [1; 32], len: 2000 }).encode();
        for stored in [&[][..], &[1], &[5, 0], &[0; 1026], &blob[..40], &[&blob[..], &[0]].concat()] {
            assert!(Payload::decode(stored).is_err());
        }
    }

    #[test]
    fn physical_key_splits_into_its_parts() {
        let (coll, dot) = (CollId([2; 16]), Dot::new(WriterId([3; 24]), 0x0102));
        let key = physical(&coll, b"key", &dot);
        assert_eq!(key.len(), 16 + 3 + 32);
        assert_eq!(key[key.len() - 8..], [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(split_physical(&key), Some((coll, &b"key"[..], dot)));
        assert_eq!(split_physical(&key[..47]), None);
        assert!(key.starts_with(&physical_prefix(&coll, b"key")));
    }
}
