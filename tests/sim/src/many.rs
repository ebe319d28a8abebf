//! Many seeds, on as many threads as were asked for, and what they came to together.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use sim::{Broken, Fired, Options, Outcome};

/// Sums over worlds.
#[derive(Default)]
struct Sums {
    worlds: u64,
    broken: u64,
    commits: u64,
    crashes: u64,
    steps: u64,
    simulated: u64,
    leapt: u64,
    slowest: u64,
    rounds_max: u64,
    machines_max: usize,
    fired: Fired,
}

/// Plays `count` seeds from `from` on; worlds share nothing, so that threads cannot disturb them.
pub(crate) fn play(from: u64, count: u64, jobs: u64) -> ExitCode {
    let next = AtomicU64::new(from);
    let began = clock_gettime(ClockId::Monotonic);
    let sums = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..jobs.max(1)).map(|_| scope.spawn(|| play_some(&next, from + count))).collect();
        let done = threads.into_iter().map(|thread| thread.join().expect("a world does not panic"));
        done.fold(Sums::default(), Sums::plus)
    });
    let ended = clock_gettime(ClockId::Monotonic);
    let wall = (ended.tv_sec - began.tv_sec) as f64 + (ended.tv_nsec - began.tv_nsec) as f64 / 1e9;
    sums.print(wall);
    if sums.broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play_some(next: &AtomicU64, end: u64) -> Sums {
    let mut sums = Sums::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return sums;
        }
        sums.add(sim::run(seed, Options::default()));
    }
}

impl Sums {
    fn add(&mut self, played: Result<Outcome, Broken>) {
        self.worlds += 1;
        match played {
            Ok(outcome) => {
                self.commits += outcome.commits;
                self.crashes += outcome.crashes;
                self.steps += outcome.steps;
                self.simulated += outcome.simulated;
                self.leapt += outcome.leapt;
                self.slowest = self.slowest.max(outcome.converged);
                self.rounds_max = self.rounds_max.max(outcome.rounds);
                self.machines_max = self.machines_max.max(outcome.machines);
                self.fired.merge(&outcome.fired);
            }
            Err(broken) => {
                self.broken += 1;
                self.simulated += broken.at;
                println!("{broken}");
            }
        }
    }

    fn plus(mut self, other: Sums) -> Sums {
        self.worlds += other.worlds;
        self.broken += other.broken;
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.steps += other.steps;
        self.simulated += other.simulated;
        self.leapt += other.leapt;
        self.slowest = self.slowest.max(other.slowest);
        self.rounds_max = self.rounds_max.max(other.rounds_max);
        self.machines_max = self.machines_max.max(other.machines_max);
        self.fired.merge(&other.fired);
        self
    }

    fn print(&self, wall: f64) {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let seconds = self.simulated as f64 / 1000.0;
        println!(
            "{} worlds of up to {} machines, {} broken; {} commits acknowledged, {} crashes, {} steps",
            self.worlds, self.machines_max, self.broken, self.commits, self.crashes, self.steps
        );
        println!(
            "{seconds:.0} virtual seconds in {cpu:.1} CPU seconds: {:.0} to 1; {:.0} worlds a minute; {} days slept through",
            seconds / cpu,
            self.worlds as f64 * 60.0 / wall,
            self.leapt / 86_400_000
        );
        println!(
            "slowest to be equal: {} ms and {} Handles after the faults stopped",
            self.slowest, self.rounds_max
        );
        crate::print_faults(&self.fired);
    }
}
