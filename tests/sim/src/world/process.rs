//! The life of processes: started, woken by their timers, stopped by what fails under them.

use disk::Faults;
use replica::{Opened, Source};
use wal::Cut;

use super::World;
use crate::agenda::Due;
use crate::event::What;
use crate::faults::Fault;
use crate::machine::{chain, limits};
use crate::promise::{ASSERTION, LOST, Verdict, breach, open};
use crate::weather::Feature;

/// The idle mark follows the last batch after this long.
const IDLE_MS: u64 = 1_000;

/// Calls to the disk that a recovery makes, about: the power goes inside one of them.
const RECOVERY_CALLS: u64 = 30;

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Killed: the machine's cache survives.
    Kill,
    /// The machine has no power any more.
    PowerCut,
}

impl World {
    /// A timer of a machine is due.
    pub(super) fn wake(&mut self, machine: usize) -> Verdict {
        let it = &mut self.machines[machine];
        if it.wake_at.is_none_or(|at| at > self.now) {
            return Ok(());
        }
        it.wake_at = None;
        if it.asleep_until <= self.now {
            if it.full_until.is_some_and(|until| until <= self.now) {
                it.full_until = None;
                it.disk.set_capacity(None);
            }
            if it.is_stuck {
                it.is_stuck = false;
                self.end_process(machine, self.now + 1_000, End::Kill);
            } else if it.is_up {
                self.tend(machine)?;
            } else if it.down_until <= self.now {
                self.start(machine)?;
            }
        }
        self.schedule_wake(machine);
        Ok(())
    }

    /// What a running process does by the clock.
    fn tend(&mut self, machine: usize) -> Verdict {
        let spaces: Vec<usize> = self.machines[machine].copies.keys().copied().collect();
        for space in spaces {
            if !self.flush(machine, space)? {
                return Ok(());
            }
            self.time_out(machine, space);
            self.run_home(machine, space)?;
            self.mark_idle(machine, space)?;
            self.dirty.insert((machine, space));
        }
        Ok(())
    }

    fn time_out(&mut self, machine: usize, space: usize) {
        let now = self.machines[machine].time(self.now);
        for connection in self.connections.values_mut().filter(|connection| connection.space == space) {
            let Some(end) = connection.end_of(machine).filter(|end| connection.is_open[*end]) else {
                continue;
            };
            if connection.sessions[end].poll_timeout().is_some_and(|due| due <= now) {
                connection.sessions[end].handle_timeout(now);
            }
        }
    }

    fn mark_idle(&mut self, machine: usize, space: usize) -> Verdict {
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let is_idle = copy.wrote_at.is_some_and(|at| at + IDLE_MS <= self.now);
        if let Some(replica) = copy.replica.as_mut().filter(|_| is_idle) {
            copy.wrote_at = None;
            if let Err(error) = replica.idle() {
                return self.fail(machine, &chain(&error));
            }
        }
        Ok(())
    }

    /// Opens everything on a machine.
    fn start(&mut self, machine: usize) -> Verdict {
        let spaces: Vec<usize> = self.machines[machine].copies.keys().copied().collect();
        self.machines[machine].starts += 1;
        self.machines[machine].latest = self.machines[machine].time(self.now);
        if std::mem::take(&mut self.machines[machine].is_doomed) {
            let plan = Faults::none().nth_call(self.random.below(RECOVERY_CALLS), disk::Fault::PowerCut);
            self.plan(machine, Fault::PowerCutInRecovery, plan);
        }
        for space in &spaces {
            let (seed, limits) = (self.seed(), limits(self.weather.with(Feature::Roomy)));
            let registry = self.spaces[*space].registry(machine);
            // A registry that fails now, or answers nothing, keeps a home from opening this once.
            let is_troubled = registry.is_troubled();
            match self.machines[machine].open(*space, self.now, limits, seed, registry) {
                Ok(opened) => {
                    let (version, found) = (opened.version, found(&opened));
                    self.note(machine, What::Starts { space: *space, version, found });
                    let it = &mut self.machines[machine];
                    if let Some(copy) = it.copies.get_mut(space).filter(|_| it.is_rotten) {
                        // The newer of the two manifests may be what has changed.
                        copy.version = copy.version.min(version);
                    }
                }
                Err(error) => return self.not_opened(machine, *space, is_troubled, &error),
            }
        }
        self.machines[machine].is_up = true;
        if self.machines[machine].plan.is_some_and(|(fault, _)| fault == Fault::PowerCutInRecovery) {
            self.unplan(machine);
        }
        for space in spaces {
            self.answer_stranger(machine, space)?;
            let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
            if let Some(before) = copy.before.take() {
                self.note_owed(machine, space, &before);
            }
            self.harvest(machine, space)?;
            self.check(machine, space)?;
            self.check_told(machine, space)?;
            self.dirty.insert((machine, space));
        }
        self.dial_all(machine);
        Ok(())
    }

    /// It may be that the disk or the registry failed just now, or that the folder is damaged: then somebody joins anew.
    fn not_opened(&mut self, machine: usize, space: usize, is_troubled: bool, error: &str) -> Verdict {
        let it = &self.machines[machine];
        let is_excused = it.disk.faults_fired() > 0 || is_troubled;
        if it.is_rotten && it.is_healable {
            // What peers may have is not given up for a trouble that passes, and damage to it keeps nothing from opening.
            if error.contains("no peer has it") || error.contains("this software knows") {
                return self.give_up(machine);
            }
            if !is_excused && it.full_until.is_none() {
                return Err(open::refused(&format!("m{machine}/s{space} at step {}", self.step), error));
            }
            self.restart(machine, error);
            return Ok(());
        }
        if it.is_rotten {
            self.note(machine, What::Stops { reason: format!("the folder is damaged: {error}") });
            return self.give_up(machine);
        }
        if is_excused {
            self.restart(machine, error);
            return Ok(());
        }
        Err(open::refused(&format!("m{machine}/s{space} at step {}", self.step), error))
    }

    /// A folder that is damaged, and that nobody heals: a device joins anew, and to a home somebody gives its bits back.
    pub(super) fn give_up(&mut self, machine: usize) -> Verdict {
        let key = self.machines[machine].key.id();
        if self.spaces.iter().all(|space| self.machines[space.home].key.id() != key) {
            self.wipe(machine);
            return Ok(());
        }
        self.end_process(machine, self.now, End::Kill);
        let it = &mut self.machines[machine];
        // The latest first: each file as it was before.
        for flip in std::mem::take(&mut it.flips).into_iter().rev() {
            if it.disk.files().get(&flip.name) == Some(&flip.bytes) {
                it.disk.flip_bit(&flip.name, flip.offset, flip.bit);
            }
        }
        self.trust(machine);
        match self.machines[machine].problems(self.now).first() {
            // It was written anew meanwhile, but for what could not be read.
            Some(problem) => Err(breach(LOST, format!("m{machine}: {problem}"))),
            None => Ok(()),
        }
    }

    /// A folder that was given up: an empty one in its place, which fetches everything.
    fn wipe(&mut self, machine: usize) {
        self.end_process(machine, self.now, End::Kill);
        let place = home::Fingerprint(self.seed());
        let it = &mut self.machines[machine];
        it.disk = disk::MemoryDisk::new(self.random.next());
        it.place = place;
        (it.is_rotten, it.is_healable) = (false, false);
        it.flips.clear();
        it.backup = None;
        it.full_until = None;
        it.is_up = true;
        it.starts += 1;
        for space in it.copies.keys().copied().collect::<Vec<_>>() {
            let genesis = self.spaces[space].genesis.clone();
            self.spaces[space].book.forgive(machine);
            // A device's registry lies in its folder.
            self.spaces[space].registries.remove(&machine);
            self.join_empty(machine, space, genesis);
            self.dirty.insert((machine, space));
        }
        self.dial_all(machine);
    }

    /// Something failed under a machine, which only what is wrong with its disk explains: it starts again later.
    pub(super) fn fail(&mut self, machine: usize, error: &str) -> Verdict {
        if !self.is_excused(machine) {
            let what = format!("m{machine} fails at step {}, and its disk is well: {error}", self.step);
            return Err(breach(ASSERTION, what));
        }
        self.restart(machine, error);
        Ok(())
    }

    /// Whether a machine's disk did something wrong just now, is full or has changed at rest.
    pub(super) fn is_excused(&self, machine: usize) -> bool {
        let it = &self.machines[machine];
        it.disk.faults_fired() > 0 || it.full_until.is_some() || it.is_rotten
    }

    /// The process of a machine ends, the fault is over, and it starts again later.
    fn restart(&mut self, machine: usize, error: &str) {
        self.note(machine, What::Stops { reason: error.to_owned() });
        let until = self.now + self.random.below(5_000);
        let end = if self.machines[machine].is_dark() { End::PowerCut } else { End::Kill };
        self.end_process(machine, until, end);
    }

    /// A replica whose disk failed serves nobody any more; a daemon opens it again.
    pub(super) fn end_if_stopped(&mut self, machine: usize) -> Verdict {
        let it = &self.machines[machine];
        let is_stopped =
            it.copies.values().filter_map(|copy| copy.replica.as_ref()).any(|replica| replica.is_stopped());
        if it.is_up && (is_stopped || it.is_dark()) {
            return self.fail(machine, "a replica has stopped");
        }
        Ok(())
    }

    /// The process is gone at once, and its connections with it.
    pub(super) fn end_process(&mut self, machine: usize, until: u64, end: End) {
        self.count_disk_faults(machine);
        self.counts.crashes += 1;
        let it = &mut self.machines[machine];
        let is_dark = it.is_dark();
        it.stop(until);
        self.unplan(machine);
        match end {
            End::Kill if !is_dark => self.machines[machine].disk.kill(),
            _ => self.machines[machine].disk.crash(),
        }
        // Whoever is killed says nothing, but its machine may: a port that is closed.
        let is_silent = !self.is_calm && (end == End::PowerCut || self.random.coin());
        self.leave_all(machine, is_silent);
        self.schedule_wake(machine);
    }

    /// From now on its disk does this.
    pub(super) fn plan(&mut self, machine: usize, fault: Fault, faults: Faults) {
        self.count_disk_faults(machine);
        let it = &mut self.machines[machine];
        it.disk.set_faults(faults);
        it.plan = Some((fault, 0));
    }

    pub(super) fn unplan(&mut self, machine: usize) {
        self.count_disk_faults(machine);
        let it = &mut self.machines[machine];
        it.plan = None;
        it.disk.set_faults(Faults::none());
    }

    /// A planned fault counts when the disk has really done it.
    pub(super) fn count_disk_faults(&mut self, machine: usize) {
        let it = &mut self.machines[machine];
        let Some((fault, counted)) = &mut it.plan else { return };
        let (fault, fired) = (*fault, it.disk.faults_fired());
        if fired > std::mem::replace(counted, fired) {
            self.suffer(machine, fault, "");
        }
    }

    /// When a machine is to be looked at next.
    pub(super) fn schedule_wake(&mut self, machine: usize) {
        let Some(at) = self.next_wake(machine) else { return };
        let it = &mut self.machines[machine];
        if it.wake_at.is_none_or(|known| at < known || known < self.now) {
            it.wake_at = Some(at);
            self.agenda.add(at, Due::Wake(machine));
        }
    }

    fn next_wake(&mut self, machine: usize) -> Option<u64> {
        let now = self.now;
        let it = &mut self.machines[machine];
        if it.asleep_until > now {
            return Some(it.asleep_until);
        }
        if !it.is_up {
            return Some(it.down_until.max(now + 1));
        }
        let mut due = it.full_until;
        let mut sooner = |at: u64| due = Some(due.map_or(at, |due| due.min(at)));
        let clock = it.clock;
        let local = clock.read(now);
        for copy in it.copies.values_mut() {
            if let (Some(home), Some(replica)) = (copy.home.as_mut(), copy.replica.as_ref())
                && let Some(at) = home.due(local, replica)
            {
                sooner(clock.when(now, at));
            }
            copy.wrote_at.into_iter().for_each(|at| sooner(at + IDLE_MS));
            copy.flush_at.into_iter().for_each(&mut sooner);
        }
        for connection in self.connections.values() {
            let Some(end) = connection.end_of(machine).filter(|end| connection.is_open[*end]) else {
                continue;
            };
            let session = &connection.sessions[end];
            // A beat that is due waits for room on the way, as in a daemon; asked again and again, it would be due again and
            // again.
            let can_send = connection.pipes[1 - end].has_room();
            if let Some(at) = if can_send { session.poll_timeout() } else { session.deadline() } {
                sooner(clock.when(now, at));
            }
        }
        due.map(|at| at.max(now + 1))
    }
}

/// What opening found, in words.
fn found(opened: &Opened) -> String {
    let Opened { source, replayed, unsealed, undone, cut, .. } = opened;
    let mut found = match source {
        Source::Slot { slot } => format!("from manifest slot {slot}"),
        Source::Pack { name } => format!("from the manifest in pack {name}"),
    };
    found += &format!(", {replayed} commits from the log");
    if *unsealed > 0 {
        found += &format!(", {unsealed} received ones dropped, since the end of their unit is missing");
    }
    if *undone {
        found += ", a drop of commits undone, since its manifest is missing";
    }
    if let Some(Cut { segment, offset, len }) = cut {
        found += &format!(", a torn tail of {len} bytes cut at byte {offset} of {segment}");
    }
    found
}
