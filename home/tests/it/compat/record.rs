//! Records a new set: run it when a format is added, and commit what it writes beside the sets there are.

use std::collections::BTreeMap;
use std::path::Path;

use crdt::view::mv::Context;
use crdt::view::{Deletes, Json, Manner, Siblings};
use crdt::{
    Class, CollId, CommitId, Descriptor, DeviceKey, Element, Evidence, Fork, Header, Hlc, Open, Policy,
    Proposal, Role, Seal, Strand, Ticket, Time, WriterId, system,
};
use disk::{Disk, MemoryDisk};
use home::{Admission, Decision, Founding, Home, HomeOptions, Invite, Members, RedbRegistry};
use replica::{CreateOptions, Cut, HomeWrite, Limits, Origin, Replica, Retention, Transaction};
use sync::frame::BlobWant;
use sync::{
    Accepted, Adoption, ByeCode, Config, Frame, Incoming, Joiner, Local, Outgoing, Role as Caller, Session,
    Store,
};

use super::set::{Event, Files, Step, hex, write_files, write_steps};
use super::{DEVICE_INSTANCE, HOME_INSTANCE, SETS};
use crate::world::{EXPORTER, NOW, fingerprint, request, seed};

/// A data directory, whole.
struct Folder {
    disk: MemoryDisk,
    key: DeviceKey,
    replica: Replica<MemoryDisk>,
}

impl Folder {
    fn create(name: &str, genesis: &crdt::Genesis, origin: Origin) -> Folder {
        let (disk, key) = (MemoryDisk::new(1), DeviceKey::from_seed(seed(name)));
        let (genesis, device) = (genesis.clone(), key.clone());
        let folder = disk.within(&format!("spaces/{}", hex(&genesis.space().0)));
        folder.create_dir("").unwrap();
        let (ring, seed, limits) = (Vec::new(), seed(name), Limits::default());
        let options = CreateOptions { genesis, ring, device, origin, seed, now: NOW, limits };
        let mut replica = Replica::create(folder, options).unwrap();
        replica.note(b"local/name", b"recorded").unwrap();
        replica.flush().unwrap();
        Folder { disk, key, replica }
    }

    /// Writes one of everything that a commit can carry.
    fn write(&mut self, now: Time, name: &str) {
        let mut transaction = self.replica.begin();
        let coll = transaction.create_collection(&Descriptor::new("things", Policy::Lww).unwrap()).unwrap();
        let elements = [Element::Text(name.into()), Element::Int(-7), Element::Bytes(vec![0, 255])];
        transaction.put(coll, &crdt::key::encode(&elements).unwrap(), b"tuple").unwrap();
        for (key, value) in [("shared", name), (name, "alone"), ("gone", name)] {
            transaction.put(coll, &crdt::key::plain(key.as_bytes()), value.as_bytes()).unwrap();
        }
        transaction.put(coll, &crdt::key::plain(b"large"), &name.repeat(500).into_bytes()).unwrap();
        self.replica.commit(now, transaction, Class::Normal).unwrap();
        self.replica.flush().unwrap();
        let mut transaction = self.replica.begin();
        transaction.delete(coll, &crdt::key::plain(b"gone")).unwrap();
        transaction.note(b"import/rows", name.as_bytes()).unwrap();
        self.replica.commit(now.plus_ms(1), transaction, Class::Critical).unwrap();
        self.replica.flush().unwrap();
    }

    /// Writes one of everything that each policy knows: twice as much of it once somebody has written before.
    fn write_policies(&mut self, now: Time, name: &str) {
        let mut transaction = self.replica.begin();
        let key = crdt::key::plain(b"shared");
        for (coll, policy) in policies() {
            transaction.create_collection(&Descriptor::new(policy.name(), policy).unwrap()).unwrap();
            match policy {
                Policy::Lww | Policy::Mv | Policy::Copies => {
                    transaction.put(coll, &key, name.as_bytes()).unwrap();
                    let seen = self.replica.snapshot().live(coll, &key).unwrap();
                    let (key, seen) = (crdt::key::plain(b"seen"), Context::of(&seen));
                    transaction.put_seen(coll, &key, name.as_bytes(), seen).unwrap();
                }
                Policy::Map => write_document(&mut transaction, coll, name),
                Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet => {
                    let set = Element::Text("set".into());
                    for element in [name, "both"] {
                        transaction.add(coll, &set, &[Element::Text(element.into())]).unwrap();
                    }
                    if policy != Policy::GSet {
                        transaction.remove(coll, &set, &[Element::Text("home".into())]).unwrap();
                    }
                }
                Policy::GCounter => transaction.count(coll, &key, 300, 0).unwrap(),
                Policy::PnCounter => transaction.count(coll, &key, 7, 1 << 40).unwrap(),
                _ => {}
            }
        }
        self.replica.commit(now, transaction, Class::Normal).unwrap();
        self.replica.flush().unwrap();
    }

    /// Writes until the log begins another segment; zeros take no room in the text.
    fn fill_a_segment(&mut self, now: Time) {
        for n in 0..5u8 {
            let mut transaction = self.replica.begin();
            let coll =
                transaction.create_collection(&Descriptor::new("zeros", Policy::Lww).unwrap()).unwrap();
            transaction.put(coll, &crdt::key::plain(&[n]), &vec![0; (60 << 10) + usize::from(n)]).unwrap();
            self.replica.commit(now, transaction, Class::Bulk).unwrap();
            self.replica.flush().unwrap();
        }
    }

    /// Writes a value too large to go with its commit, and more small ones than a frame holds.
    fn write_large(&mut self, now: Time) {
        let mut transaction = self.replica.begin();
        let coll = transaction.create_collection(&Descriptor::new("zeros", Policy::Lww).unwrap()).unwrap();
        transaction.put(coll, &crdt::key::plain(b"apart"), &vec![0; 100 << 10]).unwrap();
        self.replica.commit(now, transaction, Class::Normal).unwrap();
        let mut transaction = self.replica.begin();
        for n in 0..4_100u16 {
            transaction.put(coll, &crdt::key::plain(&n.to_be_bytes()), &[0; 1024]).unwrap();
        }
        self.replica.commit(now, transaction, Class::Normal).unwrap();
        self.replica.flush().unwrap();
    }

    fn files(&self, name: &str) -> Files {
        let mut files = self.disk.files();
        files.retain(|name, _| !name.to_lowercase().ends_with("lock"));
        files.insert("identity.key".into(), format!("{}\n", hex(&seed(name))).into_bytes());
        files
    }
}

/// A collection of each policy, named after it.
fn policies() -> Vec<(CollId, Policy)> {
    let named = |policy: &Policy| (Descriptor::new(policy.name(), *policy).unwrap().id(), *policy);
    Policy::READ.iter().map(named).collect()
}

/// Every kind of value, at each of two depths, and a field that only the writer has.
fn write_document(transaction: &mut Transaction<MemoryDisk>, coll: CollId, name: &str) {
    let flat = [Json::Null, Json::Bool(true), Json::Int(-1), Json::Int(u64::MAX.into()), Json::Float(-2.5)];
    let inner = BTreeMap::from([("b".to_owned(), Json::Array(flat.to_vec())), ("c".to_owned(), Json::Null)]);
    let fields = BTreeMap::from([
        ("a".to_owned(), Json::Object(inner)),
        ("shared".to_owned(), Json::Text(name.to_owned())),
        (name.to_owned(), Json::Int(1)),
    ]);
    transaction.put_document(coll, &crdt::key::plain(b"document"), &fields).unwrap();
}

struct Recorder {
    owner: Folder,
    home: Home,
    registry: RedbRegistry,
    device: Folder,
    ticket: Ticket,
    steps: Vec<Step>,
}

impl Recorder {
    /// A home with a base, an archive and a tail, and a device that has just joined it.
    fn new() -> Recorder {
        let key = DeviceKey::from_seed(seed("owner"));
        let founding = Founding { device: &key, seed: seed("space"), now: NOW, collections: &[] };
        let founded = home::found(&MemoryDisk::new(0), &founding).unwrap();
        let genesis = founded.genesis.clone();
        let mut owner = Folder::create("owner", &genesis, founded.into());
        let mut registry = RedbRegistry::open(&owner.disk, &[]).unwrap();
        let options = HomeOptions { key, seed: seed("home"), fingerprint: fingerprint("folder") };
        let mut home = Home::open(options, &mut owner.replica, NOW, &mut registry).unwrap();
        owner.write(NOW, "home");
        owner.write_policies(NOW.plus_ms(1), "home");
        owner.fill_a_segment(NOW.plus_ms(2));
        let later = NOW.plus_ms(3);
        home.batch(&mut owner.replica, later, &mut registry).unwrap().unwrap();
        owner.replica.checkpoint(later).unwrap();
        // Superseded files wait for copies under way; then they leave.
        let later = NOW.plus_ms(3_600_000);
        owner.write(later, "later");
        owner.write_policies(later, "later");
        for (coll, policy) in policies() {
            let manner = match policy {
                Policy::Lww => Manner { siblings: Siblings::Keep, ..Manner::of(Policy::Lww) },
                Policy::Map => Manner { deletes: Deletes::Revive, ..Manner::of(Policy::Map) },
                Policy::Copies => Manner::of(Policy::Mv),
                _ => continue,
            };
            home.set_view(&mut owner.replica, later, coll, &manner).unwrap();
            let retention = Retention { max_age_ms: Some(86_400_000), max_count: Some(3) };
            home.set_retention(&mut owner.replica, later, coll, &retention).unwrap();
        }
        for step in 0..3 {
            owner.replica.checkpoint(later.plus_ms(step)).unwrap();
        }
        let secret = seed("secret");
        let addresses = vec!["192.0.2.1:7000".to_owned()];
        let not_after = later.plus_ms(1_000_000);
        let invite = Invite { role: Role::Writer, uses: 2, not_after, secret, addresses };
        let ticket = home.invite(&mut owner.replica, later, invite).unwrap();
        let device = Folder::create("device", &genesis, Origin::Joined);
        let mut recorder = Recorder { owner, home, registry, device, ticket, steps: Vec::new() };
        recorder.join(later.plus_ms(10));
        recorder
    }

    fn join(&mut self, now: Time) {
        let ticket = self.ticket.clone();
        let local =
            Local { device: self.device.key.id(), instance: DEVICE_INSTANCE, peer: self.owner.key.id() };
        let join = request(&ticket, &self.device.key);
        let mut joiner = Joiner::new(&local, now, ticket, self.device.key.public(), EXPORTER);
        self.step(now, Event::Device(joiner.poll_transmit().unwrap()));
        let admission = self.home.admit_join(&mut self.owner.replica, now, &join, EXPORTER).unwrap();
        assert_eq!(admission, Admission::Admitted);
        self.home.batch(&mut self.owner.replica, now, &mut self.registry).unwrap().unwrap();
        self.step(now, Event::Home(Home::joined(&self.owner.replica)));
    }

    fn step(&mut self, now: Time, what: Event) {
        self.steps.push(Step { at: now.0, what });
    }

    /// The home cuts off what the device has written and it does not have, so that the device writes it again.
    fn be_cut(&mut self, now: Time) {
        self.device.write(now, "cut");
        self.cut(now, 1);
        self.home.batch(&mut self.owner.replica, now, &mut self.registry).unwrap().unwrap();
        self.meet(now.plus_ms(2), false);
        self.home.batch(&mut self.owner.replica, now.plus_ms(3), &mut self.registry).unwrap().unwrap();
        self.meet(now.plus_ms(4), false);
    }

    /// A guest hands the device two commits of each of its writers, sealed at the second, and is gone. The home has none of
    /// them and ends the writers after the first: what is left has lost its seal.
    fn lose_a_guest(&mut self, now: Time) {
        let mut guest = Folder::create("guest", &self.ticket.genesis, Origin::Joined);
        let join = request(&self.ticket, &guest.key);
        let admission = self.home.admit_join(&mut self.owner.replica, now, &join, EXPORTER).unwrap();
        assert_eq!(admission, Admission::Admitted);
        self.hand_down(now);
        guest.write(now, "guest");
        guest.write(now.plus_ms(2), "guest again");
        let Outgoing { commits, blobs, seals, strands, .. } =
            guest.replica.next_commits(&BTreeMap::new(), 1 << 20).unwrap();
        let unit = Incoming { commits, blobs, seals, strands };
        assert_eq!(self.device.replica.accept(now, unit), Ok(Accepted::Stored));
        self.device.replica.flush().unwrap();
        self.cut(now, 1);
        self.hand_down(now.plus_ms(4));
        assert!(self.device.replica.tail().iter().all(|(_, seq, _)| *seq == 1), "no more than the first");
    }

    /// The next Handle, to the device alone, and unrecorded.
    fn hand_down(&mut self, now: Time) {
        self.home.batch(&mut self.owner.replica, now, &mut self.registry).unwrap().unwrap();
        let offer = self.owner.replica.offer(self.device.replica.base().version);
        let adoption = self.device.replica.adopt(now, offer).unwrap();
        assert!(matches!(adoption, Adoption::Adopted), "it computes it");
    }

    /// Ends every writer whose commits the device still has above the base, so many before its last.
    fn cut(&mut self, now: Time, off: u64) {
        let row = |(writer, seq, tip): (WriterId, u64, CommitId)| {
            let tip = if off == 0 { tip } else { CommitId::ZERO };
            let cut = Cut { seq: seq - off, tip, reason: 0 };
            HomeWrite { coll: system::cut(), key: Cut::key(&writer), value: Some(cut.encode()) }
        };
        let rows = self.device.replica.tail().into_iter().map(row).collect();
        let home_key = self.owner.key.public();
        self.owner.replica.home_commit(now, [9; 8], home_key, rows).unwrap();
        self.owner.replica.flush().unwrap();
    }

    /// The home learns that a run of the device went on twice.
    fn prove_fork(&mut self, now: Time) {
        let key = &self.device.key;
        let strand = |body: u8| {
            let header = Header {
                space: self.owner.replica.space(),
                writer: WriterId::new(key.id(), [1; 7], Class::Normal),
                seq: 1,
                prev: CommitId::ZERO,
                hlc: Hlc::from_time(NOW),
                base: 1,
                body_hash: [body; 32],
                open: Some(Open { device_key: key.public(), closes: Vec::new(), reissues: None }),
            };
            let seal = Seal::sign(key, header.space, header.writer, 1, header.id());
            Strand { headers: vec![header], seal }
        };
        let fork = Fork::find(key.public(), &strand(1), &strand(2)).expect("two commits of one dot");
        self.owner.replica.accept_evidence(now, Evidence::Fork(fork).into()).unwrap();
        self.owner.replica.flush().unwrap();
    }

    /// One conversation; once both are silent the home makes a Handle, if asked to, and tells of it.
    fn meet(&mut self, now: Time, makes_handle: bool) {
        let [mut device, mut home] = self.sessions(now);
        self.talk(now, &mut device, &mut home);
        if makes_handle {
            self.batch(now, &mut device, &mut home);
            self.go_on(now, &mut device, &mut home);
        }
    }

    /// The two ends of a connection.
    fn sessions(&self, now: Time) -> [Session; 2] {
        let local = |from: &Folder, to: &Folder, instance| Local {
            device: from.key.id(),
            instance,
            peer: to.key.id(),
        };
        let here = local(&self.device, &self.owner, DEVICE_INSTANCE);
        let there = local(&self.owner, &self.device, HOME_INSTANCE);
        [
            Session::new(Caller::Dialer, here, now, Config::default()),
            Session::new(Caller::Listener, there, now, Config::default()),
        ]
    }

    /// The home makes a Handle, and tells of it.
    fn batch(&mut self, now: Time, device: &mut Session, home: &mut Session) {
        self.fold(now, home);
        self.talk(now, device, home);
    }

    fn fold(&mut self, now: Time, home: &mut Session) {
        self.step(now, Event::Batch);
        // Claimed, it signs nothing before a member has said what it has.
        if let Some(handle) = home.poll_heard() {
            self.home.hear(&self.owner.replica, &self.device.key.id(), &handle);
        }
        self.home.batch(&mut self.owner.replica, now, &mut self.registry).unwrap().unwrap();
    }

    /// Everything that two ends say to each other in no common meeting. What the device writes in it comes last: its folder
    /// is recorded as it was before.
    fn go_on(&mut self, now: Time, device: &mut Session, home: &mut Session) {
        // A value beside its commit, and a commit that no frame holds.
        self.owner.write_large(now.plus_ms(1));
        self.talk(now.plus_ms(1), device, home);
        self.batch(now.plus_ms(2), device, home);
        self.propose(now.plus_ms(3), device, home);
        // No software asks for a part of a value, and all of it answers.
        let want = BlobWant { hash: btree::Hash([7; 32]), offset: 0, len: 100 };
        self.say(now.plus_ms(4), Frame::BlobWant(want).encode(), home);
        self.talk(now.plus_ms(4), device, home);
        self.talk(now.plus_ms(60_000), device, home);
        self.device.write(now.plus_ms(60_001), "before");
        self.talk(now.plus_ms(60_001), device, home);
        // It writes on before it hears that its writers have ended.
        self.cut(now.plus_ms(60_002), 0);
        self.fold(now.plus_ms(60_003), home);
        self.device.write(now.plus_ms(60_004), "refused");
        self.talk(now.plus_ms(60_004), device, home);
        home.close(ByeCode::Done, 0);
        self.talk(now.plus_ms(60_005), device, home);
    }

    /// The device asks for what its home will not do.
    fn propose(&mut self, now: Time, device: &mut Session, home: &mut Session) {
        let proposal = Proposal {
            id: [3; 16],
            space: self.device.replica.space(),
            base: self.device.replica.base().version,
            deps: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            signature: [0; 64],
        };
        device.propose(proposal.sign(&self.device.key));
        self.talk(now, device, home);
        let asked = home.poll_proposal().expect("it was asked");
        let decision = self.home.decide(&mut self.owner.replica, now, &self.device.key.id(), &asked).unwrap();
        let Decision::Answered(outcome) = decision else { panic!("it decides at once") };
        home.answer(asked.id, outcome);
        self.talk(now, device, home);
    }

    /// The device says this, whatever its session has to say.
    fn say(&mut self, now: Time, bytes: Vec<u8>, home: &mut Session) {
        home.handle_bytes(now, &bytes, &mut self.owner.replica).unwrap();
        self.step(now, Event::Device(bytes));
    }

    fn talk(&mut self, now: Time, device: &mut Session, home: &mut Session) {
        loop {
            let mut is_silent = true;
            while let Some(bytes) = device.poll_transmit(now, &mut self.device.replica) {
                home.handle_bytes(now, &bytes, &mut self.owner.replica).unwrap();
                self.owner.replica.flush().unwrap();
                self.step(now, Event::Device(bytes));
                is_silent = false;
            }
            while let Some(bytes) = home.poll_transmit(now, &mut self.owner.replica) {
                device.handle_bytes(now, &bytes, &mut self.device.replica).unwrap();
                self.device.replica.flush().unwrap();
                self.step(now, Event::Home(bytes));
                is_silent = false;
            }
            if is_silent {
                return;
            }
        }
    }
}

/// The next free number gets a set: `cargo test -p home --test it -- --ignored record_a_set`.
#[test]
#[ignore = "it writes a new set into the tree; run it by hand when a format is added"]
fn record_a_set() {
    let number = (1..).find(|number| !Path::new(&format!("{SETS}/{number}")).exists()).unwrap();
    let folder = format!("{SETS}/{number}");
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: String| std::fs::write(format!("{folder}/{name}"), text).unwrap();
    let mut recorder = Recorder::new();
    let met = NOW.plus_ms(3_700_000);
    recorder.meet(met, false);
    write("ticket.txt", format!("{}\n", recorder.ticket));
    write("join.txt", write_steps(&std::mem::take(&mut recorder.steps)));
    recorder.be_cut(met.plus_ms(50));
    recorder.lose_a_guest(met.plus_ms(60));
    recorder.steps.clear();
    recorder.device.write(met.plus_ms(100), "device");
    recorder.device.write_policies(met.plus_ms(101), "device");
    recorder.owner.write(met.plus_ms(200), "apart");
    recorder.owner.write_policies(met.plus_ms(201), "apart");
    recorder.home.claim(&mut recorder.owner.replica, met.plus_ms(202), Members::MayBeAhead).unwrap();
    recorder.prove_fork(met.plus_ms(203));
    write("home.txt", write_files(&recorder.owner.files("owner")));
    write("device.txt", write_files(&recorder.device.files("device")));
    recorder.meet(met.plus_ms(300), true);
    write("meeting.txt", write_steps(&recorder.steps));
    write("expected.txt", super::expectations(&folder));
}
