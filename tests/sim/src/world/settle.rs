//! What follows wherever something happened: flush, acknowledge, tell the peers, set the timers.

use crdt::Dot;
use replica::Replica;
use sync::Store;

use super::World;
use crate::event::{Event, What};
use crate::machine::{chain, undisturbed};
use crate::promise::{Verdict, anchored, breach};
use crate::weather::Feature;

impl World {
    /// Until nothing follows any more.
    pub(super) fn settle(&mut self) -> Verdict {
        while let Some((machine, space)) = self.dirty.pop_first() {
            self.settle_copy(machine, space)?;
            self.count_disk_faults(machine);
            self.schedule_wake(machine);
        }
        Ok(())
    }

    fn settle_copy(&mut self, machine: usize, space: usize) -> Verdict {
        self.end_if_stopped(machine)?;
        let it = &self.machines[machine];
        // Who was sent away has no copy any more, and some may still have been waiting for it.
        if !it.is_up || it.asleep_until > self.now || !it.copies.contains_key(&space) {
            return Ok(());
        }
        if self.waits_for_flush(machine, space) {
            self.note_visible(machine, space)?;
        } else if !self.flush(machine, space)? {
            return Ok(());
        }
        self.mend(machine, space)?;
        self.note_base(machine, space)?;
        let is_due = self.machines[machine].replica(space).is_some_and(|replica| replica.checkpoint_due());
        // Now and then as an idle daemon does.
        if is_due || self.random.below(100) == 0 {
            self.checkpoint(machine, space)?;
        }
        self.see_to_role(machine, space)?;
        self.ask_to_leave(machine, space);
        self.transmit(machine, space)?;
        self.note_visible(machine, space)?;
        // What a session adopts when it is polled, the others have yet to hear of.
        if self.note_base(machine, space)? {
            self.dirty.insert((machine, space));
        }
        self.end_if_stopped(machine)?;
        Ok(())
    }

    /// Whether what is pending is flushed some other time.
    fn waits_for_flush(&mut self, machine: usize, space: usize) -> bool {
        /// A busy disk takes longer than a peer needs to ask.
        const LATE_MS: u64 = 500;
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let is_flushed = copy.replica.as_ref().is_none_or(Replica::is_flushed);
        if is_flushed || self.is_calm || !self.weather.with(Feature::LateFlush) {
            copy.flush_at = None;
            return false;
        }
        let at = *copy.flush_at.get_or_insert_with(|| self.now + self.random.below(LATE_MS));
        at > self.now
    }

    /// Flushes what is pending; false when the disk failed and the process ended.
    pub(super) fn flush(&mut self, machine: usize, space: usize) -> Result<bool, crate::promise::Breach> {
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        copy.flush_at = None;
        let Some(replica) = copy.replica.as_mut() else { return Ok(false) };
        if !replica.is_flushed() {
            if let Err(error) = replica.flush() {
                self.fail(machine, &chain(&error))?;
                return Ok(false);
            }
            copy.wrote_at = Some(self.now);
        }
        self.note_visible(machine, space)?;
        Ok(true)
    }

    /// What is visible now goes into the book, whatever made it so: adopting flushes, too.
    pub(super) fn note_visible(&mut self, machine: usize, space: usize) -> Verdict {
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_ref() else { return Ok(()) };
        let (change, is_flushed) = (Some(replica.snapshot().change()), replica.is_flushed());
        if std::mem::replace(&mut copy.harvested, change) == change {
            return Ok(());
        }
        self.harvest(machine, space)?;
        if is_flushed { self.acknowledge(machine, space) } else { Ok(()) }
    }

    /// Reads what a machine's own device has written and flushed into the book, and what else it has learnt into the
    /// trace.
    pub(super) fn harvest(&mut self, machine: usize, space: usize) -> Verdict {
        let disk = &self.machines[machine].disk;
        match undisturbed(disk, || self.unrecorded(machine, space)) {
            Ok(fresh) => {
                let book = &mut self.spaces[space].book;
                let recorded = fresh.into_iter().try_for_each(|commit| book.record(commit));
                book.understand();
                recorded.map_err(|what| breach("I6", what))
            }
            Err(error) => self.fail(machine, &chain(&error)),
        }
    }

    /// What a machine's own device has written and flushed, as far as the book does not know it.
    fn unrecorded(&self, machine: usize, space: usize) -> Result<Vec<crdt::Commit>, replica::Error> {
        let device = self.machines[machine].key.id();
        let Some(replica) = self.machines[machine].replica(space) else { return Ok(Vec::new()) };
        let known = self.spaces[space].book.known();
        let mut fresh = Vec::new();
        for (writer, seq, _) in replica.tail() {
            if writer.device() != device || writer.is_home() {
                continue;
            }
            for seq in known.get(&writer).copied().unwrap_or(0) + 1..=seq {
                fresh.extend(replica.commit_above(&Dot::new(writer, seq))?);
            }
        }
        Ok(fresh)
    }

    /// What a machine holds of others since it was last asked, for the trace alone.
    pub(super) fn remark_learnt(&mut self, machine: usize, space: usize, peer: usize) {
        if !self.trace.keeps_events() {
            return;
        }
        let device = self.machines[machine].key.id();
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_ref() else { return };
        for (writer, seq, _) in replica.tail() {
            let known = copy.known.entry(writer).or_default();
            if writer.device() != device && *known < seq {
                *known = seq;
                let what = What::Learns { space, writer, seq, peer };
                let (step, at) = (self.step, self.now - super::START);
                self.trace.remark(Event { step, at, machine: Some(machine), what });
            }
        }
    }

    /// Takes note of an adopted base; whether there is one.
    fn note_base(&mut self, machine: usize, space: usize) -> Result<bool, crate::promise::Breach> {
        let name = self.name(machine, space);
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_ref() else { return Ok(false) };
        if replica.is_stopped() {
            return Ok(false);
        }
        let version = replica.base().version;
        if version < copy.version {
            return Err(breach("I8", format!("{name} went from version {} back to {version}", copy.version)));
        }
        if version == copy.version {
            return Ok(false);
        }
        copy.version = version;
        let book = &mut self.spaces[space].book;
        // What a home signed without hearing that it counts is known from whoever took it first.
        book.handle(replica.base()).map_err(|what| breach("I8", format!("{name}: {what}")))?;
        anchored::note(book, replica);
        self.note(machine, What::Adopts { space, version });
        if !self.spaces[space].book.removed.is_empty() {
            // What was written again in place of what is cut.
            self.harvest(machine, space)?;
            self.turn_out(machine, space);
        }
        if self.random.below(4) == 0 {
            self.check(machine, space)?;
        }
        Ok(true)
    }

    pub(super) fn checkpoint(&mut self, machine: usize, space: usize) -> Verdict {
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_mut() else { return Ok(()) };
        match replica.checkpoint(now) {
            Ok(_) => Ok(()),
            Err(error) => self.endure(machine, space, &error),
        }
    }

    /// Looks after damage at rest that was met.
    fn mend(&mut self, machine: usize, space: usize) -> Verdict {
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_mut().filter(|replica| replica.is_mend_due()) else {
            return Ok(());
        };
        let how = match replica.mend(now) {
            Ok(()) if replica.is_damaged() => format!("{} are asked of others", replica.lost_count()),
            Ok(()) => "it is whole".to_owned(),
            Err(error) if self.is_excused(machine) => chain(&error),
            Err(error) => return self.fail(machine, &chain(&error)),
        };
        self.note(machine, What::Mends { space, how });
        Ok(())
    }

    /// Something failed: the process ends, unless it met damage at rest, which peers mend.
    pub(super) fn endure(
        &mut self,
        machine: usize,
        space: usize,
        error: &(dyn std::error::Error + 'static),
    ) -> Verdict {
        let is_stopped = self.machines[machine].replica(space).is_none_or(Replica::is_stopped);
        if !is_stopped && replica::is_damage(error) && self.is_excused(machine) {
            return Ok(());
        }
        self.fail(machine, &chain(error))
    }

    /// A home whose next Handle is due makes it.
    pub(super) fn run_home(&mut self, machine: usize, space: usize) -> Verdict {
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let (Some(home), Some(replica)) = (copy.home.as_mut(), copy.replica.as_ref()) else { return Ok(()) };
        if home.due(now, replica).is_none_or(|due| due > now) {
            return Ok(());
        }
        self.make_handle(machine, space)
    }

    pub(super) fn make_handle(&mut self, machine: usize, space: usize) -> Verdict {
        let before = self.held(machine, space);
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let (home, replica) =
            (copy.home.as_mut().expect("it is the home"), copy.replica.as_mut().expect("it runs"));
        match home.batch(replica, now, self.spaces[space].registry(machine)) {
            Ok(Some(handle)) => {
                let book = &mut self.spaces[space].book;
                book.handle(&handle).map_err(|what| breach("I8", format!("m{machine}/s{space}: {what}")))?;
                anchored::check(book, &format!("m{machine}/s{space}"), replica)?;
                self.spaces[space].rounds += u64::from(self.is_calm);
                self.note(machine, What::Makes { space, version: handle.version });
            }
            Ok(None) => {}
            // The next one asks again.
            Err(home::Error::Unavailable | home::Error::InDoubt { .. }) => {}
            // Somebody has what it lost, or may have: it waits.
            Err(home::Error::Behind { .. } | home::Error::Unheard) => {}
            Err(error) => self.endure(machine, space, &error)?,
        }
        self.compare(machine, space, &before)
    }

    /// How a copy is called in messages.
    pub(super) fn name(&self, machine: usize, space: usize) -> String {
        format!("m{machine}/s{space} at step {}", self.step)
    }
}
