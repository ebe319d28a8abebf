//! The faults, numbered as in `docs/testing.md`, and how often each one fired.

use std::collections::{BTreeMap, BTreeSet};

use disk::Random;

/// One kind of thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// F1: a connection dies between frames.
    Cut,
    /// F2: a connection dies inside a frame.
    CutInside,
    /// F3: bytes arrive late, each by its own delay.
    Delay,
    /// F4: a link carries few bytes a second.
    Thin,
    /// F5: one direction stops while the other goes on.
    Stall,
    /// F6: a byte on the way is another one.
    Corrupt,
    /// F7: two machines cannot reach each other for a while.
    Partition,
    /// F8: the same two machines have two connections at once.
    Twice,
    /// F9: a process is killed; the machine's cache survives.
    Kill,
    /// F10: the power goes; what was not flushed survives in any part.
    PowerCut,
    /// F11: the power goes inside a call to the disk, recovery included.
    PowerCutInside,
    /// F12: a flush fails.
    FlushError,
    /// F13: a write fails, or is short.
    WriteError,
    /// F14: the disk is full.
    Full,
    /// F15: a clock jumps or stands years away.
    Clock,
    /// F16: a device's folder is copied while it runs, and the copy runs too.
    Clone,
    /// F17: a device's folder is replaced by an older copy of itself.
    Restore,
}

impl Fault {
    /// All of them, in the order of their numbers.
    pub const ALL: [Fault; 17] = [
        Fault::Cut,
        Fault::CutInside,
        Fault::Delay,
        Fault::Thin,
        Fault::Stall,
        Fault::Corrupt,
        Fault::Partition,
        Fault::Twice,
        Fault::Kill,
        Fault::PowerCut,
        Fault::PowerCutInside,
        Fault::FlushError,
        Fault::WriteError,
        Fault::Full,
        Fault::Clock,
        Fault::Clone,
        Fault::Restore,
    ];

    /// Its number in `docs/testing.md`.
    pub fn number(self) -> usize {
        1 + Fault::ALL.iter().position(|fault| *fault == self).expect("every fault is in the list")
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

    /// Adds what fired in another run.
    pub fn merge(&mut self, other: &Fired) {
        for (fault, count) in &other.0 {
            *self.0.entry(*fault).or_default() += count;
        }
    }
}

/// Which faults this world has, and how often: each seed draws its own, since a world with everything on hides what
/// needs a quiet hour to happen.
#[derive(Debug, Clone)]
pub struct Weather {
    chances: BTreeMap<Fault, u64>,
}

impl Weather {
    /// Draws the weather of a seed.
    pub fn draw(random: &mut Random) -> Weather {
        let mut chances = BTreeMap::new();
        for fault in Fault::ALL {
            if random.below(100) < 55 {
                // One in so many steps of 10 ms to 300 ms.
                chances.insert(fault, 40 << random.below(5));
            }
        }
        Weather { chances }
    }

    /// Takes kinds of faults out of it.
    #[must_use]
    pub fn without(mut self, faults: &BTreeSet<Fault>) -> Weather {
        self.chances.retain(|fault, _| !faults.contains(fault));
        self
    }

    /// No faults at all.
    pub fn fair() -> Weather {
        Weather { chances: BTreeMap::new() }
    }

    /// Whether this world has it at all.
    pub fn has(&self, fault: Fault) -> bool {
        self.chances.contains_key(&fault)
    }

    /// Whether it happens in this step.
    pub fn strikes(&self, fault: Fault, random: &mut Random) -> bool {
        self.chances.get(&fault).is_some_and(|one_in| random.below(*one_in) == 0)
    }
}
