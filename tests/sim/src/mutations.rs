//! Plants each bug in turn and plays seeds until a promise catches it: a bug that survives shows a check that is missing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use planted::Bug;

use crate::malice::Lie;
use crate::promise::ASSERTION;
use crate::{Broken, Options};

/// Seeds within which every bug is found.
pub const SEEDS_MAX: u64 = 200;

/// Rounds of a life beside a liar.
const ROUNDS: u64 = 40;

/// Planted, and hunted only by name: too few worlds show them, or none.
pub const OPEN: &[Bug] = &[Bug::VectorsWithoutTips, Bug::LogBeforeManifest];

/// How a bug was found.
#[derive(Debug)]
pub struct Found {
    /// Seeds played, the one that found it included.
    pub seeds: u64,
    /// The broken promise, or the assertion.
    pub by: String,
    /// What was wrong, for a person.
    pub what: String,
}

/// Plays seeds with a bug planted until one of them breaks a promise.
pub fn hunt(bug: Bug, seeds_max: u64) -> Option<Found> {
    planted::plant(Some(bug));
    let found = (1..=seeds_max).find_map(|seed| {
        let played = catch_unwind(AssertUnwindSafe(|| play(seed)));
        let (by, what) = match played {
            Ok(Ok(())) => return None,
            Ok(Err(found)) => found,
            Err(panic) => (ASSERTION.to_string(), crate::world::text(&*panic)),
        };
        Some(Found { seeds: seed, by, what })
    });
    planted::plant(None);
    found
}

/// One replica under interleaved transactions, then honest ones beside a liar, then a whole world: what takes least time
/// goes first. The error is the promise and what was wrong.
fn play(seed: u64) -> Result<(), (String, String)> {
    crate::isolation::play(seed).map_err(|what| ("isolation".to_string(), what))?;
    // Most lies end their conversation; those that do not are deep in it only where the others are absent.
    let lies = if seed % 2 == 1 { Lie::subtle() } else { Lie::ALL.to_vec() };
    crate::den::play(seed, &lies, ROUNDS).map_err(|what| ("a lie".to_string(), what))?;
    let world = crate::run(seed, Options::default());
    world.map_err(|Broken { promise, what, .. }| (promise.to_string(), what))?;
    Ok(())
}

/// Hunts all bugs that are not [`OPEN`], or those with a part of a name; prints a line for each. False if one survived.
pub fn run(only: Option<&str>, seeds_max: u64) -> bool {
    // A bug may trip an assertion of the core: that is a find, not news.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{:<50} | {:>5} | found by", "mutation", "seeds");
    let mut survivors = 0;
    let is_asked = |bug: &&Bug| match only {
        Some(part) => bug.name().contains(part),
        None => !OPEN.contains(bug),
    };
    for bug in Bug::SIMULATOR.iter().filter(is_asked) {
        match hunt(*bug, seeds_max) {
            Some(Found { seeds, by, what }) => {
                let what: String = what.lines().next().unwrap_or_default().chars().take(100).collect();
                println!("{:<50} | {seeds:>5} | {by}: {what}", bug.name());
            }
            None => {
                survivors += 1;
                println!("{:<50} |  none | SURVIVED {seeds_max} seeds", bug.name());
            }
        }
    }
    drop(std::panic::take_hook());
    survivors == 0
}
