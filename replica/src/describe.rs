//! What a replica says about itself, for people and for metrics.

use crdt::{Hlc, Time};
use disk::Disk;

use btree::Hash;

use crate::replica::Replica;

/// The state of a replica in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The version of the base; 0 before the first.
    pub version: u64,
    /// The data root of the base.
    pub data_root: Hash,
    /// The vector root of the base.
    pub vv_root: Hash,
    /// When the home made the base.
    pub base_hlc: Hlc,
    /// Commits that no Handle covers: the depth of the outbox.
    pub tail_commits: u64,
    /// Their bytes.
    pub tail_bytes: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Time>,
    /// Bytes of the live log: what a start would read. Segments before it wait for copies under way, and then leave.
    pub wal_bytes: u64,
    /// Bytes of the archive.
    pub archive_bytes: u64,
    /// Bytes of the packs.
    pub pack_bytes: u64,
    /// Packs.
    pub packs: usize,
    /// Entries folded since the last checkpoint.
    pub overlay_entries: usize,
    /// What they hold in memory, about.
    pub overlay_bytes: usize,
    /// The version being fetched, if one is.
    pub fetching: Option<u64>,
    /// Why something received could not be taken here, the last time that happened.
    pub last_error: Option<String>,
    /// A write failed, and the folder must be opened again.
    pub is_stopped: bool,
}

/// What no Handle covers, in numbers that a home may ask for after every event: nothing is read for them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Commits above the base.
    pub commits: u64,
    /// Their bytes.
    pub len: u64,
    /// Entries folded since the last checkpoint.
    pub overlay_entries: u64,
}

impl<D: Disk> Replica<D> {
    /// What no Handle covers.
    pub fn backlog(&self) -> Backlog {
        let overlay_entries = self.pending.overlay.len() as u64;
        Backlog { commits: self.tail.commits(), len: self.tail.bytes(), overlay_entries }
    }

    /// The state of this replica in numbers.
    pub fn describe(&self) -> Description {
        let base = self.base();
        Description {
            version: base.version,
            data_root: Hash(base.data_root),
            vv_root: Hash(base.vv_root),
            base_hlc: base.hlc,
            tail_commits: self.tail.commits(),
            tail_bytes: self.tail.bytes(),
            oldest: self.oldest(),
            wal_bytes: self.log.end().0 - self.manifest.log_start.0,
            archive_bytes: self.archive.iter().map(|(_, len)| len).sum(),
            pack_bytes: self.manifest.packs.iter().map(|pack| pack.len).sum(),
            packs: self.manifest.packs.len(),
            overlay_entries: self.pending.overlay.len(),
            overlay_bytes: self.pending.overlay.bytes(),
            fetching: self.fetching(),
            last_error: self.last_error.clone(),
            is_stopped: self.is_stopped,
        }
    }

    /// When the oldest commit above the base was written; unknown if the log cannot be read, which `verify` tells.
    fn oldest(&self) -> Option<Time> {
        let position = self.tail.oldest()?;
        let entry = self.log.read(position).ok()?;
        let record = crate::record::Record::decode(position, entry.kind, &entry.payload).ok()?;
        record.commit().map(|commit| commit.header().hlc.time())
    }
}
