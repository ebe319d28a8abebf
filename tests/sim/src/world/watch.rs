//! The promises, watched as the world runs.

use disk::MemoryDisk;
use replica::Replica;
use sync::Store;

use super::{CHECK_EVERY, World};
use crate::agenda::Due;
use crate::machine::{chain, undisturbed};
use crate::promise::reissue::{self, AsOf, Held};
use crate::promise::{Look, Verdict, breach, canonical, handle, loss, policies, state, truncation};

impl World {
    /// Some replica is looked at, and another one later.
    pub(super) fn check_some(&mut self) -> Verdict {
        if !self.is_calm {
            let after = self.about(CHECK_EVERY);
            self.agenda.add(self.now + after, Due::Check);
        }
        let machine = self.any_machine();
        let spaces: Vec<usize> = self.machines[machine].copies.keys().copied().collect();
        if spaces.is_empty() {
            return Ok(());
        }
        let space = spaces[self.random.below(spaces.len() as u64) as usize];
        self.check(machine, space)
    }

    /// A replica that runs keeps every promise now.
    pub(super) fn check(&mut self, machine: usize, space: usize) -> Verdict {
        self.end_if_stopped(machine)?;
        if self.machines[machine].replica(space).is_none() {
            return Ok(());
        }
        let disk = &self.machines[machine].disk;
        let digests = undisturbed(disk, || self.check_replica(machine, space))?;
        let base = self.machines[machine].replica(space).expect("it runs").base().clone();
        let name = self.name(machine, space);
        let book = &mut self.spaces[space].book;
        // One that nobody has told of, as of a home that opened with what its registry had, is held against the next.
        book.handle(&base).map_err(|what| breach("I8", format!("{name}: {what}")))?;
        digests.map_or(Ok(()), |digests| canonical::check(book, &digests))
    }

    fn check_replica(
        &self,
        machine: usize,
        space: usize,
    ) -> Result<Option<canonical::Digests>, crate::promise::Breach> {
        let it = &self.machines[machine];
        let replica = it.replica(space).expect("it runs");
        let book = &self.spaces[space].book;
        let look = match Look::at(self.name(machine, space), replica, book, self.spaces[space].colls.all()) {
            Ok(look) => look,
            // A refusal is an honest answer of a folder whose bytes have changed.
            Err(_) if it.is_rotten => return Ok(None),
            Err(error) => {
                return Err(breach(
                    "I1",
                    format!("{} cannot be read: {}", self.name(machine, space), chain(&error)),
                ));
            }
        };
        if it.is_rotten {
            look.check_damaged()?
        } else {
            look.check()?
        }
        let copy = &it.copies[&space];
        handle::only_rises(&look, copy.version)?;
        let is_acting = copy.home.as_ref().is_some_and(home::Home::is_on_duty);
        // Before its role was looked at, a folder without room may show what it could not put aside.
        let is_looked_at = copy.seated == (replica.base().version, replica.ring().n());
        if is_looked_at && !is_acting {
            state::check_rests(&look)?;
        }
        // The inbox is nobody else's: one that has changed says so, and the folder is given up in the end.
        if !it.is_rotten || replica.inbox().is_ok() {
            loss::at_author(&look, machine)?;
        }
        let home = &self.machines[self.spaces[space].home];
        // One that was restored covers what it covered before once it has heard of it again.
        let is_there = |copy: &crate::machine::Copy| copy.home.as_ref().is_some_and(home::Home::is_on_duty);
        // And of a damaged one nobody can tell.
        let is_readable = !home.is_dark() && !home.is_rotten;
        let is_there = home.copies.get(&space).is_some_and(is_there) && is_readable;
        let home = home.replica(space).filter(|_| is_there);
        truncation::check(&look, machine, |writer| home.map_or(u64::MAX, |home| home.anchored(writer)))?;
        Ok(Some(canonical::Digests::of(&look)))
    }

    /// What a copy that runs holds before it may adopt something.
    pub(super) fn held(&mut self, machine: usize, space: usize) -> Held {
        let (it, book) = (&mut self.machines[machine], &self.spaces[space].book);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let replica = copy.replica.as_ref().expect("it runs");
        let as_of = AsOf::of(replica, book);
        if let Some((known, held)) = &copy.held
            && *known == as_of
        {
            return held.clone();
        }
        let held = undisturbed(&it.disk, || Held::of(replica, book));
        copy.held = Some((as_of, held.clone()));
        held
    }

    /// Whoever has adopted something since reads what it read before, as far as that was its own.
    pub(super) fn compare(&mut self, machine: usize, space: usize, before: &Held) -> Verdict {
        let it = &self.machines[machine];
        let has_adopted = |replica: &Replica<MemoryDisk>| !replica.is_stopped() && before.is_past(replica);
        // Where the power went meanwhile nothing can be read, and the process is about to end: what opens is looked at.
        if it.is_dark() || !it.replica(space).is_some_and(has_adopted) {
            let is_over = it.is_dark() || it.replica(space).is_none_or(Replica::is_stopped);
            if is_over && before.seen().is_some() {
                let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
                copy.before.get_or_insert_with(|| before.clone());
            }
            return Ok(());
        }
        // Whoever adopts flushes first, and may drop in the same step what that made durable. What it wrote in place of that
        // comes into the book later: it would count twice here.
        self.acknowledge(machine, space)?;
        // What was dropped now, for a reason that holds now, may come again later, a part of it or all.
        self.check_told(machine, space)?;
        self.forget_told(machine, space);
        self.note_dropped(machine, space);
        self.note_owed(machine, space, before);
        let it = &self.machines[machine];
        let replica = it.replica(space).expect("it runs");
        undisturbed(&it.disk, || {
            before.compare(&self.name(machine, space), replica, &self.spaces[space].book)
        })
    }

    /// What opened, or has adopted something, holds all that its peers were told; a folder whose bytes have changed owes nothing any more,
    /// unless they are those of packs.
    pub(super) fn check_told(&mut self, machine: usize, space: usize) -> Verdict {
        let name = self.name(machine, space);
        let it = &mut self.machines[machine];
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_ref().filter(|_| !it.is_rotten || it.is_healable) else {
            copy.told.clear();
            return Ok(());
        };
        let book = &self.spaces[space].book;
        match undisturbed(&it.disk, || loss::of_told(&name, &copy.told, replica, book)) {
            // What it holds cannot be read before it is healed.
            Err(_) if it.is_rotten && replica.is_damaged() => Ok(()),
            kept => kept,
        }
    }

    /// What was dropped is told anew from now on.
    fn forget_told(&mut self, machine: usize, space: usize) {
        let it = &mut self.machines[machine];
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_ref().filter(|replica| !replica.is_damaged()) else { return };
        let told = &mut copy.told;
        undisturbed(&it.disk, || {
            told.iter_mut().for_each(|(writer, seq)| *seq = replica.seen(writer).min(*seq));
        });
    }

    /// What an adoption dropped with what it needs is known as such from now on.
    fn note_dropped(&mut self, machine: usize, space: usize) {
        let it = &self.machines[machine];
        let replica = it.replica(space).expect("it runs");
        let book = &mut self.spaces[space].book;
        if !book.removed.is_empty() && !replica.is_damaged() {
            book.dropped.extend(undisturbed(&it.disk, || loss::dropped(book, machine, replica)));
        }
    }

    /// What was dropped of what was acknowledged here, and what of that is to be written again: before the book knows what
    /// was.
    pub(super) fn note_owed(&mut self, machine: usize, space: usize, before: &Held) {
        let it = &self.machines[machine];
        let (Some(replica), Some(before)) = (it.replica(space), before.seen()) else { return };
        let book = &mut self.spaces[space].book;
        let owed = undisturbed(&it.disk, || {
            let now = book.writers().map(|writer| (*writer, replica.seen(writer))).collect();
            loss::owed(book, machine, before, &now)
        });
        book.owed.extend(owed);
    }

    /// Nothing that anyone was promised is missing anywhere.
    pub(super) fn check_end(&mut self) -> Verdict {
        for machine in 0..self.machines.len() {
            for number in self.machines[machine].copies.keys().copied().collect::<Vec<_>>() {
                self.check(machine, number)?;
                let it = &self.machines[machine];
                let replica = it.replica(number).expect("everyone runs in the end");
                let space = &self.spaces[number];
                let name = format!("m{machine} at the end");
                let look = Look::at(name, replica, &space.book, space.colls.all())
                    .map_err(|error| breach("I1", format!("m{machine} cannot be read: {}", chain(&error))))?;
                let home = self.machines[space.home].replica(number).expect("everyone runs in the end");
                if machine == space.home {
                    reissue::once(&look)?;
                }
                if self.is_member(machine, number) {
                    loss::everywhere(&look, home)?;
                    policies::alike(&look, home)?;
                }
            }
        }
        Ok(())
    }
}
