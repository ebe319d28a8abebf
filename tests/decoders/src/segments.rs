//! A log of any bytes: what one opening finds, every later one finds too.

use disk::{Disk, File, MemoryDisk};
use wal::{Entry, Log, Options, Position};

const HEAD_LEN: usize = 48;
const HEADER_LEN: usize = 30;

/// Segments so small that an append soon begins another one.
const OPTIONS: Options = Options { from: Position(0), segment_len_first: 8 << 10, segment_len_max: 8 << 10 };

/// The first two bytes say how many records get a right number and checksum, and where a second segment begins; the
/// rest is a segment. Without the mending nothing gets past the first checksum.
pub(crate) fn segment(bytes: &[u8]) {
    let Some(([mended, split], bytes)) = bytes.split_first_chunk() else { return };
    let (mut first, mut second) = (bytes.to_vec(), Vec::new());
    let mut link = Link { head: 0, seq: 0, checksum: 0 };
    let split = usize::from(*split) * 16;
    if split > HEAD_LEN && bytes.len() > split + HEAD_LEN {
        second = first.split_off(split);
    }
    let mut left = usize::from(*mended);
    if left > 0 {
        let end = mend(&mut first, 0, &mut link, &mut left);
        if end == HEAD_LEN {
            // Without a record the second one would begin, and be called, where the first one does.
            second.clear();
        }
        if !second.is_empty() {
            // A segment is cut to its records before another one begins.
            first.truncate(end);
            mend(&mut second, (end - HEAD_LEN) as u64, &mut link, &mut left);
        }
    }
    open(&first, &second);
}

struct Link {
    head: u32,
    seq: u64,
    checksum: u32,
}

/// Makes the head and so many records whole; returns where the last of them ends.
fn mend(bytes: &mut Vec<u8>, start: u64, link: &mut Link, left: &mut usize) -> usize {
    bytes.resize(bytes.len().max(HEAD_LEN), 0);
    bytes[..8].copy_from_slice(b"strlog\0\x01");
    bytes[8..16].copy_from_slice(&start.to_be_bytes());
    bytes[16..24].copy_from_slice(&link.seq.to_be_bytes());
    // A planned length that no program plans.
    bytes[32..36].fill(0);
    bytes[40..44].copy_from_slice(&link.checksum.to_be_bytes());
    link.head = crc32c::crc32c(&bytes[..44]);
    link.checksum = link.head;
    bytes[44..48].copy_from_slice(&link.head.to_be_bytes());
    let mut at = HEAD_LEN;
    while *left > 0 && bytes.len() >= at + HEADER_LEN {
        // Lengths of more than a few bytes would end every input at its first record.
        bytes[at..at + 3].fill(0);
        let len = usize::from(bytes[at + 3]);
        let Some(record) = bytes.get_mut(at..at + HEADER_LEN + len) else { break };
        record[6..14].copy_from_slice(&link.seq.to_be_bytes());
        record[14..20].fill(0);
        record[22..26].copy_from_slice(&link.checksum.to_be_bytes());
        let checksum = crc32c::crc32c_append(crc32c::crc32c_append(link.head, &record[..26]), &record[30..]);
        record[26..30].copy_from_slice(&checksum.to_be_bytes());
        *link = Link { head: link.head, seq: link.seq + 1, checksum };
        at += HEADER_LEN + len;
        *left -= 1;
    }
    at
}

fn open(first: &[u8], second: &[u8]) {
    let disk = MemoryDisk::new(1);
    write(&disk, 0, first);
    if !second.is_empty() {
        write(&disk, (first.len() - HEAD_LEN) as u64, second);
    }
    drop(wal::survey(&disk, Position(0), |_| {}));
    let read = Log::open_read(disk.clone(), OPTIONS);
    let read = read.map(|(log, found)| (entries(&log), found.end));
    let opened = Log::open(disk.clone(), OPTIONS, 7);
    if let (Err(wal::Error::Missing { .. }), Ok((log, _))) = (&read, &opened) {
        assert!(entries(log).is_empty(), "a log that was named and never begun has entries");
        return;
    }
    assert_eq!(read.is_ok(), opened.is_ok(), "only reading and writing find another log: {read:?}");
    let (Ok((read, end)), Ok((mut log, found))) = (read, opened) else { return };
    assert!(found.end >= end, "opening to write lost what reading finds");
    let found = entries(&log);
    assert_eq!(read, found, "opening to write finds other entries");
    log.append(1, b"new").expect("an open log takes an entry");
    log.flush().expect("a disk in memory does not fail");
    drop(log);
    disk.crash();
    let (log, _) = Log::open(disk, OPTIONS, 8).expect("what was opened once opens again");
    let again = entries(&log);
    assert!(again.len() == found.len() + 1 && again.starts_with(&found), "{found:?} became {again:?}");
    assert_eq!(again.last().map(|entry| entry.payload.as_slice()), Some(&b"new"[..]));
}

fn write(disk: &MemoryDisk, start: u64, bytes: &[u8]) {
    let file = disk.create(&format!("{start:020}.log")).expect("an empty disk");
    file.write_all_at(bytes, 0).expect("a disk in memory takes all");
    file.flush().expect("a disk in memory does not fail");
    disk.flush_dir("").expect("a disk in memory does not fail");
}

fn entries(log: &Log<MemoryDisk>) -> Vec<Entry> {
    log.entries(Position(0)).collect::<Result<_, _>>().expect("an open log reads")
}
