//! A copy taken while the replica runs opens as a crash would, and is a replica of its own.

use disk::{Disk, File, MemoryDisk};
use replica::{Mode, Source};

use crate::space::{NOW, Space, contents, deliver, get, put, remove, roots, set};

#[test]
fn every_copy_taken_while_running_opens() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    let check = |disk: &MemoryDisk, flushed: usize, step: &str| {
        let copy = disk.copy();
        let opened = space.open(0, &copy, 50);
        assert!(contents(&opened).len() >= flushed, "{step}: the copy lacks what was flushed");
        assert_eq!(opened.verify().unwrap().problems, [""; 0], "{step}");
    };
    for n in 0..30 {
        put(&mut replica, NOW, &format!("k{n}"), "v").unwrap();
        check(&disk, n, "before the flush");
        replica.flush().unwrap();
        check(&disk, n + 1, "after the flush");
        match n % 7 {
            3 => replica.checkpoint(NOW).unwrap(),
            5 => space.anchor(NOW, &mut replica),
            _ => {}
        }
        check(&disk, n + 1, "after a move");
    }
}

/// What `cp -r` gives that reads `first` before the rest of the folder, while the replica goes on in between.
fn torn_copy(disk: &MemoryDisk, first: &str, between: impl FnOnce()) -> MemoryDisk {
    let early = disk.copy();
    between();
    let late = disk.copy();
    let target = MemoryDisk::new(9);
    for dir in ["packs", "wal", "archive"] {
        target.create_dir(dir).unwrap();
    }
    for (name, bytes) in late.files().into_iter().filter(|(name, _)| !name.starts_with(first)) {
        write(&target, &name, &bytes);
    }
    for (name, bytes) in early.files().into_iter().filter(|(name, _)| name.starts_with(first)) {
        write(&target, &name, &bytes);
    }
    target
}

fn write(disk: &MemoryDisk, name: &str, bytes: &[u8]) {
    let file = disk.create(name).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.flush().unwrap();
}

#[test]
fn copy_that_reads_one_part_long_before_the_rest_opens_too() {
    for first in ["packs", "wal", "manifest"] {
        for moves in 1..5 {
            let space = Space::new(1);
            let disk = MemoryDisk::new(1);
            let mut replica = space.create(0, &disk);
            set(&mut replica, "early", "1");
            space.anchor(NOW, &mut replica);
            set(&mut replica, "early2", "1");
            replica.checkpoint(NOW).unwrap();
            let copy = torn_copy(&disk, first, || {
                for n in 0..moves {
                    set(&mut replica, &format!("k{n}"), "v");
                    space.anchor(NOW, &mut replica);
                }
            });
            let (opened, report) = space.try_open(0, &copy, 60, Mode::ReadWrite).unwrap_or_else(|error| {
                panic!("{first} first, {moves} moves: {error:?}");
            });
            assert!(get(&opened, "early2").is_some(), "{first} first, {moves} moves: {report:?}");
            if (first, moves) == ("packs", 4) {
                assert!(matches!(report.source, Source::Pack { .. }), "{report:?}");
            }
            assert_eq!(opened.verify().unwrap().problems, [""; 0], "{first} first, {moves} moves");
        }
    }
}

#[test]
fn incomplete_copy_names_what_is_missing() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut replica = space.create(0, &disk);
    set(&mut replica, "a", "1");
    replica.checkpoint(NOW).unwrap();
    drop(replica);
    let copy = disk.copy();
    for name in copy.list("packs").unwrap() {
        copy.remove(&format!("packs/{name}")).unwrap();
    }
    let error = space.try_open(0, &copy, 3, Mode::ReadWrite).err().expect("it refuses");
    assert!(error.to_string().contains("packs/"), "{error}");
}

#[test]
fn copy_goes_on_under_writers_of_its_own_and_both_converge() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(1);
    let mut original = space.create(0, &disk);
    set(&mut original, "a", "1");
    let mut copy = space.open(0, &disk.copy(), 70);
    set(&mut original, "b", "original");
    set(&mut copy, "c", "copy");
    remove(&mut copy, "a");
    deliver(NOW, &mut original, &mut copy);
    deliver(NOW, &mut copy, &mut original);
    assert_eq!(contents(&original), contents(&copy));
    assert_eq!(roots(&mut original), roots(&mut copy));
    assert_eq!(contents(&copy).len(), 2);
}

#[test]
fn restored_backup_gets_its_later_commits_back() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(1);
    let mut device = space.create(0, &disk);
    set(&mut device, "a", "1");
    let backup = disk.copy();
    set(&mut device, "a", "2");
    let mut peer = space.create(1, &MemoryDisk::new(2));
    deliver(NOW, &mut device, &mut peer);
    drop(device);
    let mut restored = space.open(0, &backup, 80);
    set(&mut restored, "b", "after the restore");
    deliver(NOW, &mut peer, &mut restored);
    deliver(NOW, &mut restored, &mut peer);
    assert_eq!(get(&restored, "a").as_deref(), Some("2"));
    assert_eq!(roots(&mut restored), roots(&mut peer));
}
