//! A log of a format that is not known here is refused by its number, and stays as it is.

use disk::{Disk, File, MemoryDisk};
use wal::{Damage, Error, Position, survey};

use crate::open;

/// Makes a segment one of another format: the number in its head, and the checksum over it.
fn age(disk: &MemoryDisk, name: &str, format: u8) {
    let mut head = disk.read(name).unwrap()[..48].to_vec();
    head[7] = format;
    let checksum = crc32c::crc32c(&head[..44]);
    head[44..].copy_from_slice(&checksum.to_be_bytes());
    disk.open(name).and_then(|file| file.write_all_at(&head, 0)).unwrap();
}

fn check(disk: &MemoryDisk, name: &str, format: u8) {
    age(disk, name, format);
    let before = disk.files();
    let error = open(disk, 9).map(drop).expect_err("the format is not known");
    let is_named = matches!(&error, Error::Damaged { segment, damage: Damage::Format { found }, .. }
        if segment == name && *found == format);
    assert!(is_named, "{error}");
    let said = error.to_string();
    assert!(
        said.contains(&format!("format {format} of the log")) && said.contains("knows format 1"),
        "{said}"
    );
    assert_eq!(disk.files(), before, "nothing is cut, removed or written");
    let holes = survey(disk, Position(0), |_| {}).unwrap();
    assert!(holes.iter().any(|hole| hole.damage == Damage::Format { found: format }), "{holes:?}");
}

#[test]
fn a_log_of_another_format_is_refused_by_its_number() {
    for format in [0, 2, 255] {
        let disk = MemoryDisk::new(1);
        let (mut log, _) = open(&disk, 0).unwrap();
        log.append(1, b"entry").unwrap();
        log.flush().unwrap();
        drop(log);
        check(&disk, "00000000000000000000.log", format);
    }
}

#[test]
fn an_empty_segment_of_another_format_is_not_taken_for_a_torn_one() {
    let disk = MemoryDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(1, &[7; 900]).unwrap();
    log.append(1, &[8; 900]).unwrap();
    log.flush().unwrap();
    let last = log.segments().last().unwrap().name.clone();
    drop(log);
    let file = disk.open(&last).unwrap();
    let rest = file.len().unwrap() - 48;
    file.write_all_at(&vec![0; rest as usize], 48).unwrap();
    check(&disk, &last, 2);
}
