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
        Ok(self.pending.proofs.iter().any(|(proof, known)| match &**known {
            Evidence::TakenBack(known) => proof.writer == claim.writer && known.strand.writer() != *writer,
            Evidence::Fork(_) => false,
        }))
    }
}
