//! `sim`: plays seeds, one by number or many, and says what broke.

use std::process::ExitCode;

use sim::{Broken, Fault, Keep, Options, Outcome};

mod many;

const USAGE: &str =
    "usage: sim --seed N [--trace] | sim --seeds N [--from N] [--jobs N] | sim mutations [NAME] [--seeds N]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Option<u64> {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    if arguments.first().is_some_and(|first| first == "mutations") {
        return mutations(arguments.get(1).map(String::as_str), number("--seeds"));
    }
    match (number("--seed"), number("--seeds")) {
        (Some(seed), _) => {
            let wants_trace = arguments.iter().any(|argument| argument == "--trace");
            one(seed, if wants_trace { Keep::Events } else { Keep::Hash })
        }
        (None, Some(count)) => {
            many::play(number("--from").unwrap_or(1), count, number("--jobs").unwrap_or(1))
        }
        (None, None) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

#[cfg(feature = "planted")]
fn mutations(only: Option<&str>, seeds: Option<u64>) -> ExitCode {
    let only = only.filter(|word| !word.starts_with("--"));
    let all_found = sim::mutations::run(only, seeds.unwrap_or(sim::mutations::SEEDS_MAX));
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(not(feature = "planted"))]
fn mutations(_: Option<&str>, _: Option<u64>) -> ExitCode {
    eprintln!("this build has no bugs: cargo run --release -p sim --features planted -- mutations");
    ExitCode::from(2)
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
                "seed {seed}: {} machines, {} steps, {} commits, {} virtual seconds, equal after {} ms of calm, trace {}",
                outcome.machines,
                outcome.steps,
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

/// A line for each kind of fault.
fn print_faults(fired: &sim::Fired) {
    for fault in Fault::ALL {
        println!("F{:<3} {:<19} {}", fault.number(), format!("{fault:?}"), fired.count(*fault));
    }
}
