//! How far each writer may go under a Handle and what is proven: who may write at all, since when, and where a writer ends.

use std::ops::Bound;

use btree::{Direction, Kind, Source};
use crdt::key::Element;
use crdt::view::lww::Live;
use crdt::{CollId, CommitId, Decoder, DeviceId, Dot, Encoder, Payload, Proofs, Tip, WriterId, system};
use disk::Disk;

use crate::error::Error;
use crate::grant::{Grant, WRITE};
use crate::home::Roots;
use crate::merge;
use crate::replica::Replica;
use crate::view::{View, key_bounds, live, tip_in};

/// A row of `sys/cut`: a writer's history ends here. A home only ever lowers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The writer's last good commit; 0: none of them is.
    pub seq: u64,
    /// Its id, where the home knows it; zeros where it does not, and for 0.
    pub tip: CommitId,
    /// Why, as the home understands it.
    pub reason: u64,
}

impl Cut {
    /// The key of a writer's row.
    pub fn key(writer: &WriterId) -> Vec<u8> {
        let element = Element::Bytes(writer.as_bytes().to_vec());
        crdt::key::encode(&[element]).expect("24 bytes are within every limit of a key")
    }

    /// Its bytes: the payload in `sys/cut`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(3).uint(self.seq).bytes(&self.tip.0).uint(self.reason);
        out.finish()
    }

    /// Reads a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, crdt::Error> {
        let mut input = Decoder::new(bytes);
        input.array_of(3)?;
        let (seq, tip, reason) = (input.uint()?, CommitId(input.fixed()?), input.uint()?);
        input.finish()?;
        Ok(Self { seq, tip, reason })
    }
}

/// The version below which rows of writers may have been pruned: a row of `sys/meta`.
pub struct PruneFloor(pub u64);

impl PruneFloor {
    /// The key of the row.
    pub fn key() -> Vec<u8> {
        crdt::key::plain(b"prune_floor")
    }

    /// Its bytes: the payload in `sys/meta`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.uint(self.0);
        out.finish()
    }

    /// Reads the row.
    pub fn decode(bytes: &[u8]) -> Result<Self, crdt::Error> {
        let mut input = Decoder::new(bytes);
        let floor = input.uint()?;
        input.finish()?;
        Ok(Self(floor))
    }
}

/// Why a commit is not its writer's to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unauthorised {
    /// The device has no grant to write.
    NoGrant,
    /// The writer was opened before the device's grant.
    BeforeGrant,
    /// The writer is not known and was opened below the floor: its row may have been pruned.
    BelowFloor,
    /// It lies above the writer's cut.
    Cut(u64),
}

/// What a Handle says of writers, and what is proven against them. Rows are read from its tree when somebody asks.
pub(crate) struct Cuts<'a, D: Disk> {
    source: Source<'a, D>,
    roots: Roots,
    pub(crate) proofs: &'a Proofs,
    floor: u64,
}

impl<'a, D: Disk> Cuts<'a, D> {
    /// Those of the Handle with these roots.
    pub(crate) fn new(source: Source<'a, D>, roots: Roots, proofs: &'a Proofs) -> Result<Self, Error> {
        let mut cuts = Self { source, roots, proofs, floor: 0 };
        if let Some(row) = cuts.row(system::meta(), &PruneFloor::key())? {
            cuts.floor = PruneFloor::decode(&row)?.0;
        }
        Ok(cuts)
    }

    /// How far the Handle covers a writer.
    pub(crate) fn tip(&self, writer: &WriterId) -> Result<Option<Tip>, Error> {
        tip_in(self.source, &self.roots.vector, writer)
    }

    /// What the Handle grants a device.
    pub(crate) fn grant(&self, device: &DeviceId) -> Result<Option<Grant>, Error> {
        let Some(row) = self.row(system::acl(), &Grant::key(device))? else { return Ok(None) };
        let grant = Grant::decode(&row)?;
        // A row whose key is another device's grants nothing to anybody.
        Ok((DeviceId::of(&grant.public) == *device).then_some(grant))
    }

    /// The number of a writer's last commit that counts, if anything bounds it.
    ///
    /// With one Handle it only ever falls: what it covers stays, whatever is proven. Home writers are bounded by the Handles
    /// alone.
    pub(crate) fn cut(&self, writer: &WriterId) -> Result<Option<u64>, Error> {
        if writer.is_home() {
            return Ok(None);
        }
        // Whoever lost the right to write may have writers that no home ever saw.
        if self.tip(writer)?.is_none() && self.write_grant(writer)?.is_none() {
            return Ok(Some(0));
        }
        self.end(writer)
    }

    /// Where the Handle or proof ends a writer, whoever may write.
    pub(crate) fn end(&self, writer: &WriterId) -> Result<Option<u64>, Error> {
        let proven = self.proven(writer)?;
        Ok(self.published(writer)?.into_iter().chain(proven).min())
    }

    /// Where the Handle itself ends a writer.
    pub(crate) fn published(&self, writer: &WriterId) -> Result<Option<u64>, Error> {
        let row = self.row(system::cut(), &Cut::key(writer))?;
        Ok(row.map(|row| Cut::decode(&row)).transpose()?.map(|cut| cut.seq))
    }

    /// Where proof ends a writer, above what the Handle covers.
    pub(crate) fn proven(&self, writer: &WriterId) -> Result<Option<u64>, Error> {
        let Some(seq) = self.proofs.against(writer) else { return Ok(None) };
        let covered = self.tip(writer)?.map_or(0, |tip| tip.seq);
        Ok(Some(covered.max(seq - 1)))
    }

    /// The grant under which the writer's device writes.
    pub(crate) fn write_grant(&self, writer: &WriterId) -> Result<Option<Grant>, Error> {
        Ok(self.grant(&writer.device())?.filter(|grant| grant.allows(WRITE)))
    }

    /// Whether a commit is authorised. `opened` is the base of its writer's first commit; it decides only while the Handle
    /// covers nothing of the writer.
    pub(crate) fn authorise(
        &self,
        dot: &Dot,
        opened: Option<u64>,
    ) -> Result<Result<(), Unauthorised>, Error> {
        let Some(grant) = self.write_grant(&dot.writer)? else { return Ok(Err(Unauthorised::NoGrant)) };
        if let Some(opened) = opened.filter(|opened| *opened < grant.since.max(self.floor))
            && self.tip(&dot.writer)?.is_none()
        {
            let is_early = opened < grant.since;
            return Ok(Err(if is_early { Unauthorised::BeforeGrant } else { Unauthorised::BelowFloor }));
        }
        Ok(match self.cut(&dot.writer)? {
            Some(cut) if dot.seq > cut => Err(Unauthorised::Cut(cut)),
            _ => Ok(()),
        })
    }

    /// Whether a dot that is not held need not be waited for by a commit made on `base`: it will never come, or its
    /// writer's row went when nothing of it was alive any more.
    pub(crate) fn never_comes(&self, dot: &Dot, is_known: bool, base: u64) -> Result<bool, Error> {
        Ok((!is_known && base < self.floor) || self.cut(&dot.writer)?.is_some_and(|cut| cut < dot.seq))
    }

    /// The inline value of a home-only row.
    fn row(&self, coll: CollId, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let live = live_in(self.source, &self.roots, coll, key)?;
        Ok(crdt::view::lww::lww(&live).and_then(|read| match &read.winner.payload {
            Payload::Inline(bytes) => Some(bytes.clone()),
            // A home writes its rows inline.
            Payload::Blob(_) => None,
        }))
    }
}

/// The live dots under a key of these trees.
pub(crate) fn live_in<D: Disk>(
    source: Source<'_, D>,
    roots: &Roots,
    coll: CollId,
    key: &[u8],
) -> Result<Vec<Live>, Error> {
    let (lo, hi) = key_bounds(coll, key);
    let (lo, hi) = (Bound::Included(lo.as_slice()), Bound::Excluded(hi.as_slice()));
    let entries = btree::range(source, Kind::Data, &roots.data, lo, hi, Direction::Forward)?;
    entries.map(|entry| live(&merge::stored(entry?))).collect()
}

impl<D: Disk> View<D> {
    /// What the base says of writers, and what is proven. Of Handles only the base counts: what is not anchored yet is
    /// nobody's right.
    pub(crate) fn cuts(&self) -> Result<Cuts<'_, D>, Error> {
        Cuts::new(Source::from(&self.nodes), self.base_roots(), &self.proofs)
    }
}

impl<D: Disk> Replica<D> {
    /// The number of a writer's last commit that counts under the base and what is proven here, if anything bounds it.
    pub fn cut(&self, writer: &WriterId) -> Result<Option<u64>, Error> {
        self.pending.cuts()?.cut(writer)
    }
}
