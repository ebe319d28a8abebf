//! Cuts that follow from what is folded or proven: what was taken as never coming must never come.

use std::collections::BTreeMap;

use crdt::{CommitId, Evidence, Time, Tip, WriterId, system};
use disk::Disk;
use replica::{Cut, HomeWrite, Reason, Replica};

use crate::error::Error;
use crate::home::Home;

/// Cuts of one commit of the home, some 600 KiB; what is left over comes with the next Handle.
const CUTS_MAX: usize = 5_000;

impl Home {
    /// Writes a row for each writer that a commit folded here takes as ended, or that something is proven against, and that
    /// has none as low yet.
    ///
    /// In the very Handle that covers the fold: a grant, a floor or another home's Handle could otherwise let the rest of
    /// the writer in after what was to remove it.
    pub(crate) fn publish_cuts<D: Disk>(&mut self, replica: &mut Replica<D>, now: Time) -> Result<(), Error> {
        self.look_for_ended(replica)?;
        let ended: Vec<WriterId> = replica.ended().iter().take(CUTS_MAX).copied().collect();
        // What is proven ends a writer here; the row ends it for whoever never sees the proof.
        let proofs = replica.evidence().iter();
        let proven: BTreeMap<_, _> =
            proofs.map(|(proof, evidence)| (proof.writer, evidence.as_ref())).collect();
        let mut writes = Vec::new();
        for writer in &ended {
            let reason = match proven.get(writer) {
                None => Reason::Absent,
                Some(Evidence::Fork(_)) => Reason::Fork,
                Some(Evidence::TakenBack(_)) => Reason::TakenBack,
            };
            writes.extend(cut(replica, writer, reason)?);
        }
        if !writes.is_empty() {
            self.write(replica, now, writes)?;
        }
        replica.forget_ended(&ended);
        Ok(())
    }

    /// Finds out whose end is to be published, where that is not known for this base yet.
    pub(crate) fn look_for_ended<D: Disk>(&mut self, replica: &mut Replica<D>) -> Result<(), Error> {
        let version = replica.base().version;
        if self.looked_at != version {
            replica.find_ended()?;
            self.looked_at = version;
            self.must_look = false;
        }
        Ok(())
    }
}

/// The row that a writer needs; none: it has one as low.
fn cut<D: Disk>(replica: &Replica<D>, writer: &WriterId, reason: Reason) -> Result<Option<HomeWrite>, Error> {
    let snapshot = replica.snapshot();
    let tip = snapshot.tip(writer)?.unwrap_or(Tip::START);
    // Where nothing bounds it, it was met by the floor: nothing of it was ever covered.
    let seq = replica.cut(writer)?.unwrap_or(tip.seq);
    if snapshot.cut(writer)?.is_some_and(|row| row.seq <= seq) {
        return Ok(None);
    }
    let id = if tip.seq == seq { tip.id } else { CommitId::ZERO };
    let row = Cut { seq, tip: id, reason: reason as u64 };
    Ok(Some(HomeWrite { coll: system::cut(), key: Cut::key(writer), value: Some(row.encode()) }))
}
