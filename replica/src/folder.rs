//! The folder of a space: the one write that moves it from a state to the next, and what that frees.

use std::collections::BTreeSet;

use crdt::Time;
use disk::Disk;
use planted::Bug;
use wal::Position;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::replica::Replica;
use crate::retired::Leaving;

/// The folder of node packs.
pub(crate) const PACKS: &str = "packs";
/// The folder of the log.
pub(crate) const WAL: &str = "wal";
/// The folder of what the log let go.
pub(crate) const ARCHIVE: &str = "archive";

/// The note that names the folder in which this replica was first opened.
const FOLDER_NOTE: &[u8] = b"replica/folder";

impl<D: Disk> Replica<D> {
    /// Says in which folder this replica is, by something that a copy of the folder does not share.
    ///
    /// In a copy nothing is written again that a cut takes away: the other one may do it too. It goes to the inbox.
    pub fn name_folder(&mut self, fingerprint: [u8; 32]) -> Result<(), Error> {
        match self.notes(FOLDER_NOTE) {
            Some(named) => self.is_copy = named != fingerprint,
            None => {
                self.note(FOLDER_NOTE, &fingerprint)?;
                self.flush()?;
            }
        }
        Ok(())
    }

    /// This folder is the one that goes on, and no copy of it does: somebody says so who knows.
    pub fn claim_folder(&mut self, fingerprint: [u8; 32]) -> Result<(), Error> {
        self.note(FOLDER_NOTE, &fingerprint)?;
        self.flush()?;
        self.is_copy = false;
        Ok(())
    }

    /// Makes a manifest count: the commit point of every move of base, local trees or log position.
    ///
    /// It goes to the slot that the last one is not in: should this write tear, the last one still opens the folder.
    pub(crate) fn write_manifest(&mut self, now: Time, mut manifest: Manifest) -> Result<(), Error> {
        manifest.sequence = self.manifest.sequence + 1;
        manifest.log_start = self.log_needed(&manifest);
        manifest.segments = self.segments_needed(&manifest);
        manifest.void.retain(|(_, to)| *to > manifest.log_start);
        if planted::is(Bug::LogBeforeManifest) {
            self.archive_log(manifest.log_start)?;
        }
        let slot = 1 - self.slot;
        let body = manifest.encode();
        match self.slots.write(slot, &body) {
            // Refused before it could count: the other slot holds the one that does, and this one is written again.
            Err(error @ (Error::ManifestTooLarge { .. } | Error::NoSpace { .. })) => return Err(error),
            written => self.stop_on_error(written)?,
        }
        self.slot = slot;
        let before = std::mem::replace(&mut self.manifest, manifest);
        self.retire(now, &before);
        self.let_go(now)
    }

    /// The part of the log that recovery reads: what local does not hold, and the outbox.
    pub(crate) fn log_needed(&self, manifest: &Manifest) -> Position {
        if self.is_unread {
            // Nobody knows yet.
            return self.manifest.log_start;
        }
        self.tail.oldest().map_or(manifest.position, |oldest| oldest.min(manifest.position))
    }

    /// Files of the log that must be there for this manifest, and how much of each.
    fn segments_needed(&self, manifest: &Manifest) -> Vec<(String, u64)> {
        let segments = self.log.segments().into_iter();
        let needed = segments.filter(|segment| {
            segment.start.0 + segment.len > manifest.log_start.0 && segment.start < manifest.position
        });
        needed
            .map(|segment| {
                let len = segment.len.min(manifest.position.0 - segment.start.0);
                (segment.name, len)
            })
            .collect()
    }

    /// What the last manifest needed and this one does not stays a while for copies under way.
    fn retire(&mut self, now: Time, before: &Manifest) {
        let named: BTreeSet<&str> = self.manifest.packs.iter().map(|pack| pack.name.as_str()).collect();
        let gone = before.packs.iter().filter(|pack| !named.contains(pack.name.as_str()));
        for pack in gone {
            self.retired.push(self.manifest.sequence, now, Leaving::Pack(pack.name.clone()));
        }
        if self.manifest.log_start > before.log_start {
            self.retired.push(self.manifest.sequence, now, Leaving::Log(self.manifest.log_start));
        }
    }

    /// Removes or archives what may go by now.
    fn let_go(&mut self, now: Time) -> Result<(), Error> {
        while let Some(leaving) = self.retired.pop(self.manifest.sequence, now) {
            match leaving {
                Leaving::Pack(name) => self.remove_pack(&name),
                Leaving::Log(before) => self.archive_log(before)?,
            }
        }
        Ok(())
    }

    fn remove_pack(&mut self, name: &str) {
        // A file that stays costs room and nothing else: the next open removes packs that no manifest names.
        drop(self.disk.remove(&format!("{PACKS}/{name}")));
    }
}
