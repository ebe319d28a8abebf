//! Many worlds, on as many threads as were asked for, up to a seed or for so long.

use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sim::{Broken, Fault, Options, Outcome};

use crate::given::typed;
use crate::sums::Sums;

/// When no further world is begun.
pub(crate) enum Until {
    /// Before this seed.
    Seed(u64),
    /// After so many seconds.
    Seconds(f64),
}

/// How long a soak waits for the worlds that are under way when its time is over. What takes longer than that hangs, or
/// might as well.
const GRACE: f64 = 90.0;

/// In so many worlds each kind of fault fires: one that did not cannot, and says nothing of what it is there for.
const ALL_FIRE: u64 = 100;

/// How often a run that nobody watches says where it is, in seconds.
const TOLD_EVERY: f64 = 60.0;

/// How many of the rarest kinds of faults a soak makes more likely at a time.
const FAVOURED: usize = 4;

/// One world to play.
#[derive(Clone)]
struct Job {
    seed: u64,
    options: Options,
}

/// A thread that plays one world after another.
struct Player {
    jobs: Sender<Job>,
    /// What it plays, and since when.
    plays: Option<(Job, f64)>,
}

/// A world that was played to its end.
struct Played {
    player: usize,
    result: Result<Outcome, Broken>,
    /// CPU seconds.
    cost: f64,
}

/// Plays seeds from `from` on; worlds share nothing, so that threads cannot disturb them. Fails if a promise broke, if
/// nobody knows, since a world had to be abandoned, or if some kind of fault fired in none of many worlds.
pub(crate) fn play(from: u64, until: &Until, jobs: u64) -> ExitCode {
    let (sender, played) = mpsc::channel();
    let players = (0..jobs.max(1)).map(|number| Player::start(number as usize, sender.clone())).collect();
    let began = seconds(ClockId::Monotonic);
    let mut run = Run { until, from, next: from, began, sums: Sums::default(), players };
    run.play(&played);
    run.report()
}

struct Run<'a> {
    until: &'a Until,
    from: u64,
    next: u64,
    began: f64,
    sums: Sums,
    players: Vec<Player>,
}

impl Run<'_> {
    fn play(&mut self, played: &Receiver<Played>) {
        let mut progress = Progress::new(self.began);
        (0..self.players.len()).for_each(|player| self.give(player));
        while self.players.iter().any(|player| player.plays.is_some()) && !self.is_past_grace() {
            match played.recv_timeout(Duration::from_millis(500)) {
                Ok(played) => self.take(&played),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("a player ends only with all of them"),
            }
            if progress.is_due() {
                progress.tell(&self.line());
            }
        }
        progress.end();
    }

    /// Lets a player play the next world, if there is one.
    fn give(&mut self, player: usize) {
        if self.until.is_over(self.next, self.elapsed()) {
            return;
        }
        let options = Options { favoured: self.favoured(), ..Options::default() };
        let job = Job { seed: self.next, options };
        self.next += 1;
        self.players[player].plays = Some((job.clone(), self.elapsed()));
        self.players[player].jobs.send(job).expect("a player listens until nobody gives it worlds");
    }

    fn take(&mut self, played: &Played) {
        let (job, _) = self.players[played.player].plays.take().expect("it was given one");
        self.sums.add(&played.result, &job.options, played.cost);
        if let Err(broken) = &played.result {
            println!("{broken}\n{}", replay(&job));
        }
        self.give(played.player);
    }

    /// What a soak has met least, in every second world; the others are as they are drawn.
    fn favoured(&self) -> BTreeSet<Fault> {
        match self.until {
            Until::Seconds(_) if self.next.is_multiple_of(2) => self.sums.rarest(FAVOURED).collect(),
            _ => BTreeSet::new(),
        }
    }

    fn elapsed(&self) -> f64 {
        seconds(ClockId::Monotonic) - self.began
    }

    fn is_past_grace(&self) -> bool {
        matches!(self.until, Until::Seconds(length) if self.elapsed() > length + GRACE)
    }

    fn line(&self) -> String {
        let elapsed = self.elapsed();
        let left = match self.until {
            Until::Seconds(length) => format!(", {:.0} s left", (length - elapsed).max(0.0)),
            Until::Seed(end) => format!(" of {}", end - self.from),
        };
        let since = self.players.iter().filter_map(|player| player.plays.as_ref());
        let longest = since.min_by(|a, b| a.1.total_cmp(&b.1));
        let longest = longest.map_or(String::new(), |(job, began)| {
            format!("; seed {} for {:.0} s", job.seed, elapsed - began)
        });
        format!("{elapsed:.0} s{left}: {}{longest}", self.sums.line(self.until))
    }

    fn report(&self) -> ExitCode {
        self.sums.print(self.elapsed());
        if let Until::Seconds(_) = self.until {
            self.sums.print_rare();
        }
        for (seed, options) in &self.sums.broken {
            println!("broken: {}", replay(&Job { seed: *seed, options: options.clone() }));
        }
        let abandoned = self.players.iter().filter_map(|player| player.plays.as_ref());
        let abandoned: Vec<&(Job, f64)> = abandoned.collect();
        if !abandoned.is_empty() {
            println!("abandoned: {} worlds that were not over {GRACE} s after the end", abandoned.len());
        }
        for (job, began) in &abandoned {
            println!("abandoned after {:.0} s: {}", self.elapsed() - began, replay(job));
        }
        let missing = if self.sums.worlds < ALL_FIRE { Vec::new() } else { self.sums.missing() };
        if !missing.is_empty() {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            println!("never fired in {} worlds: {}", self.sums.worlds, missing.join(", "));
        }
        if self.sums.broken.is_empty() && abandoned.is_empty() && missing.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Player {
    fn start(number: usize, played: Sender<Played>) -> Player {
        let (jobs, given) = mpsc::channel::<Job>();
        #[expect(
            clippy::disallowed_methods,
            reason = "a thread with a whole world of its own, which may be left behind"
        )]
        std::thread::spawn(move || {
            for Job { seed, options } in given {
                let before = seconds(ClockId::ThreadCPUTime);
                let result = sim::run(seed, options);
                let cost = seconds(ClockId::ThreadCPUTime) - before;
                if played.send(Played { player: number, result, cost }).is_err() {
                    return;
                }
            }
        });
        Player { jobs, plays: None }
    }
}

/// What plays a world again, as it is typed.
fn replay(job: &Job) -> String {
    let (seed, limits) = (job.seed, typed(&job.options));
    format!("sim explain --seed {seed}{limits}    smaller: sim shrink --seed {seed}{limits}")
}

/// What a clock of the real world shows; no simulated one sees it.
pub(crate) fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

impl Until {
    fn is_over(&self, seed: u64, elapsed: f64) -> bool {
        match self {
            Until::Seed(end) => seed >= *end,
            Until::Seconds(length) => elapsed >= *length,
        }
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

    fn is_due(&self) -> bool {
        seconds(ClockId::Monotonic) - self.told >= if self.is_watched { 0.2 } else { TOLD_EVERY }
    }

    fn tell(&mut self, line: &str) {
        self.told = seconds(ClockId::Monotonic);
        // To the beginning of the line, and what is left of the one before goes.
        let (begin, end) = if self.is_watched { ("\r\x1b[K", "") } else { ("", "\n") };
        eprint!("{begin}{line}{end}");
        // A line that cannot be drawn is no reason to stop.
        drop(std::io::stderr().flush());
    }

    fn end(&self) {
        if self.is_watched && self.told > self.began {
            eprintln!();
        }
    }
}
