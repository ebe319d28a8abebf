//! Rot: every flipped bit is found, said, and believed by nobody.

use disk::{Disk, File, MemoryDisk};
use replica::{Error, Mode};

use crate::mend::heal;
use crate::space::{NOW, Space, contents, deliver_handle, deliver_tail, set};

/// A folder with a tree, a log and a large value, and the number of its keys.
fn folder() -> (Space, MemoryDisk) {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    for n in 0..50 {
        set(&mut replica, &format!("k{n}"), &"v".repeat(200));
    }
    set(&mut replica, "large", &"x".repeat(5000));
    replica.checkpoint(NOW).unwrap();
    for n in 50..60 {
        set(&mut replica, &format!("k{n}"), "v");
    }
    replica.idle().unwrap();
    replica.flush().unwrap();
    drop(replica);
    (space, disk)
}

#[test]
fn flipped_bit_in_a_pack_is_reported() {
    let (space, disk) = folder();
    for name in disk.list("packs").unwrap() {
        let name = format!("packs/{name}");
        let len = disk.files()[&name].len() as u64;
        let mut found = 0;
        for offset in (0..len).step_by(97) {
            let copy = disk.copy();
            copy.flip_bit(&name, offset, 5);
            // To be read: one that may write makes anew what it can.
            let sound = match space.try_open(0, &copy, 3, Mode::ReadOnly) {
                Ok((replica, _)) => replica.verify().is_ok_and(|report| report.problems.is_empty()),
                Err(_) => false,
            };
            found += u64::from(!sound);
        }
        assert_eq!(found, len.div_ceil(97), "{name}: every flip is found, but in nodes that nothing reaches");
    }
}

#[test]
fn flipped_bit_in_the_log_is_damage_and_not_a_torn_tail() {
    let (space, disk) = folder();
    let name = format!("wal/{}", disk.list("wal").unwrap()[0]);
    let used = disk.files()[&name].iter().rposition(|byte| *byte != 0).unwrap() as u64;
    for offset in (0..used).step_by(61) {
        let copy = disk.copy();
        copy.flip_bit(&name, offset, 2);
        match space.try_open(0, &copy, 3, Mode::ReadWrite) {
            Err(error) => assert!(error.to_string().contains("log"), "{error}"),
            // Only the idle mark at the very end may go: it says nothing but how far the log is flushed.
            Ok((replica, _)) => assert_eq!(contents(&replica).len(), 61, "offset {offset} of {used}"),
        }
    }
}

/// A base that was computed of what only the log had, and a start that finds the log without its end.
#[test]
fn what_the_base_covers_is_there_whatever_the_log_has_lost_of_its_end() {
    let (space, disk) = (Space::new(2), MemoryDisk::new(2));
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &disk));
    let name = format!("wal/{}", disk.list("wal").unwrap()[0]);
    let used = || disk.files()[&name].iter().rposition(|byte| *byte != 0).unwrap() as u64 + 1;
    let from = used();
    set(&mut home, "large", &"x".repeat(5000));
    set(&mut home, "small", "v");
    deliver_tail(NOW, &mut home, &mut device);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    let (base, whole, to) = (device.base().clone(), contents(&device), used());
    drop(device);
    let (mut short, mut lost) = (0, 0);
    for offset in (from..to).step_by(97) {
        let copy = disk.copy();
        let log = copy.open(&name).unwrap();
        log.write_all_at(&vec![0; (to - offset) as usize], offset).unwrap();
        let read = space.try_open(1, &copy, 3, Mode::ReadOnly);
        short += u64::from(matches!(read, Err(Error::Short { .. })));
        let mut device = space.open(1, &copy, 3);
        assert_eq!(*device.base(), base, "byte {offset} of {from} to {to}");
        lost += u64::from(device.is_damaged());
        heal(&home, &mut device);
        assert_eq!(contents(&device), whole);
        assert_eq!(device.verify().unwrap().problems, [""; 0]);
        drop(device);
        assert_eq!(contents(&space.open(1, &copy, 4)), whole);
    }
    assert!(short > 50 && lost > 50, "{short} without their commits, {lost} without a value");
}

#[test]
fn a_byte_of_a_manifest_that_rots_costs_nothing_and_is_written_again() {
    let (space, disk) = folder();
    let (_, whole) = space.try_open(0, &disk.copy(), 3, Mode::ReadOnly).unwrap();
    for start in (0..4).map(|copy| copy * (256 << 10)) {
        for offset in [0, 7, 9, 20, 100, 300] {
            let copy = disk.copy();
            copy.flip_bit("manifest", start + offset, 1);
            let (_, read) = space.try_open(0, &copy, 3, Mode::ReadOnly).unwrap();
            assert_eq!(read.source, whole.source, "byte {offset} of {start}: the newest one counts");
            let (replica, _) = space.try_open(0, &copy, 3, Mode::ReadWrite).unwrap();
            assert_eq!(contents(&replica).len(), 61, "byte {offset} of {start}");
            assert_eq!(replica.verify().unwrap().problems, [""; 0]);
        }
    }
}

#[test]
fn a_manifest_that_rots_under_a_running_replica_is_reported() {
    let (space, disk) = folder();
    let replica = space.open(0, &disk, 3);
    let problems = |copy: u64| {
        disk.flip_bit("manifest", copy * (256 << 10) + 60, 1);
        replica.verify().unwrap().problems
    };
    let found: Vec<Vec<String>> = (0..4).map(problems).collect();
    assert_eq!(found[3].len(), 2, "both copies of the slot that counts, and of no other: {found:?}");
    assert!(found[3].iter().all(|problem| problem.contains("manifest: copy")), "{found:?}");
}

#[test]
fn the_first_bytes_of_a_pack_cost_nothing_and_nobody_is_asked_for_the_rest() {
    let (space, disk) = folder();
    for name in disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}")) {
        for offset in 0..16 {
            let copy = disk.copy();
            copy.flip_bit(&name, offset, 4);
            let refused =
                space.try_open(0, &copy, 3, Mode::ReadOnly).err().expect("to be read it is as it is");
            assert!(refused.is_damage(), "{refused}");
            let replica = space.open(0, &copy, 3);
            assert_eq!((contents(&replica).len(), replica.lost_count()), (61, 0), "byte {offset} of {name}");
            assert_eq!(replica.verify().unwrap().problems, [""; 0]);
            drop(replica);
            let (replica, _) = space.try_open(0, &copy, 4, Mode::ReadOnly).expect("it is whole");
            assert_eq!(contents(&replica).len(), 61);
        }
    }
}

#[test]
fn trees_that_are_both_base_and_local_are_counted_once() {
    let (space, disk) = folder();
    let mut replica = space.open(0, &disk, 3);
    space.anchor(NOW, &mut replica);
    let anchored = replica.verify().unwrap();
    let live = contents(&replica).len() as u64;
    // The grant of a device in the data tree; the home's and the device's writers in the other one.
    assert_eq!(anchored.entries, live + 1 + 2);
    assert!(anchored.bytes > live * 3);
}
