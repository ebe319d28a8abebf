//! What kind of world a seed makes: which faults and which features are on, and how often each happens.

use std::collections::{BTreeMap, BTreeSet};

use disk::Random;

use crate::faults::Fault;

/// Something about the shape of a world or its work that a seed may draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// Up to ten machines instead of up to five.
    Crowd,
    /// Machines in a row: most reach the home through others.
    Row,
    /// More links than are needed.
    Mesh,
    /// More than one space.
    Spaces,
    /// More than one collection.
    Collections,
    /// Applications delete.
    Deletes,
    /// All fight over three keys.
    HotKeys,
    /// Values too large for a leaf.
    Values,
    /// A commit of more than 1 MiB, now and then.
    BigCommits,
    /// Transactions over several keys.
    Transactions,
    /// Reads of keys that a write depends on.
    PointReads,
    /// Reads of ranges that a write depends on.
    RangeReads,
    /// Transactions that stay open while others commit.
    LongTransactions,
    /// Writers of every class.
    Classes,
    /// Several commits share one flush.
    Bursts,
    /// Large logs and overlays: checkpoints are rare.
    Roomy,
    /// Conversations go on while what was written, or heard, waits for its flush.
    LateFlush,
    /// One device lies.
    Liar,
    /// Registers of one value, of which some keep what lost.
    Registers,
    /// Registers of all concurrent values.
    MultiValues,
    /// Registers whose losers have names of their own.
    Copies,
    /// Documents, of which some come back when they are edited while they are deleted.
    Documents,
    /// Sets in which an add wins.
    OrSets,
    /// Sets that only grow.
    GrowSets,
    /// Sets in which what is removed stays removed.
    TwoPhaseSets,
    /// Counters, of which some fall, too.
    Counters,
    /// The home has collections read otherwise, now and then.
    Views,
    /// The home bounds the losers of collections, and lets some go.
    Expiry,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 28] = [
        Feature::Crowd,
        Feature::Row,
        Feature::Mesh,
        Feature::Spaces,
        Feature::Collections,
        Feature::Deletes,
        Feature::HotKeys,
        Feature::Values,
        Feature::BigCommits,
        Feature::Transactions,
        Feature::PointReads,
        Feature::RangeReads,
        Feature::LongTransactions,
        Feature::Classes,
        Feature::Bursts,
        Feature::Roomy,
        Feature::LateFlush,
        Feature::Liar,
        Feature::Registers,
        Feature::MultiValues,
        Feature::Copies,
        Feature::Documents,
        Feature::OrSets,
        Feature::GrowSets,
        Feature::TwoPhaseSets,
        Feature::Counters,
        Feature::Views,
        Feature::Expiry,
    ];

    /// Whether it is about collections with a policy of their own.
    fn is_of_policies(self) -> bool {
        self >= Feature::Registers
    }

    /// How many worlds in a hundred have it.
    fn per_cent(self) -> u64 {
        match self {
            Feature::BigCommits | Feature::Crowd | Feature::Row => 12,
            Feature::Spaces | Feature::Mesh | Feature::LongTransactions | Feature::Roomy => 25,
            Feature::Views | Feature::Expiry => 50,
            _ if self.is_of_policies() => 20,
            _ => 50,
        }
    }
}

/// The draw of one seed. A world with everything on hides what needs a quiet hour to happen.
#[derive(Debug, Clone)]
pub struct Weather {
    /// The mean time between strikes of each fault, in milliseconds.
    every: BTreeMap<Fault, u64>,
    features: BTreeSet<Feature>,
    /// The mean time between the wishes of one machine's applications, in milliseconds.
    pub work_every: u64,
    /// How many more big commits there will be.
    big_commits: u32,
}

/// Big commits of one world: every replica reads each of them again at every start, and the hundredth shows nothing that
/// the first did not.
const BIG_COMMITS_MAX: u32 = 4;

/// The longest mean time between strikes of a fault that is favoured, in milliseconds.
const FAVOURED_MS: u64 = 8_000;

impl Weather {
    /// Draws the weather of a seed. Faults that are favoured are in it and strike often; all else is drawn as it would be.
    pub fn draw(random: &mut Random, favoured: &BTreeSet<Fault>) -> Weather {
        // Some worlds are calm but for one thing, some have nearly everything.
        let faults_per_cent = [4, 12, 25, 50][random.below(4) as usize];
        let mut every = BTreeMap::new();
        for fault in Fault::ALL.iter().copied() {
            let mean = 2_000 << random.below(6);
            let is_drawn = random.below(100) < faults_per_cent;
            if favoured.contains(&fault) {
                every.insert(fault, mean.min(FAVOURED_MS));
            } else if is_drawn {
                every.insert(fault, mean);
            }
        }
        // Nobody is let in again who was not taken out.
        if let (Some(mean), false) = (every.get(&Fault::Readmit), every.contains_key(&Fault::Revoke)) {
            every.insert(Fault::Revoke, *mean);
        }
        // A sequence of their own: a seed that has none of them is the world that it was without.
        let mut of_policies = Random::new(random.clone().next());
        let draws = |feature: &Feature| {
            let random = if feature.is_of_policies() { &mut of_policies } else { &mut *random };
            random.below(100) < feature.per_cent()
        };
        let mut features: BTreeSet<Feature> = Feature::ALL.into_iter().filter(draws).collect();
        // Losers go where there are some.
        if features.contains(&Feature::Expiry) {
            features.extend([Feature::Copies, Feature::HotKeys]);
        }
        // A lie that names what a removed device wrote may become the truth, and the book does not know which.
        let removes = |fault: &Fault| matches!(fault, Fault::Revoke | Fault::Readmit | Fault::Leave);
        if favoured.iter().any(removes) {
            features.remove(&Feature::Liar);
        } else if features.contains(&Feature::Liar) {
            every.retain(|fault, _| !removes(fault));
        }
        let work_every = 1_000 << random.below(5);
        Weather { every, features, work_every, big_commits: BIG_COMMITS_MAX }
    }

    /// Exactly these faults, each with its mean time between strikes, and these features: a world made for one thing.
    pub fn of(faults: &[(Fault, u64)], features: &[Feature], work_every: u64) -> Weather {
        let (every, features) = (faults.iter().copied().collect(), features.iter().copied().collect());
        Weather { every, features, work_every, big_commits: BIG_COMMITS_MAX }
    }

    /// Takes kinds of faults and features out of it.
    #[must_use]
    pub fn without(mut self, faults: &BTreeSet<Fault>, features: &BTreeSet<Feature>) -> Weather {
        self.every.retain(|fault, _| !faults.contains(fault));
        self.features.retain(|feature| !features.contains(feature));
        self
    }

    /// The faults stop; the features stay.
    pub fn clear(&mut self) {
        self.every.clear();
    }

    /// No features any more, either: plain single puts.
    pub fn clear_features(&mut self) {
        self.features.clear();
    }

    /// There was a big commit; after some there is no other.
    pub fn tire_of_big_commits(&mut self) {
        self.big_commits = self.big_commits.saturating_sub(1);
        if self.big_commits == 0 {
            self.features.remove(&Feature::BigCommits);
        }
    }

    /// Whether this world has the fault at all.
    pub fn has(&self, fault: Fault) -> bool {
        self.every.contains_key(&fault)
    }

    /// Whether this world has the feature.
    pub fn with(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }

    /// How long until the fault strikes next; never, if this world does not have it.
    pub fn next(&self, fault: Fault, random: &mut Random) -> Option<u64> {
        self.every.get(&fault).map(|mean| 1 + random.below(2 * mean))
    }

    /// Whether a fault that belongs to single messages strikes this one.
    pub fn strikes(&self, fault: Fault, random: &mut Random) -> bool {
        self.every.get(&fault).is_some_and(|mean| random.below(mean / 100) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_favoured_happens_and_all_else_is_as_drawn() {
        let favoured = BTreeSet::from([Fault::Readmit, Fault::LostWrite]);
        for seed in 0..100 {
            let (mut plainly, mut often) = (Random::new(seed), Random::new(seed));
            let plain = Weather::draw(&mut plainly, &BTreeSet::new());
            let weather = Weather::draw(&mut often, &favoured);
            assert_eq!(plainly.next(), often.next(), "as much chance is used up");
            for fault in [Fault::Revoke, Fault::Readmit, Fault::LostWrite] {
                assert!(weather.has(fault), "seed {seed} has {fault}");
            }
            assert!(!weather.with(Feature::Liar), "who lies and who is taken out do not go together");
            for fault in Fault::ALL.iter().filter(|fault| !favoured.contains(fault)) {
                let is_of_members = matches!(fault, Fault::Revoke | Fault::Leave);
                assert!(
                    is_of_members || weather.every.get(fault) == plain.every.get(fault),
                    "{fault} of seed {seed}"
                );
            }
        }
    }
}
