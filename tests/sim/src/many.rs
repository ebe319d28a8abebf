//! Many worlds, on as many threads as were asked for, up to a seed or for so long.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use rustix::time::{ClockId, clock_gettime};
use sim::Options;

use crate::sums::Sums;

/// When no further world is begun.
pub(crate) enum Until {
    /// Before this seed.
    Seed(u64),
    /// After so many seconds.
    Seconds(f64),
}

/// Plays seeds from `from` on; worlds share nothing, so that threads cannot disturb them. Fails if a promise broke.
pub(crate) fn play(from: u64, until: &Until, jobs: u64) -> ExitCode {
    let (began, next) = (seconds(ClockId::Monotonic), AtomicU64::new(from));
    let (sender, played) = mpsc::channel();
    let mut sums = Sums::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if until.is_over(seed, began) {
                        return;
                    }
                    let before = seconds(ClockId::ThreadCPUTime);
                    let played = sim::run(seed, Options::default());
                    let cost = seconds(ClockId::ThreadCPUTime) - before;
                    sender.send((played, cost)).expect("all threads are listened to until they end");
                }
            });
        }
        drop(sender);
        let mut progress = Progress::new(began);
        for (played, cost) in played {
            sums.add(&played, cost);
            if let Err(broken) = &played {
                println!("{broken}");
            }
            progress.tell(until.part(from, &sums, began), &sums);
        }
        progress.end();
    });
    sums.print(seconds(ClockId::Monotonic) - began);
    if let Until::Seconds(_) = until {
        sums.print_rare();
    }
    for seed in &sums.broken {
        println!("broken: sim explain --seed {seed}    smaller: sim shrink --seed {seed}");
    }
    if sums.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a clock of the real world shows; no simulated one sees it.
pub(crate) fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

impl Until {
    fn is_over(&self, seed: u64, began: f64) -> bool {
        match self {
            Until::Seed(end) => seed >= *end,
            Until::Seconds(length) => seconds(ClockId::Monotonic) - began >= *length,
        }
    }

    /// How much of it is done, from 0 to 1.
    fn part(&self, from: u64, sums: &Sums, began: f64) -> f64 {
        let part = match self {
            Until::Seed(end) => sums.worlds as f64 / (end - from) as f64,
            Until::Seconds(length) => (seconds(ClockId::Monotonic) - began) / length,
        };
        part.min(1.0)
    }
}

/// One line on a terminal, written over again and again; elsewhere a line a minute.
struct Progress {
    is_watched: bool,
    began: f64,
    /// When it was last told.
    told: f64,
}

impl Progress {
    fn new(began: f64) -> Progress {
        Progress { is_watched: std::io::stderr().is_terminal(), began, told: began }
    }

    fn tell(&mut self, part: f64, sums: &Sums) {
        let now = seconds(ClockId::Monotonic);
        if now - self.told < if self.is_watched { 0.2 } else { 60.0 } {
            return;
        }
        self.told = now;
        let (begin, end) = if self.is_watched { ("\r", "") } else { ("", "\n") };
        eprint!(
            "{begin}{:3.0} % after {:.0} s: {} worlds, {} broken{end}",
            part * 100.0,
            now - self.began,
            sums.worlds,
            sums.broken.len()
        );
        // A line that cannot be drawn is no reason to stop.
        drop(std::io::stderr().flush());
    }

    fn end(&self) {
        if self.is_watched && self.told > self.began {
            eprintln!();
        }
    }
}
