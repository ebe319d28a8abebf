//! What is said about a writer that may be two: a question, a stretch of its history, the proof.

use std::sync::Arc;

use crdt::evidence::{EVIDENCE_LEN_MAX, STRAND_LEN_MAX};
use crdt::{Decoder, Encoder, Evidence, Problem, Strand, WriterId};

use super::{Payload, refuse};

const ASK: u64 = 0;
const SHOWN: u64 = 1;
const PROOF: u64 = 2;

/// A stretch of a writer's history, with the key its device signs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The public key of the writer's device; the writer id says whether it is.
    pub public: [u8; 32],
    /// The headers, up to a seal.
    pub strand: Strand,
}

/// Frame 15: two sides whose tips differ find the first commit that does, and then both hold the proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForkFrame {
    /// What do you have of this writer from this number on?
    Ask {
        /// The writer.
        writer: WriterId,
        /// The number.
        seq: u64,
    },
    /// The answer: from that number up to the next seal held here.
    Shown {
        /// The writer that was asked about.
        writer: WriterId,
        /// The number that was asked for.
        seq: u64,
        /// Nothing when no such commit is held, or none whose header is still here.
        shown: Option<Box<Shown>>,
    },
    /// What proves something against a writer. It stands by itself, and nobody need have asked.
    Proof(Arc<Evidence>),
}

impl Payload for ForkFrame {
    const NUMBER: u8 = 15;
    const LEN_MAX: usize = EVIDENCE_LEN_MAX + 64;

    fn encode(&self, out: &mut Encoder) {
        match self {
            ForkFrame::Ask { writer, seq } => drop(out.array(3).uint(ASK).bytes(&writer.0).uint(*seq)),
            ForkFrame::Shown { writer, seq, shown: None } => {
                out.array(3).uint(SHOWN).bytes(&writer.0).uint(*seq);
            }
            ForkFrame::Shown { writer, seq, shown: Some(shown) } => {
                let Shown { public, strand } = &**shown;
                out.array(5).uint(SHOWN).bytes(&writer.0).uint(*seq).bytes(public).bytes(&strand.encode());
            }
            ForkFrame::Proof(evidence) => drop(out.array(2).uint(PROOF).bytes(&evidence.encode())),
        }
    }

    fn decode(input: &mut Decoder<'_>) -> Result<ForkFrame, crdt::Error> {
        let count = input.array()?;
        let kind = input.uint()?;
        match (kind, count) {
            (ASK, 3) => Ok(ForkFrame::Ask { writer: WriterId(input.fixed()?), seq: input.uint()? }),
            (SHOWN, 3 | 5) => {
                let (writer, seq) = (WriterId(input.fixed()?), input.uint()?);
                let shown = if count == 5 { Some(Box::new(decode_shown(input)?)) } else { None };
                Ok(ForkFrame::Shown { writer, seq, shown })
            }
            (PROOF, 2) => {
                let evidence = Evidence::decode(input.bytes_up_to(EVIDENCE_LEN_MAX, "evidence")?)?;
                Ok(ForkFrame::Proof(Arc::new(evidence)))
            }
            _ => Err(refuse(input, Problem::Range)),
        }
    }
}

fn decode_shown(input: &mut Decoder<'_>) -> Result<Shown, crdt::Error> {
    let public = input.fixed()?;
    let strand = Strand::decode(input.bytes_up_to(STRAND_LEN_MAX, "strand")?)?;
    Ok(Shown { public, strand })
}
