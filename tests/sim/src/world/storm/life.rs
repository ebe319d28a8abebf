//! What people do to their machines: kill, copy, restore, switch off for months.

use disk::MemoryDisk;
use home::{Fingerprint, Mishap};

use crate::agenda::Due;
use crate::faults::Fault;
use crate::machine::Machine;
use crate::promise::anchored;
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

    /// `cp -r` of a running device; both go on. The role of a home is bound to its folder: the copy of one signs nothing.
    pub(super) fn clone_machine(&mut self, fault: Fault) {
        let chosen = if fault == Fault::Clone { self.any_device() } else { Some(self.any_home()) };
        let Some(machine) = chosen else { return };
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
        self.suffer(machine, fault, format!("the copy is m{other}"));
        // Nobody calls an address that is its own: the copy of a home meets the space through its members.
        let peers = self.links.iter().filter_map(|link| {
            let end = link.ends.iter().position(|end| *end == machine)?;
            Some(link.ends[1 - end])
        });
        let peers: Vec<usize> = match fault {
            Fault::Clone => self.spaces.iter().map(|space| space.home).collect(),
            _ => peers.collect(),
        };
        for peer in peers {
            self.link([other, peer]);
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
            let Some(copy) = self.take_backup(machine) else { return };
            copy
        };
        self.suffer(machine, fault, "");
        self.put_back(machine, copy);
        if fault == Fault::RestoreOld {
            self.forgive(machine);
        }
    }

    /// A home loses what it made since its backup, and acts again once it holds all that anybody has.
    pub(super) fn restore_home(&mut self) {
        let machine = self.any_home();
        // Of a machine that has yet to start nobody can tell what it has; and what one has of a Handle that it fetches, it
        // could find the rest of later, when that version has another one.
        let is_known = self.machines.iter().flat_map(|it| it.copies.values()).all(|copy| {
            let is_fetching = copy.replica.as_ref().is_some_and(|replica| replica.fetching().is_some());
            copy.version_at_most() < u64::MAX && !is_fetching
        });
        // Who is out brings nothing back, whatever versions it has, and no home can wait for it.
        let is_anyone_out = self.spaces.iter().any(|space| !space.book.removed.is_empty());
        if self.machines[machine].is_rotten || !is_known || is_anyone_out {
            return;
        }
        let Some(copy) = self.take_backup(machine) else { return };
        self.suffer(machine, Fault::RestoreHome, "");
        // What was under way from it is gone with it.
        let here =
            |(id, connection): (&u64, &crate::link::Connection)| connection.end_of(machine).map(|_| *id);
        for id in self.connections.iter().filter_map(here).collect::<Vec<_>>() {
            self.cut(id, "the home was restored");
        }
        self.put_back(machine, copy);
        self.forgive(machine);
        for space in 0..self.spaces.len() {
            if self.spaces[space].home == machine {
                self.forget_unheard(machine, space);
            }
        }
    }

    /// Of what a home made before it was restored only that is so which somebody has.
    fn forget_unheard(&mut self, home: usize, space: usize) {
        let others = self.machines.iter().enumerate().filter(|(other, _)| *other != home);
        let versions = others.filter_map(|(_, it)| it.copies.get(&space)).map(|copy| copy.version);
        let newest = versions.max().unwrap_or_default();
        let it = &mut self.spaces[space];
        // Its registry lies in its folder.
        it.registries.remove(&home);
        (it.successor, it.was_restored) = (None, true);
        self.forget_after(space, newest);
    }

    /// Nobody has a Handle after this version any more: the next one has that number again.
    pub(in crate::world) fn forget_after(&mut self, space: usize, version: u64) {
        let book = &mut self.spaces[space].book;
        book.forget_handles_after(version);
        book.anchored.clear();
        for replica in self.machines.iter().filter_map(|it| it.replica(space)) {
            anchored::note(book, replica);
        }
    }

    /// The copy of a disk that was made some time ago; where there is none yet, it is made now.
    fn take_backup(&mut self, machine: usize) -> Option<MemoryDisk> {
        let now = self.now;
        let it = &mut self.machines[machine];
        match it.backup.take() {
            Some((at, copy)) if at + 5_000 < now => Some(copy),
            kept => {
                it.backup = kept.or_else(|| Some((now, it.disk.copy())));
                None
            }
        }
    }

    fn put_back(&mut self, machine: usize, copy: MemoryDisk) {
        self.end_process(machine, self.now + 100, End::Kill);
        let place = Fingerprint(self.seed());
        let it = &mut self.machines[machine];
        it.disk = copy;
        it.place = place;
        it.full_until = None;
        for copy in it.copies.values_mut() {
            copy.version = 0;
            copy.told.clear();
        }
    }

    /// What a machine alone held may be gone, and nobody promised otherwise.
    pub(super) fn forgive(&mut self, machine: usize) {
        for space in self.machines[machine].copies.keys() {
            self.spaces[*space].book.forgive(machine);
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
        self.suffer(home, fault, format!("{mishap:?} in s{space}"));
    }
}
