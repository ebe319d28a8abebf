//! A stretch of one writer's history, as headers, up to a seal that vouches for all of it.

use super::prove;
use crate::codec::{Decoder, Encoder};
use crate::commit::Header;
use crate::error::{Error, Problem};
use crate::id::{CommitId, SpaceId, WriterId};
use crate::seal::Seal;

/// Most headers of a strand: what leaves a device is sealed at least this often, so every commit has a seal so near.
const HEADERS_MAX: usize = 256;

/// Longest header: the fields of each, and an `open` with the most closed writers at the first.
const OPEN_LEN_MAX: usize = 5 << 10;
const HEADER_LEN_MAX: usize = 168;

/// Longest encoded strand.
pub const STRAND_LEN_MAX: usize = HEADERS_MAX * HEADER_LEN_MAX + OPEN_LEN_MAX + 256;

/// Headers of one writer, each the predecessor of the next, the last one sealed.
///
/// What decodes has at least one header and may still be anything else; [`Strand::check`] believes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strand {
    /// In order, without gaps.
    pub headers: Vec<Header>,
    /// On the last of them.
    pub seal: Seal,
}

impl Strand {
    /// The writer whose history it is.
    pub fn writer(&self) -> WriterId {
        self.seal.writer
    }

    /// The number of its first commit; 0 when there is none.
    pub fn first(&self) -> u64 {
        self.headers.first().map_or(0, |header| header.seq)
    }

    /// The id of one of its commits.
    pub fn id(&self, seq: u64) -> Option<CommitId> {
        let index = usize::try_from(seq.checked_sub(self.first())?).ok()?;
        Some(self.headers.get(index)?.id())
    }

    /// The same strand from a later commit on.
    pub fn since(&self, seq: u64) -> Option<Strand> {
        let index = usize::try_from(seq.checked_sub(self.first())?).ok()?;
        let headers = self.headers.get(index..)?.to_vec();
        (!headers.is_empty()).then(|| Strand { headers, seal: self.seal.clone() })
    }

    /// Whether it is a stretch of a writer of the device with this key, in this space.
    pub fn check(&self, space: SpaceId, public: &[u8; 32]) -> Result<(), Error> {
        let last = self.headers.last().ok_or(Error::Unproven { reason: "a strand has no headers" })?;
        prove(self.headers.len() <= HEADERS_MAX, "a strand has too many headers")?;
        // A home's writer names no device, so a seal on it proves nothing without the ring.
        prove(!last.writer.is_home(), "a home's writer is no device's")?;
        prove(self.headers[0].seq > 0, "a strand begins before the first commit")?;
        let is_here = |header: &Header| header.space == space && header.writer == last.writer;
        prove(self.headers.iter().all(is_here), "a strand has headers of two writers or of another space")?;
        let follows =
            |pair: &[Header]| pair[0].seq.checked_add(1) == Some(pair[1].seq) && pair[1].prev == pair[0].id();
        prove(self.headers.windows(2).all(follows), "the headers of a strand do not follow each other")?;
        let sealed = (self.seal.space, self.seal.writer, self.seal.seq, self.seal.tip);
        prove(
            sealed == (space, last.writer, last.seq, last.id()),
            "the seal of a strand is on another commit",
        )?;
        self.seal.verify(public)
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(2).array(self.headers.len());
        for header in &self.headers {
            out.bytes(&header.encode());
        }
        out.bytes(&self.seal.encode());
        out.finish()
    }

    /// Reads a strand. What decodes is not believed yet.
    pub fn decode(bytes: &[u8]) -> Result<Strand, Error> {
        let too_large =
            Error::TooLarge { what: "strand", len: bytes.len() as u64, max: STRAND_LEN_MAX as u64 };
        if bytes.len() > STRAND_LEN_MAX {
            return Err(too_large);
        }
        let mut from = Decoder::new(bytes);
        from.array_of(2)?;
        let start = from.position();
        let count = from.array_up_to(HEADERS_MAX, "list of headers")?;
        if count == 0 {
            return Err(Error::encoding(start, Problem::Length));
        }
        let headers = (0..count).map(|_| Header::decode(from.bytes()?)).collect::<Result<_, _>>()?;
        let seal = Seal::decode(from.bytes()?)?;
        from.finish()?;
        Ok(Strand { headers, seal })
    }
}
