//! Two copies of a device took the same suffix back: the home lets one of them write it again.

use std::collections::BTreeSet;

use crdt::{Evidence, WriterId};
use disk::Disk;
use sync::Incoming;

use crate::error::Error;
use crate::evidence::taken_back;
use crate::replica::Replica;

impl<D: Disk> Replica<D> {
    /// At a home: the writers in this unit that take the place of what counts already, or that another one took. All of
    /// them: a unit that came again for each would let whoever makes many keep what honest ones sent with them waiting.
    ///
    /// Only its seal makes that so: else anybody could have a writer of somebody else's cut.
    pub(crate) fn disputed(&self, incoming: &Incoming) -> Result<BTreeSet<WriterId>, Error> {
        let mut disputed = BTreeSet::new();
        if !self.is_home() {
            return Ok(disputed);
        }
        for first in incoming.commits.iter().filter(|commit| commit.dot().seq == 1) {
            let writer = first.dot().writer;
            let Some(taken_back) = taken_back(first, incoming) else { continue };
            let evidence = Evidence::TakenBack(taken_back);
            let is_new = self.pending.tip(&writer)?.is_none();
            if is_new && self.is_second(&writer, &evidence)? && evidence.check(self.space).is_ok() {
                disputed.insert(writer);
            }
        }
        Ok(disputed)
    }

    /// Whether this device's key signs the next Handle.
    fn is_home(&self) -> bool {
        self.ring.keys_for(self.base().version + 1).contains(&self.device.public())
    }

    /// Whether what a writer takes back is covered, or was taken back by another writer.
    fn is_second(&self, writer: &WriterId, evidence: &Evidence) -> Result<bool, Error> {
        let Some(claim) = evidence.claim() else { return Ok(false) };
        if self.pending.base_tip(&claim.writer)?.is_some_and(|tip| tip.seq >= claim.seq) {
            return Ok(true);
        }
        Ok(self.has_other(writer, &claim.writer))
    }

    /// Whether a writer is known that took back what another one of its device wrote, and it is not this one.
    fn has_other(&self, writer: &WriterId, of: &WriterId) -> bool {
        self.pending.proofs.iter().any(|(proof, known)| match &**known {
            Evidence::TakenBack(known) => proof.writer == *of && known.strand.writer() != *writer,
            Evidence::Fork(_) => false,
        })
    }

    /// Whether this is a home that has let another writer take back the same: what this one took back beyond that counts, and
    /// its proof may not take the place of the other's, or both would be let write it again.
    pub(crate) fn is_decided(&self, evidence: &Evidence) -> bool {
        let Evidence::TakenBack(taken_back) = evidence else { return false };
        let of = evidence.claim().map(|claim| claim.writer);
        self.is_home() && of.is_some_and(|of| self.has_other(&taken_back.strand.writer(), &of))
    }
}
