//! How a tiny space begins: founded, joined by two devices, all at one Handle, and their folders kept to start from.

use crdt::{Descriptor, DeviceKey, Genesis, Policy, Role, Time};
use disk::MemoryDisk;
use home::{Fingerprint, Founding, Home, HomeOptions, Invite, MemoryRegistry, Registry, found};
use replica::{CreateOptions, Limits, Mode, OpenOptions, Origin, Replica};
use sync::{Local, Session};

/// The one time there is: nothing here waits for a clock.
pub(super) const NOW: Time = Time(1_790_000_000_000);

/// The folders and keys of the home and two devices, before anything happens.
pub struct Seedling {
    pub(super) disks: Vec<MemoryDisk>,
    pub(super) keys: Vec<DeviceKey>,
    pub(super) descriptor: Descriptor,
}

/// Limits under which a short history meets a checkpoint and a second segment.
pub(super) fn limits() -> Limits {
    Limits { overlay_entries: 2, ..Limits::default() }
}

impl Seedling {
    /// Founds the space, lets two devices join it, and brings them to the newest Handle.
    pub fn new() -> Seedling {
        let keys: Vec<DeviceKey> = (1..=3).map(|n| DeviceKey::from_seed([n; 32])).collect();
        let disks: Vec<MemoryDisk> = (1..=3).map(MemoryDisk::new).collect();
        let descriptor = Descriptor { name: "things".into(), policy: Policy::Lww, params: Vec::new() };
        let founding = Founding {
            device: &keys[0],
            seed: [9; 32],
            now: NOW,
            collections: std::slice::from_ref(&descriptor),
        };
        let founded = found(&disks[0], &founding).expect("a fresh disk takes a space");
        let (genesis, mut registry) = (founded.genesis.clone(), MemoryRegistry::new());
        registry.cas(&genesis.space(), 0, &founded.handle).expect("memory does not fail by itself");
        let mut home_replica = create(&disks[0], &keys[0], genesis.clone(), founded.into());
        let mut home = open_home(&keys[0], [8; 32], &mut home_replica, &mut registry);
        for key in &keys[1..] {
            admit(&mut home, &mut home_replica, key);
        }
        home.batch(&mut home_replica, NOW, &mut registry)
            .expect("a healthy disk")
            .expect("two were admitted");
        for (disk, key) in disks.iter().zip(&keys).skip(1) {
            let mut replica = create(disk, key, genesis.clone(), Origin::Joined);
            let mut sessions = sessions(&keys, 1, [0, 0]);
            converse(&mut sessions, &mut replica, &mut home_replica);
            assert_eq!(replica.base(), home_replica.base(), "a newcomer fetches the newest Handle");
        }
        Seedling { disks, keys, descriptor }
    }
}

impl Default for Seedling {
    fn default() -> Seedling {
        Seedling::new()
    }
}

fn create(disk: &MemoryDisk, key: &DeviceKey, genesis: Genesis, origin: Origin) -> Replica<MemoryDisk> {
    let (device, limits) = (key.clone(), limits());
    let options =
        CreateOptions { genesis, ring: Vec::new(), device, origin, seed: [7; 32], now: NOW, limits };
    Replica::create(disk.clone(), options).expect("a fresh disk takes a replica")
}

fn admit(home: &mut Home, replica: &mut Replica<MemoryDisk>, key: &DeviceKey) {
    let invite = Invite {
        role: Role::Writer,
        uses: 1,
        not_after: NOW,
        secret: [key.public()[0]; 32],
        addresses: Vec::new(),
    };
    let ticket = home.invite(replica, NOW, invite).expect("the home may invite");
    let space = replica.space();
    let proof = crdt::proof(&ticket.secret, &space, &key.public(), b"exported");
    let join = sync::frame::Join { space, device_key: key.public(), proof };
    home.admit_join(replica, NOW, &join, b"exported").expect("a healthy disk");
}

/// The role, as its process takes it up.
pub(super) fn open_home(
    key: &DeviceKey,
    seed: [u8; 32],
    replica: &mut Replica<MemoryDisk>,
    registry: &mut MemoryRegistry,
) -> Home {
    let options = HomeOptions { key: key.clone(), seed, fingerprint: Fingerprint([7; 32]) };
    Home::open(options, replica, NOW, registry).expect("the registry answers")
}

/// How a process opens its folder.
pub(super) fn open_options(key: &DeviceKey, seed: [u8; 32]) -> OpenOptions {
    OpenOptions { device: key.clone(), seed, now: NOW, limits: limits(), mode: Mode::ReadWrite }
}

/// A fresh connection of a device: its end, and the home's. `runs` says which run of each process it is.
pub(super) fn sessions(keys: &[DeviceKey], device: usize, runs: [u8; 2]) -> [Session; 2] {
    let local = |at: usize, peer: usize, run: u8| Local {
        device: keys[at].id(),
        instance: [at as u8 * 16 + run; 16],
        peer: keys[peer].id(),
    };
    let config = sync::Config::default;
    [
        Session::new(sync::Role::Dialer, local(device, 0, runs[0]), NOW, config()),
        Session::new(sync::Role::Listener, local(0, device, runs[1]), NOW, config()),
    ]
}

/// Lets both ends say all they have to, until both are silent.
fn converse(sessions: &mut [Session; 2], device: &mut Replica<MemoryDisk>, home: &mut Replica<MemoryDisk>) {
    let mut is_silent = false;
    while !is_silent {
        is_silent = true;
        let [left, right] = sessions;
        while let Some(bytes) = left.poll_transmit(NOW, device) {
            right.handle_bytes(NOW, &bytes, home).expect("an honest device");
            is_silent = false;
        }
        home.flush().expect("a healthy disk");
        while let Some(bytes) = right.poll_transmit(NOW, home) {
            left.handle_bytes(NOW, &bytes, device).expect("an honest home");
            is_silent = false;
        }
        device.flush().expect("a healthy disk");
    }
}
