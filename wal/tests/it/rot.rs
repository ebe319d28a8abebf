//! Bytes that changed at rest, and bytes that were never a log.

use disk::{Disk, File, MemoryDisk};
use proptest::prelude::*;
use wal::{Entry, Error, Position, survey};

use crate::{entries, open};

/// A log of several batches and segments, all flushed, with an idle mark at the end.
fn written(lens: &[(usize, bool)]) -> (MemoryDisk, Vec<Entry>) {
    let disk = MemoryDisk::new(7);
    let (mut log, _) = open(&disk, 0).unwrap();
    for (index, (len, flushes)) in lens.iter().enumerate() {
        log.append(1, &vec![index as u8 + 1; *len]).unwrap();
        if *flushes {
            log.flush().unwrap();
        }
    }
    log.flush().unwrap();
    log.mark_idle().unwrap();
    let entries = entries(&log);
    drop(log);
    disk.kill();
    (disk, entries)
}

fn lens() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((prop_oneof![0..100usize, 0..1500usize], any::<bool>()), 1..12)
}

/// What may be found after damage: all of it, or a refusal that names the place.
fn check_opening(disk: &MemoryDisk, expected: &[Entry]) -> Result<(), TestCaseError> {
    match open(disk, 1) {
        Ok((log, _)) => prop_assert_eq!(&entries(&log)[..], expected),
        Err(Error::Damaged { segment, offset, .. }) => {
            prop_assert!(offset <= disk.read(&segment).unwrap().len() as u64);
        }
        Err(error) => prop_assert!(false, "{error}"),
    }
    Ok(())
}

/// A survey gives entries of the log only, in order.
fn check_survey(disk: &MemoryDisk, expected: &[Entry]) -> Result<usize, TestCaseError> {
    let mut found = Vec::new();
    survey(disk, Position(0), |entry| found.push(entry)).unwrap();
    let mut rest = expected.iter();
    for entry in &found {
        prop_assert!(rest.any(|other| other == entry), "{:?} was never written there", entry.position);
    }
    Ok(found.len())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_bit_is_never_a_silent_loss(lens in lens(), file: prop::sample::Index, bit: prop::sample::Index) {
        let (disk, expected) = written(&lens);
        let files: Vec<(String, Vec<u8>)> = disk.files().into_iter().collect();
        let (name, bytes) = file.get(&files);
        let bit = bit.index(bytes.len() * 8) as u64;
        disk.flip_bit(name, bit / 8, (bit % 8) as u32);
        let found = check_survey(&disk, &expected)?;
        prop_assert!(found + 1 >= expected.len(), "{} of {} entries are left", found, expected.len());
        check_opening(&disk, &expected)?;
    }

    #[test]
    fn an_unreadable_sector_costs_what_is_in_it(lens in lens(), file: prop::sample::Index, at: prop::sample::Index) {
        let (disk, expected) = written(&lens);
        let files: Vec<(String, Vec<u8>)> = disk.files().into_iter().collect();
        let (name, bytes) = file.get(&files);
        disk.damage_sector(name, at.index(bytes.len()) as u64);
        check_survey(&disk, &expected)?;
        let is_missing = matches!(open(&disk, 1), Err(Error::Missing { .. }));
        prop_assert!(!is_missing);
    }

    #[test]
    fn any_bytes_in_a_segment_give_an_error_or_whole_entries(
        lens in lens(),
        file: prop::sample::Index,
        at: prop::sample::Index,
        bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 1..200),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (disk, expected) = written(&lens);
        let names: Vec<String> = disk.files().into_keys().collect();
        let segment = disk.open(file.get::<String>(&names)).unwrap();
        let len = segment.len().unwrap();
        segment.write_all_at(&bytes, at.index(len as usize) as u64).unwrap();
        if let Some(cut) = cut {
            segment.set_len(cut.index(len as usize) as u64).unwrap();
        }
        check_survey(&disk, &expected)?;
        if let Ok((log, _)) = open(&disk, 1) {
            let found = entries(&log);
            prop_assert_eq!(&found[..], &expected[..found.len()]);
        }
    }

    #[test]
    fn bytes_that_were_never_a_log_do_no_harm(bytes: Vec<u8>, start in 0..3u64) {
        let disk = MemoryDisk::new(1);
        let file = disk.create(&format!("{start:020}.log")).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        prop_assert_eq!(survey(&disk, Position(0), |_| {}).is_ok(), true);
        if let Ok((log, _)) = open(&disk, 1) {
            prop_assert_eq!(entries(&log).len(), 0);
        }
    }
}

/// A record as the log would write it, but for the seed of its checksum.
fn forged(seq: u64, flushed: u64) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 1, 1, 3];
    bytes.extend(seq.to_be_bytes());
    bytes.extend(flushed.to_be_bytes());
    bytes.extend([0; 4]);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), b"x");
    bytes.extend(checksum.to_be_bytes());
    bytes.push(b'x');
    bytes
}

#[test]
fn no_payload_passes_for_a_record() {
    let disk = MemoryDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(1, b"a").unwrap();
    let position = log.flush().unwrap();
    // The torn entry says of itself that it was flushed: whoever believes it takes a torn tail for damage.
    log.append(1, &forged(5, position.0 + 1)).unwrap();
    log.flush().unwrap();
    drop(log);
    let name = disk.list("").unwrap().remove(0);
    disk.flip_bit(&name, 48 + position.0 + 10, 0);
    let (log, recovered) = open(&disk, 1).expect("a torn tail is no damage");
    assert!(recovered.cut.is_some());
    assert_eq!(entries(&log).len(), 1);
}
