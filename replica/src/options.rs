//! What a replica is told when it is made or opened, and what opening found.

use btree::{Hash, Kind};
use crdt::{DeviceKey, Genesis, Handle, RingRecord, Time};

/// How large things may grow before the replica works them off or refuses.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Overlay entries at which [`crate::Replica::checkpoint_due`] says yes.
    pub overlay_entries: usize,
    /// Overlay bytes (keys, values and blobs) at which it says yes.
    pub overlay_bytes: usize,
    /// Bytes of commits above the base at which new writes are refused.
    pub outbox_bytes: u64,
    /// Bytes of the log's first segment; under load they double.
    pub segment_bytes: u64,
    /// Bytes of covered segments kept for near peers.
    pub archive_bytes: u64,
    /// Bytes that dead nodes and values may take before packs are rewritten without them.
    pub waste_bytes: u64,
    /// Keys remembered as changed since the oldest transaction that can still commit.
    pub changes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A fold of this many takes a fraction of a second, and a replay of them at open no longer.
            overlay_entries: 250_000,
            overlay_bytes: 32 << 20,
            // Days of telemetry; a disk that fills up silently would be worse than a refusal that says so.
            outbox_bytes: 4 << 30,
            segment_bytes: 256 << 10,
            archive_bytes: 64 << 20,
            waste_bytes: 64 << 20,
            // About 16 MiB of shared pointers at worst; an older transaction is told to retry.
            changes: 1 << 19,
        }
    }
}

/// Where a new replica's first state comes from.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one of these exists for each new replica, for a moment")]
pub enum Origin {
    /// This device made the space: the first Handle and every node under it.
    Founded {
        /// Version 1, signed by the home key of the genesis.
        handle: Handle,
        /// All nodes that the two roots of `handle` reach.
        nodes: Vec<(Kind, Hash, Vec<u8>)>,
    },
    /// This device was admitted: it holds nothing yet and fetches the first Handle it is offered.
    Joined,
}

/// How [`crate::Replica::create`] makes a replica.
pub struct CreateOptions {
    /// What the space is.
    pub genesis: Genesis,
    /// The chain of home keys known so far.
    pub ring: Vec<RingRecord>,
    /// Who writes here.
    pub device: DeviceKey,
    /// Where the first state comes from.
    pub origin: Origin,
    /// The only chance this replica gets: fresh for every create and open, never stored.
    pub seed: [u8; 32],
    /// The time.
    pub now: Time,
    /// How large things may grow.
    pub limits: Limits,
}

/// Whether a replica may write to its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The ordinary way.
    ReadWrite,
    /// Read-only media: everything opens, nothing is written, every write is refused.
    ReadOnly,
}

/// How [`crate::Replica::open`] opens a replica.
pub struct OpenOptions {
    /// Who writes here.
    pub device: DeviceKey,
    /// The only chance this replica gets: fresh for every create and open, never stored.
    pub seed: [u8; 32],
    /// The time.
    pub now: Time,
    /// How large things may grow.
    pub limits: Limits,
    /// Whether the folder may be written.
    pub mode: Mode,
}

/// Which manifest a replica was opened from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// One of the two slots.
    Slot {
        /// Its place.
        slot: usize,
    },
    /// A copy in a pack, since neither slot was complete.
    Pack {
        /// The pack that carried it.
        name: String,
    },
}

/// What opening a replica found.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Where the state was read from.
    pub source: Source,
    /// The version of the adopted Handle.
    pub version: u64,
    /// Commits folded from the log after the last checkpoint.
    pub replayed: u64,
    /// Received commits whose unit a crash left without its end: never acknowledged, so dropped.
    pub unsealed: u64,
    /// A batch that takes the place of dropped commits was there without its manifest, and was cut off.
    pub undone: bool,
    /// The torn tail that was cut, if any.
    pub cut: Option<wal::Cut>,
}
