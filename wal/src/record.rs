//! One record: a header, a checksum that ties it to the record before it, and a part of an entry's payload.
//!
//! ```text
//! len 4 | kind 1 | part 1 | seq 8 | flushed 8 | previous 4 | crc32c 4 | payload len        (integers big-endian)
//! ```
//!
//! `previous` is the checksum of the record before (of the segment's head for the first one), and the
//! checksum covers it: what an earlier life of the log left on the disk can never follow what was written
//! since. The checksum is seeded with that of the segment's head: no payload can hold bytes that pass for a
//! record. `flushed` is the position known to be durable when the record was written: whatever is missing
//! below it was promised.

use planted::Bug;

use crate::{Damage, KIND_MAX};

/// Bytes before the payload.
pub(crate) const HEADER_LEN: usize = 30;

/// Largest payload of one record: longer entries are split, so that nothing bigger is ever allocated on the
/// word of a length that no checksum has covered yet.
pub(crate) const RECORD_PAYLOAD_MAX: usize = 1 << 20;

/// No log gets as far as this, in positions or in records: beyond it, sums could overflow.
pub(crate) const NUMBER_MAX: u64 = 1 << 62;

/// Written at every opening, with the count of openings: what follows it belongs to this life of the log.
pub(crate) const KIND_OPEN: u8 = 0xF0;

/// Written after a flush when nothing else comes: its `flushed` covers the newest batch.
pub(crate) const KIND_MARK: u8 = 0xF1;

/// The first record of an entry.
pub(crate) const PART_FIRST: u8 = 1;
/// The last record of an entry.
pub(crate) const PART_LAST: u8 = 2;
/// An entry of a single record.
pub(crate) const PART_WHOLE: u8 = PART_FIRST | PART_LAST;

/// What the next record has to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The checksum of the head of its segment.
    pub(crate) head: u32,
    /// Its sequence number.
    pub(crate) seq: u64,
    /// The checksum of the record before it.
    pub(crate) checksum: u32,
}

/// The fields before a record's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) len: u32,
    pub(crate) kind: u8,
    pub(crate) part: u8,
    pub(crate) seq: u64,
    pub(crate) flushed: u64,
    pub(crate) previous: u32,
    pub(crate) checksum: u32,
}

impl Header {
    /// Reads a header that may lie: only its checksum, over the payload too, makes it true.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Header, Damage> {
        let header = Header {
            len: u32::from_be_bytes(field(bytes, 0)),
            kind: bytes[4],
            part: bytes[5],
            seq: u64::from_be_bytes(field(bytes, 6)),
            flushed: u64::from_be_bytes(field(bytes, 14)),
            previous: u32::from_be_bytes(field(bytes, 22)),
            checksum: u32::from_be_bytes(field(bytes, 26)),
        };
        let is_own = matches!(header.kind, KIND_OPEN | KIND_MARK);
        let is_entry = (1..=KIND_MAX).contains(&header.kind);
        let fits = header.len as usize <= RECORD_PAYLOAD_MAX
            && header.part <= PART_WHOLE
            && header.seq < NUMBER_MAX
            && header.flushed < NUMBER_MAX;
        // There is one way to split an entry: into full records and what is left.
        let is_split_so = match header.part {
            PART_WHOLE => true,
            PART_LAST => is_entry && header.len > 0,
            _ => is_entry && header.len as usize == RECORD_PAYLOAD_MAX,
        };
        if fits && is_split_so && (is_own || is_entry) { Ok(header) } else { Err(Damage::Checksum) }
    }

    /// The bytes of the whole record.
    pub(crate) fn record_len(&self) -> u64 {
        HEADER_LEN as u64 + u64::from(self.len)
    }

    /// Whether header and payload are what was written.
    pub(crate) fn matches(&self, head: u32, record: &[u8]) -> bool {
        self.checksum == checksum(head, &record[..HEADER_LEN], &record[HEADER_LEN..])
            || planted::is(Bug::NoChecksum)
    }

    pub(crate) fn follows(&self, link: Link) -> bool {
        self.seq == link.seq && self.previous == link.checksum
    }

    /// What the record after this one has to follow.
    pub(crate) fn link(&self, head: u32) -> Link {
        Link { head, seq: self.seq + 1, checksum: self.checksum }
    }

    pub(crate) fn starts_entry(&self) -> bool {
        self.part & PART_FIRST != 0
    }

    pub(crate) fn is_entry(&self) -> bool {
        self.kind <= KIND_MAX
    }
}

/// What a record says beside its payload and its place in the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) kind: u8,
    pub(crate) part: u8,
    /// The position known to be durable now.
    pub(crate) flushed: u64,
}

/// Adds a record to `target` and moves `link` behind it.
pub(crate) fn encode(target: &mut Vec<u8>, link: &mut Link, label: Label, payload: &[u8]) {
    assert!(payload.len() <= RECORD_PAYLOAD_MAX, "longer payloads are split");
    let mut header = [0; HEADER_LEN];
    header[0..4].copy_from_slice(&(payload.len() as u32).to_be_bytes());
    header[4] = label.kind;
    header[5] = label.part;
    header[6..14].copy_from_slice(&link.seq.to_be_bytes());
    header[14..22].copy_from_slice(&label.flushed.to_be_bytes());
    header[22..26].copy_from_slice(&link.checksum.to_be_bytes());
    let checksum = checksum(link.head, &header, payload);
    header[26..30].copy_from_slice(&checksum.to_be_bytes());
    target.extend_from_slice(&header);
    target.extend_from_slice(payload);
    *link = Link { seq: link.seq + 1, checksum, ..*link };
}

/// Adds an entry, split into as many records as it needs.
pub(crate) fn encode_entry(target: &mut Vec<u8>, link: &mut Link, kind: u8, flushed: u64, payload: &[u8]) {
    let count = payload.len().div_ceil(RECORD_PAYLOAD_MAX).max(1);
    for index in 0..count {
        let rest = &payload[index * RECORD_PAYLOAD_MAX..];
        let first = if index == 0 { PART_FIRST } else { 0 };
        let last = if index + 1 == count { PART_LAST } else { 0 };
        let label = Label { kind, part: first | last, flushed };
        encode(target, link, label, &rest[..rest.len().min(RECORD_PAYLOAD_MAX)]);
    }
}

/// The bytes an entry takes in the log.
pub(crate) fn entry_len(payload_len: usize) -> u64 {
    let count = payload_len.div_ceil(RECORD_PAYLOAD_MAX).max(1);
    (payload_len + count * HEADER_LEN) as u64
}

/// Covers everything but the place of the checksum itself.
fn checksum(head: u32, header: &[u8], payload: &[u8]) -> u32 {
    let head = if planted::is(Bug::UnseededChecksum) { 0 } else { head };
    crc32c::crc32c_append(crc32c::crc32c_append(head, &header[..26]), payload)
}

/// `N` bytes of a header from `at`.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("headers have a fixed length")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(bytes: &[u8], mut link: Link) -> Result<Vec<(Header, Vec<u8>)>, Damage> {
        let (mut at, mut records) = (0, Vec::new());
        while at < bytes.len() {
            let header = Header::decode(&field(bytes, at))?;
            let record = &bytes[at..at + header.record_len() as usize];
            assert!(header.matches(1, record) && header.follows(link));
            link = header.link(1);
            at += record.len();
            records.push((header, record[HEADER_LEN..].to_vec()));
        }
        Ok(records)
    }

    #[test]
    fn a_long_entry_is_split_and_its_length_is_known_beforehand() {
        for len in [0, 1, RECORD_PAYLOAD_MAX, RECORD_PAYLOAD_MAX + 1, 3 * RECORD_PAYLOAD_MAX] {
            let (mut bytes, mut link) = (Vec::new(), Link { head: 1, seq: 7, checksum: 9 });
            encode_entry(&mut bytes, &mut link, 1, 0, &vec![5; len]);
            assert_eq!(bytes.len() as u64, entry_len(len));
            let records = decode_all(&bytes, Link { head: 1, seq: 7, checksum: 9 }).unwrap();
            assert_eq!(records.iter().map(|(_, payload)| payload.len()).sum::<usize>(), len);
            assert_eq!(records.first().unwrap().0.part & PART_FIRST, PART_FIRST);
            assert_eq!(records.last().unwrap().0.part & PART_LAST, PART_LAST);
        }
    }

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
    }

    proptest! {
        #[test]
        fn any_changed_bit_is_noticed(payload: Vec<u8>, seq: u32, flushed: u32, bit: prop::sample::Index) {
            let flushed = u64::from(flushed);
            let mut link = Link { head: 1, seq: u64::from(seq), checksum: 3 };
            let mut bytes = Vec::new();
            encode(&mut bytes, &mut link, Label { kind: 1, part: PART_WHOLE, flushed }, &payload);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let noticed = match Header::decode(&field(&bytes, 0)) {
                Err(_) => true,
                Ok(header) => header.record_len() != bytes.len() as u64 || !header.matches(1, &bytes),
            };
            prop_assert!(noticed);
        }
    }
}
