//! `World`: machines, spaces, links and one virtual clock, moved from event to event under one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use disk::Random;

use crate::agenda::{Agenda, Due};
use crate::event::{Event, What};
use crate::faults::{Fault, Fired};
use crate::link::{Connection, Link};
use crate::machine::Machine;
use crate::malice::Told;
use crate::options::Options;
use crate::outcome::{Broken, Outcome};
use crate::promise::{ASSERTION, Breach, LOST, Verdict, breach};
use crate::space::Space;
use crate::trace::Trace;
use crate::weather::Weather;

use lies::Lying;

mod admit;
mod begin;
mod calm;
mod deliver;
mod epilogue;
mod expiry;
mod lies;
mod members;
mod process;
mod settle;
mod storm;
mod talk;
mod watch;
mod work;

/// The world begins on a day in 2026.
const START: u64 = 1_790_000_000_000;

/// The faults last at least this long, in virtual milliseconds awake, and less than twice as long.
const SAFETY_MS: u64 = 120_000;

/// How often some replica is held against the promises, in virtual milliseconds, on average.
const CHECK_EVERY: u64 = 2_000;

/// Everything there is.
pub struct World {
    seed: u64,
    options: Options,
    random: Random,
    weather: Weather,
    now: u64,
    /// Virtual milliseconds that the whole world slept through.
    leapt: u64,
    step: u64,
    agenda: Agenda,
    machines: Vec<Machine>,
    spaces: Vec<Space>,
    links: Vec<Link>,
    connections: BTreeMap<u64, Connection>,
    connections_made: u64,
    /// Copies, as machine and space, at which something happened that others may have to hear of.
    dirty: BTreeSet<(usize, usize)>,
    /// The faults are over, and applications write nothing more.
    is_calm: bool,
    /// Who is away.
    away: Option<usize>,
    /// Leaps that are left until whoever is away comes back.
    leaps: u64,
    /// Who lies, if anybody does.
    lying: Option<Lying>,
    told: Told,
    counts: Counts,
    fired: Fired,
    trace: Trace,
}

/// What is counted beside faults.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    /// Milliseconds from calm to equal.
    converged: u64,
    /// Handles made meanwhile in the space that took most.
    rounds: u64,
    /// Bytes put on the way.
    sent_len: u64,
    crashes: u64,
    /// Keys at which homes let losers go.
    expired: u64,
    /// What is shown in the end, in bounds of what a few changes may move.
    times_bound: u64,
}

impl World {
    /// The world of a seed: its spaces, their homes, devices that have joined, links, weather.
    pub fn new(seed: u64, options: Options) -> World {
        let mut random = Random::new(seed);
        let weather =
            options.weather.clone().unwrap_or_else(|| Weather::draw(&mut random, &options.favoured));
        let weather = weather.without(&options.without, &options.without_features);
        let trace = Trace::new(options.keep);
        let mut world = World {
            seed,
            options,
            random,
            weather,
            now: START,
            leapt: 0,
            step: 0,
            agenda: Agenda::default(),
            machines: Vec::new(),
            spaces: Vec::new(),
            links: Vec::new(),
            connections: BTreeMap::new(),
            connections_made: 0,
            dirty: BTreeSet::new(),
            is_calm: false,
            away: None,
            leaps: 0,
            lying: None,
            told: Told::default(),
            counts: Counts::default(),
            fired: Fired::default(),
            trace,
        };
        world.begin();
        world
    }

    /// Runs the seed to its end.
    pub fn run(mut self) -> Result<Outcome, Broken> {
        // An assertion that trips is a promise broken, too: the world shows how it came to that, and is not used again.
        let lived = catch_unwind(AssertUnwindSafe(|| self.live()));
        let lived = lived.unwrap_or_else(|panic| Err(breach(ASSERTION, text(&*panic))));
        let is_lost = lived.as_ref().is_err_and(|end| end.promise == LOST);
        let lived = if is_lost { Ok(()) } else { lived };
        let (seed, told, forks) = (self.seed, self.told(), self.forks());
        let (step, at, fired, leapt) = (self.step, self.now - START, self.fired, self.leapt);
        let commits = self.spaces.iter().map(|space| space.book.acknowledged().count() as u64).sum();
        let Counts { converged, rounds, crashes, expired, times_bound, .. } = self.counts;
        let machines = self.machines.len();
        let trace = self.trace.hash();
        let events = self.trace.into_events();
        match lived {
            Ok(()) => Ok(Outcome {
                seed,
                trace,
                steps: step,
                simulated: at - leapt,
                leapt,
                machines,
                commits,
                crashes,
                converged,
                rounds,
                forks,
                is_lost,
                expired,
                times_bound,
                fired,
                told,
                events,
            }),
            Err(Breach { promise, what }) => {
                Err(Broken { seed, promise, step, at: at - leapt, what, fired, events })
            }
        }
    }

    /// Writers that somebody holds a proof against.
    fn forks(&self) -> u64 {
        let mut forks = BTreeSet::new();
        for machine in &self.machines {
            for (space, copy) in &machine.copies {
                let proofs = copy.replica.iter().flat_map(|replica| replica.evidence().iter());
                forks.extend(proofs.map(|(proof, _)| (*space, proof.writer)));
            }
        }
        forks.len() as u64
    }

    /// Faults, then calm.
    fn live(&mut self) -> Verdict {
        let length = SAFETY_MS + self.random.below(SAFETY_MS);
        let steps_max = self.options.steps_max.unwrap_or(u64::MAX);
        while self.step < steps_max && self.turn(START + length + self.leapt)? {}
        self.calm()?;
        self.epilogue()
    }

    /// The next thing that is due before `end`; false when nothing is.
    fn turn(&mut self, end: u64) -> Result<bool, Breach> {
        let Some((at, due)) = self.agenda.pop_before(end) else {
            self.now = self.now.max(end);
            return Ok(false);
        };
        self.step += 1;
        self.now = self.now.max(at);
        match due {
            Due::Fault(fault) => self.storm(fault)?,
            Due::Work(machine) => self.work(machine)?,
            Due::Wake(machine) => self.wake(machine)?,
            Due::Arrive(connection, end) => self.arrive(connection, end)?,
            Due::Dial(link) => self.dial(link),
            Due::Cut(connection) => {
                if self.connections.contains_key(&connection) && !self.is_calm {
                    self.suffer(None, Fault::Flaky, "");
                    self.cut(connection, "it lived two seconds");
                }
            }
            Due::Drop(connection) => self.cut(connection, "it was cut inside a frame"),
            Due::Check => self.check_some()?,
            Due::Leap => self.leap(),
        }
        self.settle()?;
        Ok(true)
    }

    /// Plays until a time.
    fn play_until(&mut self, end: u64) -> Verdict {
        while self.turn(end)? {}
        Ok(())
    }

    fn note(&mut self, machine: impl Into<Option<usize>>, what: What) {
        let event = Event { step: self.step, at: self.now - START, machine: machine.into(), what };
        self.trace.event(event);
    }

    fn suffer(&mut self, machine: impl Into<Option<usize>>, fault: Fault, how: impl Into<String>) {
        self.fired.add(fault);
        self.note(machine, What::Fault { fault, how: how.into() });
    }

    fn any_machine(&mut self) -> usize {
        self.random.below(self.machines.len() as u64) as usize
    }

    /// A machine that is nobody's home, nor a copy of one: with the key of a home nobody joins anew.
    fn any_device(&mut self) -> Option<usize> {
        let machine = self.any_machine();
        let key = self.machines[machine].key.id();
        self.spaces.iter().all(|space| self.machines[space.home].key.id() != key).then_some(machine)
    }

    /// A machine that is the home of some space.
    fn any_home(&mut self) -> usize {
        let space = self.random.below(self.spaces.len() as u64) as usize;
        self.spaces[space].home
    }

    fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.random.next().to_le_bytes());
        }
        seed
    }

    /// A random time around a mean.
    fn about(&mut self, mean: u64) -> u64 {
        1 + self.random.below(2 * mean)
    }
}

/// What a panic says.
pub(crate) fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
