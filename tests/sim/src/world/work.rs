//! Applications at work: what they wish, and what they are told.

use crdt::view::{Deletes, Manner, Siblings};
use crdt::{Dot, Policy, Time};
use disk::MemoryDisk;
use replica::Snapshot;

use super::World;
use crate::book::Vector;
use crate::deeds::{Ask, Request};
use crate::event::What;
use crate::faults::Fault;
use crate::machine::{Copy, Pending, chain, undisturbed};
use crate::promise::{Verdict, breach, classes, poison, writers};
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
        if self.weather.with(Feature::Views)
            && self.spaces[space].home == machine
            && self.random.below(6) == 0
        {
            self.change_view(machine, space)?;
            // That flushes, and with it what was written before in this burst.
            self.note_visible(machine, space)?;
        }
        if self.weather.with(Feature::Expiry)
            && self.spaces[space].home == machine
            && self.random.coin()
            && !self.look_after_losers(machine, space)?
        {
            return Ok(false);
        }
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_mut() else { return Ok(false) };
        if replica.base().version == 0 || replica.is_unread() || copy.leaving.is_some() || copy.has_left {
            return Ok(true);
        }
        let colls = &self.spaces[space].colls;
        if self.weather.with(Feature::LongTransactions) && copy.open.is_none() && self.random.coin() {
            match workload::begin(replica, colls.things[0], &self.weather, &mut self.random) {
                Ok(open) => copy.open = Some(open),
                Err(error) => self.fail(machine, &error)?,
            }
            return Ok(true);
        }
        let open = copy.open.take();
        let wrote = workload::write(replica, open, colls, &self.weather, now, &mut self.random);
        self.wrote(machine, space, now, wrote)
    }

    /// What a transaction came to is remembered; false when the process ended under it.
    pub(super) fn wrote(
        &mut self,
        machine: usize,
        space: usize,
        now: Time,
        wrote: Wrote,
    ) -> Result<bool, crate::promise::Breach> {
        let it = &mut self.machines[machine];
        match wrote {
            Wrote::Commit { committed, class, puts, deletes, asks, read } => {
                let dot = committed.dot;
                it.latest = it.latest.max(now);
                let copy = it.copies.get_mut(&space).expect("it wrote in it");
                let replica = copy.replica.as_ref().expect("it wrote a moment ago");
                writers::check(&mut self.spaces[space].book, dot, (machine, it.starts))?;
                let commit = match undisturbed(&it.disk, || replica.commit_above(&dot)) {
                    Ok(commit) => commit.expect("it was written a moment ago"),
                    // The disk said that it wrote, and did not: nobody was promised anything yet.
                    Err(error) => {
                        self.fail(machine, &chain(&error))?;
                        return Ok(false);
                    }
                };
                copy.pending.push(Pending { commit, latest: it.latest });
                if puts.len() >= workload::BIG_PUTS {
                    self.weather.tire_of_big_commits();
                }
                self.note(machine, What::Writes { space, dot, class, puts, deletes });
                self.remember(machine, space, dot, asks, &read)?;
            }
            Wrote::Refused(reason) => self.note(machine, What::Refuses { space, reason }),
            Wrote::Failed(error) => {
                self.fail(machine, &error)?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The home has a collection read otherwise from now on.
    fn change_view(&mut self, machine: usize, space: usize) -> Verdict {
        let kept = &self.spaces[space].colls.kept;
        let Some(kept) = kept.get(self.random.below(kept.len().max(1) as u64) as usize) else {
            return Ok(());
        };
        let siblings = [Siblings::Replace, Siblings::Keep, Siblings::Show][self.random.below(3) as usize];
        let deletes = [Deletes::Hide, Deletes::Revive][self.random.below(2) as usize];
        let keeps = Manner { siblings: Siblings::Keep, ..Manner::of(Policy::Lww) };
        let manner = match (kept.made.policy, siblings) {
            (Policy::Map, siblings) => Manner { siblings, deletes, ..kept.made },
            (Policy::Lww | Policy::Mv | Policy::Copies, Siblings::Show) => Manner::of(Policy::Mv),
            (Policy::Lww | Policy::Mv | Policy::Copies, Siblings::Keep) if self.random.coin() => keeps,
            (Policy::Lww | Policy::Mv | Policy::Copies, Siblings::Keep) => Manner::of(Policy::Copies),
            (Policy::Lww | Policy::Mv | Policy::Copies, Siblings::Replace) => Manner::of(Policy::Lww),
            _ => return Ok(()),
        };
        let coll = kept.id;
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let Some(Copy { home: Some(home), replica: Some(replica), .. }) = it.copies.get_mut(&space) else {
            return Ok(());
        };
        // Said before it is known whether it counts: a disk that fails may have written it all the same.
        self.spaces[space].book.deeds.name(coll, manner);
        match home.set_view(replica, now, coll, &manner) {
            Ok(()) | Err(home::Error::OffDuty { .. }) => Ok(()),
            Err(error) => self.fail(machine, &chain(&error)),
        }
    }

    /// Takes note of what a commit was asked to do, and of what its writer saw.
    fn remember(
        &mut self,
        machine: usize,
        space: usize,
        dot: Dot,
        asks: Vec<Ask>,
        read: &Snapshot<MemoryDisk>,
    ) -> Verdict {
        if asks.is_empty() {
            return Ok(());
        }
        let disk = &self.machines[machine].disk;
        match undisturbed(disk, || self.request(machine, space, dot, asks, read)) {
            Ok(request) => {
                self.spaces[space].book.deeds.ask(request);
                Ok(())
            }
            Err(error) => self.fail(machine, &chain(&error)),
        }
    }

    fn request(
        &self,
        machine: usize,
        space: usize,
        dot: Dot,
        mut asks: Vec<Ask>,
        read: &Snapshot<MemoryDisk>,
    ) -> Result<Request, replica::Error> {
        let replica = self.machines[machine].replica(space).expect("it wrote a moment ago");
        let now = replica.snapshot();
        for ask in &mut asks {
            ask.manner = now.manner(ask.coll)?.unwrap_or(ask.manner);
        }
        let mut request = Request { dot, asks, read: Vector::new(), seen: Vector::new() };
        for writer in self.spaces[space].book.writers() {
            request.read.extend(read.tip(writer)?.map(|tip| (*writer, tip.seq)));
            request.seen.insert(*writer, replica.pending_seq(writer)?);
        }
        request.seen.insert(dot.writer, dot.seq - 1);
        Ok(request)
    }

    /// A flush has covered what was pending: its writers are told.
    pub(super) fn acknowledge(&mut self, machine: usize, space: usize) -> Verdict {
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let pending = std::mem::take(&mut copy.pending);
        for Pending { commit, latest } in pending {
            let dot = commit.dot();
            let book = &mut self.spaces[space].book;
            // Where one step flushed it and dropped it, no folder could be asked for it.
            book.record(commit).map_err(|what| breach("I6", what))?;
            book.acknowledge(dot, machine);
            if self.machines[machine].is_rotten && !self.machines[machine].is_healable {
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
        self.spaces[space].book.understand();
        Ok(())
    }
}
