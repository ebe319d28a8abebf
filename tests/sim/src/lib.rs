//! Many replicas and a home in one thread, under one seed: the core as shipped, everything around it hostile.
//!
//! A [`World`] is made from a seed and [`Options`] and nothing else, so a failing seed plays again to the byte. It runs
//! a safety phase (faults on, the promises checked as it goes) and then a liveness phase (faults off, everything up),
//! after which all replicas must have the same roots within a bound of virtual time and of rounds.

pub mod agenda;
pub mod book;
pub mod clock;
pub mod deeds;
pub mod den;
pub mod event;
pub mod faults;
pub mod isolation;
pub mod link;
pub mod machine;
pub mod malice;
#[cfg(feature = "planted")]
pub mod mutations;
pub mod options;
pub mod outcome;
pub mod pipe;
pub mod promise;
pub mod serial;
pub mod shrink;
pub mod small;
pub mod space;
pub mod story;
pub mod trace;
pub mod weather;
pub mod workload;
pub mod world;

pub use event::{Event, What};
pub use faults::{Fault, Fired};
pub use options::Options;
pub use outcome::{Broken, Outcome};
pub use trace::Keep;
pub use weather::Feature;
pub use world::World;

/// Plays one seed to its end.
pub fn run(seed: u64, options: Options) -> Result<Outcome, Broken> {
    World::new(seed, options).run()
}
