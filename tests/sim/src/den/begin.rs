//! How a den begins: a home founds a space, three devices join it, and one of them is the liar.

use std::collections::BTreeMap;

use crdt::{Descriptor, DeviceKey, Policy, SpaceId, Time};
use disk::{MemoryDisk, Random};
use home::{Fingerprint, Founding, Home, HomeOptions, Invite, MemoryRegistry, Registry, found};
use replica::{CreateOptions, Limits, Origin, Replica};

use super::{Den, Figures, HOME, LIAR, START, Seat};
use crate::malice::{Liar, Lie};

impl Den {
    pub(super) fn new(seed: u64, kinds: &[Lie]) -> Den {
        let mut random = Random::new(seed);
        let things = Descriptor { name: "things".into(), policy: Policy::Lww, params: Vec::new() };
        let counter = Descriptor { name: "counter".into(), policy: Policy::PnCounter, params: Vec::new() };
        let mut registry = MemoryRegistry::new();
        let home = open_space(&[things.clone(), counter.clone()], &mut registry);
        let space = home.replica.space();
        let kept = vec![(counter.id(), counter.policy)];
        let liar = Liar::new(random.next(), device(LIAR), space, things.id(), kept);
        let mut den = Den {
            random,
            kinds: kinds.to_vec(),
            now: START,
            coll: things.id(),
            counter: counter.id(),
            registry,
            seats: vec![home],
            talks: Vec::new(),
            connections: 0,
            liar,
            has_liar: true,
            alone_until: 0,
            book: BTreeMap::new(),
            known: BTreeMap::new(),
            apart: BTreeMap::new(),
            figures: Figures::default(),
        };
        for index in 1..=LIAR {
            den.join(index, space);
        }
        den
    }

    fn join(&mut self, index: usize, space: SpaceId) {
        let key = device(index);
        let Seat { home, replica, .. } = &mut self.seats[HOME];
        let home = home.as_mut().expect("it has the role");
        let now = Time(self.now);
        let (secret, addresses) = ([index as u8; 32], Vec::new());
        let not_after = now.plus_ms(1_000);
        let invite = Invite { role: crdt::Role::Writer, uses: 1, not_after, secret, addresses };
        let ticket = home.invite(replica, now, invite).expect("the home may invite");
        let proof = crdt::proof(&ticket.secret, &space, &key.public(), b"exported");
        let join = sync::frame::Join { space, device_key: key.public(), proof };
        home.admit_join(replica, now, &join, b"exported").expect("a healthy disk");
        home.batch(replica, now, &mut self.registry).expect("a healthy disk");
        let options = create(&key, ticket.genesis, Origin::Joined, index as u8);
        let replica =
            Replica::create(MemoryDisk::new(index as u64), options).expect("a fresh disk takes a replica");
        self.seats.push(Seat { key, replica, home: None });
    }
}

fn device(index: usize) -> DeviceKey {
    DeviceKey::from_seed([index as u8 + 1; 32])
}

fn create(key: &DeviceKey, genesis: crdt::Genesis, origin: Origin, seed: u8) -> CreateOptions {
    let limits = Limits { overlay_entries: 64, ..Limits::default() };
    CreateOptions {
        genesis,
        ring: Vec::new(),
        device: key.clone(),
        origin,
        seed: [seed; 32],
        now: Time(START),
        limits,
    }
}

/// The home of a new space.
fn open_space(collections: &[Descriptor], registry: &mut MemoryRegistry) -> Seat {
    let (key, disk) = (device(HOME), MemoryDisk::new(HOME as u64));
    let now = Time(START);
    let founding = Founding { device: &key, seed: [2; 32], now, collections };
    let founded = found(&disk, &founding).expect("a fresh disk takes a space");
    registry.cas(&founded.genesis.space(), 0, &founded.handle).expect("memory does not fail by itself");
    let options = create(&key, founded.genesis.clone(), founded.into(), 0);
    let mut replica = Replica::create(disk, options).expect("a fresh disk takes a replica");
    let options = HomeOptions { key: key.clone(), seed: [3; 32], fingerprint: Fingerprint([6; 32]) };
    let home = Home::open(options, &mut replica, now, registry).expect("a new home");
    Seat { key, replica, home: Some(home) }
}
