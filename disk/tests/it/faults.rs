//! Calls that go wrong as planned.

use std::io;

use disk::{Disk, Fault, Faults, File, MemoryDisk, Operation};

use crate::{SECTOR_LEN, with_file};

#[test]
fn a_short_write_is_no_trouble_for_who_goes_on() {
    let (disk, file) = with_file(1, b"");
    disk.set_faults(Faults::none().chance(Operation::Write, 900, Fault::Short));
    let bytes: Vec<u8> = (0..2000).map(|index| index as u8).collect();
    file.write_all_at(&bytes, 0).unwrap();
    assert_eq!(disk.read("file").unwrap(), bytes);
    assert!(disk.faults_fired() > 0);
}

#[test]
fn a_failed_write_leaves_a_first_part() {
    for seed in 0..50 {
        let (disk, file) = with_file(seed, &[0; 1000]);
        disk.set_faults(Faults::none().nth(Operation::Write, 1, Fault::Error));
        file.write_all_at(&[1; 10], 990).unwrap();
        file.write_all_at(&[2; 1000], 0).unwrap_err();
        let bytes = disk.read("file").unwrap();
        let written = bytes.iter().take_while(|byte| **byte == 2).count();
        assert!(written < 1000 && bytes[written..].iter().all(|byte| *byte != 2));
    }
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (disk, file) = with_file(1, &[0; 100]);
    disk.set_capacity(Some(150));
    assert_eq!(file.write_at(&[1; 100], 90).unwrap(), 60);
    assert_eq!(file.write_at(&[1; 100], 150).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.set_len(151).unwrap_err().kind(), io::ErrorKind::StorageFull);
    file.write_all_at(&[2; 150], 0).expect("what is there already can be written again");
    file.set_len(10).unwrap();
    file.write_all_at(&[3; 140], 10).unwrap();
}

#[test]
fn the_nth_call_goes_wrong_and_no_other() {
    let disk = MemoryDisk::new(1);
    disk.set_faults(Faults::none().nth(Operation::Create, 1, Fault::TooManyFiles));
    disk.create("a").unwrap();
    disk.create("b").unwrap_err();
    disk.create("b").expect("the failed call made no name");
    assert_eq!(disk.faults_fired(), 1);
}

#[test]
fn after_a_power_cut_everything_fails_until_the_crash_is_over() {
    let (disk, file) = with_file(1, b"x");
    disk.set_faults(Faults::none().nth_call(0, Fault::PowerCut));
    file.flush().unwrap_err();
    disk.list("").unwrap_err();
    file.flush().unwrap_err();
    disk.crash();
    assert_eq!(disk.read("file").unwrap(), b"x");
}

#[test]
fn rot_is_found_where_it_was_put() {
    let (disk, file) = with_file(1, &[0; 2 * SECTOR_LEN]);
    disk.flip_bit("file", 600, 3);
    assert_eq!(disk.read("file").unwrap()[600], 8);
    disk.crash();
    assert_eq!(disk.read("file").unwrap()[600], 8);
    disk.damage_sector("file", 600);
    let file_again = disk.open("file").unwrap();
    let mut sector = [0; SECTOR_LEN];
    file_again.read_exact_at(&mut sector, 0).unwrap();
    file_again.read_exact_at(&mut sector, SECTOR_LEN as u64).unwrap_err();
    file_again.write_all_at(&[1; SECTOR_LEN], SECTOR_LEN as u64).unwrap();
    file_again.read_exact_at(&mut sector, SECTOR_LEN as u64).unwrap();
    drop(file);
}

#[test]
fn lost_and_misdirected_writes_say_they_are_done() {
    let (disk, file) = with_file(3, &[0; 8 * SECTOR_LEN]);
    disk.set_faults(Faults::none().nth(Operation::Write, 0, Fault::Lost));
    file.write_all_at(&[1; SECTOR_LEN], 0).unwrap();
    assert!(disk.read("file").unwrap().iter().all(|byte| *byte == 0));
    disk.set_faults(Faults::none().nth(Operation::Write, 0, Fault::Misdirected));
    file.write_all_at(&[1; SECTOR_LEN], 0).unwrap();
    let bytes = disk.read("file").unwrap();
    assert_eq!(bytes.iter().filter(|byte| **byte == 1).count(), SECTOR_LEN);
}

#[test]
fn a_file_opened_for_reading_takes_no_writes() {
    let (disk, _) = with_file(1, b"x");
    let file = disk.open_read("file").unwrap();
    file.write_at(b"y", 0).unwrap_err();
    file.set_len(0).unwrap_err();
}
