//! How a world begins: a home founds the space, devices join it, links lead from one to another.

use crdt::{Descriptor, DeviceKey, Policy, Role, Time};
use disk::MemoryDisk;
use home::{Admission, Fingerprint, Founding, Home, HomeOptions, Invite, Registry, found};
use replica::{CreateOptions, Origin, Replica};
use sync::{Backoff, BackoffConfig};

use super::{World, seed};
use crate::faults::Fault;
use crate::link::{Link, PROFILES};
use crate::machine::{Machine, limits};

impl World {
    pub(super) fn found(&mut self) {
        let key = DeviceKey::from_seed(seed(&mut self.random));
        let disk = MemoryDisk::new(self.random.next());
        let descriptor = Descriptor { name: "things".into(), policy: Policy::Lww, params: Vec::new() };
        let founding = Founding {
            device: &key,
            seed: seed(&mut self.random),
            now: Time(self.now),
            collections: std::slice::from_ref(&descriptor),
        };
        let founded = found(&disk, &founding).expect("a fresh disk takes a space");
        let space = founded.genesis.space();
        let swapped = self.registry.cas(&space, 0, &founded.handle).expect("memory does not fail by itself");
        assert_eq!(swapped, home::Outcome::Swapped);
        self.book.handle(&founded.handle).expect("the first");
        let mut replica = self.create(&disk, &key, founded.genesis.clone(), founded.into());
        let options =
            HomeOptions { key: key.clone(), seed: seed(&mut self.random), fingerprint: Fingerprint([7; 32]) };
        let home = Home::open(options, &mut replica, Time(self.now), &mut self.registry).expect("a new home");
        self.machines.push(Machine {
            disk,
            key,
            replica: Some(replica),
            home: Some(home),
            is_home: true,
            skew: 0,
            opens: 1,
            down_until: 0,
            version: 0,
            wrote_at: None,
            is_power_at_risk: false,
        });
    }

    fn create(
        &mut self,
        disk: &MemoryDisk,
        key: &DeviceKey,
        genesis: crdt::Genesis,
        origin: Origin,
    ) -> Replica<MemoryDisk> {
        let options = CreateOptions {
            genesis,
            ring: Vec::new(),
            device: key.clone(),
            origin,
            seed: seed(&mut self.random),
            now: Time(self.now),
            limits: limits(),
        };
        Replica::create(disk.clone(), options).expect("a fresh disk takes a replica")
    }

    pub(super) fn join(&mut self) {
        let key = DeviceKey::from_seed(seed(&mut self.random));
        let disk = MemoryDisk::new(self.random.next());
        let secret = seed(&mut self.random);
        let now = Time(self.now);
        let Machine { home, replica, .. } = &mut self.machines[0];
        let (home, replica) = (home.as_mut().expect("it runs"), replica.as_mut().expect("it runs"));
        let invite = Invite {
            role: Role::Writer,
            uses: 1,
            not_after: Time(now.0 + 1000),
            secret,
            addresses: Vec::new(),
        };
        let ticket = home.invite(replica, now, invite).expect("the home may invite");
        let space = replica.space();
        let proof = crdt::proof(&ticket.secret, &space, &key.public(), b"exported");
        let join = sync::frame::Join { space, device_key: key.public(), proof };
        let admission = home.admit_join(replica, now, &join, b"exported").expect("a healthy disk");
        assert_eq!(admission, Admission::Admitted);
        let handle = home.batch(replica, now, &mut self.registry).expect("a healthy disk");
        self.book.handle(&handle.expect("an admission is due")).expect("the next");
        let replica = self.create(&disk, &key, ticket.genesis, Origin::Joined);
        let index = self.machines.len();
        self.machines.push(Machine {
            disk,
            key,
            replica: Some(replica),
            home: None,
            is_home: false,
            skew: 0,
            opens: 1,
            down_until: 0,
            version: 0,
            wrote_at: None,
            is_power_at_risk: false,
        });
        self.link(index, 0);
        if index > 1 && self.random.coin() {
            let other = 1 + self.random.below(index as u64 - 1) as usize;
            self.link(index, other);
        }
    }

    pub(super) fn link(&mut self, from: usize, to: usize) {
        let thin = self.weather.has(Fault::Thin);
        let profile = PROFILES[if thin { self.random.below(PROFILES.len() as u64) as usize } else { 0 }];
        self.links.push(Link {
            ends: [from, to],
            profile,
            backoff: Backoff::new(self.random.next(), BackoffConfig { first_ms: 200, cap_ms: 4_000 }),
            dial_at: 0,
            blocked_until: 0,
        });
    }
}
