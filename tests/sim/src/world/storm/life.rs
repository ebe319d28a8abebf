//! What people do to their machines: kill, copy, restore, switch off for months.

use home::{Fingerprint, Mishap};

use crate::agenda::Due;
use crate::faults::Fault;
use crate::machine::Machine;
use crate::world::World;
use crate::world::process::End;

/// At most this many machines in all: clones breed.
const MACHINES_MAX: usize = 10;

/// Who is away misses so many leaps of so many days at most.
const LEAPS: u64 = 3;
const DAYS_MAX: u64 = 60;
const DAY: u64 = 86_400_000;

/// The world is awake for this long between two leaps.
const AWAKE_MS: u64 = 15_000;

impl World {
    /// A process ends, its machine with it or not.
    pub(super) fn strike_process(&mut self, fault: Fault) {
        let machine = self.any_machine();
        let until = self.now + self.random.below(10_000);
        if !self.machines[machine].is_up {
            return;
        }
        if fault == Fault::PowerCutInRecovery {
            // It counts when the power goes again.
            self.machines[machine].is_doomed = true;
            self.end_process(machine, until, End::PowerCut);
        } else {
            let end = if fault == Fault::PowerCut { End::PowerCut } else { End::Kill };
            self.suffer(machine, fault, format!("down for {} ms", until - self.now));
            self.end_process(machine, until, end);
        }
    }

    /// `cp -r` of a running device; both go on. The home's role is bound to its folder, so a home is not copied here.
    pub(super) fn clone_machine(&mut self) {
        let Some(machine) = self.any_device() else { return };
        let place = Fingerprint(self.seed());
        let original = &self.machines[machine];
        if self.machines.len() >= MACHINES_MAX || original.is_rotten {
            return;
        }
        let mut copy = Machine::new(original.disk.copy(), original.key.clone(), place);
        copy.clock = original.clock;
        copy.is_up = false;
        copy.starts = 0;
        copy.copies = original.copies.iter().map(|(space, of)| (*space, of.copied())).collect();
        let other = self.machines.len();
        self.machines.push(copy);
        self.suffer(machine, Fault::Clone, format!("the copy is m{other}"));
        for home in self.spaces.iter().map(|space| space.home).collect::<Vec<_>>() {
            self.link([other, home]);
        }
        self.start_work(other);
        self.schedule_wake(other);
    }

    /// A device's folder is replaced by an older one of its own, which goes on under other writers.
    ///
    /// Where the copy is taken now, what it wrote since, it has only sent, so nothing that it alone holds is given up;
    /// where it is older, what it alone holds is, and nobody promised otherwise.
    pub(super) fn restore_machine(&mut self, fault: Fault) {
        let Some(machine) = self.any_device() else { return };
        if self.machines[machine].is_rotten {
            return;
        }
        let copy = if fault == Fault::Restore {
            self.machines[machine].disk.copy()
        } else {
            let now = self.now;
            let it = &mut self.machines[machine];
            match it.backup.take() {
                Some((at, copy)) if at + 5_000 < now => copy,
                kept => {
                    it.backup = kept.or_else(|| Some((now, it.disk.copy())));
                    return;
                }
            }
        };
        self.suffer(machine, fault, "");
        self.end_process(machine, self.now + 100, End::Kill);
        let place = Fingerprint(self.seed());
        let it = &mut self.machines[machine];
        it.disk = copy;
        it.place = place;
        it.full_until = None;
        for (space, copy) in &mut it.copies {
            copy.version = 0;
            copy.told.clear();
            if fault == Fault::RestoreOld {
                self.spaces[*space].book.forgive(machine);
            }
        }
    }

    /// Somebody is away for months, and the others work on now and then.
    pub(super) fn send_away(&mut self, fault: Fault) {
        if self.leaps > 0 || self.is_calm {
            return;
        }
        let chosen = match fault {
            Fault::HomeAway => Some(self.spaces[0].home),
            _ => self.any_device(),
        };
        let Some(machine) = chosen else { return };
        self.suffer(machine, fault, "");
        if fault == Fault::HomeAway {
            self.end_process(machine, u64::MAX, End::PowerCut);
        } else {
            self.isolate(machine);
        }
        self.away = Some(machine);
        self.leaps = LEAPS;
        self.agenda.add(self.now + AWAKE_MS, Due::Leap);
    }

    /// Nobody reaches a machine until it comes back.
    fn isolate(&mut self, machine: usize) {
        for link in self.links.iter_mut().filter(|link| link.ends.contains(&machine)) {
            link.blocked_until = [u64::MAX; 2];
        }
        let here =
            |(id, connection): (&u64, &crate::link::Connection)| connection.end_of(machine).map(|_| *id);
        for id in self.connections.iter().filter_map(here).collect::<Vec<_>>() {
            self.cut(id, "it went away");
        }
    }

    /// Everybody sleeps for weeks.
    pub(in crate::world) fn leap(&mut self) {
        if self.leaps == 0 {
            return;
        }
        let ms = (1 + self.random.below(DAYS_MAX)) * DAY;
        self.agenda.leap(ms);
        self.now += ms;
        self.leapt += ms;
        self.leaps -= 1;
        if self.leaps > 0 {
            self.agenda.add(self.now + AWAKE_MS, Due::Leap);
        } else {
            self.come_back();
        }
    }

    /// Whoever was away is back.
    pub(in crate::world) fn come_back(&mut self) {
        self.leaps = 0;
        let Some(machine) = self.away.take() else { return };
        let it = &mut self.machines[machine];
        if it.down_until == u64::MAX {
            it.down_until = self.now;
            it.wake_at = None;
        }
        for link in 0..self.links.len() {
            if self.links[link].blocked_until == [u64::MAX; 2] {
                self.links[link].blocked_until = [0; 2];
                self.agenda.add(self.now, Due::Dial(link));
            }
        }
        self.schedule_wake(machine);
    }

    /// A registry does not answer, or has forgotten.
    pub(super) fn strike_registry(&mut self, fault: Fault) {
        let space = self.random.below(self.spaces.len() as u64) as usize;
        let mishap = match (fault, self.random.below(4)) {
            (Fault::RegistryLoses, _) => Mishap::Regress,
            (_, 0) => Mishap::Down,
            (_, 1) => Mishap::LostAnswer,
            (_, 2) => Mishap::LostRequest,
            _ => Mishap::Late(1 + self.random.below(3) as u32),
        };
        // One at a time: whoever asks seldom would never be answered again.
        let home = self.spaces[space].home;
        self.spaces[space].registry(home).heal();
        self.spaces[space].registry(home).plan(mishap);
        self.spaces[space].is_unsure = true;
        self.suffer(home, fault, format!("{mishap:?} in s{space}"));
    }
}
