//! A space for tests: a home key, some devices, and the few verbs every test uses.

use std::collections::BTreeMap;

use btree::{Fresh, Hash, Kind, Nodes, Salt, Value, empty_root};
use crdt::vector::Row;
use crdt::{
    Body, Class, CollId, Commit, CommitId, Descriptor, DeviceKey, Effect, Genesis, Handle, Header, Hlc,
    Mutation, Op, Open, Payload, Policy, Time, WriterId, effects, system,
};
use disk::MemoryDisk;
use replica::{
    CommitError, CreateOptions, Cut, Error, Grant, HomeWrite, Limits, Mode, OpenOptions, Opened, Origin,
    READ, Replica, Roots, WRITE,
};
use sync::{Accepted, Adoption, Incoming, Offer, Outgoing, Store, StoreError};

pub(crate) type Local = Replica<MemoryDisk>;

pub(crate) const NOW: Time = Time(1_700_000_000_000);

/// A space with a home and devices that may write to it.
pub(crate) struct Space {
    pub(crate) genesis: Genesis,
    pub(crate) home: DeviceKey,
    pub(crate) devices: Vec<DeviceKey>,
    pub(crate) limits: Limits,
    handle: Handle,
    nodes: Vec<(Kind, Hash, Vec<u8>)>,
}

impl Space {
    pub(crate) fn new(device_count: u8) -> Self {
        let home = DeviceKey::from_seed([200; 32]);
        let devices: Vec<DeviceKey> = (0..device_count).map(|n| DeviceKey::from_seed([n + 1; 32])).collect();
        let genesis = Genesis {
            salt: [7; 32],
            nonce: [8; 32],
            home_key: home.public(),
            recovery_key: [0; 32],
            owner: devices[0].id(),
            params: Vec::new(),
        };
        let (handle, nodes) = found(&genesis, &home, &devices);
        Self { genesis, home, devices, limits: Limits::default(), handle, nodes }
    }

    /// A replica that starts with the first Handle.
    pub(crate) fn create(&self, device: usize, disk: &MemoryDisk) -> Local {
        let origin = Origin::Founded { handle: self.handle.clone(), nodes: self.nodes.clone() };
        self.create_from(device, disk, origin)
    }

    /// A replica that was admitted and holds nothing.
    pub(crate) fn join(&self, device: usize, disk: &MemoryDisk) -> Local {
        self.create_from(device, disk, Origin::Joined)
    }

    fn create_from(&self, device: usize, disk: &MemoryDisk, origin: Origin) -> Local {
        self.try_create(device, disk, origin).expect("an empty folder takes a replica")
    }

    pub(crate) fn try_create(
        &self,
        device: usize,
        disk: &MemoryDisk,
        origin: Origin,
    ) -> Result<Local, Error> {
        Replica::create(
            disk.clone(),
            CreateOptions {
                genesis: self.genesis.clone(),
                ring: Vec::new(),
                device: self.devices[device].clone(),
                origin,
                seed: [device as u8; 32],
                now: NOW,
                limits: self.limits,
            },
        )
    }

    pub(crate) fn founded(&self) -> Origin {
        Origin::Founded { handle: self.handle.clone(), nodes: self.nodes.clone() }
    }

    pub(crate) fn try_open(
        &self,
        device: usize,
        disk: &MemoryDisk,
        seed: u8,
        mode: Mode,
    ) -> Result<(Local, Opened), Error> {
        let options = OpenOptions {
            device: self.devices[device].clone(),
            seed: [seed; 32],
            now: NOW,
            limits: self.limits,
            mode,
        };
        Replica::open(disk.clone(), options)
    }

    pub(crate) fn open(&self, device: usize, disk: &MemoryDisk, seed: u8) -> Local {
        self.try_open(device, disk, seed, Mode::ReadWrite).expect("the folder opens").0
    }

    /// The home folds what this replica holds and moves its Handle.
    pub(crate) fn anchor(&self, now: Time, home: &mut Local) {
        self.try_anchor(now, home).expect("the home anchors");
    }

    pub(crate) fn try_anchor(&self, now: Time, home: &mut Local) -> Result<(), Error> {
        let roots = home.candidate(now)?;
        let handle = next_handle(home.base(), roots, now).sign(&self.home);
        home.install_handle(now, handle)
    }

    /// The home writes these rows, and its next Handle covers them.
    pub(crate) fn write(&self, home: &mut Local, writes: Vec<HomeWrite>) {
        home.home_commit(NOW, [5; 8], self.home.public(), writes).expect("the home writes");
        self.anchor(NOW, home);
    }

    /// The home's next Handle ends a writer after its commit `seq`.
    pub(crate) fn cut(&self, home: &mut Local, writer: &WriterId, seq: u64) {
        let cut = Cut { seq, tip: CommitId::ZERO, reason: 0 };
        let row = HomeWrite { coll: system::cut(), key: Cut::key(writer), value: Some(cut.encode()) };
        self.write(home, vec![row]);
    }
}

pub(crate) fn next_handle(base: &Handle, roots: Roots, now: Time) -> Handle {
    Handle {
        version: base.version + 1,
        prev: base.hash(),
        data_root: roots.data.0,
        vv_root: roots.vector.0,
        hlc: Hlc::from_time(now),
        ..base.clone()
    }
}

/// The first Handle: one home commit that grants every device to read and write.
fn found(genesis: &Genesis, home: &DeviceKey, devices: &[DeviceKey]) -> (Handle, Vec<(Kind, Hash, Vec<u8>)>) {
    let writer = WriterId::home([1; 8]);
    let grant = |device: &DeviceKey| Mutation {
        coll: system::acl(),
        key: Grant::key(&device.id()),
        op: Op::Put(Payload::Inline(
            Grant { public: device.public(), capabilities: READ | WRITE, residency: Vec::new(), since: 0 }
                .encode(),
        )),
        supersedes: Vec::new(),
    };
    let header = Header {
        space: genesis.space(),
        writer,
        seq: 1,
        prev: CommitId::ZERO,
        hlc: Hlc::from_time(NOW),
        base: 0,
        body_hash: [0; 32],
        open: Some(Open { device_key: home.public(), closes: Vec::new(), reissues: None }),
    };
    let body = Body { deps: Vec::new(), mutations: devices.iter().map(grant).collect() };
    let commit = Commit::new(header, body).expect("a valid commit");
    let nodes = Nodes::new(MemoryDisk::new(0), Salt(genesis.salt));
    let mut fresh = Fresh::new(nodes.salt());
    let entries: BTreeMap<Vec<u8>, Option<Value>> = effects(&commit)
        .map(|effect| match effect {
            Effect::Put(key, hlc, payload) => (key, Some(Value { hlc: hlc.0, payload: payload.encode() })),
            Effect::Remove(key) => (key, None),
        })
        .collect();
    let data = btree::apply(&nodes, &mut fresh, Kind::Data, &empty_root(Kind::Data), entries).unwrap();
    let row = Row::new(&writer, &commit.tip());
    let rows = [(row.key, Some(Value { hlc: row.hlc.0, payload: row.payload }))];
    let vector = btree::apply(&nodes, &mut fresh, Kind::Vector, &empty_root(Kind::Vector), rows).unwrap();
    let handle = Handle {
        space: genesis.space(),
        version: 1,
        prev: [0; 32],
        data_root: data.0,
        vv_root: vector.0,
        fold_version: 1,
        gc_epoch: 0,
        ring_n: 0,
        hlc: Hlc::from_time(NOW),
        batch: None,
        signature: [0; 64],
    };
    let nodes = fresh.iter().map(|(hash, kind, bytes)| (kind, hash, bytes.to_vec())).collect();
    (handle.sign(home), nodes)
}

/// The collection that tests write to.
pub(crate) fn coll() -> CollId {
    Descriptor::new("things", Policy::Lww).expect("a good name").id()
}

pub(crate) fn key(name: &str) -> Vec<u8> {
    crdt::key::plain(name.as_bytes())
}

pub(crate) fn put(
    replica: &mut Local,
    now: Time,
    name: &str,
    value: &str,
) -> Result<replica::Committed, CommitError> {
    let mut transaction = replica.begin();
    transaction.put(coll(), &key(name), value.as_bytes())?;
    replica.commit(now, transaction, Class::Normal)
}

/// Writes and flushes.
pub(crate) fn set(replica: &mut Local, name: &str, value: &str) {
    put(replica, NOW, name, value).expect("it commits");
    replica.flush().expect("it flushes");
}

pub(crate) fn remove(replica: &mut Local, name: &str) {
    let mut transaction = replica.begin();
    transaction.delete(coll(), &key(name)).unwrap();
    replica.commit(NOW, transaction, Class::Normal).expect("it commits");
    replica.flush().expect("it flushes");
}

pub(crate) fn get(replica: &Local, name: &str) -> Option<String> {
    let value = replica.snapshot().get(coll(), &key(name)).expect("it reads");
    value.map(|value| String::from_utf8(value).expect("tests write text"))
}

/// Every key and value that is visible.
pub(crate) fn contents(replica: &Local) -> BTreeMap<String, String> {
    let snapshot = replica.snapshot();
    let scan = snapshot.scan(coll(), &replica::KeyRange::all(), replica::Order::Ascending).expect("it scans");
    scan.map(|read| {
        let read = read.expect("it reads");
        let name = crdt::key::plain_name(&read.key).expect("tests write plain keys");
        let value = snapshot.value(&read.winner.payload).expect("values are here");
        (String::from_utf8(name).unwrap(), String::from_utf8(value).unwrap())
    })
    .collect()
}

/// What a session does from one side: first the Handle, then what the other lacks of the tail.
pub(crate) fn deliver(now: Time, from: &mut Local, to: &mut Local) {
    deliver_handle(now, from, to);
    deliver_tail(now, from, to);
}

/// Brings the base of one to another; whether nodes had to travel.
pub(crate) fn deliver_handle(now: Time, from: &mut Local, to: &mut Local) -> bool {
    let before = to.handle().version;
    let fetched = before < from.handle().version && offer_handle(now, from, to).expect("the offer is good").1;
    assert!(to.handle().version == from.handle().version || before > from.handle().version);
    fetched
}

/// The same, where the disk of the other may fail.
pub(crate) fn try_deliver_handle(from: &mut Local, to: &mut Local) -> Result<(), Error> {
    for _ in 0..2 {
        if offer_handle(NOW, from, to).map_err(own_fault)?.0 != Adoption::Fetch(Vec::new()) {
            return Ok(());
        }
        // A read failed: its owner looks whether that was for once.
        to.mend(NOW)?;
    }
    Err(to.checkpoint(NOW).expect_err("its disk is gone"))
}

/// Offers the base of one to another and brings what that asks for; what became of it, and whether nodes had to travel.
pub(crate) fn offer_handle(
    now: Time,
    from: &mut Local,
    to: &mut Local,
) -> Result<(Adoption, bool), StoreError> {
    let mut adoption = to.adopt(now, from.offer(to.handle().version))?;
    let mut has_fetched = false;
    while let Adoption::Fetch(nodes) = &adoption
        && !nodes.is_empty()
    {
        has_fetched = true;
        let bytes =
            |(kind, hash)| (kind, hash, from.node(kind, &hash).expect("who offers a base has its nodes"));
        let nodes = nodes.iter().copied().map(bytes).collect();
        adoption = to.store_nodes(now, nodes)?;
    }
    Ok((adoption, has_fetched))
}

pub(crate) fn deliver_tail(now: Time, from: &mut Local, to: &mut Local) {
    try_deliver_tail(now, from, to).expect("the tail can be read");
}

/// The same, where the disk of the sender may fail.
pub(crate) fn try_deliver_tail(now: Time, from: &mut Local, to: &mut Local) -> Result<(), Error> {
    loop {
        let has = from.tail().into_iter().map(|(writer, ..)| (writer, to.seen(&writer))).collect();
        let outgoing = from.next_commits(&has, 1 << 16).map_err(own_fault)?;
        if outgoing.commits.is_empty() {
            return Ok(());
        }
        let incoming = received(outgoing);
        let accepted = to.accept(now, incoming).expect("an honest unit is taken");
        to.flush().expect("it flushes");
        if accepted == Accepted::NotReady {
            return Ok(());
        }
    }
}

/// A unit as it arrives.
pub(crate) fn received(Outgoing { commits, blobs, seals, strands, .. }: Outgoing) -> Incoming {
    Incoming { commits, blobs, seals, strands }
}

/// Brings a Handle to a replica that is not told what changed: it fetches.
pub(crate) fn fetch_handle(from: &mut Local, to: &mut Local) -> Result<(), Error> {
    let offer = Offer { vector_changes: None, home_commits: Vec::new(), ..from.offer(0) };
    let mut adoption = to.adopt(NOW, offer).map_err(own_fault)?;
    while let Adoption::Fetch(nodes) = adoption {
        let nodes = nodes.into_iter().map(|(kind, hash)| (kind, hash, from.node(kind, &hash).unwrap()));
        adoption = to.store_nodes(NOW, nodes.collect()).map_err(own_fault)?;
    }
    Ok(())
}

fn own_fault(error: StoreError) -> Error {
    match error {
        StoreError::Stopped(source) => *source.downcast().expect("a replica's error"),
        StoreError::Peer { detail, .. } => panic!("nobody else is to blame: {detail}"),
    }
}

/// The roots of everything a replica holds.
pub(crate) fn roots(replica: &mut Local) -> Roots {
    replica.candidate(NOW).expect("it folds")
}
