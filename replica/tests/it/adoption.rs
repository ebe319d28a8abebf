//! A newer Handle: computed or fetched, the roots are the same; what does not match is refused and the base stays.

use btree::Kind;
use crdt::{DeviceKey, Handle, Time, system};
use disk::{Fault, Faults, MemoryDisk, Operation};
use replica::{Grant, HomeWrite, READ, WRITE};
use sync::{Accepted, Adoption, Incoming, NackCode, Offer, Store, StoreError};

use crate::space::{
    Local, NOW, Space, contents, deliver, deliver_handle, deliver_tail, fetch_handle, get, key, next_handle,
    put, received, remove, roots, set, try_deliver_handle,
};

fn pair() -> (Space, Local, Local) {
    let space = Space::new(2);
    let (home, device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    (space, home, device)
}

fn offer(handle: Handle, home: &Local, since: u64) -> Offer {
    Offer { handle, ..home.offer(since) }
}

#[test]
fn handle_is_computed_where_its_commits_are_held() {
    let (space, mut home, mut device) = pair();
    set(&mut device, "a", "1");
    set(&mut device, "b", "1");
    remove(&mut device, "a");
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    set(&mut device, "c", "above");
    assert!(!deliver_handle(NOW, &mut home, &mut device), "no node travels");
    assert_eq!(device.handle(), home.handle());
    assert_eq!(device.describe().tail_commits, 1);
    assert_eq!(contents(&device).len(), 2);
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
}

#[test]
fn log_is_let_go_once_a_handle_covers_it_and_nothing_else_is_to_be_folded() {
    let (space, mut home, mut device) = pair();
    set(&mut device, "a", &"1".repeat(900));
    device.checkpoint(NOW).unwrap();
    let waiting = device.describe().wal_bytes;
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    device.idle().unwrap();
    assert!(device.is_flushed(), "a mark alone is nothing to flush");
    device.checkpoint(NOW).unwrap();
    let left = device.describe().wal_bytes;
    assert!(left < waiting - 900, "{left} of {waiting} bytes are left");
}

#[test]
fn handle_is_fetched_where_they_are_not() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(2);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let large = "x".repeat(100_000);
    for n in 0..300 {
        put(&mut home, NOW, &format!("k{n}"), &format!("{n}").repeat(50)).unwrap();
    }
    set(&mut home, "large", &large);
    space.anchor(NOW, &mut home);
    let mut device = space.join(1, &disk);
    assert_eq!(device.handle().version, 0);
    set(&mut device, "own", "kept");
    set(&mut device, "k7", "mine");
    assert!(deliver_handle(NOW, &mut home, &mut device), "nodes travel");
    assert_eq!(device.handle(), home.handle());
    assert_eq!(get(&device, "own").as_deref(), Some("kept"));
    assert_eq!(get(&device, "large").as_deref(), Some(large.as_str()), "values travel with their tree");
    deliver_tail(NOW, &mut device, &mut home);
    assert_eq!(roots(&mut device), roots(&mut home));
    drop(device);
    let mut device = space.open(1, &disk, 9);
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
    assert_eq!(roots(&mut device), roots(&mut home));
}

#[test]
fn home_commits_come_with_their_handle_and_not_before() {
    let space = Space::new(3);
    let disk = MemoryDisk::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &disk));
    let stranger = DeviceKey::from_seed([77; 32]);
    let grant = Grant { public: stranger.public(), capabilities: READ | WRITE, residency: vec![], since: 0 };
    let row = Grant::key(&stranger.id());
    let write = HomeWrite { coll: system::acl(), key: row.clone(), value: Some(grant.encode()) };
    home.home_commit(NOW, [5; 8], space.home.public(), vec![write]).unwrap();
    home.flush().unwrap();
    deliver(NOW, &mut home, &mut device);
    assert_eq!(device.snapshot().get(system::acl(), &row).unwrap(), None, "no handle covers it");
    set(&mut device, "a", "1");
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    assert!(!deliver_handle(NOW, &mut home, &mut device), "no node travels");
    assert_eq!(device.snapshot().get(system::acl(), &row).unwrap(), Some(grant.encode()));
    drop(device);
    disk.crash();
    let mut device = space.open(1, &disk, 9);
    assert_eq!(device.snapshot().get(system::acl(), &row).unwrap(), Some(grant.encode()));
    assert_eq!(roots(&mut device), roots(&mut home));
}

#[test]
fn a_row_that_another_run_of_the_home_took_away_does_not_come_back_with_both_in_one_handle() {
    for runs in [[[9; 8], [5; 8]], [[5; 8], [9; 8]]] {
        let space = Space::new(3);
        let disk = MemoryDisk::new(2);
        let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &disk));
        let stranger = DeviceKey::from_seed([77; 32]);
        let grant =
            Grant { public: stranger.public(), capabilities: READ | WRITE, residency: vec![], since: 0 };
        let row = Grant::key(&stranger.id());
        for (run, value) in runs.into_iter().zip([Some(grant.encode()), None]) {
            let write = HomeWrite { coll: system::acl(), key: row.clone(), value };
            home.home_commit(NOW, run, space.home.public(), vec![write]).unwrap();
            space.anchor(NOW, &mut home);
        }
        assert!(!deliver_handle(NOW, &mut home, &mut device), "no node travels");
        assert_eq!(device.snapshot().get(system::acl(), &row).unwrap(), None);
        assert_eq!(roots(&mut device), roots(&mut home));
        drop(device);
        let mut device = space.open(1, &disk, 9);
        assert_eq!(device.snapshot().get(system::acl(), &row).unwrap(), None, "nor from the log");
        assert_eq!(roots(&mut device), roots(&mut home));
    }
}

#[test]
fn home_goes_on_after_a_crash_between_its_commit_and_its_handle() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut home = space.create(0, &disk);
    let write = HomeWrite { coll: system::name(), key: key("tasks"), value: Some(vec![1; 16]) };
    home.home_commit(NOW, [5; 8], space.home.public(), vec![write]).unwrap();
    home.flush().unwrap();
    drop(home);
    disk.crash();
    let mut home = space.open(0, &disk, 9);
    assert_eq!(home.snapshot().get(system::name(), &key("tasks")).unwrap(), Some(vec![1; 16]));
    space.anchor(NOW, &mut home);
    assert_eq!(home.describe().tail_commits, 0);
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
}

#[test]
fn peer_several_versions_behind_computes_too() {
    let (space, mut home, mut device) = pair();
    for n in 0..5 {
        set(&mut device, &format!("k{n}"), "v");
        deliver_tail(NOW, &mut device, &mut home);
        space.anchor(NOW, &mut home);
    }
    assert!(!deliver_handle(NOW, &mut home, &mut device), "no node travels");
    assert_eq!(device.handle().version, 6);
}

#[test]
fn equal_commits_with_another_tree_are_divergence_and_the_base_stays() {
    let (space, mut home, mut device) = pair();
    set(&mut device, "a", "1");
    deliver_tail(NOW, &mut device, &mut home);
    let mut wrong = roots(&mut home);
    wrong.data.0[0] ^= 1;
    let handle = next_handle(home.base(), wrong, NOW).sign(&space.home);
    space.anchor(NOW, &mut home);
    let result = device.adopt(NOW, offer(handle, &home, 1));
    let Err(StoreError::Peer { detail, .. }) = result else { panic!("{result:?}") };
    assert!(detail.contains("version 2"), "{detail}");
    assert_eq!(device.handle().version, 1);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.handle().version, 2, "the true one is taken");
}

#[test]
fn handle_of_a_stranger_or_of_the_past_is_not_taken() {
    let (space, mut home, mut device) = pair();
    let before = home.handle().clone();
    set(&mut home, "a", "1");
    let roots = roots(&mut home);
    let forged = next_handle(home.base(), roots, NOW).sign(&space.devices[1]);
    assert!(matches!(device.adopt(NOW, offer(forged, &home, 1)), Err(StoreError::Peer { .. })));
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.adopt(NOW, offer(before, &home, 1)).unwrap(), Adoption::Stale);
    let other = Handle { gc_epoch: 9, ..home.handle().clone() }.sign(&space.home);
    assert!(
        matches!(device.adopt(NOW, offer(other, &home, 2)), Err(StoreError::Peer { .. })),
        "two of one version"
    );
}

#[test]
fn fetched_bytes_that_are_not_what_they_are_called_are_refused() {
    let space = Space::new(2);
    let mut home = space.create(0, &MemoryDisk::new(1));
    set(&mut home, "a", "1");
    space.anchor(NOW, &mut home);
    let mut device = space.join(1, &MemoryDisk::new(2));
    let Adoption::Fetch(wanted) = device.adopt(NOW, home.offer(0)).unwrap() else { panic!("it has nothing") };
    let (kind, hash) = wanted[0];
    let mut bytes = home.node(kind, &hash).unwrap();
    bytes[0] ^= 1;
    assert!(matches!(device.store_nodes(NOW, vec![(kind, hash, bytes)]), Err(StoreError::Peer { .. })));
    assert_eq!(device.handle().version, 0);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.handle().version, 2);
}

#[test]
fn what_an_overtaken_fetch_has_brought_counts_with_all_it_names() {
    let space = Space::new(2);
    let mut home = space.create(0, &MemoryDisk::new(1));
    for n in 0..400 {
        set(&mut home, &format!("k{n:03}"), &"v".repeat(100));
    }
    set(&mut home, "k200 large", &"x".repeat(50_000));
    space.anchor(NOW, &mut home);
    let mut device = space.join(1, &MemoryDisk::new(2));
    let mut adoption = device.adopt(NOW, home.offer(0)).unwrap();
    // Every node comes, and of the values none.
    while let Adoption::Fetch(wanted) = &adoption {
        let nodes: Vec<_> = wanted.iter().filter(|(kind, _)| *kind != Kind::Chunk).copied().collect();
        if nodes.is_empty() {
            break;
        }
        let nodes = nodes.into_iter().map(|(kind, hash)| (kind, hash, home.node(kind, &hash).unwrap()));
        adoption = device.store_nodes(NOW, nodes.collect()).unwrap();
    }
    assert_eq!(device.fetching(), Some(home.handle().version));
    set(&mut home, "k399", "other");
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(device.handle().version, home.handle().version);
    assert_eq!(contents(&device), contents(&home));
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
}

/// Whatever cannot be read while a Handle is adopted: memory and manifest stay one, or the replica stops and is opened again.
#[test]
fn a_read_that_fails_in_an_adoption_leaves_no_state_between_two() {
    for is_fetched in [true, false] {
        let mut failed = 0;
        for nth in 0.. {
            let space = Space::new(2);
            let mut home = space.create(0, &MemoryDisk::new(1));
            (0..60).for_each(|n| set(&mut home, &format!("k{n:03}"), &"v".repeat(300)));
            space.anchor(NOW, &mut home);
            let disk = MemoryDisk::new(2);
            let mut device = space.join(1, &disk);
            deliver_handle(NOW, &mut home, &mut device);
            set(&mut device, "own", "1");
            set(&mut home, "k030", "other");
            if !is_fetched {
                deliver_tail(NOW, &mut home, &mut device);
            }
            space.anchor(NOW, &mut home);
            device.checkpoint(NOW).unwrap();
            drop(device);
            let mut device = space.open(1, &disk, 3);
            disk.set_faults(Faults::none().nth(Operation::Read, nth, Fault::Error));
            let adopted = if is_fetched {
                fetch_handle(&mut home, &mut device)
            } else {
                try_deliver_handle(&mut home, &mut device)
            };
            let fired = disk.faults_fired();
            disk.set_faults(Faults::none());
            if fired == 0 {
                assert!(adopted.is_ok(), "{adopted:?}");
                break;
            }
            failed += u64::from(adopted.is_err());
            if device.is_stopped() {
                drop(device);
                device = space.open(1, &disk, 4);
            }
            set(&mut device, "after", "1");
            assert_eq!(contents(&device).len(), 62, "read {nth}");
            assert_eq!(device.verify().unwrap().problems, [""; 0], "read {nth}");
            deliver_handle(NOW, &mut home, &mut device);
            assert_eq!(device.handle().version, home.handle().version, "read {nth}");
            assert_eq!(contents(&device).len(), 62, "read {nth}");
            assert_eq!(device.verify().unwrap().problems, [""; 0], "read {nth}");
        }
        assert!(failed > 1, "{failed}");
    }
}

#[test]
fn unit_is_taken_whole_or_not_at_all() {
    let space = Space::new(3);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    set(&mut a, "first", "1");
    set(&mut a, "second", "2");
    let outgoing = a.next_commits(&Default::default(), 1 << 20).unwrap();
    let unit = |change: &dyn Fn(&mut Incoming)| {
        let (commits, blobs, seals) =
            (outgoing.commits.clone(), outgoing.blobs.clone(), outgoing.seals.clone());
        let mut unit = Incoming { commits, blobs, seals, ..Incoming::default() };
        change(&mut unit);
        unit
    };
    let code = |result: Result<Accepted, sync::Refusal>| result.map_err(|refusal| refusal.code);
    assert_eq!(code(b.accept(NOW, unit(&|unit| unit.seals.clear()))), Err(NackCode::BadSeal));
    assert_eq!(code(b.accept(NOW, unit(&|unit| unit.seals[0].signature[3] ^= 1))), Err(NackCode::BadSeal));
    assert_eq!(code(b.accept(NOW, unit(&|unit| drop(unit.commits.remove(0))))), Ok(Accepted::NotReady));
    b.flush().unwrap();
    assert!(contents(&b).is_empty());
    assert_eq!(code(b.accept(NOW, unit(&|_| {}))), Ok(Accepted::Stored));
    assert_eq!(code(b.accept(NOW, unit(&|_| {}))), Ok(Accepted::Stored), "again is harmless");
    b.flush().unwrap();
    assert_eq!(contents(&b).len(), 2);
}

#[test]
fn device_without_a_grant_is_refused() {
    let (space, strangers) = (Space::new(1), Space::new(3));
    assert_eq!(space.genesis.space(), strangers.genesis.space());
    let mut stranger = strangers.create(2, &MemoryDisk::new(1));
    let mut member = space.create(0, &MemoryDisk::new(2));
    set(&mut stranger, "a", "1");
    let outgoing = stranger.next_commits(&Default::default(), 1 << 20).unwrap();
    let unit = received(outgoing);
    assert_eq!(member.accept(NOW, unit).unwrap_err().code, NackCode::NotAuthorised);
}

#[test]
fn device_that_may_only_read_is_refused() {
    let (space, mut home, mut device) = pair();
    let grant = Grant { public: device.device().public(), capabilities: READ, residency: vec![], since: 0 };
    let key = Grant::key(&device.device().id());
    let write = HomeWrite { coll: system::acl(), key, value: Some(grant.encode()) };
    home.home_commit(NOW, [5; 8], space.home.public(), vec![write]).unwrap();
    set(&mut device, "a", "1");
    let outgoing = device.next_commits(&Default::default(), 1 << 20).unwrap();
    let (commits, blobs, seals) = (outgoing.commits, outgoing.blobs, outgoing.seals);
    let unit = Incoming { commits, blobs, seals, ..Incoming::default() };
    space.anchor(NOW, &mut home);
    assert_eq!(home.accept(NOW, unit).unwrap_err().code, NackCode::NotAuthorised);
}

#[test]
fn covered_segments_go_to_the_archive_after_a_while() {
    let mut space = Space::new(1);
    space.limits.archive_bytes = 1 << 20;
    let disk = MemoryDisk::new(1);
    let mut home = space.create(0, &disk);
    let minutes = |n: u64| Time(NOW.0 + n * 60_000);
    for n in 0..40 {
        for k in 0..40 {
            put(&mut home, minutes(n), &format!("k{k}"), &"v".repeat(900)).unwrap();
        }
        home.flush().unwrap();
        space.anchor(minutes(n), &mut home);
    }
    let described = home.describe();
    assert!(described.archive_bytes > 0, "{described:?}");
    assert!(described.archive_bytes <= 1 << 20, "{described:?}");
    drop(home);
    let home = space.open(0, &disk, 9);
    assert_eq!(contents(&home).len(), 40);
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
}

#[test]
fn segments_that_a_short_run_left_go_to_the_archive_at_the_next_start() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut home = space.create(0, &disk);
    for k in 0..400 {
        put(&mut home, NOW, &format!("k{k}"), &"v".repeat(900)).unwrap();
    }
    home.flush().unwrap();
    // The second Handle's manifest says what the first covers.
    for n in 0..2 {
        put(&mut home, NOW, &format!("last{n}"), "v").unwrap();
        space.anchor(NOW, &mut home);
    }
    let segments = || disk.files().keys().filter(|name| name.starts_with("wal/")).count();
    assert_eq!((segments(), home.describe().archive_bytes), (2, 0));
    drop(home);
    let home = space.open(0, &disk, 9);
    assert_eq!(segments(), 1);
    assert!(home.describe().archive_bytes > 0);
    assert_eq!(contents(&home).len(), 402);
    drop(home);
    assert_eq!(space.open(0, &disk, 10).verify().unwrap().problems, [""; 0]);
}
