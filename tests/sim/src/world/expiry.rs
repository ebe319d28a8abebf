//! Homes bound the losers of their collections and let go of some, as a daemon does: they look, and write now or later.

use crdt::Policy;
use replica::{Retention, Sweep};

use super::World;
use crate::machine::{Copy, chain, undisturbed};
use crate::promise::{Breach, Verdict, breach, expired};
use crate::workload::{self, Wrote};

/// Bounds of age, in milliseconds: a world lasts some minutes.
const AGES: [u64; 3] = [2_000, 10_000, 40_000];

impl World {
    /// The home of a space bounds the losers of a collection, or lets some go; false when the process ended under it.
    pub(super) fn look_after_losers(&mut self, machine: usize, space: usize) -> Result<bool, Breach> {
        let Some(Copy { home: Some(home), replica: Some(_), .. }) = self.machines[machine].copies.get(&space)
        else {
            return Ok(false);
        };
        if !home.is_on_duty() {
            return Ok(true);
        }
        if self.random.below(4) == 0 {
            self.bound_losers(machine, space)?;
            // That flushes, and with it what was written before in this burst.
            self.note_visible(machine, space)?;
        } else {
            let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
            if copy.spent.is_none() {
                self.look_at_losers(machine, space)?;
            }
            // What is looked at is written in a turn of its own, and others may have one before.
            if self.random.coin() {
                return self.let_losers_go(machine, space);
            }
        }
        Ok(self.machines[machine].replica(space).is_some())
    }

    fn bound_losers(&mut self, machine: usize, space: usize) -> Verdict {
        let kept = self.spaces[space].colls.kept.iter();
        let has_losers = |policy| matches!(policy, Policy::Lww | Policy::Mv | Policy::Copies | Policy::Map);
        let kept: Vec<_> = kept.filter(|kept| has_losers(kept.made.policy)).map(|kept| kept.id).collect();
        if kept.is_empty() {
            return Ok(());
        }
        let coll = kept[self.random.below(kept.len() as u64) as usize];
        let age = AGES.get(self.random.below(4) as usize).copied();
        let count = 1 + self.random.below(4);
        let retention = Retention { max_age_ms: age, max_count: (count < 4).then_some(count) };
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let Some(Copy { home: Some(home), replica: Some(replica), .. }) = it.copies.get_mut(&space) else {
            return Ok(());
        };
        match home.set_retention(replica, now, coll, &retention) {
            Ok(()) | Err(home::Error::OffDuty { .. }) => Ok(()),
            Err(error) => self.fail(machine, &chain(&error)),
        }
    }

    fn look_at_losers(&mut self, machine: usize, space: usize) -> Verdict {
        let name = self.name(machine, space);
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_mut() else { return Ok(()) };
        let snapshot = replica.snapshot();
        let mut places = Vec::new();
        let looked = snapshot.contested(|place, _| {
            places.push(place);
            true
        });
        let late = replica.late();
        let looked = looked.and_then(|()| copy.sweeper.look(&snapshot, &places, late.clone(), now));
        let noted = looked.and_then(|sweep| {
            if sweep.late != late {
                replica.set_late(&sweep.late)?;
            }
            Ok(sweep)
        });
        let Sweep { spent, .. } = match noted {
            Ok(sweep) => sweep,
            Err(error) => return self.fail(machine, &chain(&error)),
        };
        let (book, came) = (&self.spaces[space].book, &mut copy.losers_came);
        let checked = undisturbed(&it.disk, || expired::may_go(&name, book, &snapshot, &spent, now, came));
        copy.spent = Some(spent);
        self.judge(machine, checked)
    }

    /// What a damaged home cannot read now is held against nothing.
    fn judge(&self, machine: usize, checked: Result<Verdict, replica::Error>) -> Verdict {
        match checked {
            Ok(verdict) => verdict,
            Err(_) if self.machines[machine].is_rotten => Ok(()),
            Err(error) => Err(breach("I21", format!("m{machine} cannot be read: {}", chain(&error)))),
        }
    }

    fn let_losers_go(&mut self, machine: usize, space: usize) -> Result<bool, Breach> {
        let name = self.name(machine, space);
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let (Some(replica), Some(spent)) = (copy.replica.as_mut(), copy.spent.take()) else {
            return Ok(copy.replica.is_some());
        };
        let Some(wrote) = workload::expire(replica, &spent, now) else { return Ok(true) };
        if let Wrote::Commit { asks, read, .. } = &wrote {
            let book = &self.spaces[space].book;
            let checked = undisturbed(&it.disk, || expired::are_not_shown(&name, book, read, asks));
            self.judge(machine, checked)?;
            self.counts.expired += asks.len() as u64;
        }
        self.wrote(machine, space, now, wrote)
    }
}
