//! What a crash may leave, and what it may not.

use std::collections::BTreeSet;
use std::io;

use disk::{Disk, Fault, Faults, File, MemoryDisk, Operation};
use proptest::prelude::*;

use crate::{SECTOR_LEN, with_file};

proptest! {
    #[test]
    fn what_was_flushed_survives(seed: u64, before: Vec<u8>, offset in 0..2000u64, after: Vec<u8>) {
        let (disk, file) = with_file(seed, &before);
        file.write_all_at(&after, offset).unwrap();
        file.flush().unwrap();
        let expected = disk.read("file").unwrap();
        disk.crash();
        prop_assert_eq!(disk.read("file").unwrap(), expected);
    }

    #[test]
    fn each_sector_is_one_of_those_it_was(
        seed: u64,
        writes in prop::collection::vec((0..8usize, 1..4usize), 0..12),
    ) {
        let (disk, file) = with_file(seed, &[0; 8 * SECTOR_LEN]);
        let mut versions: Vec<BTreeSet<u8>> = vec![BTreeSet::from([0]); 8];
        for (number, &(first, count)) in writes.iter().enumerate() {
            let count = count.min(8 - first);
            let value = number as u8 + 1;
            file.write_all_at(&vec![value; count * SECTOR_LEN], (first * SECTOR_LEN) as u64).unwrap();
            for sector in &mut versions[first..first + count] {
                sector.insert(value);
            }
        }
        disk.crash();
        let bytes = disk.read("file").unwrap();
        prop_assert_eq!(bytes.len(), 8 * SECTOR_LEN);
        for (sector, values) in bytes.chunks(SECTOR_LEN).zip(&versions) {
            prop_assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is never mixed");
            prop_assert!(values.contains(&sector[0]));
        }
    }

    #[test]
    fn a_grown_file_has_its_bytes_or_zeros(seed: u64, len in 1..3000usize) {
        let (disk, file) = with_file(seed, &[1; 700]);
        file.write_all_at(&vec![2; len], 700).unwrap();
        disk.crash();
        let bytes = disk.read("file").unwrap();
        prop_assert!(bytes.len() == 700 || bytes.len() == 700 + len);
        prop_assert!(bytes[..700].iter().all(|byte| *byte == 1));
        prop_assert!(bytes[700..].iter().all(|byte| matches!(byte, 0 | 2)));
    }

    #[test]
    fn the_same_seed_gives_the_same_crash(seed: u64) {
        let outcome = || {
            let (disk, file) = with_file(seed, &[0; 4000]);
            file.write_all_at(&[1; 4000], 0).unwrap();
            disk.create("other").unwrap();
            disk.crash();
            disk.files()
        };
        prop_assert_eq!(outcome(), outcome());
    }

    #[test]
    fn a_rename_happens_whole_or_not_at_all(seed: u64) {
        let (disk, _) = with_file(seed, b"old");
        let file = disk.create("new").unwrap();
        file.write_all_at(b"new", 0).unwrap();
        file.flush().unwrap();
        disk.flush_dir("").unwrap();
        disk.rename("new", "file").unwrap();
        prop_assert_eq!(disk.read("file").unwrap(), b"new");
        disk.crash();
        let has_happened = !disk.exists("new").unwrap();
        prop_assert_eq!(disk.read("file").unwrap(), if has_happened { b"new" } else { b"old" });
    }
}

/// What is there after a crash, over many seeds.
fn outcomes<T: Ord>(story: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..200).map(story).collect()
}

#[test]
fn unflushed_sectors_survive_in_any_combination() {
    let seen = outcomes(|seed| {
        let (disk, file) = with_file(seed, &[0; 3 * SECTOR_LEN]);
        file.write_all_at(&[1; 3 * SECTOR_LEN], 0).unwrap();
        disk.crash();
        disk.read("file").unwrap().chunks(SECTOR_LEN).map(|sector| sector[0]).collect::<Vec<u8>>()
    });
    assert_eq!(seen.len(), 8);
}

#[test]
fn unflushed_names_survive_in_any_combination() {
    let seen = outcomes(|seed| {
        let (disk, _) = with_file(seed, b"");
        disk.create("a").unwrap();
        disk.create("b").unwrap();
        disk.remove("file").unwrap();
        disk.crash();
        disk.list("").unwrap()
    });
    assert_eq!(seen.len(), 8);
}

#[test]
fn flushed_names_survive() {
    let seen = outcomes(|seed| {
        let disk = MemoryDisk::new(seed);
        disk.create_dir("dir/sub").unwrap();
        disk.create("dir/sub/file").unwrap();
        disk.flush_dir("dir/sub").unwrap();
        disk.create("dir/other").unwrap();
        disk.crash();
        (disk.list("dir/sub").unwrap(), disk.list("").unwrap())
    });
    assert_eq!(seen, BTreeSet::from([(vec!["file".to_owned()], vec!["dir".to_owned()])]));
}

#[test]
fn a_failed_flush_shows_new_bytes_and_keeps_any_of_them() {
    let seen = outcomes(|seed| {
        let (disk, file) = with_file(seed, &[0; 2 * SECTOR_LEN]);
        file.write_all_at(&[1; 2 * SECTOR_LEN], 0).unwrap();
        disk.set_faults(Faults::none().nth(Operation::Flush, 0, Fault::Error));
        file.flush().unwrap_err();
        file.flush().expect("the second flush has nothing to do, and says so");
        assert_eq!(disk.read("file").unwrap(), [1; 2 * SECTOR_LEN]);
        disk.crash();
        disk.read("file").unwrap().chunks(SECTOR_LEN).map(|sector| sector[0]).collect::<Vec<u8>>()
    });
    assert_eq!(seen.len(), 4);
}

#[test]
fn after_a_failed_flush_only_writing_again_helps() {
    let seen = outcomes(|seed| {
        let (disk, file) = with_file(seed, &[0; 2 * SECTOR_LEN]);
        file.write_all_at(&[1; 2 * SECTOR_LEN], 0).unwrap();
        disk.set_faults(Faults::none().nth(Operation::Flush, 0, Fault::Error));
        file.flush().unwrap_err();
        file.write_all_at(&[1; 2 * SECTOR_LEN], 0).unwrap();
        file.flush().unwrap();
        disk.crash();
        disk.read("file").unwrap()
    });
    assert_eq!(seen, BTreeSet::from([vec![1; 2 * SECTOR_LEN]]));
}

#[test]
fn a_crash_ends_open_files_and_locks_and_a_kill_leaves_the_cache() {
    let (disk, file) = with_file(1, b"before");
    let lock = disk.lock("LOCK").unwrap();
    assert_eq!(disk.lock("LOCK").unwrap_err().kind(), io::ErrorKind::WouldBlock);
    file.write_all_at(b"after!", 0).unwrap();
    disk.kill();
    file.write_all_at(b"ghost!", 0).unwrap_err();
    assert_eq!(disk.read("file").unwrap(), b"after!");
    let second = disk.lock("LOCK").unwrap();
    drop(lock);
    assert_eq!(
        disk.lock("LOCK").unwrap_err().kind(),
        io::ErrorKind::WouldBlock,
        "a dead holder frees nothing"
    );
    drop(second);
    drop(disk.lock("LOCK").unwrap());
}

#[test]
fn a_removed_file_lives_while_it_is_open() {
    let (disk, file) = with_file(1, b"bytes");
    disk.remove("file").unwrap();
    disk.flush_dir("").unwrap();
    let mut bytes = [0; 5];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!((&bytes, disk.used()), (b"bytes", 5));
    drop(file);
    disk.flush_dir("").unwrap();
    assert_eq!(disk.used(), 0);
}

#[test]
fn a_copy_has_what_the_cache_shows_and_goes_its_own_way() {
    let (disk, file) = with_file(1, b"durable");
    file.write_all_at(b"cached!", 0).unwrap();
    let copy = disk.copy();
    file.write_all_at(b"changed", 0).unwrap();
    copy.crash();
    assert_eq!(copy.read("file").unwrap(), b"cached!");
}
