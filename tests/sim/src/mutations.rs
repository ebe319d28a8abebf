//! Plants each bug in turn and plays seeds until a promise catches it: a bug that survives shows a check that is missing.
//!
//! Each is hunted where it can show: on a [`Ground`] with what it takes and little else, held against the same promises as
//! any other. The seed that finds it is played once more without it, and must keep them.

use std::fmt;

use planted::Bug;

mod ground;

pub use ground::Ground;

/// Seeds within which every bug is found. Of 30 the hardest has several that show it.
pub const SEEDS_MAX: u64 = 60;

/// What was wrong where a bug was planted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The broken promise, or the check that found it.
    pub by: String,
    /// For a person.
    pub what: String,
}

/// How a hunt ended.
#[derive(Debug)]
pub enum Hunted {
    /// Found.
    Found {
        /// Seeds played, the one that found it included.
        seeds: u64,
        /// How.
        wrong: Wrong,
    },
    /// No seed showed it.
    Survived {
        /// How many there were.
        seeds: u64,
    },
    /// The seed that found it breaks a promise without it, too: it says nothing about this bug.
    Confused {
        /// That seed.
        seed: u64,
        /// What was wrong without the bug.
        wrong: Wrong,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line: String = self.what.lines().next().unwrap_or_default().chars().take(100).collect();
        write!(f, "{}: {line}", self.by)
    }
}

impl fmt::Display for Hunted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hunted::Found { seeds, wrong } => write!(f, "{seeds:>5} | {wrong}"),
            Hunted::Survived { seeds } => write!(f, " none | SURVIVED {seeds} seeds"),
            Hunted::Confused { seed, wrong } => write!(f, " none | seed {seed} FAILS WITHOUT IT: {wrong}"),
        }
    }
}

/// Plays seeds of a ground with a bug planted until one of them breaks a promise.
pub fn hunt(bug: Bug, ground: &Ground, seeds_max: u64) -> Hunted {
    planted::plant(Some(bug));
    let found = (1..=seeds_max).find_map(|seed| Some((seed, ground.play(seed).err()?)));
    planted::plant(None);
    let Some((seeds, wrong)) = found else { return Hunted::Survived { seeds: seeds_max } };
    match ground.play(seeds) {
        Ok(()) => Hunted::Found { seeds, wrong },
        Err(wrong) => Hunted::Confused { seed: seeds, wrong },
    }
}

/// Hunts every bug, or those with a part of a name, and prints a line for each; false if one was not found.
///
/// `ground` is where all of them are hunted, in place of each one's own.
pub fn run(only: Option<&str>, ground: Option<&Ground>, seeds_max: u64) -> bool {
    // A bug may trip an assertion of the core: that is a find, not news.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{:<50} | seeds | found by", "mutation");
    let is_asked = |bug: &&Bug| only.is_none_or(|part| bug.name().contains(part));
    let mut are_found = true;
    for bug in Bug::SIMULATOR.iter().filter(is_asked) {
        let hunted = match ground {
            Some(ground) => hunt(*bug, ground, seeds_max),
            None => hunt(*bug, &Ground::of(*bug), seeds_max),
        };
        are_found &= matches!(hunted, Hunted::Found { .. });
        println!("{:<50} | {hunted}", bug.name());
    }
    drop(std::panic::take_hook());
    are_found
}
