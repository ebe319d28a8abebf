//! What moves the base: Handle, Want, Data, Missing, and the blobs that go with commits.

use std::sync::Arc;

use btree::{Hash, Kind};
use crdt::genesis::RING_MAX;
use crdt::{Commit, CommitId, Decoder, Encoder, Handle, Hlc, Problem, RingRecord, Tip, WriterId};

use super::{BLOB_LEN_MAX, FRAME_LEN_MAX, HASHES_MAX, HEADER_LEN, Payload, ascending, refuse};
use crate::{NodeId, Offer};

/// Vector rows and home commits of one Handle frame; more of either and fetching is cheaper.
const CHANGES_MAX: usize = 32_768;

/// Frame 6: a newer base is available here.
///
/// To a peer whose base is near it carries the vector rows that changed and the home's own commits, so that
/// the peer computes the tree from commits it holds and no node travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandleFrame(pub Offer);

impl HandleFrame {
    /// The offer in a frame; what would not fit is left out, and the peer fetches.
    pub fn new(mut offer: Offer) -> HandleFrame {
        let changes = offer.vector_changes.as_ref().map_or(0, Vec::len);
        let commits_len: usize = offer.home_commits.iter().map(|commit| commit.encoded().len() + 8).sum();
        let too_many = changes > CHANGES_MAX || offer.home_commits.len() > CHANGES_MAX;
        if too_many || changes * ROW_LEN_MAX + commits_len > FRAME_LEN_MAX / 2 {
            offer.vector_changes = None;
            offer.home_commits.clear();
        }
        HandleFrame(offer)
    }
}

/// Longest encoding of a vector row.
const ROW_LEN_MAX: usize = 1 + 26 + 34 + 3 * 9;

impl Payload for HandleFrame {
    const NUMBER: u8 = 6;
    const LEN_MAX: usize = FRAME_LEN_MAX - HEADER_LEN;

    fn encode(&self, out: &mut Encoder) {
        let offer = &self.0;
        out.array(4).bytes(&offer.handle.encode()).array(offer.ring.len());
        for record in &offer.ring {
            out.bytes(&record.encode());
        }
        // None is an empty list; Some is a list of one list.
        out.array(usize::from(offer.vector_changes.is_some()));
        if let Some(changes) = &offer.vector_changes {
            out.array(changes.len());
            for (writer, tip) in changes {
                out.array(5).bytes(&writer.0).uint(tip.seq).bytes(&tip.id.0).uint(tip.hlc.0).uint(tip.base);
            }
        }
        out.array(offer.home_commits.len());
        for commit in &offer.home_commits {
            out.bytes(commit.encoded());
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<HandleFrame, crdt::Error> {
        input.array_of(4)?;
        let handle = Handle::decode(input.bytes()?)?;
        let count = input.array_up_to(RING_MAX, "ring")?;
        let ring = (0..count).map(|_| RingRecord::decode(input.bytes()?)).collect::<Result<_, _>>()?;
        let vector_changes = match input.array_up_to(1, "vector changes")? {
            0 => None,
            _ => Some(decode_changes(input)?),
        };
        let count = input.array_up_to(CHANGES_MAX, "home commits")?;
        let home_commits =
            (0..count).map(|_| Commit::decode(input.bytes()?).map(Arc::new)).collect::<Result<_, _>>()?;
        Ok(HandleFrame(Offer { handle, ring, vector_changes, home_commits }))
    }
}

fn decode_changes(input: &mut Decoder<'_>) -> Result<Vec<(WriterId, Tip)>, crdt::Error> {
    let count = input.array_up_to(CHANGES_MAX, "vector changes")?;
    let row = |input: &mut Decoder<'_>| {
        input.array_of(5)?;
        let writer = WriterId(input.fixed()?);
        let (seq, id) = (input.uint()?, CommitId(input.fixed()?));
        Ok::<_, crdt::Error>((writer, Tip { seq, id, hlc: Hlc(input.uint()?), base: input.uint()? }))
    };
    let rows = (0..count).map(|_| row(input)).collect::<Result<Vec<_>, _>>()?;
    ascending(input, rows.iter().map(|row| row.0))?;
    Ok(rows)
}

/// Frame 7: nodes that are missing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Which, in the order in which they are to be answered.
    pub nodes: Vec<NodeId>,
    /// The version of the Handle they belong to.
    pub version: u64,
}

impl Payload for Want {
    const NUMBER: u8 = 7;
    const LEN_MAX: usize = HASHES_MAX * 40 + 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(2);
        encode_nodes(out, &self.nodes);
        out.uint(self.version);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Want, crdt::Error> {
        input.array_of(2)?;
        Ok(Want { nodes: decode_nodes(input)?, version: input.uint()? })
    }
}

/// Frame 8: nodes that were wanted. The hash names what is answered and proves nothing: the receiver computes
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// Kind, hash and bytes of each.
    pub nodes: Vec<(Kind, Hash, Vec<u8>)>,
}

impl Payload for Data {
    const NUMBER: u8 = 8;
    const LEN_MAX: usize = FRAME_LEN_MAX - HEADER_LEN;

    fn encode(&self, out: &mut Encoder) {
        out.array(1).array(self.nodes.len());
        for (kind, hash, bytes) in &self.nodes {
            out.array(3).uint(*kind as u64).bytes(&hash.0).bytes(bytes);
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Data, crdt::Error> {
        input.array_of(1)?;
        let count = input.array_up_to(HASHES_MAX, "nodes")?;
        let node = |input: &mut Decoder<'_>| {
            input.array_of(3)?;
            let (kind, hash) = (decode_kind(input)?, Hash(input.fixed()?));
            Ok::<_, crdt::Error>((kind, hash, input.bytes()?.to_vec()))
        };
        Ok(Data { nodes: (0..count).map(|_| node(input)).collect::<Result<_, _>>()? })
    }
}

/// Frame 9: nodes that were wanted and are not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub nodes: Vec<NodeId>,
    /// The newest base here: fetch that instead, or elsewhere.
    pub newest_version: u64,
}

impl Payload for Missing {
    const NUMBER: u8 = 9;
    const LEN_MAX: usize = HASHES_MAX * 40 + 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(2);
        encode_nodes(out, &self.nodes);
        out.uint(self.newest_version);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Missing, crdt::Error> {
        input.array_of(2)?;
        Ok(Missing { nodes: decode_nodes(input)?, newest_version: input.uint()? })
    }
}

/// Frame 10: a part of a chunk, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobWant {
    /// The chunk.
    pub hash: Hash,
    /// From this byte.
    pub offset: u64,
    /// So many bytes at most.
    pub len: u64,
}

impl Payload for BlobWant {
    const NUMBER: u8 = 10;
    const LEN_MAX: usize = 128;

    fn encode(&self, out: &mut Encoder) {
        out.array(3).bytes(&self.hash.0).uint(self.offset).uint(self.len);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<BlobWant, crdt::Error> {
        input.array_of(3)?;
        Ok(BlobWant { hash: Hash(input.fixed()?), offset: input.uint()?, len: input.uint()? })
    }
}

/// Frame 11: a part of a chunk that was wanted, or a whole blob pushed ahead of the Commits that name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobData {
    /// The chunk; `None` for a pushed blob, which the receiver hashes anyway.
    pub hash: Option<Hash>,
    /// Where the part begins.
    pub offset: u64,
    /// The part.
    pub bytes: Vec<u8>,
}

impl Payload for BlobData {
    const NUMBER: u8 = 11;
    const LEN_MAX: usize = BLOB_LEN_MAX + 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(3)
            .bytes(self.hash.as_ref().map_or(&[], |hash| &hash.0[..]))
            .uint(self.offset)
            .bytes(&self.bytes);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<BlobData, crdt::Error> {
        input.array_of(3)?;
        let hash = match input.bytes()? {
            [] => None,
            hash => Some(Hash(hash.try_into().map_err(|_| refuse(input, Problem::Length))?)),
        };
        let offset = input.uint()?;
        Ok(BlobData { hash, offset, bytes: input.bytes_up_to(BLOB_LEN_MAX, "blob")?.to_vec() })
    }
}

fn encode_nodes(out: &mut Encoder, nodes: &[NodeId]) {
    out.array(nodes.len());
    for (kind, hash) in nodes {
        out.array(2).uint(*kind as u64).bytes(&hash.0);
    }
}

fn decode_nodes(input: &mut Decoder<'_>) -> Result<Vec<NodeId>, crdt::Error> {
    let count = input.array_up_to(HASHES_MAX, "hashes")?;
    let node = |input: &mut Decoder<'_>| {
        input.array_of(2)?;
        Ok((decode_kind(input)?, Hash(input.fixed()?)))
    };
    (0..count).map(|_| node(input)).collect()
}

fn decode_kind(input: &mut Decoder<'_>) -> Result<Kind, crdt::Error> {
    let byte = u8::try_from(input.uint()?).ok();
    byte.and_then(Kind::from_byte).ok_or_else(|| refuse(input, Problem::Range))
}
