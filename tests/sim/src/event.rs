//! `Event`: one thing that happened, with who, what, which dot and at which step, for checks and for people.

use std::fmt;

use crdt::{Class, CollId, Dot, WriterId};

use crate::faults::Fault;
use crate::malice::Lie;

/// One thing that happened in a world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// The step of the run.
    pub step: u64,
    /// Virtual milliseconds since the world began, by the one clock that no machine sees.
    pub at: u64,
    /// The machine it happened at; none: it concerns all of them.
    pub machine: Option<usize>,
    /// What it was.
    pub what: What,
}

/// What can happen. `space` is the number of the space in this world, `peer` another machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// The world did something to it.
    Fault {
        /// Which kind.
        fault: Fault,
        /// How, where there is more than one way.
        how: String,
    },
    /// A replica was opened.
    Starts {
        /// Which space.
        space: usize,
        /// The version of the base it found.
        version: u64,
        /// Where it was read from, what was replayed, dropped and cut.
        found: String,
    },
    /// The process ended.
    Stops {
        /// Why.
        reason: String,
    },
    /// An application wrote a commit, which is pending.
    Writes {
        /// Which space.
        space: usize,
        /// Its name.
        dot: Dot,
        /// How urgent it is.
        class: Class,
        /// The keys it puts.
        puts: Vec<(CollId, Vec<u8>)>,
        /// The keys it deletes.
        deletes: Vec<(CollId, Vec<u8>)>,
    },
    /// A transaction was refused, as it should be.
    Refuses {
        /// Which space.
        space: usize,
        /// What the application was told.
        reason: String,
    },
    /// The writer of a commit was told that it is durable.
    Acknowledges {
        /// Which space.
        space: usize,
        /// The commit.
        dot: Dot,
    },
    /// A replica holds more of another device's writer than before, durably. Only kept with [`crate::Keep::Events`],
    /// and no part of the hash.
    Learns {
        /// Which space.
        space: usize,
        /// Whose commits.
        writer: WriterId,
        /// Up to which.
        seq: u64,
        /// From whom.
        peer: usize,
    },
    /// A connection was made.
    Calls {
        /// Which space.
        space: usize,
        /// Who was called.
        peer: usize,
        /// Over what.
        profile: &'static str,
    },
    /// A connection ended.
    HangsUp {
        /// Which space.
        space: usize,
        /// Whom it led to.
        peer: usize,
        /// Why.
        reason: String,
    },
    /// It says what is not so.
    Lies {
        /// Which space.
        space: usize,
        /// To whom.
        peer: usize,
        /// Which kind of lie.
        lie: Lie,
    },
    /// What a peer said was refused.
    Disbelieves {
        /// Which space.
        space: usize,
        /// Who said it.
        peer: usize,
        /// What was wrong with it.
        reason: String,
    },
    /// A home made a Handle.
    Makes {
        /// Which space.
        space: usize,
        /// Its version.
        version: u64,
    },
    /// A replica adopted a Handle.
    Adopts {
        /// Which space.
        space: usize,
        /// Its version.
        version: u64,
    },
    /// Damage at rest was met, and looked after.
    Mends {
        /// Which space.
        space: usize,
        /// How that goes.
        how: String,
    },
    /// The faults stop; from here on everyone must become equal.
    Calm,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>11.3} s  step {:<6} ", self.at as f64 / 1000.0, self.step)?;
        match self.machine {
            Some(machine) => write!(f, "m{machine} {}", self.what),
            None => write!(f, "{}", self.what),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Fault { fault, how } if how.is_empty() => write!(f, "suffers {fault}"),
            What::Fault { fault, how } => write!(f, "suffers {fault}: {how}"),
            What::Starts { space, version, found } => {
                write!(f, "starts s{space} at version {version}, {found}")
            }
            What::Stops { reason } => write!(f, "stops: {reason}"),
            What::Writes { space, dot, class, puts, deletes } => {
                write!(f, "writes {dot} in s{space}, {class:?}:")?;
                puts.iter().try_for_each(|(_, key)| write!(f, " {}", crdt::key::display(key)))?;
                deletes.iter().try_for_each(|(_, key)| write!(f, " -{}", crdt::key::display(key)))
            }
            What::Refuses { space, reason } => write!(f, "refuses a write in s{space}: {reason}"),
            What::Acknowledges { space, dot } => write!(f, "acknowledges {dot} in s{space}"),
            What::Learns { space, writer, seq, peer } => {
                write!(f, "learns {writer} up to {seq} in s{space} from m{peer}")
            }
            What::Calls { space, peer, profile } => write!(f, "calls m{peer} about s{space} over {profile}"),
            What::HangsUp { space, peer, reason } => {
                write!(f, "and m{peer} end their talk about s{space}: {reason}")
            }
            What::Lies { space, peer, lie } => {
                write!(f, "lies to m{peer} about s{space}: M{} {lie:?}", lie.number())
            }
            What::Disbelieves { space, peer, reason } => {
                write!(f, "does not believe m{peer} about s{space}: {reason}")
            }
            What::Makes { space, version } => write!(f, "makes version {version} of s{space}"),
            What::Adopts { space, version } => write!(f, "adopts version {version} of s{space}"),
            What::Mends { space, how } => write!(f, "mends s{space}: {how}"),
            What::Calm => f.write_str("the faults stop"),
        }
    }
}
