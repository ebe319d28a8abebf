//! Values as they are written and read: winners, losers, large ones, clocks, names.

use crdt::{Class, Descriptor, Policy, Time};
use disk::MemoryDisk;
use replica::{KeyRange, Mode, Order, keep_losers};

use crate::space::{NOW, Space, coll, contents, deliver, get, key, put, remove, set};

#[test]
fn write_is_visible_after_the_flush_and_not_before() {
    let space = Space::new(1);
    let mut replica = space.create(0, &MemoryDisk::new(1));
    put(&mut replica, NOW, "a", "1").unwrap();
    assert_eq!(get(&replica, "a"), None);
    let before = replica.snapshot();
    replica.flush().unwrap();
    assert_eq!(get(&replica, "a").as_deref(), Some("1"));
    assert_eq!(before.get(coll(), &key("a")).unwrap(), None, "a snapshot never changes");
}

#[test]
fn delete_takes_away_and_a_later_put_brings_back() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    set(&mut replica, "a", "1");
    replica.checkpoint(NOW).unwrap();
    remove(&mut replica, "a");
    assert_eq!(get(&replica, "a"), None);
    replica.checkpoint(NOW).unwrap();
    assert_eq!(get(&replica, "a"), None);
    set(&mut replica, "a", "2");
    drop(replica);
    assert_eq!(get(&space.open(0, &disk, 9), "a").as_deref(), Some("2"));
}

#[test]
fn scan_goes_either_way_over_tree_and_overlay() {
    let space = Space::new(1);
    let mut replica = space.create(0, &MemoryDisk::new(1));
    for name in ["b", "d", "f"] {
        set(&mut replica, name, "tree");
    }
    replica.checkpoint(NOW).unwrap();
    for name in ["a", "d", "g"] {
        set(&mut replica, name, "overlay");
    }
    remove(&mut replica, "b");
    let snapshot = replica.snapshot();
    let names = |range: &KeyRange, order| -> Vec<String> {
        let scan = snapshot.scan(coll(), range, order).unwrap();
        scan.map(|read| String::from_utf8(crdt::key::plain_name(&read.unwrap().key).unwrap()).unwrap())
            .collect()
    };
    assert_eq!(names(&KeyRange::all(), Order::Ascending), ["a", "d", "f", "g"]);
    assert_eq!(names(&KeyRange::all(), Order::Descending), ["g", "f", "d", "a"]);
    let middle = KeyRange::all().after(&key("a")).before(&key("g"));
    assert_eq!(names(&middle, Order::Ascending), ["d", "f"]);
    assert_eq!(snapshot.get(coll(), &key("d")).unwrap().unwrap(), b"overlay");
}

#[test]
fn concurrent_writes_leave_a_winner_and_a_loser_on_both_sides() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    put(&mut a, NOW, "mode", "eco").unwrap();
    put(&mut b, Time(NOW.0 + 20), "mode", "sport").unwrap();
    a.flush().unwrap();
    b.flush().unwrap();
    deliver(NOW, &mut a, &mut b);
    deliver(NOW, &mut b, &mut a);
    for replica in [&a, &b] {
        let read = replica.snapshot().read(coll(), &key("mode")).unwrap().unwrap();
        assert_eq!(replica.snapshot().value(&read.winner.payload).unwrap(), b"sport");
        assert_eq!(read.losers.len(), 1);
    }
    set(&mut a, "mode", "comfort");
    let read = a.snapshot().read(coll(), &key("mode")).unwrap().unwrap();
    assert!(read.losers.is_empty(), "a write that saw both stands for both");
}

#[test]
fn collection_that_keeps_losers_drops_none_until_resolved() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    let mut descriptor = Descriptor::new("kept", Policy::Lww).unwrap();
    descriptor.params = keep_losers();
    let mut transaction = a.begin();
    let kept = transaction.create_collection(&descriptor).unwrap();
    a.commit(NOW, transaction, Class::Normal).unwrap();
    a.flush().unwrap();
    deliver(NOW, &mut a, &mut b);
    let write = |replica: &mut crate::space::Local, value: &[u8], resolve: bool| {
        let mut transaction = replica.begin();
        match resolve {
            true => transaction.resolve(kept, &key("k"), value).unwrap(),
            false => transaction.put(kept, &key("k"), value).unwrap(),
        }
        replica.commit(NOW, transaction, Class::Normal).unwrap();
        replica.flush().unwrap();
    };
    write(&mut a, b"1", false);
    write(&mut b, b"2", false);
    deliver(NOW, &mut b, &mut a);
    write(&mut a, b"3", false);
    let read = a.snapshot().read(kept, &key("k")).unwrap().unwrap();
    assert_eq!((a.snapshot().value(&read.winner.payload).unwrap(), read.losers.len()), (b"3".to_vec(), 1));
    write(&mut a, b"4", true);
    assert!(a.snapshot().read(kept, &key("k")).unwrap().unwrap().losers.is_empty());
}

#[test]
fn clock_a_year_ahead_loses_to_a_causally_later_write() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    let ahead = Time(NOW.0 + 365 * 86_400_000);
    put(&mut a, ahead, "k", "from the future").unwrap();
    a.flush().unwrap();
    deliver(NOW, &mut a, &mut b);
    let committed = put(&mut b, NOW, "k", "later").unwrap();
    b.flush().unwrap();
    deliver(NOW, &mut b, &mut a);
    assert_eq!(get(&a, "k").as_deref(), Some("later"));
    assert_eq!(get(&b, "k").as_deref(), Some("later"));
    let tip = b.snapshot().tip(&committed.dot.writer).unwrap().unwrap();
    assert!(tip.hlc.time() <= Time(NOW.0 + 5 * 60_000 + 1), "the poison does not spread");
}

#[test]
fn clock_set_back_opens_another_writer() {
    let space = Space::new(1);
    let mut replica = space.create(0, &MemoryDisk::new(1));
    let first = put(&mut replica, Time(NOW.0 + 3_600_000), "k", "1").unwrap();
    let second = put(&mut replica, NOW, "k", "2").unwrap();
    assert_ne!(first.dot.writer, second.dot.writer);
    replica.flush().unwrap();
    assert_eq!(get(&replica, "k").as_deref(), Some("2"), "it saw what it replaces");
}

#[test]
fn every_open_and_class_writes_under_a_name_of_its_own() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut writers = Vec::new();
    let mut replica = space.create(0, &disk);
    for seed in 10..13 {
        for class in Class::ALL {
            let mut transaction = replica.begin();
            transaction.put(coll(), &key("k"), b"v").unwrap();
            writers.push(replica.commit(NOW, transaction, class).unwrap().dot.writer);
        }
        replica.flush().unwrap();
        drop(replica);
        replica = space.open(0, &disk, seed);
    }
    let count = writers.len();
    writers.sort();
    writers.dedup();
    assert_eq!(writers.len(), count);
}

#[test]
fn large_value_survives_log_checkpoint_and_travel() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(1);
    let mut a = space.create(0, &disk);
    let large = "x".repeat(300_000);
    set(&mut a, "large", &large);
    assert_eq!(get(&a, "large").as_deref(), Some(large.as_str()));
    drop(a);
    let mut a = space.open(0, &disk, 5);
    assert_eq!(get(&a, "large").as_deref(), Some(large.as_str()), "from the log");
    a.checkpoint(NOW).unwrap();
    drop(a);
    let mut a = space.open(0, &disk, 6);
    assert_eq!(get(&a, "large").as_deref(), Some(large.as_str()), "from a pack");
    let mut b = space.create(1, &MemoryDisk::new(2));
    deliver(NOW, &mut a, &mut b);
    assert_eq!(get(&b, "large").as_deref(), Some(large.as_str()), "from a peer");
}

#[test]
fn names_that_collide_tell_themselves_apart() {
    let space = Space::new(1);
    let mut replica = space.create(0, &MemoryDisk::new(1));
    let first = Descriptor::new("tasks", Policy::Lww).unwrap();
    let second = Descriptor::new("tasks", Policy::OrSet).unwrap();
    for descriptor in [&first, &second, &first] {
        let mut transaction = replica.begin();
        transaction.create_collection(descriptor).unwrap();
        if !transaction.is_empty() {
            replica.commit(NOW, transaction, Class::Normal).unwrap();
        }
        replica.flush().unwrap();
    }
    let snapshot = replica.snapshot();
    assert_eq!(snapshot.collection("tasks").unwrap(), Some(first.id()));
    let names: Vec<String> = snapshot.collections().unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(names.len(), 2);
    assert!(names[1].starts_with("tasks~"), "{names:?}");
    assert_eq!(snapshot.collection(&names[1]).unwrap(), Some(second.id()));
    assert_eq!(snapshot.collection("other").unwrap(), None);
}

#[test]
fn read_only_media_open_and_refuse_writes() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    set(&mut replica, "a", "1");
    drop(replica);
    let before = disk.files();
    let (mut replica, _) = space.try_open(0, &disk, 3, Mode::ReadOnly).unwrap();
    assert_eq!(contents(&replica).len(), 1);
    assert!(put(&mut replica, NOW, "a", "2").is_err());
    assert!(replica.verify().unwrap().problems.is_empty());
    drop(replica);
    assert_eq!(disk.files(), before);
}
