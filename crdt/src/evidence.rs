//! Proof that a writer's word counts no further: it wrote two commits under one dot, or its author took a suffix back.
//!
//! Evidence stands by itself. It is made of headers and seals alone, so it is some KiB whatever the commits hold, and
//! whoever reads it needs neither the commits nor to trust the peer that sent it.

mod encoding;
mod proofs;
mod strand;

pub use encoding::EVIDENCE_LEN_MAX;
pub use proofs::{PROOFS_LEN_MAX, Proofs};
pub use strand::{STRAND_LEN_MAX, Strand};

use crate::error::Error;
use crate::id::{DeviceId, SpaceId, WriterId};

/// From which of its commits on a writer is proven to be good for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// The writer.
    pub writer: WriterId,
    /// The first commit that nobody may take any more, unless a Handle already covers it.
    pub seq: u64,
}

/// One device signed two commits with one dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The public key of the writer's device.
    pub public: [u8; 32],
    /// One commit and what follows it; the one whose commit has the smaller id, so that there is one spelling.
    pub one: Strand,
    /// The other commit of that dot and what follows it.
    pub other: Strand,
}

/// The author of a suffix wrote it again under another writer, so the suffix must not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenBack {
    /// The public key of the device of both writers.
    pub public: [u8; 32],
    /// The first commits of the new writer; the very first names what was taken back.
    pub strand: Strand,
}

/// What proves something against a writer. It says so itself; [`Evidence::check`] says whether it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two commits with one dot.
    Fork(Fork),
    /// A suffix that was written again.
    TakenBack(TakenBack),
}

impl Fork {
    /// The smallest dot that two histories of one writer both show with different commits, if there is one.
    ///
    /// The histories may begin and end anywhere. Where they already differ at the first dot that both show, the fork may
    /// lie lower still.
    pub fn find(public: [u8; 32], one: &Strand, other: &Strand) -> Option<Fork> {
        if one.writer() != other.writer() {
            return None;
        }
        let differs = |seq: &u64| {
            let (one, other) = (one.id(*seq), other.id(*seq));
            one.is_some() && other.is_some() && one != other
        };
        let first = one.first().max(other.first());
        let seq = (first..=one.seal.seq.min(other.seal.seq)).find(differs)?;
        let (one, other) = (one.since(seq)?, other.since(seq)?);
        let (one, other) = if one.id(seq) < other.id(seq) { (one, other) } else { (other, one) };
        Some(Fork { public, one, other })
    }

    fn check(&self, space: SpaceId) -> Result<(), Error> {
        self.one.check(space, &self.public)?;
        self.other.check(space, &self.public)?;
        let (one, other) = (&self.one.headers[0], &self.other.headers[0]);
        prove((one.writer, one.seq) == (other.writer, other.seq), "its two commits have different dots")?;
        prove(one.id() != other.id(), "its two commits are one")
    }
}

impl TakenBack {
    /// The evidence that a writer's first commits are, if the first of them takes something back.
    pub fn find(public: [u8; 32], strand: Strand) -> Option<TakenBack> {
        let taken_back = TakenBack { public, strand };
        taken_back.proof().map(|_| taken_back)
    }

    /// The suffix that its first commit names.
    fn proof(&self) -> Option<Proof> {
        let first = self.strand.headers.first()?;
        let (writer, seq, _) = first.open.as_ref()?.reissues?;
        let is_own = writer.device() == first.writer.device() && writer != first.writer;
        (is_own && !writer.is_home() && first.seq == 1 && seq > 0).then_some(Proof { writer, seq })
    }

    fn check(&self, space: SpaceId) -> Result<(), Error> {
        self.strand.check(space, &self.public)?;
        prove(self.proof().is_some(), "its first commit takes nothing of its device's back")
    }
}

impl Evidence {
    /// What it proves, when it was made for this space: every seal and every link of every chain verified.
    pub fn check(&self, space: SpaceId) -> Result<Proof, Error> {
        match self {
            Evidence::Fork(fork) => fork.check(space)?,
            Evidence::TakenBack(taken_back) => taken_back.check(space)?,
        }
        self.claim().ok_or(Error::Unproven { reason: "it names no commit" })
    }

    /// What it says it proves; to be believed after [`Evidence::check`] only.
    pub fn claim(&self) -> Option<Proof> {
        match self {
            Evidence::Fork(fork) => {
                fork.one.headers.first().map(|first| Proof { writer: first.writer, seq: first.seq })
            }
            Evidence::TakenBack(taken_back) => taken_back.proof(),
        }
    }

    /// The device whose writer it is about.
    pub fn device(&self) -> DeviceId {
        match self {
            Evidence::Fork(Fork { public, .. }) | Evidence::TakenBack(TakenBack { public, .. }) => {
                DeviceId::of(public)
            }
        }
    }
}

fn prove(holds: bool, reason: &'static str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Unproven { reason }) }
}

#[cfg(test)]
mod tests;
