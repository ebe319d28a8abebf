//! Evidence to bytes and back.

use super::strand::STRAND_LEN_MAX;
use super::{Evidence, Fork, Strand, TakenBack};
use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};

const FORK: u64 = 1;
const TAKEN_BACK: u64 = 2;

/// Longest encoded evidence: two strands and a key.
pub const EVIDENCE_LEN_MAX: usize = 2 * STRAND_LEN_MAX + 64;

impl Evidence {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        match self {
            Evidence::Fork(Fork { public, one, other }) => {
                out.array(4).uint(FORK).bytes(public).bytes(&one.encode()).bytes(&other.encode());
            }
            Evidence::TakenBack(TakenBack { public, strand }) => {
                out.array(3).uint(TAKEN_BACK).bytes(public).bytes(&strand.encode());
            }
        }
        out.finish()
    }

    /// Reads evidence. What decodes is not believed yet.
    pub fn decode(bytes: &[u8]) -> Result<Evidence, Error> {
        if bytes.len() > EVIDENCE_LEN_MAX {
            let (len, max) = (bytes.len() as u64, EVIDENCE_LEN_MAX as u64);
            return Err(Error::TooLarge { what: "evidence", len, max });
        }
        let mut from = Decoder::new(bytes);
        let count = from.array()?;
        let kind_at = from.position();
        let kind = from.uint()?;
        let public = from.fixed()?;
        let evidence = match (kind, count) {
            (FORK, 4) => {
                let (one, other) = (Strand::decode(from.bytes()?)?, Strand::decode(from.bytes()?)?);
                // Two ways to write down one fork would be two forks to whoever compares bytes.
                if one.headers[0].id() >= other.headers[0].id() {
                    return Err(Error::encoding(kind_at, Problem::Order));
                }
                Evidence::Fork(Fork { public, one, other })
            }
            (TAKEN_BACK, 3) => {
                Evidence::TakenBack(TakenBack { public, strand: Strand::decode(from.bytes()?)? })
            }
            (FORK | TAKEN_BACK, _) => return Err(Error::encoding(0, Problem::Length)),
            _ => return Err(Error::encoding(kind_at, Problem::Range)),
        };
        from.finish()?;
        Ok(evidence)
    }
}
