//! One machine: a disk, a clock that may be wrong, and the replica that runs there when it runs.

use crdt::{DeviceKey, Time};
use disk::MemoryDisk;
use home::{Fingerprint, Home, HomeOptions, MemoryRegistry};
use replica::{Limits, Mode, OpenOptions, Opened, Replica};

/// A device, or the home.
pub struct Machine {
    /// Its folder.
    pub disk: MemoryDisk,
    /// Its key; a copy of its folder has the same.
    pub key: DeviceKey,
    /// What runs there.
    pub replica: Option<Replica<MemoryDisk>>,
    /// The role, where it has it.
    pub home: Option<Home>,
    /// Whether the space is homed here.
    pub is_home: bool,
    /// Its clock minus the world's, in milliseconds.
    pub skew: i64,
    /// How often it was opened: one run each.
    pub opens: u64,
    /// It stays down until then.
    pub down_until: u64,
    /// The highest base version it was seen at.
    pub version: u64,
    /// When it last wrote a batch, for the idle mark.
    pub wrote_at: Option<u64>,
    /// A power cut is planned inside a call to its disk.
    pub is_power_at_risk: bool,
}

/// Overlay sizes small enough that checkpoints happen all the time.
pub fn limits() -> Limits {
    Limits {
        overlay_entries: 24,
        overlay_bytes: 16 << 10,
        archive_bytes: 64 << 10,
        changes: 256,
        ..Limits::default()
    }
}

impl Machine {
    /// What its clock says.
    pub fn time(&self, now: u64) -> Time {
        Time(now.saturating_add_signed(self.skew))
    }

    /// Opens what is on its disk, as a daemon does after a start; the error is what a person would read.
    pub fn open(
        &mut self,
        now: u64,
        seed: [u8; 32],
        registry: &mut MemoryRegistry,
    ) -> Result<Opened, String> {
        self.opens += 1;
        let options = OpenOptions {
            device: self.key.clone(),
            seed,
            now: self.time(now),
            limits: limits(),
            mode: Mode::ReadWrite,
        };
        let (mut replica, opened) =
            Replica::open(self.disk.clone(), options).map_err(|error| chain(&error))?;
        self.home = None;
        if self.is_home {
            let options = HomeOptions { key: self.key.clone(), seed, fingerprint: Fingerprint([7; 32]) };
            let home = Home::open(options, &mut replica, self.time(now), registry);
            self.home = Some(home.map_err(|error| chain(&error))?);
        }
        self.replica = Some(replica);
        Ok(opened)
    }

    /// Whether the power went inside a call: nothing can be read until the process has ended.
    pub fn is_dark(&self) -> bool {
        self.is_power_at_risk && self.disk.faults_fired() > 0
    }

    /// The process is gone; the disk stays as it is.
    pub fn stop(&mut self, until: u64) {
        self.replica = None;
        self.home = None;
        self.wrote_at = None;
        self.down_until = until;
    }
}

/// An error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
