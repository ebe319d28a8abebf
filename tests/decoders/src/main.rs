//! `decoders`: beats one decoder or each of them for so long, and says with which bytes it broke.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use decoders::mutation::Mutation;
use decoders::{Limited, TARGETS, Target};

#[global_allocator]
static ALLOCATOR: Limited = Limited;

const USAGE: &str = "usage: decoders --seconds N [--seed N] [TARGET]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (seconds, seed, name) = match arguments[..] {
        ["--seconds", seconds] => (seconds, None, None),
        ["--seconds", seconds, "--seed", seed] => (seconds, Some(seed), None),
        ["--seconds", seconds, "--seed", seed, name] => (seconds, Some(seed), Some(name)),
        ["--seconds", seconds, name] => (seconds, None, Some(name)),
        _ => return usage(),
    };
    let (Ok(seconds), Ok(seed)) = (seconds.parse(), seed.map_or(Ok(fresh_seed()), str::parse)) else {
        return usage();
    };
    let targets: Vec<&Target> =
        TARGETS.iter().filter(|target| name.is_none_or(|name| name == target.name)).collect();
    if targets.is_empty() {
        return usage();
    }
    println!("--seed {seed}");
    // The line below says it in fewer words.
    std::panic::set_hook(Box::new(|_| {}));
    let broken = targets.iter().filter(|target| !beat(target, seed, Duration::from_secs(seconds))).count();
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage() -> ExitCode {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    eprintln!("{USAGE}\ntargets: {}", names.join(" "));
    ExitCode::from(2)
}

/// Another one for each run.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("it is later than 1970").as_secs()
}

/// Whether the target held.
fn beat(target: &Target, seed: u64, length: Duration) -> bool {
    let inputs = target.inputs();
    let (mut mutation, mut count, began) = (Mutation::new(&inputs, seed), 0_u64, Instant::now());
    while began.elapsed() < length {
        let input = mutation.make();
        if let Err(what) = target.attempt(&input) {
            println!("{:<10} {what}", target.name);
            return false;
        }
        count += 1;
    }
    println!("{:<10} {count:>9} inputs in {} s", target.name, length.as_secs());
    true
}
