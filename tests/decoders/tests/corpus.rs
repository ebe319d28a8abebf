//! Every input that once broke something, real bytes of every kind, and what damage and chance make of them, on every run.

use decoders::mutation::Mutation;
use decoders::{Limited, TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

/// Inputs made by chance for each target.
const MADE: u64 = 20_000;
/// For whole logs, each of which is opened three times.
const MADE_SEGMENTS: u64 = 2_000;

fn check(target: &Target, input: &[u8]) {
    if let Err(what) = target.attempt(input) {
        panic!("{} breaks: {what}", target.name);
    }
}

#[test]
fn what_was_found_once_stays_found_and_every_damage_to_real_bytes_is_survived() {
    for target in TARGETS {
        let mut count = 0;
        for input in target.inputs() {
            check(target, &input);
            count += 1;
            let step = input.len().div_ceil(64).max(1);
            for at in (0..input.len()).step_by(step) {
                let mut damaged = input.clone();
                damaged[at] ^= 1 << (at % 8);
                check(target, &damaged);
                check(target, &input[..at]);
                count += 2;
            }
        }
        println!("{:<10} {count:>6} kept, and damaged", target.name);
    }
}

#[test]
fn bytes_made_by_chance_are_refused_or_read() {
    for (seed, target) in TARGETS.iter().enumerate() {
        let inputs = target.inputs();
        let mut mutation = Mutation::new(&inputs, seed as u64);
        let made = if target.name == "segment" { MADE_SEGMENTS } else { MADE };
        (0..made).for_each(|_| check(target, &mutation.make()));
        println!("{:<10} {made:>6} made by chance", target.name);
    }
}

#[test]
fn what_is_allocated_is_counted() {
    let (len, held) = decoders::measure(|| std::hint::black_box(vec![1_u8; 1 << 20]).len());
    assert!(held >= len, "only {held} bytes were seen");
}
