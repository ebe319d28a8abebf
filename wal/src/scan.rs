//! Walks the records of one segment, believing nothing that no checksum covers.

use std::io;

use disk::File;
use planted::Bug;

use crate::Damage;
use crate::record::{HEADER_LEN, Header, Link, PART_FIRST, PART_LAST, field};
use crate::segment::HEAD_LEN;

/// What is read at first, enough for most single entries, and at most, once reading goes on.
const WINDOW_LEN_MIN: usize = 4 << 10;
const WINDOW_LEN_MAX: usize = 256 << 10;

/// What a disk loses at a time when it cannot read.
const SECTOR_LEN: usize = 512;

/// What to make of bytes that the disk fails to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// The reading fails.
    Fails,
    /// They are taken for zeros, which no checksum will match.
    Zeros,
}

/// A moving view of a file.
#[derive(Debug)]
pub(crate) struct Window<F> {
    file: F,
    /// Nothing at or after this offset is read.
    limit: u64,
    unreadable: Unreadable,
    /// The checksum of the segment's head, which seeds those of its records.
    head: u32,
    offset: u64,
    bytes: Vec<u8>,
    refill_len: usize,
}

impl<F: File> Window<F> {
    pub(crate) fn new(file: F, limit: u64, unreadable: Unreadable) -> Window<F> {
        Window { file, limit, unreadable, head: 0, offset: 0, bytes: Vec::new(), refill_len: WINDOW_LEN_MIN }
    }

    /// The same view, for records that belong behind this head.
    pub(crate) fn behind(self, head: u32) -> Window<F> {
        Window { head, ..self }
    }

    /// Takes these bytes as read already, up to the limit.
    pub(crate) fn holding(self, offset: u64, bytes: Vec<u8>) -> Window<F> {
        Window { offset, bytes, ..self }
    }

    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes from `offset`: `len` of them, or fewer at the end.
    pub(crate) fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let len = len.min(usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX));
        let is_inside = offset >= self.offset
            && offset + len as u64 <= self.offset + self.bytes.len() as u64
            && offset <= self.offset + self.bytes.len() as u64;
        if !is_inside {
            self.refill(offset, len)?;
        }
        let start = (offset - self.offset) as usize;
        let end = self.bytes.len().min(start + len);
        Ok(&self.bytes[start..end])
    }

    fn refill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let room = usize::try_from(self.limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        self.bytes.resize(len.max(self.refill_len).min(room), 0);
        self.offset = offset;
        self.refill_len = (self.refill_len * 4).min(WINDOW_LEN_MAX);
        let filled = match self.file.read_up_to(&mut self.bytes, offset) {
            Err(_) if self.unreadable == Unreadable::Zeros => self.refill_by_sector(offset),
            result => result.inspect_err(|_| self.bytes.clear())?,
        };
        self.bytes.truncate(filled);
        Ok(())
    }

    fn refill_by_sector(&mut self, offset: u64) -> usize {
        let mut at = 0;
        while at < self.bytes.len() {
            let position = offset + at as u64;
            let count = (SECTOR_LEN - position as usize % SECTOR_LEN).min(self.bytes.len() - at);
            let sector = &mut self.bytes[at..at + count];
            if self.file.read_exact_at(sector, position).is_err() {
                sector.fill(0);
            }
            at += count;
        }
        self.bytes.len()
    }

    /// The first byte from `offset` on that is not zero, and the end of the last such.
    pub(crate) fn nonzero(&mut self, offset: u64) -> io::Result<Option<(u64, u64)>> {
        let (mut at, mut found) = (offset, None::<(u64, u64)>);
        while at < self.limit {
            let bytes = self.bytes(at, WINDOW_LEN_MAX)?;
            if bytes.is_empty() {
                break;
            }
            if let Some(first) = bytes.iter().position(|byte| *byte != 0) {
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(first);
                let start = found.map_or(at + first as u64, |(start, _)| start);
                found = Some((start, at + last as u64 + 1));
            }
            at += bytes.len() as u64;
        }
        Ok(found)
    }

    /// The header of the record at `offset`, once its checksum covers all of it.
    pub(crate) fn record(&mut self, offset: u64) -> io::Result<Result<Header, Damage>> {
        let Ok(bytes) = <&[u8; HEADER_LEN]>::try_from(self.bytes(offset, HEADER_LEN)?) else {
            return Ok(Err(Damage::Checksum));
        };
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(_) if bytes.iter().all(|byte| *byte == 0) => return Ok(Err(Damage::Hole)),
            Err(damage) => return Ok(Err(damage)),
        };
        let len = header.record_len() as usize;
        let head = self.head;
        let record = self.bytes(offset, len)?;
        let is_whole = record.len() == len && header.matches(head, record);
        Ok(if is_whole { Ok(header) } else { Err(Damage::Checksum) })
    }

    /// The payload of a record that [`Window::record`] has just read.
    pub(crate) fn payload(&mut self, offset: u64, header: &Header) -> io::Result<&[u8]> {
        self.bytes(offset + HEADER_LEN as u64, header.len as usize)
    }

    /// The first whole record of this life of the log behind a bad one, for those who would go on there.
    pub(crate) fn after_hole(&mut self, bad_at: u64, link: Link) -> io::Result<Option<(u64, Header)>> {
        self.search(bad_at + 1, |_, header| header.starts_entry() && header.seq > link.seq)
    }

    /// The next whole record at or after `offset` that `wanted` accepts, whatever lies between.
    pub(crate) fn search(
        &mut self,
        mut offset: u64,
        wanted: impl Fn(u64, &Header) -> bool,
    ) -> io::Result<Option<(u64, Header)>> {
        while offset + HEADER_LEN as u64 <= self.limit {
            let bytes = self.bytes(offset, WINDOW_LEN_MAX)?;
            if bytes.len() < HEADER_LEN {
                return Ok(None);
            }
            let candidate = (0..=bytes.len() - HEADER_LEN).find(|&at| {
                // A record begins with its length, and no record is longer than 24 bits say.
                bytes[at] == 0
                    && bytes[at + 4] != 0
                    && Header::decode(&field(bytes, at))
                        .is_ok_and(|header| wanted(offset + at as u64, &header))
            });
            let Some(at) = candidate else {
                offset += (bytes.len() - HEADER_LEN + 1) as u64;
                continue;
            };
            offset += at as u64;
            if let Ok(header) = self.record(offset)? {
                return Ok(Some((offset, header)));
            }
            offset += 1;
        }
        Ok(None)
    }
}

/// How far the records of a segment reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Where in the file the last whole entry ends.
    pub(crate) end: u64,
    /// What the record there would have to follow.
    pub(crate) link: Link,
    /// The highest position that a record here knows to be flushed.
    pub(crate) flushed: u64,
    /// The kind of the last record, if there is one.
    pub(crate) last_kind: Option<u8>,
    /// Where in the file the first bad record is, behind the parts of an unfinished entry.
    pub(crate) bad_at: u64,
    /// What is wrong with it.
    pub(crate) damage: Damage,
}

/// Reads records from the first on, until one is not whole or does not follow.
pub(crate) fn extent<F: File>(window: &mut Window<F>, start: u64, link: Link) -> io::Result<Extent> {
    let mut extent = Extent {
        end: HEAD_LEN,
        link,
        flushed: start,
        last_kind: None,
        bad_at: HEAD_LEN,
        damage: Damage::Hole,
    };
    let (mut link, mut parts) = (link, Parts::default());
    loop {
        let header = match window.record(extent.bad_at)? {
            Ok(header) => header,
            Err(damage) => {
                if planted::is(Bug::SalvagePastHole)
                    && let Some((at, header)) = window.after_hole(extent.bad_at, link)?
                {
                    (extent.bad_at, parts) = (at, Parts::default());
                    link = Link { head: link.head, seq: header.seq, checksum: header.previous };
                    continue;
                }
                return Ok(Extent { damage, ..extent });
            }
        };
        if let Err(damage) = parts.check(&header, link, start + extent.bad_at - HEAD_LEN) {
            return Ok(Extent { damage, ..extent });
        }
        link = header.link(link.head);
        extent.bad_at += header.record_len();
        extent.flushed = extent.flushed.max(header.flushed);
        if parts.is_complete() {
            extent = Extent { end: extent.bad_at, link, last_kind: Some(header.kind), ..extent };
        }
    }
}

/// Watches that records follow each other, and that entries come in whole.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    /// The kind of the entry that is being read, while it is not complete.
    open: Option<u8>,
}

impl Parts {
    /// Takes the record at `position` as the next one.
    pub(crate) fn check(&mut self, header: &Header, link: Link, position: u64) -> Result<(), Damage> {
        if !header.follows(link) || header.flushed > position {
            return Err(Damage::Chain);
        }
        self.check_part(header)
    }

    /// The same for a record whose predecessor is not known.
    pub(crate) fn check_part(&mut self, header: &Header) -> Result<(), Damage> {
        let starts = header.part & PART_FIRST != 0;
        match self.open {
            None if !starts => return Err(Damage::Part),
            Some(kind) if starts || kind != header.kind => return Err(Damage::Part),
            _ => {}
        }
        self.open = if header.part & PART_LAST != 0 { None } else { Some(header.kind) };
        Ok(())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.open.is_none()
    }
}
