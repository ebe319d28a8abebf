//! The same log on the disk of the operating system.

use disk::{Disk, File, RealDisk};
use wal::{Log, Options, Position};

/// An empty folder of this name, made anew by every run.
fn folder(name: &str) -> RealDisk {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    let disk = RealDisk::new(path);
    disk.create_dir("").unwrap();
    disk
}

#[test]
fn entries_survive_reopening_on_a_real_disk() {
    let disk = folder("reopening");
    let (mut log, _) = Log::open(disk.clone(), Options::default(), 0).unwrap();
    let payloads: Vec<Vec<u8>> = (0..300).map(|index| vec![index as u8; index * 7]).collect();
    for payload in &payloads {
        log.append(1, payload).unwrap();
    }
    log.flush().unwrap();
    assert!(log.segments().len() > 1);
    drop(log);
    let (log, recovered) = Log::open(disk, Options::default(), 1).unwrap();
    assert_eq!(recovered.cut, None);
    let read: Vec<Vec<u8>> = log.entries(Position(0)).map(|entry| entry.unwrap().payload).collect();
    assert_eq!(read, payloads);
}

#[test]
fn a_file_cut_short_is_a_torn_tail_and_a_file_cut_to_nothing_is_damage() {
    let disk = folder("cut_short");
    let (mut log, _) = Log::open(disk.clone(), Options::default(), 0).unwrap();
    log.append(1, b"first").unwrap();
    log.flush().unwrap();
    let second = log.append(1, b"second").unwrap();
    log.flush().unwrap();
    let name = log.segments()[0].name.clone();
    drop(log);
    disk.open(&name).unwrap().set_len(48 + second.0 + 10).unwrap();
    let (log, recovered) = Log::open(disk.clone(), Options::default(), 1).unwrap();
    assert_eq!(recovered.cut.unwrap().offset, 48 + second.0);
    assert_eq!(log.verify(Position(0)).unwrap(), 1);
    drop(log);
    disk.open(&name).unwrap().set_len(0).unwrap();
    assert!(Log::open(disk, Options { from: second, ..Options::default() }, 2).is_err());
}
