//! One machine: a disk, a clock that may be wrong, and the replicas that run there while its process does.

use std::collections::BTreeMap;

use crdt::{Commit, DeviceKey, Dot, Time};
use disk::{Disk, Faults, MemoryDisk};
use home::{Fingerprint, Home, HomeOptions, MemoryRegistry};
use replica::{Limits, Mode, OpenOptions, Opened, Replica, Spent, Sweeper, Transaction};

use crate::book::Vector;
use crate::clock::WallClock;
use crate::faults::Fault;
use crate::promise::reissue::{AsOf, Held};

/// A device, or the home of some space.
pub struct Machine {
    /// Everything on it, a folder for each space.
    pub disk: MemoryDisk,
    /// Its key; a copy of its folders has the same.
    pub key: DeviceKey,
    /// What tells its folders from every copy of them.
    pub place: Fingerprint,
    /// Its clock.
    pub clock: WallClock,
    /// The latest its clock showed in this run: what has been seen cannot be unseen.
    pub latest: Time,
    /// Its spaces, by their numbers.
    pub copies: BTreeMap<usize, Copy>,
    /// Whether its process runs.
    pub is_up: bool,
    /// How often the process was started: one run each.
    pub starts: u64,
    /// It stays down until then.
    pub down_until: u64,
    /// It does nothing until then: it sleeps, or its disk does.
    pub asleep_until: u64,
    /// When it wakes its process is killed: the disk under it did not answer.
    pub is_stuck: bool,
    /// The power goes again inside its next recovery.
    pub is_doomed: bool,
    /// When it is looked at next, if nothing happens before.
    pub wake_at: Option<u64>,
    /// What is planned for its disk, and how often that had fired when it was last looked at.
    pub plan: Option<(Fault, u64)>,
    /// Its disk stays full until then.
    pub full_until: Option<u64>,
    /// A bit or sector of its disk changed: what it refuses since, it may refuse.
    pub is_rotten: bool,
    /// Only what lies in packs has changed so far: nothing that it held is lost where somebody else has it.
    pub is_healable: bool,
    /// What has changed at rest in a home: the bit, and how the file read from then on.
    pub flips: Vec<Flip>,
    /// A copy of its disk from some time ago, and when it was taken.
    pub backup: Option<(u64, MemoryDisk)>,
}

/// A bit that changed where it lay.
#[derive(Debug)]
pub struct Flip {
    /// The file.
    pub name: String,
    /// Where in it.
    pub offset: u64,
    /// Which bit of that byte.
    pub bit: u32,
    /// All of the file, as it was from then on.
    pub bytes: Vec<u8>,
}

/// One copy of one space on a machine.
#[derive(Default)]
pub struct Copy {
    /// What runs there while the process does.
    pub replica: Option<Replica<MemoryDisk>>,
    /// The role, where it has it.
    pub home: Option<Home>,
    /// With which base and how much of the ring the role was last looked at.
    pub seated: (u64, u64),
    /// It leaves: it has asked or will ask under this id, and writes nothing any more.
    pub leaving: Option<[u8; 16]>,
    /// Over which connection and on which base it has asked.
    pub asked: Option<(u64, u64)>,
    /// It has left.
    pub has_left: bool,
    /// What it has decided as the home and not answered yet: over which connection, what, and the version that covers it.
    pub owed: Vec<(u64, [u8; 16], u64)>,
    /// The highest base version it was seen at.
    pub version: u64,
    /// Its process ended where it may have adopted a newer one: which, is seen when it opens.
    pub may_be_ahead: bool,
    /// When it last wrote a batch, for the idle mark.
    pub wrote_at: Option<u64>,
    /// When what is pending is flushed, where that waits.
    pub flush_at: Option<u64>,
    /// How far its peers were told that it holds each writer: that survives whatever happens to the process.
    pub told: Vector,
    /// What it held before a step in which its process ended: it may have adopted something in it.
    pub before: Option<Held>,
    /// What it held when that was last looked at.
    pub held: Option<(AsOf, Held)>,
    /// Written, not flushed: nobody was told.
    pub pending: Vec<Pending>,
    /// The last change of what is visible that is in the book.
    pub harvested: Option<u64>,
    /// A transaction that an application left open.
    pub open: Option<Transaction<MemoryDisk>>,
    /// Its visible tail when last looked at: what it has learnt since is news.
    pub known: BTreeMap<crdt::WriterId, u64>,
    /// What its home has seen of losers.
    pub sweeper: Sweeper,
    /// Losers that its home has found to be spent, and not let go yet.
    pub spent: Option<Vec<Spent>>,
    /// When each loser was first seen to be one, by the clock of its home.
    pub losers_came: BTreeMap<Dot, Time>,
}

/// A commit that waits for its flush.
pub struct Pending {
    /// Itself: what flushes it may drop it in the same step, and then no folder has it any more.
    pub commit: Commit,
    /// What the clock showed.
    pub latest: Time,
}

impl Copy {
    /// The highest base version it may have; nobody can tell of a folder that has yet to be opened and was put there, or
    /// was adopting something when its process ended.
    pub fn version_at_most(&self) -> u64 {
        match &self.replica {
            Some(replica) => replica.base().version.max(self.version),
            None if self.version == 0 || self.may_be_ahead => u64::MAX,
            None => self.version,
        }
    }

    /// What is in its folder beside the replica, where somebody copies that.
    pub fn copied(&self) -> Copy {
        Copy { leaving: self.leaving, has_left: self.has_left, ..Copy::default() }
    }
}

/// Overlay sizes small enough that checkpoints happen all the time.
pub fn limits(is_roomy: bool) -> Limits {
    if is_roomy {
        return Limits { archive_bytes: 1 << 20, changes: 4096, ..Limits::default() };
    }
    Limits {
        overlay_entries: 24,
        overlay_bytes: 16 << 10,
        // Where bugs are planted, the log has many segments: some of the bugs need a second one.
        segment_bytes: if planted::SWITCH { 8 << 10 } else { Limits::default().segment_bytes },
        archive_bytes: 64 << 10,
        waste_bytes: 64 << 10,
        changes: 256,
        ..Limits::default()
    }
}

/// The folder of a space on each machine that has it.
pub fn folder(space: usize) -> String {
    format!("s{space}")
}

impl Machine {
    /// A machine that was just switched on, with nothing on its disk.
    pub fn new(disk: MemoryDisk, key: DeviceKey, place: Fingerprint) -> Machine {
        Machine {
            disk,
            key,
            place,
            clock: WallClock::default(),
            latest: Time(0),
            copies: BTreeMap::new(),
            is_up: true,
            starts: 1,
            down_until: 0,
            asleep_until: 0,
            is_stuck: false,
            is_doomed: false,
            wake_at: None,
            plan: None,
            full_until: None,
            is_rotten: false,
            is_healable: false,
            flips: Vec::new(),
            backup: None,
        }
    }

    /// The running replica of a space.
    pub fn replica(&self, space: usize) -> Option<&Replica<MemoryDisk>> {
        self.copies.get(&space)?.replica.as_ref()
    }

    /// Opens a space on its disk, as a daemon does after a start; the error is what a person would read.
    pub fn open(
        &mut self,
        space: usize,
        now: u64,
        limits: Limits,
        seed: [u8; 32],
        registry: &mut MemoryRegistry,
    ) -> Result<Opened, String> {
        let now = self.clock.read(now);
        let options = OpenOptions { device: self.key.clone(), seed, now, limits, mode: Mode::ReadWrite };
        let (mut replica, opened) =
            Replica::open(self.disk.within(&folder(space)), options).map_err(|error| chain(&error))?;
        let is_unread = replica.is_unread();
        let home = if is_unread { None } else { Some(self.take_up(&mut replica, seed, now, registry)?) };
        let copy = self.copies.get_mut(&space).expect("the machine has the space");
        copy.home = home;
        copy.replica = Some(replica);
        Ok(opened)
    }

    /// The role, which a machine has or may be given.
    pub fn take_up(
        &self,
        replica: &mut Replica<MemoryDisk>,
        seed: [u8; 32],
        now: Time,
        registry: &mut MemoryRegistry,
    ) -> Result<Home, String> {
        replica.name_folder(self.place.0).map_err(|error| chain(&error))?;
        let options = HomeOptions { key: self.key.clone(), seed, fingerprint: self.place };
        Home::open(options, replica, now, registry).map_err(|error| chain(&error))
    }

    /// What `verify` finds wrong with each of its folders: through the replica that runs there, or, where none does, in
    /// the folder as it lies. A folder that does not even open is told as that.
    pub fn problems(&self, now: u64) -> Vec<String> {
        let mut problems = Vec::new();
        for (space, copy) in &self.copies {
            let report = match &copy.replica {
                Some(replica) => replica.verify(),
                None => self.read(*space, now).and_then(|replica| replica.verify()),
            };
            match report {
                Ok(report) => problems.extend(report.problems),
                Err(error) => problems.push(chain(&error)),
            }
        }
        problems
    }

    /// Opens a space to be read: nothing is written, and nothing is drawn from the seed.
    fn read(&self, space: usize, now: u64) -> Result<Replica<MemoryDisk>, replica::Error> {
        let options = OpenOptions {
            device: self.key.clone(),
            seed: [0; 32],
            now: self.clock.read(now),
            limits: Limits::default(),
            mode: Mode::ReadOnly,
        };
        Replica::open(self.disk.within(&folder(space)), options).map(|(replica, _)| replica)
    }

    /// What its clock says.
    pub fn time(&self, now: u64) -> Time {
        self.clock.read(now)
    }

    /// Whether the power went inside a call: nothing can be read until the process has ended.
    pub fn is_dark(&self) -> bool {
        let is_at_risk = matches!(self.plan, Some((Fault::PowerCutInside | Fault::PowerCutInRecovery, _)));
        is_at_risk && self.disk.faults_fired() > 0
    }

    /// The process is gone; the disk stays as it is.
    pub fn stop(&mut self, until: u64) {
        let is_dark = self.is_dark();
        self.is_up = false;
        self.latest = Time(0);
        self.down_until = self.down_until.max(until);
        for copy in self.copies.values_mut() {
            let told = std::mem::take(&mut copy.told);
            let before = copy.before.take();
            let is_over = |replica: &Replica<MemoryDisk>| is_dark || replica.is_stopped();
            let may_be_ahead = copy.replica.as_ref().map_or(copy.may_be_ahead, is_over);
            let Copy { version, leaving, has_left, .. } = *copy;
            *copy = Copy { version, may_be_ahead, told, before, leaving, has_left, ..Copy::default() };
        }
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

/// What `look` finds while nothing goes wrong on a disk: faults are for the replica, not for those who watch it.
pub fn undisturbed<T>(disk: &MemoryDisk, look: impl FnOnce() -> T) -> T {
    let faults = disk.faults();
    disk.set_faults(Faults::none());
    let found = look();
    disk.set_faults(faults);
    found
}
