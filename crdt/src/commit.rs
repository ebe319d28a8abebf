//! The only replicated fact: what one transaction wrote, and which writes it superseded.
//!
//! A commit is a header and a body. Its id hashes the header, the header names the body and the commit before
//! it, so the id names the whole history of its writer. Decoding is strict: whatever decodes encodes back to
//! the same bytes.

mod encoding;
mod validity;

use std::fmt;

use data_encoding::HEXLOWER;
use planted::Bug;

use crate::clock::Hlc;
use crate::error::Error;
use crate::id::{CollId, CommitId, Dot, SpaceId, WriterId};

/// Largest encoded commit: a transaction that a small device can still hold in memory whole.
pub const COMMIT_LEN_MAX: usize = 16 << 20;

/// Most mutations of one commit: 128 bytes each is what fits into the largest commit.
pub const MUTATIONS_MAX: usize = 131_072;

/// Largest payload inside a commit. A larger one is a blob, so that tree nodes stay small.
pub const PAYLOAD_INLINE_MAX: usize = 1024;

/// Most dependencies of one commit. A replica with more heads writes empty commits first.
pub const DEPS_MAX: usize = 4096;

/// Most dots that one mutation supersedes: more would make one key's siblings a commit of their own.
pub const SUPERSEDES_MAX: usize = 4096;

/// Most earlier writers that an `open` closes: a header, and so the proof of a fork, stays at some KiB.
pub const CLOSES_MAX: usize = 64;

/// A large value by name: its bytes lie beside the tree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobRef {
    /// [`BlobRef::CHUNK`] or [`BlobRef::MANIFEST`].
    pub kind: u8,
    /// The salted hash of the chunk or manifest.
    pub hash: [u8; 32],
    /// Length of the whole value.
    pub len: u64,
}

impl BlobRef {
    /// The hash is that of the value, which is one chunk.
    pub const CHUNK: u8 = 3;

    /// The hash is that of a list of chunks.
    pub const MANIFEST: u8 = 4;
}

impl fmt::Debug for BlobRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobRef({}, {}, {} bytes)", self.kind, HEXLOWER.encode(&self.hash[..4]), self.len)
    }
}

/// The value of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The bytes themselves, at most [`PAYLOAD_INLINE_MAX`].
    Inline(Vec<u8>),
    /// Where larger ones are.
    Blob(BlobRef),
}

/// What a mutation does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a value under this commit's dot.
    Put(Payload),
    /// Only supersedes.
    Delete,
}

/// One key's part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// The collection, whose rule byte says what may be superseded.
    pub coll: CollId,
    /// The encoded tuple, see [`crate::key`].
    pub key: Vec<u8>,
    /// Put or delete.
    pub op: Op,
    /// The dots under this key that this mutation replaces, sorted. Each is a dependency too.
    pub supersedes: Vec<Dot>,
}

/// What a writer's first commit says about the writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The public key whose hash is the device in the writer id; a home's key for a home's writer.
    pub device_key: [u8; 32],
    /// Earlier writers of the device with their last commits: a hint for repacking, never a reason to cut.
    pub closes: Vec<(WriterId, u64, CommitId)>,
    /// The suffix of an earlier writer that this one writes again, from this commit on.
    pub reissues: Option<(WriterId, u64, CommitId)>,
}

/// The hashed part of a commit: where it stands, and which body belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The space it belongs to.
    pub space: SpaceId,
    /// Who wrote it.
    pub writer: WriterId,
    /// Its number, from 1 without gaps.
    pub seq: u64,
    /// The writer's commit before it; zero for the first.
    pub prev: CommitId,
    /// When, in hybrid time; rises along a writer's commits.
    pub hlc: Hlc,
    /// Version of the Handle the writer had adopted; 0 before the first.
    pub base: u64,
    /// Hash of the body.
    pub body_hash: [u8; 32],
    /// Present at number 1 and nowhere else.
    pub open: Option<Open>,
}

/// The contents of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    /// The heads its writer had seen, sorted.
    pub deps: Vec<Dot>,
    /// Sorted by collection and key, each at most once.
    pub mutations: Vec<Mutation>,
}

impl Body {
    /// Every blob that the mutations name, sorted, once: what must be there for the commit to be complete.
    pub fn blobs(&self) -> Vec<BlobRef> {
        let blob = |mutation: &Mutation| match mutation.op {
            Op::Put(Payload::Blob(blob)) => Some(blob),
            _ => None,
        };
        let mut blobs: Vec<BlobRef> = self.mutations.iter().filter_map(blob).collect();
        blobs.sort_unstable();
        blobs.dedup();
        blobs
    }
}

/// One transaction, immutable, with its id and its bytes at hand.
///
/// Header, body, id and bytes always agree, which is why the fields are read through methods.
#[derive(Clone, PartialEq, Eq)]
pub struct Commit {
    header: Header,
    body: Body,
    id: CommitId,
    bytes: Box<[u8]>,
}

impl Commit {
    /// Makes a valid commit: sorts dependencies, mutations and superseded dots, drops those that are named
    /// twice, and hashes. The hash in `header.body_hash` is computed here, whatever it held.
    ///
    /// Fails where no replica would take it: over a limit, a key twice, or a rule of [`Commit::check`] broken.
    pub fn new(header: Header, mut body: Body) -> Result<Commit, Error> {
        sort_once(&mut body.deps);
        for mutation in &mut body.mutations {
            sort_once(&mut mutation.supersedes);
        }
        body.mutations.sort_by(|a, b| (a.coll, &a.key).cmp(&(b.coll, &b.key)));
        validity::check_limits(&header, &body)?;
        let commit = Commit::assemble(header, body);
        validity::check_len(commit.bytes.len())?;
        commit.check()?;
        Ok(commit)
    }

    /// Reads a commit that [`Commit::encoded`] gave: canonical, within limits, body and header matching.
    ///
    /// What decodes is not valid yet: see [`Commit::check`].
    pub fn decode(bytes: &[u8]) -> Result<Commit, Error> {
        validity::check_len(bytes.len())?;
        encoding::decode(bytes)
    }

    /// The part of validity that needs nothing but the commit: every replica gives the same answer.
    pub fn check(&self) -> Result<(), Error> {
        Ok(validity::check(&self.header, &self.body)?)
    }

    /// Whether it is the next one of its writer after `tip` ([`crate::Tip::START`] before the first).
    pub fn follows(&self, tip: &crate::vector::Tip) -> Result<(), Error> {
        validity::follows(&self.header, tip)
    }

    /// Where it stands.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What it says.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Its id, computed once.
    pub fn id(&self) -> CommitId {
        self.id
    }

    /// Its name.
    pub fn dot(&self) -> Dot {
        Dot::new(self.header.writer, self.header.seq)
    }

    /// Its writer's tip once it is taken.
    pub fn tip(&self) -> crate::vector::Tip {
        let Header { seq, hlc, base, .. } = self.header;
        crate::vector::Tip { seq, id: self.id, hlc, base }
    }

    /// Its bytes, made once.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// A copy of its bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// All dots that must have been seen before it can be folded: dependencies and superseded dots.
    pub fn needs(&self) -> impl Iterator<Item = &Dot> {
        let mutations = self.body.mutations.iter().filter(|_| !planted::is(Bug::NoImplicitDeps));
        self.body.deps.iter().chain(mutations.flat_map(|mutation| &mutation.supersedes))
    }

    fn assemble(mut header: Header, body: Body) -> Commit {
        let body_bytes = encoding::encode_body(&body);
        header.body_hash = crate::id::derive("body", &body_bytes);
        let (bytes, id) = encoding::join(&header, &body_bytes);
        Commit { header, body, id, bytes: bytes.into_boxed_slice() }
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Commit({:?}, {:?}, {} mutations)", self.dot(), self.id, self.body.mutations.len())
    }
}

fn sort_once(dots: &mut Vec<Dot>) {
    dots.sort_unstable();
    dots.dedup();
}

#[cfg(test)]
mod tests;
