//! `sim`: plays worlds, one by its seed or many, and says what broke, tells how it came to that and makes it smaller.

use std::process::ExitCode;

use sim::{Broken, Keep, Options, Outcome, shrink, story};

use sim::small::Bounds;

use given::{Given, LIMITS, typed};
use many::Until;
#[cfg(feature = "planted")]
use rustix::time::ClockId;

mod given;
mod many;
mod sums;

const HELP: &str = "sim: worlds of devices and a home, each made from a seed and nothing else

  sim --seed N [--trace] [LIMITS]       one world; with every event
  sim --seeds N [--from N] [--jobs N]   many worlds
  sim soak --minutes M [--from N] [--jobs N]
                                        worlds for so long, and what happened in them
  sim explain --seed N [LIMITS]         one world as a story: who wrote, what was lost, who learned what
  sim shrink --seed N [LIMITS]          the smallest world that breaks the same promise
  sim small [--devices 1|2] [--writes N] [--crashes N] [--cuts N] [--histories N]
                                        every history of a home and its devices, the shortest first
  sim mutations [NAME] [--seeds N] [--drawn]
                                        bugs planted on purpose, each hunted where it can show, or, with --drawn, in all
                                        that seeds draw; in a build with --features planted, where a world may also be
                                        played with --planted NAME

LIMITS make the world of a seed smaller, all but --often, and leave the rest of it as it was drawn:
  --often F46,F49          these kinds of faults happen, and often, whatever was drawn: a soak asks for what was rare
  --faults F9,F12          no other kinds of faults happen; \"none\": no faults
  --features Mesh,Row      its shape and its work have no other features; \"none\": single puts
  --devices N              at most so many beside the home
  --steps N                the faults stop after so many

examples
  sim soak --minutes 60 --jobs 2        an hour on two cores
  sim shrink --seed 4711                the soak printed 4711 as broken
  sim explain --seed 4711 --faults F3,F17 --features none --devices 2 --steps 310
                                        what shrink printed last

Exit codes: 0 every promise was kept, 1 one was broken, a world had to be abandoned, or of 100 worlds and more none had
some kind of fault, 2 this text was needed.
What the promises and the faults are: docs/testing.md.";

#[cfg(not(feature = "planted"))]
const NO_BUGS: &str = "this build has no bugs: cargo run --release -p sim --features planted";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (tool, rest) = match arguments.first() {
        Some(word) if !word.starts_with("--") => (word.as_str(), &arguments[1..]),
        _ => ("", arguments.as_slice()),
    };
    let done = match tool {
        "help" | "-h" => help(),
        "" if rest.is_empty() || rest[0] == "--help" => help(),
        "" if rest.iter().any(|argument| argument == "--seeds") => seeds(rest),
        "" => one(rest),
        "soak" => soak(rest),
        "explain" => explain(rest),
        "shrink" => make_smaller(rest),
        "small" => small(rest),
        "mutations" => mutations(rest),
        other => Err(format!("{other} is not known")),
    };
    done.unwrap_or_else(|problem| {
        eprintln!("sim: {problem}\n\n{HELP}");
        ExitCode::from(2)
    })
}

fn help() -> Result<ExitCode, String> {
    println!("{HELP}");
    Ok(ExitCode::SUCCESS)
}

fn seeds(arguments: &[String]) -> Result<ExitCode, String> {
    let given = Given::read(arguments, &["--seeds", "--from", "--jobs"], &[])?;
    let from = given.number("--from")?.unwrap_or(1);
    let end = from.saturating_add(given.needed("--seeds")?);
    Ok(many::play(from, &Until::Seed(end), given.number("--jobs")?.unwrap_or(1)))
}

fn soak(arguments: &[String]) -> Result<ExitCode, String> {
    let given = Given::read(arguments, &["--minutes", "--from", "--jobs"], &[])?;
    let until = Until::Seconds(given.needed("--minutes")? as f64 * 60.0);
    Ok(many::play(given.number("--from")?.unwrap_or(1), &until, given.number("--jobs")?.unwrap_or(1)))
}

fn one(arguments: &[String]) -> Result<ExitCode, String> {
    let given = Given::read(arguments, &with_limits(), &["--trace"])?;
    let keep = if given.text("--trace").is_some() { Keep::Events } else { Keep::Hash };
    plant(&given)?;
    let seed = given.needed("--seed")?;
    let played = sim::run(seed, Options { keep, ..given.limits()? });
    let (Ok(Outcome { events, .. }) | Err(Broken { events, .. })) = &played;
    for event in events {
        println!("{event}");
    }
    match played {
        Ok(outcome) => {
            let end = match outcome.is_lost {
                true => "over when the disk of a home had lost what nobody else had".to_owned(),
                false => format!("equal after {} ms of calm", outcome.converged),
            };
            println!(
                "seed {seed}: {} machines, {} steps, {} commits, {} virtual seconds, {end}, trace {}",
                outcome.machines,
                outcome.steps,
                outcome.commits,
                outcome.simulated / 1000,
                outcome.trace
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            println!(
                "{broken}\nhow it came to that: sim explain --seed {seed}    smaller: sim shrink --seed {seed}"
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

fn explain(arguments: &[String]) -> Result<ExitCode, String> {
    let given = Given::read(arguments, &with_limits(), &[])?;
    plant(&given)?;
    let played = sim::run(given.needed("--seed")?, Options { keep: Keep::Events, ..given.limits()? });
    print!("{}", story::tell(&played));
    Ok(if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn make_smaller(arguments: &[String]) -> Result<ExitCode, String> {
    let given = Given::read(arguments, &with_limits(), &[])?;
    plant(&given)?;
    let (seed, limits) = (given.needed("--seed")?, given.limits()?);
    let Err(first) = sim::run(seed, limits.clone()) else {
        println!("seed {seed} keeps every promise: there is nothing to make smaller");
        return Ok(ExitCode::SUCCESS);
    };
    println!("{first}");
    // An assertion that trips in hundreds of worlds is said once.
    std::panic::set_hook(Box::new(|_| {}));
    let play = |options: &Options| sim::run(seed, options.clone()).err();
    let shrink::Shrunk { options, broken, played } = shrink::shrink(first, limits, play);
    println!("after {played} smaller worlds: {broken}");
    println!("faults that happen in it: {}", broken.fired);
    println!("sim explain --seed {seed}{}", typed(&options));
    Ok(ExitCode::FAILURE)
}

fn small(arguments: &[String]) -> Result<ExitCode, String> {
    let names = ["--devices", "--writes", "--crashes", "--cuts", "--histories", "--planted"];
    let given = Given::read(arguments, &names, &[])?;
    plant(&given)?;
    let usual = Bounds::default();
    let devices = given.number("--devices")?.unwrap_or(2);
    let bounds = Bounds {
        devices: usize::try_from(devices.clamp(1, 2)).expect("one or two"),
        writes: given.number("--writes")?.unwrap_or(usual.writes),
        crashes: given.number("--crashes")?.unwrap_or(usual.crashes),
        cuts: given.number("--cuts")?.unwrap_or(usual.cuts),
        histories: given.number("--histories")?.unwrap_or(usual.histories),
    };
    Ok(if sim::small::report(bounds) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn with_limits() -> Vec<&'static str> {
    LIMITS.into_iter().chain(["--seed", "--planted"]).collect()
}

/// Plants the bug that is named, if one is.
#[cfg(feature = "planted")]
fn plant(given: &Given<'_>) -> Result<(), String> {
    let Some(name) = given.text("--planted") else { return Ok(()) };
    let bug = planted::Bug::SIMULATOR.iter().find(|bug| bug.name() == name);
    planted::plant(Some(*bug.ok_or_else(|| format!("no bug is named {name}"))?));
    Ok(())
}

#[cfg(not(feature = "planted"))]
fn plant(given: &Given<'_>) -> Result<(), String> {
    given.text("--planted").map_or(Ok(()), |_| Err(NO_BUGS.to_owned()))
}

#[cfg(feature = "planted")]
fn mutations(arguments: &[String]) -> Result<ExitCode, String> {
    let (only, rest) = match arguments.split_first() {
        Some((name, rest)) if !name.starts_with("--") => (Some(name.as_str()), rest),
        _ => (None, arguments),
    };
    let given = Given::read(rest, &["--seeds"], &["--drawn"])?;
    let ground = given.text("--drawn").map(|_| sim::mutations::Ground::Drawn);
    let seeds = given.number("--seeds")?.unwrap_or(sim::mutations::SEEDS_MAX);
    let all_found = sim::mutations::run(only, ground.as_ref(), seeds);
    println!("{:.0} CPU seconds", many::seconds(ClockId::ProcessCPUTime));
    Ok(if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(not(feature = "planted"))]
fn mutations(_: &[String]) -> Result<ExitCode, String> {
    Err(NO_BUGS.to_owned())
}
