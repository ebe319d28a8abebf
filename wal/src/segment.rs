//! One file of records: its name, its head, and the zero-filled space kept ahead of the end.
//!
//! ```text
//! magic 8 | start 8 | seq 8 | opens 8 | capacity 8 | previous 4 | crc32c 4 | records ... | zeros
//! ```

use std::io;

use disk::{Disk, File};
use planted::Bug;

use crate::error::While;
use crate::record::{Link, NUMBER_MAX, field};
use crate::{Action, Damage, Error, Position};

/// Bytes before the first record.
pub(crate) const HEAD_LEN: u64 = 48;

/// What every segment begins with, and behind it the version of its format, which is also that of its records.
const MAGIC: [u8; 7] = *b"strlog\0";

/// The version written and read here. A head of any version has 48 bytes and ends in the checksum of those before.
pub(crate) const FORMAT: u8 = 1;

/// Space filled with zeros at a time: a file that does not grow takes half as long to flush, and more than
/// this at once would be felt by whoever waits.
const FILL_LEN: u64 = 256 << 10;

/// Kept free behind the last entry, so that a full disk has room for the records that an opening and an idle
/// mark write.
pub(crate) const SLACK_LEN: u64 = 128;

/// The bytes a segment's file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The position of the first record.
    pub(crate) start: u64,
    /// The sequence number of the first record.
    pub(crate) seq: u64,
    /// The count of openings when the segment was made.
    pub(crate) opens: u64,
    /// The length it was planned for.
    pub(crate) capacity: u64,
    /// The checksum of the last record in the segment before.
    pub(crate) previous: u32,
}

impl Head {
    pub(crate) fn encode(&self) -> [u8; HEAD_LEN as usize] {
        let mut bytes = [0; HEAD_LEN as usize];
        bytes[0..7].copy_from_slice(&MAGIC);
        bytes[7] = FORMAT;
        bytes[8..16].copy_from_slice(&self.start.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.seq.to_be_bytes());
        bytes[24..32].copy_from_slice(&self.opens.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.capacity.to_be_bytes());
        bytes[40..44].copy_from_slice(&self.previous.to_be_bytes());
        let checksum = crc32c::crc32c(&bytes[..44]);
        bytes[44..48].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Head, Damage> {
        let bytes: &[u8; HEAD_LEN as usize] = bytes.try_into().map_err(|_| Damage::Head)?;
        let checksum = u32::from_be_bytes(field(bytes, 44));
        if bytes[0..7] != MAGIC || checksum != crc32c::crc32c(&bytes[..44]) {
            return Err(Damage::Head);
        }
        if bytes[7] != FORMAT {
            return Err(Damage::Format { found: bytes[7] });
        }
        let head = Head {
            start: u64::from_be_bytes(field(bytes, 8)),
            seq: u64::from_be_bytes(field(bytes, 16)),
            opens: u64::from_be_bytes(field(bytes, 24)),
            capacity: u64::from_be_bytes(field(bytes, 32)),
            previous: u32::from_be_bytes(field(bytes, 40)),
        };
        let is_sane = head.start < NUMBER_MAX && head.seq < NUMBER_MAX && head.capacity < NUMBER_MAX;
        if is_sane { Ok(head) } else { Err(Damage::Head) }
    }

    /// What the first record has to follow: the head, and through it the number of the segment and of the
    /// opening.
    pub(crate) fn link(&self) -> Link {
        let head = stored_checksum(&self.encode());
        Link { head, seq: self.seq, checksum: head }
    }
}

/// The checksum that a head carries, right or wrong.
pub(crate) fn stored_checksum(head: &[u8; HEAD_LEN as usize]) -> u32 {
    u32::from_be_bytes(field(head, 44))
}

/// The name of the segment that starts at `start`. Names sort as numbers do.
pub(crate) fn name(start: u64) -> String {
    format!("{start:020}.log")
}

/// Where the segment of this name starts, if it is the name of a segment.
pub fn parse_name(file_name: &str) -> Option<u64> {
    let start = file_name.strip_suffix(".log")?.parse().ok()?;
    (start < NUMBER_MAX && name(start) == file_name).then_some(start)
}

/// The segment at the end of the log, with what is not written to it yet.
#[derive(Debug)]
pub(crate) struct Tail<F> {
    pub(crate) name: String,
    pub(crate) head: Head,
    pub(crate) file: F,
    /// Bytes of records in the file.
    pub(crate) written: u64,
    /// Records that follow them, not yet in the file. It never begins or ends inside an entry.
    pub(crate) buffer: Vec<u8>,
    /// The length of the file: records, then zeros.
    pub(crate) file_len: u64,
}

impl<F: File> Tail<F> {
    /// Makes a new segment, durable before any record can be in it.
    ///
    /// After a crash on the way it has at most a torn head and zeros, which recovery tells from lost records.
    pub(crate) fn create<D: Disk<File = F>>(disk: &D, head: Head) -> Result<Tail<F>, Error> {
        let name = name(head.start);
        match disk.remove(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It can only be one that a crash kept from being finished: its first record would go here.
            result => result.while_doing(Action::Remove, &name)?,
        }
        let file = match disk.create(&name) {
            Err(error) if is_full(&error) => return Err(Error::NoSpace { segment: name }),
            result => result.while_doing(Action::Create, &name)?,
        };
        let mut tail = Tail { name, head, file, written: 0, buffer: Vec::new(), file_len: 0 };
        if let Err(error) = tail.reserve(0) {
            // Gone for good before the log goes on without it, or a crash could bring it back among later
            // ones.
            disk.remove(&tail.name).while_doing(Action::Remove, &tail.name)?;
            disk.flush_dir("").while_doing(Action::Flush, &tail.name)?;
            return Err(error);
        }
        // The head comes after the zeros: a full disk never leaves a segment that looks begun.
        tail.file.write_all_at(&head.encode(), 0).while_doing(Action::Write, &tail.name)?;
        tail.file.flush().while_doing(Action::Flush, &tail.name)?;
        if !planted::is(Bug::NoDirectoryFlush) {
            disk.flush_dir("").while_doing(Action::Flush, &tail.name)?;
        }
        Ok(tail)
    }

    /// Bytes of records, written or not.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    pub(crate) fn end(&self) -> Position {
        Position(self.head.start + self.len())
    }

    /// Whether an entry of `len` bytes belongs into this segment. One that is too big for any gets one of its
    /// own.
    pub(crate) fn fits(&self, len: u64) -> bool {
        self.len() == 0 || HEAD_LEN + self.len() + len + SLACK_LEN <= self.head.capacity
    }

    /// Makes room in the file for `len` more bytes of records, so that a full disk is found out before they
    /// exist.
    pub(crate) fn reserve(&mut self, len: u64) -> Result<(), Error> {
        let needed = HEAD_LEN + self.len() + len + SLACK_LEN;
        if needed <= self.file_len {
            return Ok(());
        }
        let target = needed.next_multiple_of(FILL_LEN).min(self.head.capacity.max(needed));
        while self.file_len < target {
            let zeros = vec![0; (target - self.file_len).min(FILL_LEN) as usize];
            match self.file.write_all_at(&zeros, self.file_len) {
                Ok(()) => self.file_len += zeros.len() as u64,
                Err(error) if is_full(&error) => return Err(Error::NoSpace { segment: self.name.clone() }),
                result => result.while_doing(Action::Write, &self.name)?,
            }
        }
        Ok(())
    }

    /// Hands the buffered records to the file, in one write.
    pub(crate) fn write_out(&mut self) -> Result<(), Error> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let offset = HEAD_LEN + self.written;
        self.file.write_all_at(&self.buffer, offset).while_doing(Action::Write, &self.name)?;
        self.written += self.buffer.len() as u64;
        self.file_len = self.file_len.max(HEAD_LEN + self.written);
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        self.write_out()?;
        let flushed = match self.file.flush() {
            Err(_) if planted::is(Bug::RetryFlush) => self.file.flush(),
            flushed => flushed,
        };
        flushed.while_doing(Action::Flush, &self.name)
    }

    /// Gives back the zeros behind the last record of a segment that gets no more.
    pub(crate) fn trim(&self) -> Result<(), Error> {
        self.file.set_len(HEAD_LEN + self.written).while_doing(Action::Write, &self.name)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_positions_do_and_nothing_else_is_one() {
        assert!(name(9) < name(10) && name(10) < name(u64::MAX));
        assert_eq!(parse_name(&name(123)), Some(123));
        for other in ["123.log", "00000000000000000123", "+0000000000000000123.log", "x.log", "LOCK"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written_and_no_other_way() {
        let head = Head { start: 1, seq: 2, opens: 3, capacity: 4, previous: 5 };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Ok(head));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::decode(&changed), Err(Damage::Head), "bit {bit}");
        }
    }
}
