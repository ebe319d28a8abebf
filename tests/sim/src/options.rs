//! How a seed is played, beside the seed itself.

use std::collections::BTreeSet;

use crate::faults::Fault;
use crate::trace::Keep;
use crate::weather::{Feature, Weather};

/// What may be taken away from the world of a seed, and what is kept of it. The default takes nothing away and keeps the
/// hash only.
///
/// Each limit leaves the rest of the world as it is drawn, so that a failing world can be made smaller piece by piece.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether the outcome carries the events.
    pub keep: Keep,
    /// The weather, in place of the one that the seed draws.
    pub weather: Option<Weather>,
    /// Kinds of faults that the seed's weather has whether they are drawn or not, and often.
    pub favoured: BTreeSet<Fault>,
    /// Kinds of faults that do not happen.
    pub without: BTreeSet<Fault>,
    /// Features that the world does not have.
    pub without_features: BTreeSet<Feature>,
    /// The faults stop after so many steps, if they did not before.
    pub steps_max: Option<u64>,
    /// At most so many devices beside the home.
    pub devices_max: Option<usize>,
}

impl Options {
    /// Plays the whole world and keeps its events.
    pub fn with_events() -> Options {
        Options { keep: Keep::Events, ..Options::default() }
    }
}
