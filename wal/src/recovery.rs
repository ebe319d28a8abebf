//! After a crash: find the end, cut a torn tail, and tell it from damage to what was promised.
//!
//! Nothing is written before all of it is understood, so a damaged log stays as it is for whoever heals it.

use std::io;

use disk::{Disk, File};
use planted::Bug;

use crate::error::While;
use crate::record::{self, KIND_OPEN, Label, Link, PART_WHOLE};
use crate::scan::{Extent, Unreadable, Window, extent};
use crate::segment::{self, HEAD_LEN, Head, Tail};
use crate::{Action, Cut, Damage, Error, Position};

/// What is on the disk.
#[derive(Debug)]
pub(crate) struct Found<F> {
    /// Where each segment starts, the last one included.
    pub(crate) starts: Vec<u64>,
    /// The last segment, its records cut to the whole ones.
    pub(crate) tail: Tail<F>,
    pub(crate) extent: Extent,
    pub(crate) cut: Option<Cut>,
    /// Everything below is known to be flushed.
    pub(crate) proven: u64,
    /// A file that a crash kept from becoming a segment.
    unfinished: Option<String>,
}

/// How the files are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Read,
}

/// Reads the log from the segment that holds `from`; `None` when there is no segment yet.
pub(crate) fn find<D: Disk>(disk: &D, from: u64, mode: Mode) -> Result<Option<Found<D::File>>, Error> {
    let names = disk.list("").while_doing(Action::List, ".")?;
    let mut starts: Vec<u64> = names.iter().filter_map(|name| segment::parse_name(name)).collect();
    let mut proven = from;
    let mut unfinished = None;
    if let Some(&last) = starts.last()
        && is_unfinished(disk, last)?
    {
        // The segment before was flushed whole before this one was begun.
        proven = proven.max(last);
        unfinished = Some(segment::name(last));
        starts.pop();
    }
    if starts.is_empty() && from == unfinished.as_deref().and_then(segment::parse_name).unwrap_or(0) {
        return Ok(None);
    }
    let first = starts.partition_point(|&start| start <= from).checked_sub(1);
    let Some(first) = first else {
        return Err(Error::Missing { position: Position(from) });
    };
    let mut before = None::<Link>;
    for pair in starts[first..].windows(2) {
        before = Some(check_closed(disk, pair[0], pair[1], before)?);
    }
    let last = *starts.last().expect("a segment holds the first position");
    let (tail, extent, cut, proven) = check_last(disk, last, before, proven, mode)?;
    Ok(Some(Found { starts, tail, extent, cut, proven, unfinished }))
}

/// Whether the last segment was begun and never used: no good head, and no byte behind it.
fn is_unfinished<D: Disk>(disk: &D, start: u64) -> Result<bool, Error> {
    let name = segment::name(start);
    let file = disk.open_read(&name).while_doing(Action::Open, &name)?;
    let len = file.len().while_doing(Action::Read, &name)?;
    let mut window = Window::new(&file, len, Unreadable::Fails);
    let head = window.bytes(0, HEAD_LEN as usize).while_doing(Action::Read, &name)?;
    // A whole head of another format is no torn one: reading on says so.
    if !matches!(Head::decode(head), Err(Damage::Head)) {
        return Ok(false);
    }
    // Head and zeros are flushed before the first record is written.
    Ok(window.nonzero(HEAD_LEN).while_doing(Action::Read, &name)?.is_none())
}

/// Reads the head of a segment, which has to follow the record before it, if that is known.
pub(crate) fn read_head<F: File>(
    window: &mut Window<F>,
    start: u64,
    before: Option<Link>,
) -> Result<Head, Error> {
    let name = segment::name(start);
    let bytes = window.bytes(0, HEAD_LEN as usize).while_doing(Action::Read, &name)?;
    let damaged = |damage| Error::Damaged { segment: name.clone(), offset: 0, damage };
    let head = Head::decode(bytes).map_err(damaged)?;
    let follows = before.is_none_or(|link| (link.seq, link.checksum) == (head.seq, head.previous));
    if head.start == start && follows { Ok(head) } else { Err(damaged(Damage::Chain)) }
}

/// Checks a segment that another one follows: all its records were flushed before that one was made.
fn check_closed<D: Disk>(disk: &D, start: u64, next: u64, before: Option<Link>) -> Result<Link, Error> {
    let name = segment::name(start);
    let file = disk.open_read(&name).while_doing(Action::Open, &name)?;
    let mut window = Window::new(&file, HEAD_LEN + (next - start), Unreadable::Fails);
    let head = read_head(&mut window, start, before)?;
    let mut window = window.behind(head.link().head);
    let extent = extent(&mut window, start, head.link()).while_doing(Action::Read, &name)?;
    if start + extent.end - HEAD_LEN == next {
        return Ok(extent.link);
    }
    Err(Error::Damaged { segment: name, offset: extent.bad_at, damage: extent.damage })
}

type Last<F> = (Tail<F>, Extent, Option<Cut>, u64);

/// Checks the last segment, whose end may be torn.
fn check_last<D: Disk>(
    disk: &D,
    start: u64,
    before: Option<Link>,
    proven: u64,
    mode: Mode,
) -> Result<Last<D::File>, Error> {
    let name = segment::name(start);
    let opened = if mode == Mode::Write { disk.open(&name) } else { disk.open_read(&name) };
    let file = opened.while_doing(Action::Open, &name)?;
    let file_len = file.len().while_doing(Action::Read, &name)?;
    let mut window = Window::new(&file, file_len, Unreadable::Fails);
    let head = read_head(&mut window, start, before)?;
    let mut window = window.behind(head.link().head);
    let extent = extent(&mut window, start, head.link()).while_doing(Action::Read, &name)?;
    let proven = proven.max(extent.flushed);
    let end = start + extent.end - HEAD_LEN;
    let damaged = |damage| Err(Error::Damaged { segment: name.clone(), offset: extent.bad_at, damage });
    let rest = window.nonzero(extent.end).while_doing(Action::Read, &name)?;
    if end < proven {
        return damaged(if rest.is_some() { extent.damage } else { Damage::Short });
    }
    if rest.is_some() && has_witness(&mut window, start, &extent).while_doing(Action::Read, &name)? {
        return damaged(extent.damage);
    }
    if rest.is_some() && planted::is(Bug::TornTailIsDamage) {
        return damaged(extent.damage);
    }
    if let Some((_, last)) = rest.filter(|_| planted::is(Bug::KeepTornTail)) {
        let written = last - HEAD_LEN;
        return Ok((Tail { name, head, file, written, buffer: Vec::new(), file_len }, extent, None, proven));
    }
    let cut = rest.map(|(_, last)| Cut { segment: name.clone(), offset: extent.end, len: last - extent.end });
    let written = extent.end - HEAD_LEN;
    Ok((Tail { name, head, file, written, buffer: Vec::new(), file_len }, extent, cut, proven))
}

/// Whether a later record knows that the bad one was flushed: then it is damage, and without one it is a torn
/// tail.
fn has_witness<F: File>(window: &mut Window<F>, start: u64, extent: &Extent) -> io::Result<bool> {
    let end = start + extent.end - HEAD_LEN;
    let witness = window.search(extent.bad_at + 1, |offset, header| {
        let position = start + offset - HEAD_LEN;
        header.flushed > end && header.flushed <= position && header.seq >= extent.link.seq
    });
    Ok(witness?.is_some())
}

impl<F: File> Found<F> {
    /// Makes what is kept durable, and what is cut unreadable for ever.
    ///
    /// The cache may show bytes that the disk lacks, and a flush that failed before has marked them clean:
    /// everything above the proven position is written again, so that this flush covers it.
    pub(crate) fn settle<D: Disk<File = F>>(&mut self, disk: &D, opens: u64) -> Result<(), Error> {
        if let Some(name) = &self.unfinished {
            disk.remove(name).while_doing(Action::Remove, name)?;
        }
        self.write_again()?;
        self.clear_tail()?;
        if self.extent.last_kind != Some(KIND_OPEN) || self.cut.is_some() {
            let label = Label { kind: KIND_OPEN, part: PART_WHOLE, flushed: self.proven };
            record::encode(&mut self.tail.buffer, &mut self.extent.link, label, &opens.to_be_bytes());
        }
        self.tail.flush()?;
        disk.flush_dir("").while_doing(Action::Flush, ".")
    }

    fn write_again(&self) -> Result<(), Error> {
        let tail = &self.tail;
        let known = self.proven.saturating_sub(tail.head.start);
        let mut offset = if known == 0 { 0 } else { HEAD_LEN + known };
        let mut window = Window::new(&tail.file, HEAD_LEN + tail.written, Unreadable::Fails);
        while offset < window.limit() {
            let bytes = window.bytes(offset, 256 << 10).while_doing(Action::Read, &tail.name)?;
            tail.file.write_all_at(bytes, offset).while_doing(Action::Write, &tail.name)?;
            offset += bytes.len() as u64;
        }
        Ok(())
    }

    fn clear_tail(&self) -> Result<(), Error> {
        let Some(cut) = &self.cut else { return Ok(()) };
        let (mut offset, end) = (cut.offset, cut.offset + cut.len);
        while offset < end {
            let zeros = vec![0; (end - offset).min(256 << 10) as usize];
            self.tail.file.write_all_at(&zeros, offset).while_doing(Action::Write, &cut.segment)?;
            offset += zeros.len() as u64;
        }
        Ok(())
    }
}
