//! Devices with disks in memory, a home or none, and pipes between any two of them.

use crdt::{Class, CollId, Descriptor, DeviceKey, Policy, RingRecord, Role, Ticket, Time, derive};
use disk::MemoryDisk;
use home::{Admission, Fingerprint, Founding, Home, HomeOptions, Invite, MemoryRegistry, Registry};
use replica::{CreateOptions, Limits, Mode, OpenOptions, Origin, Replica};
use sync::frame::Join;
use sync::{Config, Local, Role as Caller, Session};

pub(crate) const NOW: Time = Time(1_800_000_000_000);
/// What a connection would export, the same on both ends.
pub(crate) const EXPORTER: &[u8] = b"this connection";

pub(crate) type Disk = MemoryDisk;

pub(crate) fn seed(name: &str) -> [u8; 32] {
    derive("test", name.as_bytes())
}

pub(crate) fn tasks() -> Descriptor {
    Descriptor::new("tasks", Policy::Lww).unwrap()
}

/// A device with its folder, which may be restarted.
pub(crate) struct Device {
    pub(crate) name: &'static str,
    pub(crate) disk: Disk,
    pub(crate) key: DeviceKey,
    pub(crate) replica: Replica<Disk>,
    pub(crate) starts: u32,
}

impl Device {
    fn create(name: &'static str, key: DeviceKey, genesis: crdt::Genesis, origin: Origin) -> Device {
        Device::create_with(name, key, genesis, origin, Vec::new())
    }

    fn create_with(
        name: &'static str,
        key: DeviceKey,
        genesis: crdt::Genesis,
        origin: Origin,
        ring: Vec<RingRecord>,
    ) -> Device {
        let disk = MemoryDisk::new(7);
        let (seed, limits) = (seed(name), Limits::default());
        let options = CreateOptions { genesis, ring, device: key.clone(), origin, seed, now: NOW, limits };
        let replica = Replica::create(disk.clone(), options).unwrap();
        Device { name, disk, key, replica, starts: 1 }
    }

    /// A device that has what a ticket says of the space, and nothing else yet.
    pub(crate) fn stranger(name: &'static str, genesis: &crdt::Genesis) -> Device {
        Device::create(name, DeviceKey::from_seed(seed(name)), genesis.clone(), Origin::Joined)
    }

    /// A device with an empty folder that has a ticket of a later home.
    pub(crate) fn joined(
        name: &'static str,
        key: DeviceKey,
        genesis: crdt::Genesis,
        ring: Vec<RingRecord>,
    ) -> Device {
        Device::create_with(name, key, genesis, Origin::Joined, ring)
    }

    /// Opens what the disk holds now.
    pub(crate) fn restart(self) -> Device {
        let Device { name, disk, key, starts, replica } = self;
        drop(replica);
        Device::open(name, disk, key, starts + 1)
    }

    pub(crate) fn crash(self) -> Device {
        self.disk.crash();
        self.restart()
    }

    pub(crate) fn open(name: &'static str, disk: Disk, key: DeviceKey, starts: u32) -> Device {
        let options = OpenOptions {
            device: key.clone(),
            seed: seed(&format!("{name} {starts}")),
            now: NOW,
            limits: Limits::default(),
            mode: Mode::ReadWrite,
        };
        let (replica, _) = Replica::open(disk.clone(), options).unwrap();
        Device { name, disk, key, replica, starts }
    }

    pub(crate) fn put(&mut self, now: Time, key: &str, value: &str) {
        self.put_as(now, Class::Normal, key, value);
    }

    pub(crate) fn put_as(&mut self, now: Time, class: Class, key: &str, value: &str) {
        let mut transaction = self.replica.begin();
        let coll = transaction.create_collection(&tasks()).unwrap();
        transaction.put(coll, &crdt::key::plain(key.as_bytes()), value.as_bytes()).unwrap();
        self.replica.commit(now, transaction, class).unwrap();
        self.replica.flush().unwrap();
    }

    pub(crate) fn remove(&mut self, now: Time, key: &str) {
        let mut transaction = self.replica.begin();
        transaction.delete(self.coll(), &crdt::key::plain(key.as_bytes())).unwrap();
        self.replica.commit(now, transaction, Class::Normal).unwrap();
        self.replica.flush().unwrap();
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        let value = self.replica.snapshot().get(self.coll(), &crdt::key::plain(key.as_bytes())).unwrap();
        value.map(|value| String::from_utf8(value).unwrap())
    }

    /// The values that lost at a key.
    pub(crate) fn losers(&self, key: &str) -> Vec<String> {
        let snapshot = self.replica.snapshot();
        let reading = snapshot.read(self.coll(), &crdt::key::plain(key.as_bytes())).unwrap().unwrap();
        let value =
            |live: &crdt::view::lww::Live| String::from_utf8(snapshot.value(&live.payload).unwrap()).unwrap();
        reading.losers.iter().map(value).collect()
    }

    pub(crate) fn version(&self) -> u64 {
        self.replica.base().version
    }

    pub(crate) fn tail(&self) -> u64 {
        self.replica.describe().tail_commits
    }

    fn coll(&self) -> CollId {
        tasks().id()
    }
}

/// A device that is also the home of the space it made.
pub(crate) struct Owner {
    pub(crate) device: Device,
    pub(crate) home: Home,
    pub(crate) registry: MemoryRegistry,
}

impl Owner {
    pub(crate) fn found() -> Owner {
        Owner::found_with(MemoryRegistry::new())
    }

    pub(crate) fn found_with(mut registry: MemoryRegistry) -> Owner {
        let key = DeviceKey::from_seed(seed("owner"));
        let founding = Founding { device: &key, seed: seed("space"), now: NOW, collections: &[tasks()] };
        let founded = home::found(&MemoryDisk::new(0), &founding).unwrap();
        let genesis = founded.genesis.clone();
        let mut device = Device::create("owner", key, genesis, founded.into());
        let home = open_home(&mut device, fingerprint("folder"), &mut registry);
        Owner { device, home, registry }
    }

    pub(crate) fn genesis(&self) -> &crdt::Genesis {
        self.device.replica.genesis()
    }

    pub(crate) fn batch(&mut self, now: Time) -> Option<u64> {
        let made = self.home.batch(&mut self.device.replica, now, &mut self.registry).unwrap();
        made.map(|handle| handle.version)
    }

    pub(crate) fn registered(&mut self) -> u64 {
        let space = self.device.replica.space();
        self.registry.get(&space).unwrap().map_or(0, |handle| handle.version)
    }

    /// Opened again where dead nodes are collected at once.
    pub(crate) fn with_little_room(self) -> Owner {
        let Owner { device, mut registry, .. } = self;
        let Device { name, disk, key, replica, starts } = device;
        drop(replica);
        let limits = Limits { waste_bytes: 1, ..Limits::default() };
        let (seed, mode) = (seed(&format!("{name} with little room")), Mode::ReadWrite);
        let options = OpenOptions { device: key.clone(), seed, now: NOW, limits, mode };
        let (replica, _) = Replica::open(disk.clone(), options).unwrap();
        let mut device = Device { name, disk, key, replica, starts: starts + 1 };
        let home = open_home(&mut device, fingerprint("folder"), &mut registry);
        Owner { device, home, registry }
    }

    pub(crate) fn crash(self) -> Owner {
        let Owner { device, mut registry, .. } = self;
        let mut device = device.crash();
        let home = open_home(&mut device, fingerprint("folder"), &mut registry);
        Owner { device, home, registry }
    }

    pub(crate) fn invite(&mut self, uses: u64) -> Ticket {
        self.try_invite(NOW, "secret", uses).unwrap()
    }

    pub(crate) fn try_invite(&mut self, now: Time, secret: &str, uses: u64) -> Result<Ticket, home::Error> {
        let (role, not_after, secret) = (Role::Writer, now.plus_ms(1000), seed(secret));
        let invite = Invite { role, uses, not_after, secret, addresses: vec!["192.0.2.1:7000".to_owned()] };
        self.home.invite(&mut self.device.replica, now, invite)
    }

    pub(crate) fn ask(&mut self, now: Time, join: &Join) -> Admission {
        self.home.admit_join(&mut self.device.replica, now, join, EXPORTER).unwrap()
    }

    /// A device that is a member and has met the home.
    pub(crate) fn join(&mut self, name: &'static str) -> Device {
        let ticket = self.invite(1);
        let mut device = Device::stranger(name, &ticket.genesis);
        assert_eq!(self.ask(NOW, &request(&ticket, &device.key)), Admission::Admitted);
        self.batch(NOW);
        meet(NOW, &mut device, &mut self.device);
        device
    }
}

pub(crate) fn fingerprint(name: &str) -> Fingerprint {
    Fingerprint(seed(name))
}

pub(crate) fn open_home(device: &mut Device, fingerprint: Fingerprint, registry: &mut impl Registry) -> Home {
    let seed = seed(&format!("home of {} {}", device.name, device.starts));
    let options = HomeOptions { key: device.key.clone(), seed, fingerprint };
    Home::open(options, &mut device.replica, NOW, registry).unwrap()
}

pub(crate) fn request(ticket: &Ticket, key: &DeviceKey) -> Join {
    let space = ticket.genesis.space();
    let proof = crdt::proof(&ticket.secret, &space, &key.public(), EXPORTER);
    Join { space, device_key: key.public(), proof }
}

/// A connection between two devices.
pub(crate) struct Link {
    dialer: Session,
    listener: Session,
}

impl Link {
    pub(crate) fn new(now: Time, dialer: &Device, listener: &Device) -> Link {
        let session = |role, instance, from: &Device, to: &Device| {
            let local = Local { device: from.key.id(), instance: [instance; 16], peer: to.key.id() };
            Session::new(role, local, now, Config::default())
        };
        Link {
            dialer: session(Caller::Dialer, 1, dialer, listener),
            listener: session(Caller::Listener, 2, listener, dialer),
        }
    }

    /// Carries bytes both ways until both are silent.
    pub(crate) fn run(&mut self, now: Time, dialer: &mut Device, listener: &mut Device) {
        for _ in 0..1000 {
            let there = carry(now, (&mut self.dialer, dialer), (&mut self.listener, listener));
            let back = carry(now, (&mut self.listener, listener), (&mut self.dialer, dialer));
            if !there && !back {
                return;
            }
        }
        panic!("the two never fall silent");
    }

    /// Carries what the caller has to say now, and nothing back.
    pub(crate) fn call(&mut self, now: Time, dialer: &mut Device, listener: &mut Device) {
        carry(now, (&mut self.dialer, dialer), (&mut self.listener, listener));
    }

    /// Carries what the one that was called has to say now.
    pub(crate) fn answer(&mut self, now: Time, dialer: &mut Device, listener: &mut Device) {
        carry(now, (&mut self.listener, listener), (&mut self.dialer, dialer));
    }

    pub(crate) fn errors(&self, dialer: &Device, listener: &Device) -> Vec<String> {
        let dialed = self.dialer.status(&dialer.replica).last_error;
        dialed.into_iter().chain(self.listener.status(&listener.replica).last_error).collect()
    }
}

fn carry(now: Time, from: (&mut Session, &mut Device), to: (&mut Session, &mut Device)) -> bool {
    let mut has_moved = false;
    while let Some(bytes) = from.0.poll_transmit(now, &mut from.1.replica) {
        has_moved = true;
        // An error closes the session, which says so itself.
        drop(to.0.handle_bytes(now, &bytes, &mut to.1.replica));
        // One that was healed is to be opened again.
        if to.1.replica.is_stopped() {
            return false;
        }
        to.1.replica.flush().unwrap();
    }
    has_moved
}

/// One whole conversation.
pub(crate) fn meet(now: Time, dialer: &mut Device, listener: &mut Device) {
    let mut link = Link::new(now, dialer, listener);
    link.run(now, dialer, listener);
    assert_eq!(link.errors(dialer, listener), Vec::<String>::new());
}

/// Both hold the same state, all of it covered.
pub(crate) fn assert_converged(a: &Device, b: &Device) {
    let (ours, theirs) = (a.replica.describe(), b.replica.describe());
    assert_eq!(ours.version, theirs.version);
    assert_eq!((ours.data_root, ours.vv_root), (theirs.data_root, theirs.vv_root));
    assert_eq!((ours.tail_commits, theirs.tail_commits), (0, 0));
}
