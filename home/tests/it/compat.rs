//! What software of every format so far wrote opens here, and what it said is understood: see `tests/compat/README.md`.

mod kinds;
mod record;
#[path = "../../../tests/compat/set.rs"]
mod set;
mod versions;

use std::collections::BTreeMap;
use std::fmt::Write;

use crdt::view::Manner;
use crdt::{DeviceKey, Ticket, Time};
use disk::{Disk, File, MemoryDisk};
use home::{Admission, Home, HomeOptions, RedbRegistry, Registry};
use replica::{
    Collection, CreateOptions, KeyRange, Limits, Mode, OpenOptions, Order, Origin, Replica, Retention,
    Snapshot, Source,
};
use sync::{Answer, Arrival, Config, Joiner, Local, Reception, Role as Caller, Session};

use crate::world::{EXPORTER, fingerprint, seed};
use set::{Event, Files, Step, hex, read_expected, read_files, read_steps, unhex};

const SETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/compat");
const DEVICE_INSTANCE: [u8; 16] = [1; 16];
const HOME_INSTANCE: [u8; 16] = [2; 16];

/// Of a collection with more keys only their number is written down: the roots say the rest.
const READINGS_MAX: usize = 1_000;

/// One recorded set.
struct Set {
    home: Files,
    device: Files,
    ticket: Ticket,
    join: Vec<Step>,
    meeting: Vec<Step>,
}

impl Set {
    fn read(folder: &str) -> Set {
        let text = |name: &str| std::fs::read_to_string(format!("{folder}/{name}")).expect(name);
        Set {
            home: read_files(&text("home.txt")),
            device: read_files(&text("device.txt")),
            ticket: text("ticket.txt").trim().parse().expect("a ticket"),
            join: read_steps(&text("join.txt")),
            meeting: read_steps(&text("meeting.txt")),
        }
    }
}

/// The folders of all sets.
fn folders() -> Vec<String> {
    let folders = (1..).map(|number| format!("{SETS}/{number}"));
    folders.take_while(|folder| std::path::Path::new(folder).exists()).collect()
}

/// A data directory opened by the software of today.
struct Opened {
    disk: MemoryDisk,
    replica: Replica<MemoryDisk>,
}

/// The folder on a disk, and the part of it that is the space.
fn restore(files: &Files) -> (MemoryDisk, MemoryDisk) {
    let disk = MemoryDisk::new(1);
    for (name, bytes) in files {
        if let Some((dir, _)) = name.rsplit_once('/') {
            disk.create_dir(dir).unwrap();
        }
        disk.create(name).unwrap().write_all_at(bytes, 0).unwrap();
    }
    let space = disk.list("spaces").unwrap().remove(0);
    let folder = disk.within(&format!("spaces/{space}"));
    (disk, folder)
}

fn key_of(files: &Files) -> DeviceKey {
    let text = std::str::from_utf8(&files["identity.key"]).expect("hex");
    DeviceKey::from_seed(unhex(text.trim()).try_into().expect("32 bytes"))
}

fn open(files: &Files, now: Time) -> Opened {
    let (disk, folder) = restore(files);
    let (device, seed, limits, mode) = (key_of(files), seed("today"), Limits::default(), Mode::ReadWrite);
    let (replica, opened) =
        Replica::open(folder, OpenOptions { device, seed, now, limits, mode }).expect("it opens");
    assert!(matches!(opened.source, Source::Slot { .. }) && opened.cut.is_none(), "{opened:?}");
    assert_eq!(replica.verify().unwrap().problems, [""; 0]);
    Opened { disk, replica }
}

/// How a collection is read and how long its losers stay, where a home has said so.
fn describe_bounds(out: &mut String, who: &str, snapshot: &Snapshot<MemoryDisk>, coll: &Collection) {
    let manner = snapshot.manner(coll.id).unwrap().expect("a collection is read somehow");
    if manner != Manner::described(&coll.descriptor) {
        writeln!(out, "{who}.manner.{} {}", coll.name, hex(&manner.encode())).unwrap();
    }
    let retention = snapshot.retention(coll.id).unwrap();
    if retention != Retention::default() {
        let bound = |bound: Option<u64>| bound.map_or("none".to_owned(), |bound| bound.to_string());
        let (age, count) = (bound(retention.max_age_ms), bound(retention.max_count));
        writeln!(out, "{who}.retention.{} {age} {count}", coll.name).unwrap();
    }
}

/// Roots, tail and every value, each under a name that begins with `who`.
fn describe(out: &mut String, who: &str, replica: &Replica<MemoryDisk>) {
    let description = replica.describe();
    let snapshot = replica.snapshot();
    writeln!(out, "{who}.version {}", description.version).unwrap();
    writeln!(out, "{who}.data_root {}", description.data_root).unwrap();
    writeln!(out, "{who}.vv_root {}", description.vv_root).unwrap();
    writeln!(out, "{who}.tail {}", description.tail_commits).unwrap();
    for coll in snapshot.collections().unwrap() {
        describe_bounds(out, who, &snapshot, &coll);
        let readings = snapshot.scan(coll.id, &KeyRange::all(), Order::Ascending).unwrap().count();
        if readings > READINGS_MAX {
            writeln!(out, "{who}.{} {readings} keys", coll.name).unwrap();
            continue;
        }
        for reading in snapshot.scan(coll.id, &KeyRange::all(), Order::Ascending).unwrap() {
            let reading = reading.unwrap();
            let value = |live: &crdt::view::lww::Live| {
                let value = snapshot.value(&live.payload).unwrap();
                if value.len() > 64 { format!("{} bytes", value.len()) } else { hex(&value) }
            };
            let losers: Vec<String> = reading.losers.iter().map(value).collect();
            let (key, winner) = (hex(&reading.key), value(&reading.winner));
            writeln!(out, "{who}.{}.{key} {winner} beats [{}]", coll.name, losers.join(", ")).unwrap();
        }
    }
    for note in ["local/name", "import/rows"] {
        let value = replica.notes(note.as_bytes()).unwrap_or_default();
        writeln!(out, "{who}.note.{note} {}", hex(&value)).unwrap();
    }
    if let Some(value) = replica.notes(b"home/unheard") {
        writeln!(out, "{who}.note.home/unheard {}", hex(&value)).unwrap();
    }
}

/// Gives a session what the other side said, and forgets what this side would have answered.
fn hear(session: &mut Session, replica: &mut Replica<MemoryDisk>, now: Time, bytes: &[u8]) {
    while session.poll_transmit(now, replica).is_some() {}
    session.handle_bytes(now, bytes, replica).expect("what was said is understood");
    replica.flush().unwrap();
    while session.poll_transmit(now, replica).is_some() {}
}

/// The device of today joins with the ticket and hears what the home said.
fn join(set: &Set) -> Replica<MemoryDisk> {
    let device = key_of(&set.device);
    let now = Time(set.join[0].at);
    let home = crdt::DeviceId::of(&set.ticket.genesis.home_key);
    let local = Local { device: device.id(), instance: DEVICE_INSTANCE, peer: home };
    let mut joiner = Joiner::new(&local, now, set.ticket.clone(), device.public(), EXPORTER);
    let mut heard = set.join.iter().filter_map(|step| match &step.what {
        Event::Home(bytes) => Some((Time(step.at), bytes)),
        _ => None,
    });
    let (_, answer) = heard.next().expect("an answer");
    let Some(Answer::Joined(joined)) = joiner.handle_bytes(answer).expect("it is understood") else {
        panic!("the device was admitted");
    };
    let ring = joined.ring.records().to_vec();
    let (genesis, origin, seed, limits) = (joined.genesis, Origin::Joined, seed("today"), Limits::default());
    let options = CreateOptions { genesis, ring, device, origin, seed, now, limits };
    let mut replica = Replica::create(MemoryDisk::new(1), options).unwrap();
    let mut session = Session::new(Caller::Dialer, local, now, Config::default());
    heard.for_each(|(now, bytes)| hear(&mut session, &mut replica, now, bytes));
    replica
}

/// The recorded device hears what the home said at the meeting.
fn meet_as_device(set: &Set) -> Replica<MemoryDisk> {
    let now = Time(set.meeting[0].at);
    let mut replica = open(&set.device, now).replica;
    let home = crdt::DeviceId::of(&replica.genesis().home_key);
    let local = Local { device: replica.device().id(), instance: DEVICE_INSTANCE, peer: home };
    let mut session = Session::new(Caller::Dialer, local, now, Config::default());
    for step in &set.meeting {
        if let Event::Home(bytes) = &step.what {
            hear(&mut session, &mut replica, Time(step.at), bytes);
        }
    }
    replica
}

fn open_home(set: &Set, now: Time) -> (Opened, RedbRegistry, Home) {
    let mut opened = open(&set.home, now);
    let mut registry = RedbRegistry::open(&opened.disk, &[]).unwrap();
    let options =
        HomeOptions { key: key_of(&set.home), seed: seed("today"), fingerprint: fingerprint("folder") };
    let home = Home::open(options, &mut opened.replica, now, &mut registry).unwrap();
    assert!(home.is_on_duty());
    (opened, registry, home)
}

/// The recorded home hears what the device said at the meeting, and makes the Handle it made then.
fn meet_as_home(set: &Set) -> Replica<MemoryDisk> {
    let now = Time(set.meeting[0].at);
    let (Opened { mut replica, .. }, mut registry, mut home) = open_home(set, now);
    let local =
        Local { device: replica.device().id(), instance: HOME_INSTANCE, peer: key_of(&set.device).id() };
    let mut session = Session::new(Caller::Listener, local, now, Config::default());
    for step in &set.meeting {
        match &step.what {
            Event::Device(bytes) => {
                hear(&mut session, &mut replica, Time(step.at), bytes);
                if let Some(handle) = session.poll_heard() {
                    home.hear(&replica, &key_of(&set.device).id(), &handle);
                }
            }
            Event::Batch => drop(home.batch(&mut replica, Time(step.at), &mut registry).unwrap()),
            Event::Home(_) => {}
        }
    }
    replica
}

/// What the software of today makes of a set.
fn expectations(folder: &str) -> String {
    let set = Set::read(folder);
    let now = Time(set.meeting[0].at);
    let mut out = String::new();
    describe(&mut out, "device", &open(&set.device, now).replica);
    let (opened, mut registry, _) = open_home(&set, now);
    let registered = registry.get(&opened.replica.space()).unwrap().expect("a Handle");
    writeln!(out, "registry.version {}", registered.version).unwrap();
    describe(&mut out, "home", &opened.replica);
    describe(&mut out, "joined", &join(&set));
    describe(&mut out, "device-met", &meet_as_device(&set));
    describe(&mut out, "home-met", &meet_as_home(&set));
    out
}

#[test]
fn every_recorded_set_opens_and_is_understood_as_it_was() {
    assert!(!folders().is_empty());
    for folder in folders() {
        let expected = std::fs::read_to_string(format!("{folder}/expected.txt")).expect("expected.txt");
        let (expected, found) = (read_expected(&expected), read_expected(&expectations(&folder)));
        let differ: BTreeMap<_, _> =
            expected.iter().filter(|(name, value)| found.get(*name) != Some(value)).collect();
        assert!(differ.is_empty(), "{folder} is read otherwise now: {differ:#?}, now {found:#?}");
    }
}

#[test]
fn a_recorded_join_is_still_a_proof_to_the_home_that_gave_the_ticket() {
    for folder in folders() {
        let set = Set::read(&folder);
        let now = Time(set.meeting[0].at);
        let (mut opened, _, mut home) = open_home(&set, now);
        let Event::Device(asked) = &set.join[0].what else { panic!("the device begins") };
        let Some(Arrival::Join { join, .. }) = Reception::new().handle_bytes(asked).unwrap() else {
            panic!("it asks to join");
        };
        let admission = home.admit_join(&mut opened.replica, now, &join, EXPORTER).unwrap();
        assert_eq!(admission, Admission::Member, "{folder}");
    }
}
