//! Every input that a fuzzer ever kept or broke something with, and real bytes of every kind, on every run.

use std::time::Instant;

use decoders::mutation::Mutation;
use decoders::{Limited, TARGETS, Target, seeds, stored};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Inputs made by chance for each target.
const MADE: u64 = 20_000;
/// For whole logs, each of which is opened three times.
const MADE_SEGMENTS: u64 = 2_000;

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let inputs: Vec<Vec<u8>> = stored::read(target.name).into_iter().chain(seeds::of(target.name)).collect();
    assert!(!inputs.is_empty(), "no inputs for {}", target.name);
    inputs
}

/// A check that fails names its input, to be kept.
fn check(target: &Target, input: &[u8]) {
    let failed = std::panic::catch_unwind(|| target.check(input)).is_err();
    assert!(!failed, "{} breaks on {}", target.name, data_encoding::HEXLOWER.encode(input));
}

#[test]
fn what_fuzzing_has_found_stays_found() {
    for target in TARGETS {
        inputs(target).iter().for_each(|input| check(target, input));
    }
}

#[test]
fn real_bytes_of_every_kind_are_read_and_every_damage_to_them_is_survived() {
    for target in TARGETS {
        for seed in seeds::of(target.name) {
            let step = seed.len().div_ceil(64).max(1);
            for at in (0..seed.len()).step_by(step) {
                let mut damaged = seed.clone();
                damaged[at] ^= 1 << (at % 8);
                check(target, &damaged);
                check(target, &seed[..at]);
            }
        }
    }
}

#[test]
fn bytes_made_by_chance_are_refused_or_read() {
    for (seed, target) in TARGETS.iter().enumerate() {
        let inputs = inputs(target);
        let mut mutation = Mutation::new(&inputs, seed as u64);
        let made = if target.name == "segment" { MADE_SEGMENTS } else { MADE };
        let began = Instant::now();
        (0..made).for_each(|_| check(target, &mutation.make()));
        println!("{:<10} {made} inputs in {:.2} s", target.name, began.elapsed().as_secs_f64());
    }
}
