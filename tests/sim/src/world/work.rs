//! Applications at work: what they wish, and what they are told.

use super::World;
use crate::event::What;
use crate::faults::Fault;
use crate::promise::{ASSERTION, Verdict, breach, classes, poison, writers};
use crate::weather::Feature;
use crate::workload::{self, Wrote};

impl World {
    /// The applications of a machine want something.
    pub(super) fn work(&mut self, machine: usize) -> Verdict {
        if self.is_calm {
            return Ok(());
        }
        self.start_work(machine);
        let it = &self.machines[machine];
        if !it.is_up || it.asleep_until > self.now {
            return Ok(());
        }
        let spaces: Vec<usize> = it.copies.keys().copied().collect();
        let space = spaces[self.random.below(spaces.len() as u64) as usize];
        // Several wishes share one flush, as in a busy daemon.
        let wishes = if self.weather.with(Feature::Bursts) { 1 + self.random.below(5) } else { 1 };
        for _ in 0..wishes {
            if !self.wish(machine, space)? {
                return Ok(());
            }
        }
        if self.weather.strikes(Fault::Latency, &mut self.random) {
            // Between the append and its flush, where it hurts.
            let ms = 1_000 + self.random.below(6_000);
            self.machines[machine].asleep_until = self.now + ms;
            self.suffer(machine, Fault::Latency, format!("{ms} ms"));
            self.schedule_wake(machine);
        }
        self.dirty.insert((machine, space));
        Ok(())
    }

    /// One transaction; false when the process ended under it.
    pub(super) fn wish(&mut self, machine: usize, space: usize) -> Result<bool, crate::promise::Breach> {
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_mut() else { return Ok(false) };
        if replica.base().version == 0 || copy.leaving.is_some() || copy.has_left {
            return Ok(true);
        }
        let colls = &self.spaces[space].colls;
        if self.weather.with(Feature::LongTransactions) && copy.open.is_none() && self.random.coin() {
            match workload::begin(replica, colls[0], &self.weather, &mut self.random) {
                Ok(open) => copy.open = Some(open),
                Err(error) => self.fail(machine, &error),
            }
            return Ok(true);
        }
        let open = copy.open.take();
        match workload::write(replica, open, colls, &self.weather, now, &mut self.random) {
            Wrote::Commit { committed, class, puts, deletes } => {
                let dot = committed.dot;
                it.latest = it.latest.max(now);
                copy.pending.push((dot, it.latest));
                writers::check(&mut self.spaces[space].book, dot, (machine, it.starts))?;
                if puts.len() >= workload::BIG_PUTS {
                    self.weather.tire_of_big_commits();
                }
                self.note(machine, What::Writes { space, dot, class, puts, deletes });
            }
            Wrote::Refused(reason) => self.note(machine, What::Refuses { space, reason }),
            Wrote::Failed(error) => {
                let is_excused = it.disk.faults_fired() > 0 || it.full_until.is_some() || it.is_rotten;
                if !is_excused {
                    return Err(breach(ASSERTION, format!("m{machine}/s{space} cannot write: {error}")));
                }
                self.fail(machine, &error);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A flush has covered what was pending: its writers are told.
    pub(super) fn acknowledge(&mut self, machine: usize, space: usize) -> Verdict {
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let pending = std::mem::take(&mut copy.pending);
        for (dot, latest) in pending {
            self.spaces[space].book.acknowledge(dot, machine);
            if self.machines[machine].is_rotten {
                // A folder whose newest manifest is damaged opens from the one before, without what came since.
                self.spaces[space].book.forgive(machine);
            }
            self.note(machine, What::Acknowledges { space, dot });
            if let Some(commit) = self.spaces[space].book.commit(&dot) {
                let name = self.name(machine, space);
                classes::depends(&name, commit)?;
                poison::check(&name, commit, latest)?;
            }
        }
        Ok(())
    }
}
