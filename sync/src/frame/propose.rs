//! How a device asks its home for a decision, and hears it: Propose and Result.

use crdt::proposal::PROPOSAL_LEN_MAX;
use crdt::{Decoder, Encoder, Problem, Proposal};

use super::{Payload, refuse};

/// Frame 13: decide on this. It is answered by one Result, sooner or later; a lost answer is asked for again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Propose(pub Proposal);

impl Payload for Propose {
    const NUMBER: u8 = 13;
    const LEN_MAX: usize = PROPOSAL_LEN_MAX;

    fn encode(&self, out: &mut Encoder) {
        out.raw(&self.0.encode());
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Propose, crdt::Error> {
        Proposal::decode_from(input).map(Propose)
    }
}

/// Frame 14: what the home decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decided {
    /// Of the proposal.
    pub id: [u8; 16],
    /// How it ended.
    pub outcome: Outcome,
}

/// How a proposal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in every state from this version on.
    Committed(u64),
    /// This read has changed: nothing was done.
    Rejected(u64),
    /// Not now: nothing was done, and the same proposal may be sent again.
    Retry,
    /// Never, and why.
    Refused(Refused),
}

/// Why a home does not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Somebody else decides.
    NotHome = 0,
    /// The device may not ask for this.
    NotAuthorised = 1,
    /// The home does not know how.
    Unsupported = 2,
    /// What it is about is not there.
    Missing = 3,
}

impl Refused {
    const ALL: [Refused; 4] =
        [Refused::NotHome, Refused::NotAuthorised, Refused::Unsupported, Refused::Missing];
}

impl Outcome {
    /// Writes it as `[kind, detail]`.
    pub fn encode(&self, out: &mut Encoder) {
        let (kind, detail) = match self {
            Outcome::Committed(version) => (0, *version),
            Outcome::Rejected(index) => (1, *index),
            Outcome::Retry => (2, 0),
            Outcome::Refused(refused) => (3, *refused as u64),
        };
        out.array(2).uint(kind).uint(detail);
    }

    /// Reads what [`Outcome::encode`] wrote.
    pub fn decode(input: &mut Decoder<'_>) -> Result<Outcome, crdt::Error> {
        input.array_of(2)?;
        let (kind, detail) = (input.uint()?, input.uint()?);
        match (kind, detail) {
            (0, version) => Ok(Outcome::Committed(version)),
            (1, index) => Ok(Outcome::Rejected(index)),
            (2, 0) => Ok(Outcome::Retry),
            (3, code) => {
                let found = Refused::ALL.into_iter().find(|refused| *refused as u64 == code);
                found.map(Outcome::Refused).ok_or_else(|| refuse(input, Problem::Range))
            }
            _ => Err(refuse(input, Problem::Range)),
        }
    }
}

impl Payload for Decided {
    const NUMBER: u8 = 14;
    const LEN_MAX: usize = 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(2).bytes(&self.id);
        self.outcome.encode(out);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Decided, crdt::Error> {
        input.array_of(2)?;
        Ok(Decided { id: input.fixed()?, outcome: Outcome::decode(input)? })
    }
}
