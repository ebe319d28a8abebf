//! Where each planted bug is hunted: what it takes to show, and little else.

use std::panic::{AssertUnwindSafe, catch_unwind};

use planted::Bug;

use super::Wrong;
use crate::malice::Lie;
use crate::promise::ASSERTION;
use crate::small::{Bounds, explore};
use crate::weather::Weather;
use crate::{Broken, Fault, Feature, Options, den, isolation};

/// What a seed plays.
#[derive(Debug)]
pub enum Ground {
    /// Every short history of a home and a device, whatever the seed.
    Short,
    /// One replica under interleaved transactions, on a disk that fails.
    Isolation,
    /// A life beside a liar that tells these, so many rounds.
    Den(&'static [Lie], u64),
    /// A world of so many devices with these faults, each with the mean time between strikes, and these features.
    World(usize, &'static [(Fault, u64)], &'static [Feature]),
    /// All that there is, as a seed draws it.
    Drawn,
}

/// Milliseconds between the wishes of one machine's applications.
const WORK_EVERY: u64 = 1_000;

impl Ground {
    /// The ground of a bug.
    pub fn of(bug: Bug) -> Ground {
        use Fault::*;
        match bug {
            Bug::AckBeforeFlush | Bug::ReuseWriter | Bug::AckPeerBeforeDurable => Ground::Short,
            Bug::IgnoreShortWrite => Ground::World(1, &[(ShortWrite, 1_000), (Kill, 4_000)], &[]),
            Bug::IgnoreNoSpace => Ground::World(1, &[(NoSpace, 1_000), (Kill, 4_000)], &[]),
            Bug::AcceptUnsealed => Ground::Den(&[Lie::NoSeals, Lie::ForeignWriter], 20),
            Bug::AdoptUncompared => Ground::Den(&[Lie::OmittedChanges, Lie::FalseChanges], 40),
            Bug::NoClockClamp => Ground::Den(&[Lie::Poison], 20),
            Bug::VectorsWithoutTips | Bug::AdmitPastFork => Ground::Den(&[Lie::Equivocation], 40),
            Bug::NoImplicitDeps => Ground::Den(&[Lie::SupersedesNothing], 20),
            Bug::LogBeforeManifest => {
                Ground::World(1, &[(PowerCutInside, 2_000)], &[Feature::Values, Feature::Bursts])
            }
            Bug::LogOrder => Ground::World(1, &[(Partition, 4_000)], &[Feature::Classes, Feature::Bursts]),
            Bug::DepsAcrossClasses => Ground::World(1, &[], &[Feature::Classes]),
            Bug::SendBeforeFlush => Ground::World(1, &[(PowerCut, 4_000)], &[Feature::LateFlush]),
            Bug::ReissueCommits | Bug::ReissueNow | Bug::AlwaysSteady => {
                Ground::World(2, &[(Revoke, 4_000), (Readmit, 2_000)], &[Feature::HotKeys, Feature::Deletes])
            }
            Bug::KeepOrphanBatch => Ground::World(
                2,
                &[(Revoke, 4_000), (Readmit, 2_000), (PowerCutInside, 2_000)],
                &[Feature::HotKeys],
            ),
            Bug::NackForRoom => Ground::World(1, &[(Full, 4_000)], &[]),
            Bug::FoldCounters => Ground::World(1, &[(Kill, 4_000)], &[Feature::Counters]),
            Bug::RiseOnly => Ground::World(1, &[], &[Feature::Counters]),
            Bug::ForgetRemoval => Ground::World(1, &[], &[Feature::TwoPhaseSets]),
            Bug::EarliestWins => apart(&[Feature::Registers, Feature::HotKeys]),
            Bug::ReplaceUnseen => apart(&[Feature::MultiValues, Feature::HotKeys, Feature::LongTransactions]),
            Bug::DropKeptLosers => apart(&[Feature::Copies, Feature::HotKeys]),
            Bug::EditsRevive | Bug::FieldsUnranked => apart(&[Feature::Documents, Feature::HotKeys]),
            Bug::RemoveOneAdd => apart(&[Feature::OrSets, Feature::HotKeys]),
            Bug::CountNonsense => Ground::Den(&[Lie::Nonsense], 20),
            Bug::ReissueTotals => {
                Ground::World(2, &[(Revoke, 4_000), (Readmit, 2_000)], &[Feature::HotKeys, Feature::Counters])
            }
            Bug::ExpireYoung | Bug::ExpireWinner | Bug::ExpireUnlooked => apart(&[
                Feature::Registers,
                Feature::Copies,
                Feature::HotKeys,
                Feature::Views,
                Feature::Expiry,
            ]),
            Bug::ReissueFlushedOnly => Ground::World(
                2,
                &[(Revoke, 4_000), (Readmit, 2_000)],
                &[Feature::HotKeys, Feature::LateFlush],
            ),
            Bug::AddedTwice => apart(&[Feature::GrowSets]),
            _ => Ground::Isolation,
        }
    }

    /// Plays a seed; the error is what was wrong.
    pub fn play(&self, seed: u64) -> Result<(), Wrong> {
        let played = catch_unwind(AssertUnwindSafe(|| self.play_on(seed)));
        played.unwrap_or_else(|panic| Err(wrong(ASSERTION, crate::world::text(&*panic))))
    }

    fn play_on(&self, seed: u64) -> Result<(), Wrong> {
        match self {
            Ground::Short => {
                let bounds = Bounds { devices: 1, writes: 2, histories: 4_000, ..Bounds::default() };
                explore(bounds).map_err(|found| wrong(found.breach.promise, found.breach.what)).map(drop)
            }
            Ground::Isolation => isolation::play(seed).map_err(|what| wrong("isolation", what)).map(drop),
            Ground::Den(lies, rounds) => {
                den::play(seed, lies, *rounds).map_err(|what| wrong("den", what)).map(drop)
            }
            Ground::World(devices, faults, features) => {
                let weather = Some(Weather::of(faults, features, WORK_EVERY));
                world(seed, Options { weather, devices_max: Some(*devices), ..Options::default() })
            }
            Ground::Drawn => drawn(seed),
        }
    }
}

/// Two devices that often cannot reach the home, so that they write what the other has not seen.
const fn apart(features: &'static [Feature]) -> Ground {
    Ground::World(2, &[(Fault::Partition, 2_000)], features)
}

/// What takes least time goes first.
fn drawn(seed: u64) -> Result<(), Wrong> {
    /// Rounds beside a liar.
    const ROUNDS: u64 = 40;
    isolation::play(seed).map_err(|what| wrong("isolation", what))?;
    // Most lies end their conversation; those that do not are deep in it only where the others are absent.
    let lies = if seed % 2 == 1 { Lie::subtle() } else { Lie::ALL.to_vec() };
    den::play(seed, &lies, ROUNDS).map_err(|what| wrong("den", what))?;
    world(seed, Options::default())
}

fn world(seed: u64, options: Options) -> Result<(), Wrong> {
    let played = crate::run(seed, options);
    played.map_err(|Broken { promise, what, .. }| wrong(promise, what)).map(drop)
}

fn wrong(by: impl ToString, what: impl Into<String>) -> Wrong {
    Wrong { by: by.to_string(), what: what.into() }
}
