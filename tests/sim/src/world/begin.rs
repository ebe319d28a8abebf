//! How a world begins: homes found spaces, devices join them, links lead from one to another.

use std::collections::BTreeMap;

use crdt::{Descriptor, DeviceKey, Genesis, Policy, Time};
use disk::{Disk, MemoryDisk};
use home::{Admission, Fingerprint, Founding, MemoryRegistry, Registry, found};
use replica::{CreateOptions, Origin, Replica};
use sync::{Backoff, BackoffConfig};

use super::{CHECK_EVERY, World};
use crate::agenda::Due;
use crate::book::Book;
use crate::deeds::Deeds;
use crate::faults::Fault;
use crate::link::{FLAKY, LAN, Link, Profile, THIN};
use crate::machine::{Copy, Machine, folder, limits};
use crate::space::{Colls, Kept, Space};
use crate::weather::Feature;

const BACKOFF: BackoffConfig = BackoffConfig { first_ms: 200, cap_ms: 4_000 };

impl World {
    pub(super) fn begin(&mut self) {
        let spaces = if self.weather.with(Feature::Spaces) { 2 + self.random.below(2) } else { 1 };
        let drawn = if self.weather.with(Feature::Crowd) {
            4 + self.random.below(6)
        } else {
            1 + self.random.below(4)
        };
        let devices = (drawn as usize).min(self.options.devices_max.unwrap_or(usize::MAX)).max(1);
        for _ in 0..1 + devices {
            let key = DeviceKey::from_seed(self.seed());
            let disk = MemoryDisk::new(self.random.next());
            let place = Fingerprint(self.seed());
            self.machines.push(Machine::new(disk, key, place));
        }
        for machine in &mut self.machines {
            machine.latest = Time(self.now);
        }
        for _ in 0..spaces {
            // Most spaces of a world have one home, and some another.
            let home =
                if self.spaces.is_empty() || self.random.below(3) > 0 { 0 } else { self.any_machine() };
            self.found(home);
        }
        self.choose_liar();
        self.lay_links();
        for machine in 0..self.machines.len() {
            self.start_work(machine);
            self.schedule_wake(machine);
        }
        for fault in Fault::ALL {
            if let Some(after) = self.weather.next(*fault, &mut self.random) {
                self.agenda.add(self.now + after, Due::Fault(*fault));
            }
        }
        self.agenda.add(self.now + CHECK_EVERY, Due::Check);
    }

    pub(super) fn start_work(&mut self, machine: usize) {
        let after = self.about(self.weather.work_every);
        self.agenda.add(self.now + after, Due::Work(machine));
    }

    /// A space with its home, which all other machines join.
    fn found(&mut self, home: usize) {
        let space = self.spaces.len();
        let count = if self.weather.with(Feature::Collections) { 3 } else { 1 };
        let things = (0..count).map(|index| Descriptor {
            name: format!("things-{index}"),
            policy: Policy::Lww,
            params: Vec::new(),
        });
        let (kept, of_policies): (Vec<Kept>, Vec<Descriptor>) =
            Kept::drawn(&self.weather).into_iter().unzip();
        let descriptors: Vec<Descriptor> = things.chain(of_policies).collect();
        let key = self.machines[home].key.clone();
        let (seed, now) = (self.seed(), Time(self.now));
        let founding = Founding { device: &key, seed, now, collections: &descriptors };
        let disk = self.folder(home, space);
        let founded = found(&disk, &founding).expect("a fresh disk takes a space");
        let (genesis, handle) = (founded.genesis.clone(), founded.handle.clone());
        let mut registry = MemoryRegistry::new();
        let swapped = registry.cas(&genesis.space(), 0, &handle).expect("memory does not fail by itself");
        assert_eq!(swapped, home::Outcome::Swapped);
        let mut book = Book::default();
        book.deeds = Deeds::of(&kept);
        book.handle(&handle).expect("the first");
        let things = descriptors[..count].iter().map(Descriptor::id).collect();
        self.spaces.push(Space {
            home,
            genesis: genesis.clone(),
            ring: Vec::new(),
            successor: None,
            registries: BTreeMap::from([(home, registry)]),
            colls: Colls { things, kept },
            book,
            was_restored: false,
            unanswered: None,
            rounds: 0,
        });
        self.create(home, space, genesis.clone(), founded.into());
        for machine in (0..self.machines.len()).filter(|machine| *machine != home) {
            self.join(machine, space, &genesis);
        }
        self.make_handle(home, space).expect("nothing is wrong yet");
    }

    fn folder(&mut self, machine: usize, space: usize) -> MemoryDisk {
        let disk = &self.machines[machine].disk;
        disk.create_dir(&folder(space)).expect("a healthy disk");
        disk.within(&folder(space))
    }

    fn create(&mut self, machine: usize, space: usize, genesis: Genesis, origin: Origin) {
        let disk = self.folder(machine, space);
        let device = self.machines[machine].key.clone();
        let options = CreateOptions {
            genesis,
            ring: self.spaces[space].ring.clone(),
            device,
            origin,
            seed: self.seed(),
            now: self.machines[machine].time(self.now),
            limits: limits(self.weather.with(Feature::Roomy)),
        };
        let now = options.now;
        let mut replica = Replica::create(disk, options).expect("a fresh disk takes a replica");
        let seed = self.seed();
        let registry = self.spaces[space].registry(machine);
        let home = self.machines[machine].take_up(&mut replica, seed, now, registry);
        let home = Some(home.expect("a fresh folder is claimed"));
        let copy = Copy { replica: Some(replica), home, ..Copy::default() };
        self.machines[machine].copies.insert(space, copy);
    }

    /// Admits a machine and makes its empty replica.
    fn join(&mut self, machine: usize, space: usize, genesis: &Genesis) {
        let admission = self.admit(machine, space).expect("a healthy disk");
        assert_eq!(admission, Admission::Admitted);
        self.join_empty(machine, space, genesis.clone());
    }

    /// An empty replica of a space whose home knows the device.
    pub(super) fn join_empty(&mut self, machine: usize, space: usize, genesis: Genesis) {
        self.create(machine, space, genesis, Origin::Joined);
    }

    fn lay_links(&mut self) {
        let count = self.machines.len();
        for machine in 1..count {
            if self.weather.with(Feature::Row) {
                self.link([machine, machine - 1]);
                continue;
            }
            for home in self.homes() {
                // Of two homes the later one calls.
                if machine > home || !self.homes().contains(&machine) {
                    self.link([machine, home]);
                }
            }
        }
        if self.weather.with(Feature::Mesh) {
            for machine in 2..count {
                let other = self.random.below(machine as u64) as usize;
                self.link([machine, other]);
            }
        }
    }

    fn homes(&self) -> Vec<usize> {
        let mut homes: Vec<usize> = self.spaces.iter().map(|space| space.home).collect();
        homes.sort_unstable();
        homes.dedup();
        homes
    }

    /// Two machines talk about every space that both have, unless they do already.
    pub(super) fn link(&mut self, ends: [usize; 2]) {
        let profile = self.profile();
        for space in 0..self.spaces.len() {
            if self.links.iter().any(|link| link.space == space && link.joins(ends)) {
                continue;
            }
            let backoff = Backoff::new(self.random.next(), BACKOFF);
            self.links.push(Link { ends, space, profile, backoff, dial_at: self.now, blocked_until: [0; 2] });
            self.agenda.add(self.now, Due::Dial(self.links.len() - 1));
        }
    }

    fn profile(&mut self) -> Profile {
        if self.weather.has(Fault::Flaky) && self.random.coin() {
            return FLAKY;
        }
        if self.weather.has(Fault::Thin) && self.random.coin() {
            return THIN[self.random.below(THIN.len() as u64) as usize];
        }
        LAN
    }
}
