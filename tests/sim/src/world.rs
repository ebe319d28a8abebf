//! `World`: machines, links and one virtual clock, moved step by step under one seed.

use crdt::{CollId, Descriptor, Policy};
use disk::Random;
use home::MemoryRegistry;
use sync::Store;

use crate::book::{Book, Violation};
use crate::event::{Event, What};
use crate::faults::{Fired, Weather};
use crate::link::{Connection, Link, PROFILES};
use crate::machine::{Machine, chain};
use crate::options::Options;
use crate::outcome::{Broken, Outcome};
use crate::trace::Trace;
use crate::workload::{self, Wrote};

mod begin;
mod storm;
mod talk;
mod watch;

/// The world begins on a day in 2026.
const START: u64 = 1_790_000_000_000;

/// After the faults stop, all replicas are equal within this much virtual time.
const CONVERGE_MAX: u64 = 60_000;

/// Everything there is.
pub struct World {
    seed: u64,
    options: Options,
    random: Random,
    weather: Weather,
    now: u64,
    step: u64,
    machines: Vec<Machine>,
    links: Vec<Link>,
    connections: Vec<Connection>,
    registry: MemoryRegistry,
    coll: CollId,
    book: Book,
    fired: Fired,
    trace: Trace,
}

impl World {
    /// The world of a seed: a home, one to four devices, their links, their weather.
    pub fn new(seed: u64, options: Options) -> World {
        let mut random = Random::new(seed);
        let weather = Weather::draw(&mut random).without(&options.without);
        let trace = Trace::new(options.keep);
        let coll = Descriptor { name: "things".into(), policy: Policy::Lww, params: Vec::new() }.id();
        let mut world = World {
            seed,
            options,
            random,
            weather,
            now: START,
            step: 0,
            machines: Vec::new(),
            links: Vec::new(),
            connections: Vec::new(),
            registry: MemoryRegistry::new(),
            coll,
            book: Book::default(),
            fired: Fired::default(),
            trace,
        };
        world.found();
        let devices = 1 + world.random.below(4) as usize;
        for _ in 0..devices.min(world.options.devices_max.unwrap_or(devices)) {
            world.join();
        }
        world
    }

    /// Runs the seed to its end.
    pub fn run(mut self) -> Result<Outcome, Broken> {
        let (seed, lived) = (self.seed, self.live());
        let (step, at, fired) = (self.step, self.now - START, self.fired);
        let commits = self.book.acknowledged().count() as u64;
        let trace = self.trace.hash();
        let events = self.trace.into_events();
        match lived {
            Ok(converged) => Ok(Outcome { seed, trace, simulated: at, commits, converged, fired, events }),
            Err(Violation { invariant: promise, what }) => {
                Err(Broken { seed, promise, step, at, what, fired, events })
            }
        }
    }

    /// Faults, then calm; how long that took to make all equal.
    fn live(&mut self) -> Result<u64, Violation> {
        let end = self.now + 20_000 + self.random.below(100_000);
        let steps_max = self.options.steps_max.unwrap_or(u64::MAX);
        while self.now < end && self.step < steps_max {
            self.advance();
            self.storm()?;
            self.work()?;
            self.turn()?;
        }
        self.calm()
    }

    fn advance(&mut self) {
        self.step += 1;
        self.now += match self.random.below(10) {
            0 => 1 + self.random.below(300),
            1..=4 => 1,
            _ => 1 + self.random.below(30),
        };
    }

    /// What machines do by themselves: start, talk, move the Handle, tidy up; and now and then everything is checked.
    fn turn(&mut self) -> Result<(), Violation> {
        self.start_machines()?;
        self.talk()?;
        self.run_homes()?;
        self.tidy()?;
        for index in 0..self.machines.len() {
            self.end_if_stopped(index);
        }
        if self.random.below(8) == 0 {
            let index = self.random.below(self.machines.len() as u64) as usize;
            self.check(index)?;
        }
        Ok(())
    }

    /// The faults stop, and everyone who can must become equal.
    fn calm(&mut self) -> Result<u64, Violation> {
        self.weather = Weather::fair();
        self.note(None, What::Calm);
        for machine in &mut self.machines {
            if machine.is_dark() {
                machine.disk.crash();
                machine.stop(0);
            }
            machine.disk.set_faults(disk::Faults::none());
            machine.disk.set_capacity(None);
            machine.down_until = 0;
            machine.skew = 0;
        }
        for link in &mut self.links {
            link.blocked_until = 0;
            link.profile = PROFILES[0];
        }
        self.connections.clear();
        let start = self.now;
        while self.now < start + CONVERGE_MAX {
            self.advance();
            self.turn()?;
            if self.is_converged() {
                for index in 0..self.machines.len() {
                    self.check(index)?;
                }
                self.check_end()?;
                return Ok(self.now - start);
            }
        }
        Err(self.violation(
            "I14",
            format!("not equal after {CONVERGE_MAX} ms of calm: {}", self.where_is_everyone()),
        ))
    }

    fn is_converged(&self) -> bool {
        let Some(home) = self.machines[0].replica.as_ref() else { return false };
        self.machines.iter().all(|machine| {
            machine
                .replica
                .as_ref()
                .is_some_and(|replica| replica.base() == home.base() && replica.tail().is_empty())
        })
    }

    fn where_is_everyone(&self) -> String {
        let describe = |(index, machine): (usize, &Machine)| match &machine.replica {
            None => format!("m{index} down"),
            Some(replica) => {
                format!(
                    "m{index} at version {} with a tail of {}",
                    replica.base().version,
                    replica.tail().len()
                )
            }
        };
        let mut lines: Vec<String> = self.machines.iter().enumerate().map(describe).collect();
        for connection in &self.connections {
            for (session, end) in connection.sessions.iter().zip(connection.ends) {
                let Some(replica) = &self.machines[end].replica else { continue };
                let status = session.status(replica);
                lines.push(format!(
                    "m{end} in {:?}: {} lag, {:?} nacks",
                    status.state, status.lag_commits, status.nacks
                ));
            }
        }
        lines.join(", ")
    }

    fn work(&mut self) -> Result<(), Violation> {
        for index in 0..self.machines.len() {
            if self.machines[index].replica.is_none() || self.random.below(12) != 0 {
                continue;
            }
            // Several wishes share one flush, as in a busy daemon.
            let mut pending = Vec::new();
            for _ in 0..1 + self.random.below(3) {
                let label = self.book.len() as u64 * 8 + pending.len() as u64;
                let machine = &mut self.machines[index];
                let now = machine.time(self.now);
                let Some(replica) = machine.replica.as_mut() else { break };
                if replica.base().version == 0 {
                    break;
                }
                match workload::write(replica, self.coll, now, &mut self.random, label) {
                    Wrote::Commit(committed) => pending.push(committed.dot),
                    Wrote::Refused => {}
                    Wrote::Failed(error) => {
                        self.fail(index, &error);
                        break;
                    }
                }
            }
            if self.flush(index)? {
                let run = (index, self.machines[index].opens);
                for dot in pending {
                    self.book.wrote(dot, run).map_err(|what| self.violation("I7", what))?;
                    self.book.acknowledge(dot, index);
                    self.note(index, What::Acknowledges { space: 0, dot });
                }
            }
        }
        Ok(())
    }

    /// Flushes; false when the disk failed and the machine went down.
    fn flush(&mut self, index: usize) -> Result<bool, Violation> {
        let Some(replica) = self.machines[index].replica.as_mut() else { return Ok(false) };
        if let Err(error) = replica.flush() {
            self.fail(index, &chain(&error));
            return Ok(false);
        }
        self.machines[index].wrote_at = Some(self.now);
        self.harvest(index)?;
        Ok(true)
    }

    /// Reads what a machine's own device has written and flushed into the book.
    fn harvest(&mut self, index: usize) -> Result<(), Violation> {
        let mut known = self.book.known();
        let device = self.machines[index].key.id();
        loop {
            let Some(replica) = self.machines[index].replica.as_mut() else { return Ok(()) };
            let outgoing = match replica.next_commits(&known, 1 << 20) {
                Ok(outgoing) => outgoing,
                Err(error) => {
                    self.fail(index, &chain(&error));
                    return Ok(());
                }
            };
            for commit in outgoing.commits {
                let dot = commit.dot();
                known.insert(dot.writer, dot.seq);
                if dot.writer.device() == device {
                    self.book.record(commit).map_err(|what| self.violation("I6", what))?;
                }
            }
            if !outgoing.more {
                return Ok(());
            }
        }
    }

    fn start_machines(&mut self) -> Result<(), Violation> {
        for index in 0..self.machines.len() {
            let machine = &mut self.machines[index];
            if machine.replica.is_some() || self.now < machine.down_until {
                continue;
            }
            let seed = seed(&mut self.random);
            match machine.open(self.now, seed, &mut self.registry) {
                Ok(opened) => {
                    let replica::Opened { source, version, replayed, unsealed, undone, cut } = opened;
                    let found = format!(
                        "from {source:?}, {replayed} replayed, {unsealed} unsealed, undone {undone}, cut {cut:?}"
                    );
                    self.note(index, What::Starts { space: 0, version, found });
                    self.harvest(index)?;
                    self.check(index)?;
                }
                Err(error) if self.machines[index].disk.faults_fired() > 0 => {
                    self.fail(index, &error);
                }
                Err(error) => return Err(self.violation("I20", format!("m{index} does not open: {error}"))),
            }
        }
        Ok(())
    }

    /// A disk failed under a machine: its process ends, the fault is over, and it starts again later.
    fn fail(&mut self, index: usize, error: &str) {
        self.note(index, What::Stops { reason: error.to_string() });
        let until = self.now + self.random.below(5_000);
        self.end_process(index, until);
    }

    /// A replica whose disk failed serves nobody any more; a daemon opens it again.
    fn end_if_stopped(&mut self, index: usize) {
        let machine = &self.machines[index];
        let is_stopped = machine.replica.as_ref().is_some_and(|replica| replica.describe().is_stopped);
        if is_stopped || (machine.replica.is_some() && machine.is_dark()) {
            self.fail(index, "the disk failed under it");
        }
    }

    fn end_process(&mut self, index: usize, until: u64) {
        let machine = &mut self.machines[index];
        machine.stop(until);
        let is_dark = machine.is_dark();
        machine.is_power_at_risk = false;
        machine.disk.set_faults(disk::Faults::none());
        if is_dark {
            machine.disk.crash()
        } else {
            machine.disk.kill()
        }
        self.connections.retain(|connection| !connection.ends.contains(&index));
    }

    fn run_homes(&mut self) -> Result<(), Violation> {
        for index in 0..self.machines.len() {
            let machine = &mut self.machines[index];
            let now = machine.time(self.now);
            let (Some(home), Some(replica)) = (machine.home.as_mut(), machine.replica.as_mut()) else {
                continue;
            };
            if home.due(now, replica).is_none_or(|due| due > now) {
                continue;
            }
            match home.batch(replica, now, &mut self.registry) {
                Ok(Some(handle)) => {
                    self.note(index, What::Makes { space: 0, version: handle.version });
                    self.book.handle(&handle).map_err(|what| self.violation("I8", what))?;
                }
                Ok(None) => {}
                Err(error) => self.fail(index, &chain(&error)),
            }
        }
        Ok(())
    }

    /// Checkpoints and idle marks.
    fn tidy(&mut self) -> Result<(), Violation> {
        for index in 0..self.machines.len() {
            let idle = self.machines[index].wrote_at.is_some_and(|at| at + 1000 <= self.now);
            let machine = &mut self.machines[index];
            let now = machine.time(self.now);
            let Some(replica) = machine.replica.as_mut() else { continue };
            let mut outcome = Ok(());
            if replica.checkpoint_due() || self.random.below(400) == 0 {
                outcome = replica.checkpoint(now).map(|_| ());
            }
            if outcome.is_ok() && idle {
                machine.wrote_at = None;
                outcome = replica.idle();
            }
            if let Err(error) = outcome {
                self.fail(index, &chain(&error));
            }
        }
        Ok(())
    }

    fn note(&mut self, machine: impl Into<Option<usize>>, what: What) {
        let event = Event { step: self.step, at: self.now - START, machine: machine.into(), what };
        self.trace.event(event);
    }

    fn violation(&self, invariant: &'static str, what: String) -> Violation {
        Violation { invariant, what }
    }
}

fn seed(random: &mut Random) -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        chunk.copy_from_slice(&random.next().to_le_bytes());
    }
    seed
}
