//! What vouches for a commit of another device: a seal on it, or a strand that leads from it to a sealed one.

use std::collections::BTreeMap;

use btree::{Fresh, Source};
use crdt::evidence::STRAND_LEN_MAX;
use crdt::{CommitId, Dot, Header, Seal, SpaceId, Strand, Tip, WriterId};
use disk::Disk;
use sync::Incoming;

use crate::cuts::Cuts;
use crate::error::Error;
use crate::home::Roots;
use crate::record::Record;
use crate::replica::Replica;
use crate::strand::STRETCH_MAX;
use crate::tail::Place;

/// What vouches for a commit and every earlier one of its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vouch {
    /// Its device's word on it.
    Seal(Seal),
    /// Its device's word on a later one, and the headers up to there.
    Strand(Strand),
}

impl Vouch {
    /// These headers, and what of the strand comes after them.
    pub(crate) fn extend(self, headers: Vec<Header>) -> Strand {
        match self {
            Vouch::Seal(seal) => Strand { headers, seal },
            Vouch::Strand(strand) => {
                let rest = strand.headers.into_iter().skip(1);
                Strand { headers: headers.into_iter().chain(rest).collect(), seal: strand.seal }
            }
        }
    }

    /// Whether the device with this key said it of a writer in this space.
    pub(crate) fn check(&self, space: SpaceId, public: &[u8; 32]) -> Result<(), crdt::Error> {
        match self {
            Vouch::Seal(seal) if seal.space != space => Err(crdt::Error::BadSignature { what: "seal" }),
            Vouch::Seal(seal) => seal.verify(public),
            Vouch::Strand(strand) => strand.check(space, public),
        }
    }
}

/// What of a received unit vouches for one commit.
pub(crate) fn find(incoming: &Incoming, writer: &WriterId, tip: &Tip) -> Option<Vouch> {
    let is_on = |seal: &&Seal| (seal.writer, seal.seq, seal.tip) == (*writer, tip.seq, tip.id);
    let is_from = |strand: &&Strand| starts_at(strand, writer, tip);
    let seal = incoming.seals.iter().find(is_on).cloned().map(Vouch::Seal);
    seal.or_else(|| incoming.strands.iter().find(is_from).cloned().map(Vouch::Strand))
}

/// Whether a strand leads from this commit.
fn starts_at(strand: &Strand, writer: &WriterId, tip: &Tip) -> bool {
    (strand.writer(), strand.first()) == (*writer, tip.seq) && strand.id(tip.seq) == Some(tip.id)
}

impl<D: Disk> Replica<D> {
    /// What vouches for a visible commit at which something does.
    pub(crate) fn vouch(&self, writer: &WriterId, seq: u64, tip: CommitId) -> Result<Vouch, Error> {
        if self.is_own(writer) {
            return Ok(Vouch::Seal(Seal::sign(&self.device, self.space, *writer, seq, tip)));
        }
        let tail = self.tail.writer(writer);
        let place = tail.and_then(|tail| tail.seal_at(seq)).expect("something vouches for it");
        self.vouch_at(place)
    }

    fn vouch_at(&self, Place { position, .. }: Place) -> Result<Vouch, Error> {
        let entry = self.log.read(position)?;
        match Record::decode(entry.position, entry.kind, &entry.payload)? {
            Record::Seal(seal) => Ok(Vouch::Seal(seal)),
            Record::Strand(strand) => Ok(Vouch::Strand(strand)),
            _ => Err(Error::BadRecord { position: position.0, reason: "it is not a seal" }),
        }
    }

    /// Strands for the writers of others of which a part is kept that loses its seal with what is dropped: what was sealed
    /// counts no more, and yet it vouches for what does. Without them nobody but the author could hand that on, and where the
    /// author's disk is lost, nobody at all.
    pub(crate) fn strands_for(
        &self,
        ends: &BTreeMap<WriterId, u64>,
        fresh: &Fresh,
        roots: Roots,
    ) -> Result<Vec<Strand>, Error> {
        let cuts = Cuts::new(Source::new(&self.pending.nodes, fresh), roots, &self.pending.proofs)?;
        let mut strands = Vec::new();
        for (writer, from) in ends {
            let last = Dot::new(*writer, from - 1);
            let covered = cuts.tip(writer)?.map_or(0, |tip| tip.seq);
            if covered < last.seq && !self.is_own(writer) {
                strands.extend(self.strand_over(&last)?);
            }
        }
        Ok(strands)
    }

    /// From a commit that nothing vouches for by itself to what vouches for a later one.
    fn strand_over(&self, dot: &Dot) -> Result<Option<Strand>, Error> {
        let Some(tail) = self.tail.writer(&dot.writer).filter(|tail| tail.first() <= dot.seq) else {
            return Ok(None);
        };
        let Some(sealed) = tail.next_seal(dot.seq).filter(|sealed| *sealed > dot.seq) else {
            return Ok(None);
        };
        let places = (dot.seq..=sealed).filter_map(|seq| tail.place(seq));
        let headers = places.map(|place| Ok(self.read_commit(place)?.header().clone()));
        let headers = headers.collect::<Result<Vec<Header>, Error>>()?;
        let vouch = self.vouch_at(tail.seal_at(sealed).expect("it was found a moment ago"))?;
        let strand = vouch.extend(headers);
        // What leaves a device is sealed often enough for this to fit: but who says that its peer's was?
        let fits = strand.headers.len() as u64 <= STRETCH_MAX && strand.encode().len() <= STRAND_LEN_MAX;
        Ok(fits.then_some(strand))
    }
}
