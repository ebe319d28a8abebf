//! What many worlds came to together.

use rustix::time::ClockId;
use sim::{Broken, Fault, Fired, Options, Outcome};

use crate::many::{Until, seconds};

/// A kind of fault that fired less often has hardly met what it is there for.
const RARE: u64 = 100;

/// How many of the worlds that cost most are named: one that costs many times the others has something in it that never
/// rests.
const HEAVY: usize = 5;

/// Sums over worlds.
#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) worlds: u64,
    /// Those that broke a promise, and how they were played.
    pub(crate) broken: Vec<(u64, Options)>,
    commits: u64,
    crashes: u64,
    steps: u64,
    simulated: u64,
    leapt: u64,
    slowest: u64,
    rounds_max: u64,
    /// Worlds that ended when the disk of a home had lost what nobody else had.
    lost: u64,
    forks: u64,
    /// Worlds in which there was one.
    forked: u64,
    forks_max: u64,
    /// Keys at which a home let losers go, and worlds in which one did.
    expired: (u64, u64),
    machines_max: usize,
    fired: Fired,
    /// Those that cost most, dearest first: CPU seconds, seed, steps.
    heavy: Vec<(f64, u64, u64)>,
}

impl Sums {
    pub(crate) fn add(&mut self, played: &Result<Outcome, Broken>, options: &Options, cost: f64) {
        self.worlds += 1;
        let (Ok(Outcome { seed, steps, .. }) | Err(Broken { seed, step: steps, .. })) = played;
        self.heavy.push((cost, *seed, *steps));
        self.heavy.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.heavy.truncate(HEAVY);
        match played {
            Ok(outcome) => {
                self.commits += outcome.commits;
                self.crashes += outcome.crashes;
                self.steps += outcome.steps;
                self.simulated += outcome.simulated;
                self.leapt += outcome.leapt;
                self.slowest = self.slowest.max(outcome.converged);
                self.rounds_max = self.rounds_max.max(outcome.rounds);
                self.lost += u64::from(outcome.is_lost);
                self.forks += outcome.forks;
                self.forked += u64::from(outcome.forks > 0);
                self.forks_max = self.forks_max.max(outcome.forks);
                self.expired.0 += outcome.expired;
                self.expired.1 += u64::from(outcome.expired > 0);
                self.machines_max = self.machines_max.max(outcome.machines);
                self.fired.merge(&outcome.fired);
            }
            Err(broken) => {
                self.broken.push((broken.seed, options.clone()));
                self.steps += broken.step;
                self.simulated += broken.at;
                self.fired.merge(&broken.fired);
            }
        }
    }

    /// The kinds that a soak has yet to see often enough, rarest first, up to a number of them.
    pub(crate) fn rarest(&self, count_max: usize) -> impl Iterator<Item = Fault> {
        let mut rare: Vec<Fault> = Fault::ALL.to_vec();
        rare.retain(|fault| self.fired.count(*fault) < 2 * RARE);
        rare.sort_by_key(|fault| self.fired.count(*fault));
        rare.into_iter().take(count_max)
    }

    /// The kinds that never fired.
    pub(crate) fn missing(&self) -> Vec<Fault> {
        self.fired.missing()
    }

    /// All of it so far, in a line.
    pub(crate) fn line(&self, until: &Until) -> String {
        let Sums { worlds, commits, crashes, .. } = self;
        let mut line =
            format!("{worlds} worlds, {commits} commits, {crashes} crashes, {} broken", self.broken.len());
        if let Until::Seconds(_) = until {
            let rare = self.rarest(5).map(|fault| format!("{fault} {}", self.fired.count(fault)));
            let rare = rare.collect::<Vec<_>>();
            line += &if rare.is_empty() { String::new() } else { format!("; rarest: {}", rare.join(", ")) };
        }
        line
    }

    /// A table of all of it, for worlds that took so many seconds of a wall clock.
    pub(crate) fn print(&self, wall: f64) {
        let cpu = seconds(ClockId::ProcessCPUTime);
        let virtual_seconds = self.simulated as f64 / 1000.0;
        println!(
            "{} worlds of up to {} machines, {} broken; {} commits acknowledged, {} crashes, {} steps",
            self.worlds,
            self.machines_max,
            self.broken.len(),
            self.commits,
            self.crashes,
            self.steps
        );
        println!(
            "{virtual_seconds:.0} virtual seconds in {cpu:.1} CPU seconds: {:.0} to 1; {:.0} worlds a minute; {} days slept through",
            virtual_seconds / cpu,
            self.worlds as f64 * 60.0 / wall,
            self.leapt / 86_400_000
        );
        println!(
            "slowest to be equal: {} ms and {} Handles after the faults stopped",
            self.slowest, self.rounds_max
        );
        println!("ended early, since the disk of a home had lost what nobody else had: {}", self.lost);
        println!("forks proven: {} in {} worlds, {} in one", self.forks, self.forked, self.forks_max);
        println!("losers let go at {} keys in {} worlds", self.expired.0, self.expired.1);
        let heavy =
            self.heavy.iter().map(|(cost, seed, steps)| format!("seed {seed} {cost:.1} s, {steps} steps"));
        println!("dearest in CPU seconds: {}", heavy.collect::<Vec<_>>().join("; "));
        for fault in Fault::ALL {
            println!("{fault:<23} {}", self.fired.count(*fault));
        }
    }

    /// Says which kinds of faults were rare.
    pub(crate) fn print_rare(&self) {
        let rare = Fault::ALL.iter().filter(|fault| self.fired.count(**fault) < RARE);
        let rare: Vec<String> = rare.map(|fault| format!("{fault}: {}", self.fired.count(*fault))).collect();
        match rare.as_slice() {
            [] => println!("every kind of fault fired {RARE} times and more"),
            rare => println!("fired less than {RARE} times, so that little was tried: {}", rare.join(", ")),
        }
    }
}
