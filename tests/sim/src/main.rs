//! `sim`: plays seeds, one by number or many, and says what broke.

use std::process::ExitCode;

use sim::{Fault, Fired, World};

const USAGE: &str = "usage: sim --seed N [--trace] | sim --seeds N [--from N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => one(seed, arguments.iter().any(|argument| argument == "--trace")),
        (None, Some(count)) => many(number("--from").unwrap_or(1), count),
        (None, None) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, verbose: bool) -> ExitCode {
    let (outcome, trace) = World::new(seed, verbose).run();
    for line in trace.lines() {
        println!("{line}");
    }
    match outcome {
        Ok(outcome) => {
            println!(
                "seed {seed}: {} commits, {} virtual seconds, equal after {} ms of calm, trace {}",
                outcome.commits,
                outcome.simulated / 1000,
                outcome.converged,
                outcome.trace
            );
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("seed {seed}: {violation}\nplay it again: sim --seed {seed} --trace");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, count: u64) -> ExitCode {
    let (mut commits, mut simulated, mut slowest, mut failed) = (0, 0, 0, 0);
    let mut fired = Fired::default();
    for seed in from..from + count {
        match World::new(seed, false).run().0 {
            Ok(outcome) => {
                commits += outcome.commits;
                simulated += outcome.simulated;
                slowest = slowest.max(outcome.converged);
                fired.merge(&outcome.fired);
            }
            Err(violation) => {
                failed += 1;
                println!("seed {seed}: {violation}");
            }
        }
    }
    println!(
        "{count} worlds, {failed} broken, {commits} commits acknowledged, {} virtual seconds",
        simulated / 1000
    );
    println!("slowest to be equal: {slowest} ms after the faults stopped");
    for fault in Fault::ALL {
        println!("F{:<3} {:<16} {}", fault.number(), format!("{fault:?}"), fired.count(fault));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
