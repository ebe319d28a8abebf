//! A bounded number of seeds on every run of the tests: nothing lost, nothing diverged, every fault fired.

use sim::malice::{Lie, Told};
use sim::weather::Weather;
use sim::{Fault, Feature, Fired, Options};

const SEEDS: u64 = 60;

/// So many kinds are asked for at once: with everything on, what needs a quiet hour never happens.
const FAVOURED: usize = 4;

#[test]
fn seeds_keep_every_promise_and_every_fault_fires() {
    let (mut fired, mut told, mut expired) = (Fired::default(), Told::default(), 0);
    for seed in 1..=SEEDS {
        // Half of the worlds are as they are drawn; what none of them had is asked for. What cannot happen still fails.
        let missing = if seed > SEEDS / 2 { fired.missing() } else { Vec::new() };
        let favoured = missing.into_iter().take(FAVOURED).collect();
        match sim::run(seed, Options { favoured, ..Options::default() }) {
            Ok(outcome) => {
                fired.merge(&outcome.fired);
                told.merge(&outcome.told);
                expired += outcome.expired;
            }
            Err(broken) => panic!("{broken}"),
        }
    }
    assert!(fired.missing().is_empty(), "these never happened: {:?}", fired.missing());
    assert!(expired > 0, "no home let losers go");
    // Which lies a world tells is a matter of chance; the den tells them all.
    let kinds = Lie::alone().into_iter().filter(|lie| told.count(*lie) > 0).count();
    assert!(kinds > 20, "no more than {kinds} kinds of lies were told");
}

/// Devices that are often apart, few keys, bounds of losers, and nothing else.
#[test]
fn homes_let_losers_go_and_every_promise_is_kept() {
    const FEATURES: &[Feature] =
        &[Feature::Registers, Feature::Copies, Feature::HotKeys, Feature::Views, Feature::Expiry];
    let play = |seed| {
        let weather = Some(Weather::of(&[(Fault::Partition, 2_000)], FEATURES, 1_000));
        let options = Options { weather, devices_max: Some(2), ..Options::default() };
        sim::run(seed, options).unwrap_or_else(|broken| panic!("{broken}")).expired
    };
    let expired: u64 = (1..=5).map(play).sum();
    assert!(expired > 0, "no home let losers go");
}

/// Spaces so much larger than what a few changes may move that whoever sends everything again is far over it.
#[test]
fn what_moves_is_as_much_as_what_differs_in_spaces_many_times_that() {
    for seed in 1..=3 {
        let weather = Some(Weather::of(&[], &[Feature::BigCommits, Feature::Values], 1_000));
        let options = Options { weather, devices_max: Some(2), ..Options::default() };
        let outcome = sim::run(seed, options).unwrap_or_else(|broken| panic!("{broken}"));
        assert!(
            outcome.times_bound >= 4,
            "seed {seed}: only {} times the bound is there",
            outcome.times_bound
        );
    }
}

#[test]
fn a_seed_plays_again_to_the_byte() {
    for seed in [3, 7] {
        let first = sim::run(seed, Options::default()).expect("it keeps its promises").trace;
        let again = sim::run(seed, Options::with_events()).expect("as before");
        assert_eq!(first, again.trace, "seed {seed}");
        assert!(!again.events.is_empty());
    }
}
