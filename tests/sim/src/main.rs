//! `sim`: plays seeds, one by number or many, and says what broke.

use std::process::ExitCode;

use sim::{Broken, Fault, Fired, Keep, Options, Outcome};

const USAGE: &str = "usage: sim --seed N [--trace] | sim --seeds N [--from N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => {
            let wants_trace = arguments.iter().any(|argument| argument == "--trace");
            one(seed, if wants_trace { Keep::Events } else { Keep::Hash })
        }
        (None, Some(count)) => many(number("--from").unwrap_or(1), count),
        (None, None) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, keep: Keep) -> ExitCode {
    let played = sim::run(seed, Options { keep, ..Options::default() });
    let (Ok(Outcome { events, .. }) | Err(Broken { events, .. })) = &played;
    for event in events {
        println!("{event}");
    }
    match played {
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
        Err(broken) => {
            println!("{broken}\nplay it again: sim --seed {seed} --trace");
            ExitCode::FAILURE
        }
    }
}

fn many(from: u64, count: u64) -> ExitCode {
    let (mut commits, mut simulated, mut slowest, mut failed) = (0, 0, 0, 0);
    let mut fired = Fired::default();
    for seed in from..from + count {
        match sim::run(seed, Options::default()) {
            Ok(outcome) => {
                commits += outcome.commits;
                simulated += outcome.simulated;
                slowest = slowest.max(outcome.converged);
                fired.merge(&outcome.fired);
            }
            Err(broken) => {
                failed += 1;
                println!("{broken}");
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
