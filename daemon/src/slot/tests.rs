//! The slot under many writers, failed flushes and a panic.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crdt::{Class, CollId, DeviceKey, Time, system};
use disk::{Fault, Faults, MemoryDisk, Operation};
use home::{Founding, RedbRegistry};
use replica::{CreateOptions, Grant, HomeWrite, Limits, Mode, OpenOptions, READ, Replica, WRITE};

use super::*;
use crate::config::Span;

/// A founded space on a disk that can be told to fail.
fn slot(disk: &MemoryDisk, fsync: Fsync) -> Arc<Slot<MemoryDisk>> {
    let key = DeviceKey::from_seed([7; 32]);
    let now = clock::now();
    let founding = Founding { device: &key, seed: [9; 32], now, collections: &[] };
    let founded = home::found(disk, &founding).unwrap();
    let options = CreateOptions {
        genesis: founded.genesis.clone(),
        ring: Vec::new(),
        device: key.clone(),
        origin: founded.into(),
        seed: [1; 32],
        now,
        limits: Limits::default(),
    };
    drop(Replica::create(disk.clone(), options).unwrap());
    let disk = disk.clone();
    let open: Opener<MemoryDisk> = Box::new(move |now| {
        let options = OpenOptions {
            device: key.clone(),
            seed: clock::seed(),
            now,
            limits: Limits::default(),
            mode: Mode::ReadWrite,
        };
        let (replica, _) = Replica::open(disk.clone(), options).map_err(|error| with_causes(&error))?;
        let registry = RedbRegistry::open(&MemoryDisk::new(2), &[]).map_err(|error| with_causes(&error))?;
        Ok(Live { replica, home: None, registry })
    });
    Slot::new(Owner::new(open, now, Arc::default(), Arc::default()), fsync)
}

fn coll() -> CollId {
    crdt::Descriptor::new("notes", crdt::Policy::Lww).unwrap().id()
}

fn put(key: u32) -> impl FnMut(&mut Owner<MemoryDisk>, Time) -> Turn<Dot> + Send + 'static {
    move |owner, now| {
        let mut write = || {
            let live = owner.live()?;
            let mut transaction = live.replica.begin();
            transaction.put(coll(), &crdt::key::plain(&key.to_be_bytes()), b"value")?;
            Ok(live.replica.commit(now, transaction, Class::Normal)?.dot)
        };
        write().into()
    }
}

fn read(slot: &Arc<Slot<MemoryDisk>>, key: u32) -> Option<Vec<u8>> {
    let snapshot = slot.snapshot_blocking().unwrap();
    snapshot.get(coll(), &crdt::key::plain(&key.to_be_bytes())).unwrap()
}

#[test]
fn an_answered_write_is_durable_and_can_be_read() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Always);
    slot.call_blocking(10, put(1)).unwrap();
    assert_eq!(read(&slot, 1).as_deref(), Some(&b"value"[..]));
    // What `cp -r` or a power cut finds on the disk.
    let crashed = disk.copy();
    crashed.crash();
    let options = OpenOptions {
        device: DeviceKey::from_seed([7; 32]),
        seed: [5; 32],
        now: clock::now(),
        limits: Limits::default(),
        mode: Mode::ReadWrite,
    };
    let (replica, _) = Replica::open(crashed, options).unwrap();
    let found = replica.snapshot().get(coll(), &crdt::key::plain(&1u32.to_be_bytes())).unwrap();
    assert_eq!(found.as_deref(), Some(&b"value"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_share_flushes() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Always);
    let before = disk.counters().flushes;
    let mut writers = tokio::task::JoinSet::new();
    for key in 0..200 {
        let slot = slot.clone();
        writers.spawn(async move { slot.call(10, put(key)).await.unwrap() });
    }
    let dots = writers.join_all().await;
    assert_eq!(dots.len(), 200);
    let flushes = disk.counters().flushes - before;
    assert!(flushes < 150, "{flushes} flushes for 200 writes");
    for key in 0..200 {
        assert!(read(&slot, key).is_some(), "{key}");
    }
}

#[test]
fn commands_that_queued_share_one_flush() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Always);
    // The owner is out while this command runs, so what is pushed meanwhile waits for the next turn.
    let inner = slot.clone();
    let answers = slot
        .call_blocking(0, move |_, _| {
            let pushed: Vec<_> = (0..50).map(|key| inner.push(10, put(key)).unwrap()).collect();
            Turn::Done(Ok(pushed))
        })
        .unwrap();
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
    assert!(read(&slot, 49).is_some());
    let flushes = disk.counters().flushes;
    let inner = slot.clone();
    let answers = slot
        .call_blocking(0, move |_, _| {
            Turn::Done(Ok((50..100).map(|key| inner.push(10, put(key)).unwrap()).collect::<Vec<_>>()))
        })
        .unwrap();
    for answer in answers {
        answer.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(disk.counters().flushes - flushes, 1, "fifty writes, one flush");
}

#[test]
fn a_failed_flush_is_told_as_unknown_and_the_replica_is_opened_again() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Always);
    slot.call_blocking(10, put(1)).unwrap();
    disk.set_faults(Faults::none().nth(Operation::Flush, 0, Fault::Error));
    let failed = slot.call_blocking(10, put(2)).unwrap_err();
    assert!(matches!(failed, Error::OutcomeUnknown), "{failed:?}");
    assert_eq!(disk.faults_fired(), 1);
    disk.set_faults(Faults::none());
    assert!(read(&slot, 1).is_some(), "what was acknowledged is there");
    slot.call_blocking(10, put(3)).unwrap();
    assert!(read(&slot, 3).is_some());
}

#[test]
fn a_space_that_will_not_open_says_why_and_is_tried_again() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let open: Opener<MemoryDisk> = Box::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Err("no manifest".to_string())
    });
    let slot = Slot::new(Owner::new(open, clock::now(), Arc::default(), Arc::default()), Fsync::Always);
    let refused = slot.call_blocking(10, put(1)).unwrap_err().to_string();
    assert!(refused.contains("no manifest"), "{refused}");
    assert!(slot.snapshot_blocking().is_err());
    assert_eq!(attempts.load(Ordering::Relaxed), 1, "not at every command");
}

#[test]
fn a_panic_in_a_command_costs_one_answer_and_not_the_space() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Always);
    slot.call_blocking(10, put(1)).unwrap();
    let lost = slot.call_blocking(0, |_, _| -> Turn<()> { panic!("on purpose") }).unwrap_err();
    assert!(matches!(lost, Error::OutcomeUnknown));
    assert!(read(&slot, 1).is_some());
    slot.call_blocking(10, put(2)).unwrap();
}

#[test]
fn a_weaker_policy_answers_before_the_flush_and_still_reads_its_own_writes() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Interval(Span(Duration::from_secs(3_600))));
    slot.call_blocking(10, put(1)).unwrap();
    let flushes = disk.counters().flushes;
    slot.call_blocking(10, put(2)).unwrap();
    assert_eq!(disk.counters().flushes, flushes, "the answer waits for no flush");
    assert!(read(&slot, 2).is_some());
    assert!(disk.counters().flushes > flushes, "what is read is durable: a peer may be told of it");
}

#[test]
fn nothing_is_taken_after_the_close() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Always);
    slot.call_blocking(10, put(1)).unwrap();
    slot.close_blocking();
    assert!(matches!(slot.call_blocking(10, put(2)), Err(Error::Closed)));
    assert!(slot.snapshot_blocking().is_err());
}

#[test]
fn an_idle_owner_has_nothing_due_in_the_past() {
    let disk = MemoryDisk::new(1);
    let slot = slot(&disk, Fsync::Interval(Span(Duration::from_millis(1))));
    let session = || {
        let local =
            sync::Local { device: crdt::DeviceId([1; 16]), instance: [2; 16], peer: crdt::DeviceId([3; 16]) };
        sync::Session::new(sync::Role::Dialer, local, Time(0), sync::Config::default())
    };
    let id = slot
        .call_blocking(0, move |owner, _| {
            Turn::Done(owner.attach(crdt::DeviceId([3; 16]), session()).map(|attached| attached.id))
        })
        .unwrap();
    slot.call_blocking(0, move |owner, _| {
        owner.detach(id);
        Turn::Done(Ok(()))
    })
    .unwrap();
    slot.call_blocking(10, put(1)).unwrap();
    read(&slot, 1);
    let written = clock::now();
    while clock::now() <= written.plus_ms(2) {
        std::thread::yield_now();
    }
    slot.turn_once();
    let wake = slot.handoff.wake().unwrap();
    assert!(wake.is_none_or(|wake| wake > clock::now()), "{wake:?}");
}

#[test]
fn a_device_that_may_only_write_is_shown_nothing() {
    let slot = slot(&MemoryDisk::new(1), Fsync::Always);
    let (home, guest) = (DeviceKey::from_seed([7; 32]), DeviceKey::from_seed([8; 32]));
    let may_talk = |capabilities: u64| {
        let grant = Grant { public: guest.public(), capabilities, residency: Vec::new(), since: 0 };
        let (id, key) = (guest.id(), home.public());
        slot.call_blocking(10, move |owner: &mut Owner<MemoryDisk>, now| {
            let mut grant_and_ask = || {
                let replica = &mut owner.live()?.replica;
                let row =
                    HomeWrite { coll: system::acl(), key: Grant::key(&id), value: Some(grant.encode()) };
                replica.home_commit(now, [1; 8], key, vec![row])?;
                replica.flush()?;
                Ok(owner::refusal(replica, &id).is_none())
            };
            grant_and_ask().into()
        })
        .unwrap()
    };
    assert!(!may_talk(WRITE));
    assert!(may_talk(WRITE | READ));
}

#[test]
fn a_peer_that_takes_nothing_and_says_nothing_is_given_up() {
    let slot = slot(&MemoryDisk::new(1), Fsync::Always);
    // Whom nobody would take out of the space.
    let peer = DeviceKey::from_seed([7; 32]).id();
    let local = sync::Local { device: crdt::DeviceId([1; 16]), instance: [2; 16], peer };
    let session = sync::Session::new(sync::Role::Dialer, local, clock::now(), sync::Config::default());
    let mut session = Some(session);
    let attached = slot
        .call_blocking(0, move |owner, _| Turn::Done(owner.attach(peer, session.take().expect("asked once"))))
        .unwrap();
    let wake_after = |time: crdt::Time| {
        slot.call_blocking(0, move |owner, _| {
            let Some((live, sessions, ..)) = owner.parts() else { return Turn::Done(Err(Error::Closed)) };
            sessions.poll(time, &mut live.replica);
            Turn::Done(Ok((sessions.is_empty(), sessions.wake())))
        })
        .unwrap()
    };
    let mut time = clock::now();
    loop {
        let (is_over, wake) = wake_after(time);
        if is_over {
            break;
        }
        let wake = wake.expect("somebody looks at it again, although there is no room");
        assert!(wake < clock::now().plus_ms(600_000), "it is over within minutes");
        time = time.plus_ms(1).max(wake);
    }
    let status = attached.ended.blocking_recv().expect("how it ended");
    assert_eq!(status.end.map(|end| end.code), Some(sync::ByeCode::Timeout), "{status:?}");
}
