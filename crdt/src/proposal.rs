//! What a device asks its home to do for it: reads that must still hold, writes that only a home makes.

use crate::codec::{Decoder, Encoder};
use crate::commit::{DEPS_MAX, Op, Payload};
use crate::error::{Error, Problem};
use crate::id::{CollId, Dot, SpaceId, WriterId, derive};
use crate::key::KEY_LEN_MAX;
use crate::seal::{DeviceKey, verify_hash};

/// Most reads of one proposal.
pub const READS_MAX: usize = 4096;

/// Most writes of one proposal: they become one commit of the home.
pub const WRITES_MAX: usize = 4096;

/// Longest proposal: with its frame it fits wherever a page of rows does.
pub const PROPOSAL_LEN_MAX: usize = 1 << 20;

/// A transaction that the home decides on, on the very state that it publishes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Fresh chance: asked again under the same id, it is answered again and not done again.
    pub id: [u8; 16],
    /// Where.
    pub space: SpaceId,
    /// The base it was made on.
    pub base: u64,
    /// What the home must hold before it decides.
    pub deps: Vec<Dot>,
    /// What was read, and must read the same.
    pub reads: Vec<Read>,
    /// What is wanted.
    pub writes: Vec<Wish>,
    /// By the device that proposes.
    pub signature: [u8; 64],
}

/// Something that was read, as a digest of the dots that were alive there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// One key; also one where nothing was.
    Point {
        /// In which collection.
        coll: CollId,
        /// The encoded key.
        key: Vec<u8>,
        /// Of its live dots.
        digest: [u8; 32],
    },
    /// Everything in an interval, gaps included.
    Range {
        /// In which collection.
        coll: CollId,
        /// From this on.
        from: Vec<u8>,
        /// Up to before this.
        to: Vec<u8>,
        /// How many keys were asked for.
        limit: Option<u64>,
        /// Whether the interval was read from its end.
        is_descending: bool,
        /// Of its keys and their live dots.
        digest: [u8; 32],
    },
}

/// One write. The home says what it supersedes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// In which collection.
    pub coll: CollId,
    /// The encoded key.
    pub key: Vec<u8>,
    /// What is to be there.
    pub op: Op,
}

impl Proposal {
    /// Signs it, in place of the signature it holds.
    #[must_use]
    pub fn sign(mut self, key: &DeviceKey) -> Proposal {
        self.signature = key.sign_hash(&self.hash());
        self
    }

    /// Whether the device with this key proposed it.
    pub fn is_by(&self, public: &[u8; 32]) -> bool {
        verify_hash(public, &self.hash(), &self.signature)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(2);
        self.encode_signed(&mut out);
        out.bytes(&self.signature);
        out.finish()
    }

    /// Reads a proposal. What decodes is not verified yet.
    pub fn decode(bytes: &[u8]) -> Result<Proposal, Error> {
        let mut from = Decoder::new(bytes);
        let proposal = Proposal::decode_from(&mut from)?;
        from.finish()?;
        Ok(proposal)
    }

    /// Reads a proposal from among other things.
    pub fn decode_from(from: &mut Decoder<'_>) -> Result<Proposal, Error> {
        from.array_of(2)?;
        from.array_of(6)?;
        let (id, space, base) = (from.fixed()?, SpaceId(from.fixed()?), from.uint()?);
        let deps_at = from.position();
        let count = from.array_up_to(DEPS_MAX, "deps of a proposal")?;
        let deps = (0..count).map(|_| decode_dot(from)).collect::<Result<Vec<_>, _>>()?;
        if !deps.is_sorted_by(|a, b| a < b) {
            return Err(Error::encoding(deps_at, Problem::Order));
        }
        let count = from.array_up_to(READS_MAX, "reads of a proposal")?;
        let reads = (0..count).map(|_| Read::decode(from)).collect::<Result<_, _>>()?;
        let count = from.array_up_to(WRITES_MAX, "writes of a proposal")?;
        let writes = (0..count).map(|_| Wish::decode(from)).collect::<Result<_, _>>()?;
        let signature = from.fixed()?;
        Ok(Proposal { id, space, base, deps, reads, writes, signature })
    }

    fn hash(&self) -> [u8; 32] {
        let mut out = Encoder::new();
        self.encode_signed(&mut out);
        derive("proposal", out.as_slice())
    }

    fn encode_signed(&self, out: &mut Encoder) {
        out.array(6).bytes(&self.id).bytes(&self.space.0).uint(self.base);
        out.array(self.deps.len());
        for dot in &self.deps {
            out.array(2).bytes(&dot.writer.0).uint(dot.seq);
        }
        out.array(self.reads.len());
        self.reads.iter().for_each(|read| read.encode(out));
        out.array(self.writes.len());
        self.writes.iter().for_each(|wish| wish.encode(out));
    }
}

impl Read {
    fn encode(&self, out: &mut Encoder) {
        match self {
            Read::Point { coll, key, digest } => {
                out.array(4).uint(0).bytes(&coll.0).bytes(key).bytes(digest);
            }
            Read::Range { coll, from, to, limit, is_descending, digest } => {
                out.array(7).uint(1).bytes(&coll.0).bytes(from).bytes(to);
                out.array(limit.iter().count());
                if let Some(limit) = limit {
                    out.uint(*limit);
                }
                out.uint(u64::from(*is_descending)).bytes(digest);
            }
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Read, Error> {
        let at = input.position();
        let count = input.array()?;
        match (count, input.uint()?) {
            (4, 0) => {
                let (coll, key) = (CollId(input.fixed()?), decode_key(input)?);
                Ok(Read::Point { coll, key, digest: input.fixed()? })
            }
            (7, 1) => {
                let (coll, from, to) = (CollId(input.fixed()?), decode_key(input)?, decode_key(input)?);
                let limit = match input.array_up_to(1, "limit of a read")? {
                    0 => None,
                    _ => Some(input.uint()?),
                };
                let is_descending = decode_flag(input)?;
                Ok(Read::Range { coll, from, to, limit, is_descending, digest: input.fixed()? })
            }
            _ => Err(Error::encoding(at, Problem::Range)),
        }
    }
}

impl Wish {
    fn encode(&self, out: &mut Encoder) {
        out.array(4).bytes(&self.coll.0).bytes(&self.key);
        match &self.op {
            Op::Put(payload) => out.uint(0).bytes(&payload.encode()),
            Op::Delete => out.uint(1).bytes(&[]),
        };
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Wish, Error> {
        input.array_of(4)?;
        let (coll, key) = (CollId(input.fixed()?), decode_key(input)?);
        let at = input.position();
        let (op, payload) = (input.uint()?, input.bytes()?);
        let op = match op {
            0 => Op::Put(Payload::decode(payload)?),
            1 if payload.is_empty() => Op::Delete,
            _ => return Err(Error::encoding(at, Problem::Range)),
        };
        Ok(Wish { coll, key, op })
    }
}

/// A key, or a bound of an interval: no longer than a key, and not checked further.
fn decode_key(input: &mut Decoder<'_>) -> Result<Vec<u8>, Error> {
    Ok(input.bytes_up_to(KEY_LEN_MAX + 1, "key of a proposal")?.to_vec())
}

fn decode_flag(input: &mut Decoder<'_>) -> Result<bool, Error> {
    let at = input.position();
    match input.uint()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::encoding(at, Problem::Range)),
    }
}

fn decode_dot(input: &mut Decoder<'_>) -> Result<Dot, Error> {
    input.array_of(2)?;
    Ok(Dot::new(WriterId(input.fixed()?), input.uint()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::system;

    fn proposal() -> Proposal {
        let dot = |n| Dot::new(WriterId([n; 24]), u64::from(n));
        let point = Read::Point { coll: system::acl(), key: b"k".to_vec(), digest: [1; 32] };
        let range = |limit| Read::Range {
            coll: system::name(),
            from: b"a".to_vec(),
            to: b"b".to_vec(),
            limit,
            is_descending: limit.is_some(),
            digest: [2; 32],
        };
        let put = Op::Put(Payload::Inline(b"v".to_vec()));
        let wish = |op| Wish { coll: system::acl(), key: b"k".to_vec(), op };
        Proposal {
            id: [7; 16],
            space: SpaceId([8; 32]),
            base: 9,
            deps: vec![dot(1), dot(2)],
            reads: vec![point, range(None), range(Some(3))],
            writes: vec![wish(put), wish(Op::Delete)],
            signature: [0; 64],
        }
    }

    #[test]
    fn a_proposal_comes_back_as_it_went_and_names_who_made_it() {
        let key = DeviceKey::from_seed([3; 32]);
        let signed = proposal().sign(&key);
        assert_eq!(Proposal::decode(&signed.encode()), Ok(signed.clone()));
        assert!(signed.is_by(&key.public()));
        assert!(!signed.is_by(&DeviceKey::from_seed([4; 32]).public()));
        let altered = Proposal { base: 10, ..signed };
        assert!(!altered.is_by(&key.public()), "everything in it is signed");
    }

    #[test]
    fn whatever_decodes_has_one_spelling() {
        let bytes = proposal().encode();
        for at in 0..bytes.len() {
            for flip in [1, 0x20, 0x80] {
                let mut other = bytes.clone();
                other[at] ^= flip;
                if let Ok(decoded) = Proposal::decode(&other) {
                    assert_eq!(decoded.encode(), other, "byte {at}");
                }
            }
            assert!(Proposal::decode(&bytes[..at]).is_err(), "cut at {at}");
        }
        let mut unsorted = proposal();
        unsorted.deps.reverse();
        assert!(Proposal::decode(&unsorted.encode()).is_err());
    }
}
