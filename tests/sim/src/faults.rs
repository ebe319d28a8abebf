//! The faults, numbered as in `docs/testing.md`, and how often each one fired.

use std::collections::BTreeMap;
use std::fmt;

/// Declares the kinds in the order of their numbers.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One kind of thing that goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];
        }
    };
}

faults! {
    /// F1: a connection dies between frames: all that lossy packets come to under a reliable stream.
    Cut,
    /// F2: a connection dies inside a frame.
    CutInside,
    /// F3: bytes arrive late, each by its own delay.
    Delay,
    /// F4: a frame arrives twice.
    Duplicate,
    /// F5: a frame is kept back, and others overtake it that were sent to the same machine after it, on another connection.
    Reorder,
    /// F6: one direction stops for a while.
    Stall,
    /// F7: a byte on the way is another one.
    Corrupt,
    /// F8: two machines cannot reach each other for a while.
    Partition,
    /// F9: one machine reaches another that does not reach it.
    OneWay,
    /// F10: a connection is gone and neither end is told.
    HalfOpen,
    /// F11: an end reads nothing for a while.
    SlowReader,
    /// F12: a peer stops inside a frame and stays connected.
    StopInside,
    /// F13: a connection carries few bytes a second from now on.
    RateLimit,
    /// F14: a link is 3G, satellite or 2G.
    Thin,
    /// F15: every connection over a link is cut after two seconds.
    Flaky,
    /// F16: the same two machines have two connections at once.
    Twice,
    /// F17: a process is killed; the machine's cache survives.
    Kill,
    /// F18: the power goes; what was not flushed survives in any part.
    PowerCut,
    /// F19: the power goes inside a call to the disk.
    PowerCutInside,
    /// F20: the power goes inside a call that recovery makes.
    PowerCutInRecovery,
    /// F21: a flush fails, once, and the next one says all is well.
    FlushError,
    /// F22: a write fails, some of it done.
    WriteError,
    /// F23: a write takes only a part.
    ShortWrite,
    /// F24: one write finds no space, a part done.
    NoSpace,
    /// F25: the disk stays full for a while.
    Full,
    /// F26: no file can be opened or created.
    TooManyFiles,
    /// F27: a file is not created, renamed or removed, or a folder not flushed.
    NameError,
    /// F28: a read fails, once.
    ReadError,
    /// F29: a sector of a file at rest can no longer be read.
    BadSector,
    /// F30: a bit of the log changes at rest.
    RotLog,
    /// F31: a bit of a pack changes at rest.
    RotPack,
    /// F32: a bit of the manifest changes at rest, in the first copy of a slot.
    RotManifest,
    /// F33: a call to the disk takes seconds.
    Latency,
    /// F34: the disk answers nothing for long, and the process is killed.
    DiskStall,
    /// F35: a clock stands somewhere else at once, from 50 years back to 75 ahead.
    ClockJump,
    /// F36: a clock runs fast or slow.
    Drift,
    /// F37: a machine sleeps and wakes, its processes with it.
    Suspend,
    /// F38: a device's folder is copied while it runs; both run on.
    Clone,
    /// F39: a device's folder is replaced by a copy of itself.
    Restore,
    /// F40: a device's folder is replaced by a copy from some time ago.
    RestoreOld,
    /// F41: a device is out of reach for months.
    Away,
    /// F42: the home is down for months.
    HomeAway,
    /// F43: the registry is down, or its answer is lost.
    RegistryFails,
    /// F44: the registry forgets the newest Handle it had acknowledged.
    RegistryLoses,
    /// F45: the home takes a device out, which may not know for long.
    Revoke,
    /// F46: a device that is out is let in again, with a new ticket.
    Readmit,
    /// F47: a device asks to be taken out, and is.
    Leave,
    /// F48: the home hands its role to a device.
    Handover,
    /// F49: a write says that it is done and never happens.
    LostWrite,
    /// F50: a write lands in another sector of its file.
    Misdirected,
    /// F51: a home's folder is copied while it runs; both run on, and only one of them signs.
    CloneHome,
    /// F52: a home's folder is replaced by a copy from some time ago, and claimed once nobody has anything newer.
    RestoreHome,
    /// F53: a bit of a home's pack changes at rest; what nobody has who could heal it, its owner puts back in the end.
    RotHome,
}

impl Fault {
    /// Its number in `docs/testing.md`.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("F{} {self:?}", self.number()))
    }
}

/// How often each kind fired.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fired(BTreeMap<Fault, u64>);

impl Fired {
    /// It happened once more.
    pub fn add(&mut self, fault: Fault) {
        *self.0.entry(fault).or_default() += 1;
    }

    /// How often it happened.
    pub fn count(&self, fault: Fault) -> u64 {
        self.0.get(&fault).copied().unwrap_or_default()
    }

    /// Kinds that never happened.
    pub fn missing(&self) -> Vec<Fault> {
        Fault::ALL.iter().copied().filter(|fault| self.count(*fault) == 0).collect()
    }

    /// Adds what fired in another run.
    pub fn merge(&mut self, other: &Fired) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }
}

impl fmt::Display for Fired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<String> = self.0.iter().map(|(fault, count)| format!("{fault} {count}")).collect();
        f.write_str(if kinds.is_empty() { "none" } else { "" })?;
        f.write_str(&kinds.join(", "))
    }
}
