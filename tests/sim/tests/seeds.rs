//! A bounded number of seeds on every run of the tests: nothing lost, nothing diverged, every fault fired.

use sim::{Fault, Fired, World};

const SEEDS: u64 = 60;

#[test]
fn seeds_keep_every_promise_and_every_fault_fires() {
    let mut fired = Fired::default();
    for seed in 1..=SEEDS {
        match World::new(seed, false).run().0 {
            Ok(outcome) => fired.merge(&outcome.fired),
            Err(violation) => panic!("seed {seed}: {violation}"),
        }
    }
    for fault in Fault::ALL {
        assert!(fired.count(fault) > 0, "F{} {fault:?} never happened", fault.number());
    }
}

#[test]
fn a_seed_plays_again_to_the_byte() {
    for seed in [3, 7] {
        let first = World::new(seed, false).run().1.hash();
        assert_eq!(first, World::new(seed, true).run().1.hash(), "seed {seed}");
    }
}
