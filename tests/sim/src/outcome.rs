//! What one seed came to: an outcome, or a broken promise.

use crate::event::Event;
use crate::faults::Fired;
use crate::malice::Told;

/// What one seed came to when every promise was kept.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Hash of everything that happened.
    pub trace: String,
    /// Steps.
    pub steps: u64,
    /// Virtual milliseconds in which something could happen.
    pub simulated: u64,
    /// Virtual milliseconds that everybody slept through, while somebody was away for months.
    pub leapt: u64,
    /// Machines, copies of folders included.
    pub machines: usize,
    /// Commits acknowledged.
    pub commits: u64,
    /// Processes that ended by a fault.
    pub crashes: u64,
    /// Virtual milliseconds from the end of the faults to equal roots.
    pub converged: u64,
    /// Handles made meanwhile.
    pub rounds: u64,
    /// Writers that were proven to have forked, or to have been taken back, as known at the end.
    pub forks: u64,
    /// It ended when the disk of a home had lost what nobody else had.
    pub is_lost: bool,
    /// Keys at which a home let losers go.
    pub expired: u64,
    /// How many times the values that the home shows in the end are what a few changes may move in one conversation: what
    /// moves everything again is over that bound by as much.
    pub times_bound: u64,
    /// Faults that happened.
    pub fired: Fired,
    /// Lies that were told.
    pub told: Told,
    /// Every event, if they were to be kept.
    pub events: Vec<Event>,
}

/// A promise that was broken.
#[derive(Debug, Clone, thiserror::Error)]
#[error("seed {seed}: {promise} broken at step {step}: {what}")]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// The promise, by its name in `docs/testing.md`.
    pub promise: &'static str,
    /// The step of the run.
    pub step: u64,
    /// Virtual milliseconds in which something could happen.
    pub at: u64,
    /// Which replica, which dot, which key.
    pub what: String,
    /// Faults that happened until then.
    pub fired: Fired,
    /// Every event until then, if they were to be kept.
    pub events: Vec<Event>,
}
