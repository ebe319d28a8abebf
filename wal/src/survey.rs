//! Reads what is good in a damaged log: before the damage, and after it.

use disk::{Disk, File};

use crate::error::While;
use crate::record::{HEADER_LEN, Header, Link};
use crate::scan::{Parts, Unreadable, Window};
use crate::segment::{self, HEAD_LEN, Head};
use crate::{Action, Damage, Entry, Error, PAYLOAD_LEN_MAX, Position};

/// A stretch of a segment that holds no good record, though something was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hole {
    /// The name of the segment's file.
    pub segment: String,
    /// Where in that file the first bad record starts.
    pub offset: u64,
    /// How many bytes lie between it and the next good record, or the end of what was written.
    pub len: u64,
    /// What is wrong with the first of them.
    pub damage: Damage,
    /// The hole was known to be flushed: something promised is lost. Otherwise it is a torn tail.
    pub is_promised: bool,
}

/// Reads the log in this folder from the segment that holds `from`, and changes nothing.
///
/// `visit` gets, in order, every whole entry up to the first hole, and behind it those that were known to be
/// flushed; the holes are returned. Sectors the disk cannot read count as damaged.
pub fn survey<D: Disk>(disk: &D, from: Position, mut visit: impl FnMut(Entry)) -> Result<Vec<Hole>, Error> {
    let (_, flushed) = read_all(disk, from, |_, _| {})?;
    let (mut holes, _) = read_all(disk, from, |entry, holes_before| {
        if holes_before == 0 || entry.next.0 <= flushed {
            visit(entry);
        }
    })?;
    for hole in &mut holes {
        let start = segment::parse_name(&hole.segment).expect("holes are found in segments");
        hole.is_promised = start + hole.offset.saturating_sub(HEAD_LEN) < flushed;
    }
    Ok(holes)
}

/// Reads all segments; `visit` gets each entry with the count of holes before it. Returns the holes, and the
/// highest position that anything here knows to be flushed.
fn read_all<D: Disk>(
    disk: &D,
    from: Position,
    mut visit: impl FnMut(Entry, usize),
) -> Result<(Vec<Hole>, u64), Error> {
    let names = disk.list("").while_doing(Action::List, ".")?;
    let starts: Vec<u64> = names.iter().filter_map(|name| segment::parse_name(name)).collect();
    let first = starts.partition_point(|&start| start <= from.0).saturating_sub(1);
    let mut holes = Vec::new();
    let mut flushed = from.0;
    for (index, &start) in starts.iter().enumerate().skip(first) {
        let next = starts.get(index + 1).copied();
        let segment = Segment { disk, name: segment::name(start), start, next };
        flushed = flushed.max(segment.read(&mut visit, &mut holes)?).max(next.unwrap_or(0));
    }
    Ok((holes, flushed))
}

/// A segment to be read as far as it goes.
struct Segment<'a, D> {
    disk: &'a D,
    name: String,
    start: u64,
    /// Where the next segment starts, and so where this one has to end.
    next: Option<u64>,
}

impl<D: Disk> Segment<'_, D> {
    /// Returns the highest position that a record here knows to be flushed.
    fn read(&self, visit: &mut impl FnMut(Entry, usize), holes: &mut Vec<Hole>) -> Result<u64, Error> {
        let file = self.disk.open_read(&self.name).while_doing(Action::Open, &self.name)?;
        let len = file.len().while_doing(Action::Read, &self.name)?;
        let limit = self.next.map_or(len, |next| HEAD_LEN + (next - self.start));
        let mut window = Window::new(&file, limit, Unreadable::Zeros);
        let link = self.find_head(&mut window, holes).while_doing(Action::Read, &self.name)?;
        let Some(link) = link else { return Ok(self.start) };
        let mut window = window.behind(link.head);
        self.read_records(&mut window, link, visit, holes).while_doing(Action::Read, &self.name)
    }

    /// What the first record follows. A head that is damaged left its checksum in two places.
    fn find_head<F: File>(
        &self,
        window: &mut Window<F>,
        holes: &mut Vec<Hole>,
    ) -> std::io::Result<Option<Link>> {
        let head = window.bytes(0, HEAD_LEN as usize)?.to_vec();
        let damage = match Head::decode(&head) {
            Ok(head) if head.start == self.start => return Ok(Some(head.link())),
            Ok(_) => Damage::Head,
            Err(damage) => damage,
        };
        holes.push(self.hole(0, HEAD_LEN, damage));
        if matches!(damage, Damage::Format { .. }) {
            return Ok(None);
        }
        let Ok(head) = <&[u8; HEAD_LEN as usize]>::try_from(head.as_slice()) else { return Ok(None) };
        let stored = segment::stored_checksum(head);
        let first = window.bytes(HEAD_LEN, HEADER_LEN)?.try_into().ok().map(Header::decode);
        let told = first.and_then(Result::ok).map(|header| header.previous);
        for head in [Some(stored), told].into_iter().flatten() {
            let mut records = Window::new(window.file(), window.limit(), Unreadable::Zeros).behind(head);
            if let Some((_, header)) = records.search(HEAD_LEN, |_, _| true)? {
                return Ok(Some(Link { head, seq: header.seq, checksum: header.previous }));
            }
        }
        Ok(None)
    }

    fn read_records<F: File>(
        &self,
        window: &mut Window<F>,
        mut link: Link,
        visit: &mut impl FnMut(Entry, usize),
        holes: &mut Vec<Hole>,
    ) -> std::io::Result<u64> {
        let (mut offset, mut entry_at, mut flushed) = (HEAD_LEN, HEAD_LEN, self.start);
        let (mut parts, mut payload) = (Parts::default(), Vec::new());
        loop {
            let checked = window
                .record(offset)?
                .and_then(|header| parts.check(&header, link, self.position(offset)).map(|()| header));
            let is_over = |header: &Header| payload.len() + header.len as usize > PAYLOAD_LEN_MAX;
            let damage = match checked {
                Ok(header) if !is_over(&header) => {
                    payload.extend_from_slice(window.payload(offset, &header)?);
                    flushed = flushed.max(header.flushed);
                    link = header.link(link.head);
                    offset += header.record_len();
                    if parts.is_complete() {
                        if header.is_entry() {
                            let payload = std::mem::take(&mut payload);
                            visit(self.entry(entry_at, offset, &header, payload), holes.len());
                        }
                        payload.clear();
                        entry_at = offset;
                    }
                    continue;
                }
                Ok(_) => Damage::Part,
                Err(damage) => damage,
            };
            // Lost parts take the rest of their entry along: reading goes on at the next first part.
            let found = window.search(offset.max(entry_at + 1), |at, header| {
                header.starts_entry() && header.seq >= link.seq && header.flushed <= self.position(at)
            })?;
            let end = match found {
                Some((at, _)) => Some(at),
                None => window.nonzero(entry_at)?.map(|(_, end)| end).max(self.next.map(|_| window.limit())),
            };
            if let Some(end) = end.filter(|&end| end > entry_at) {
                holes.push(self.hole(entry_at, end - entry_at, damage));
            }
            let Some((at, header)) = found else { return Ok(flushed) };
            link = Link { head: link.head, seq: header.seq, checksum: header.previous };
            (offset, entry_at, parts) = (at, at, Parts::default());
            payload.clear();
        }
    }

    fn position(&self, offset: u64) -> u64 {
        self.start + offset - HEAD_LEN
    }

    fn entry(&self, at: u64, end: u64, header: &Header, payload: Vec<u8>) -> Entry {
        let (position, next) = (Position(self.position(at)), Position(self.position(end)));
        Entry { position, next, kind: header.kind, payload }
    }

    fn hole(&self, offset: u64, len: u64, damage: Damage) -> Hole {
        Hole { segment: self.name.clone(), offset, len, damage, is_promised: false }
    }
}
