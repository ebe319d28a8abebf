//! Reads the entries of an open log in order, each checked again.

use disk::Disk;
use planted::Bug;

use crate::error::While;
use crate::log::Log;
use crate::record::{HEADER_LEN, Header, Link};
use crate::recovery::read_head;
use crate::scan::{Parts, Unreadable, Window};
use crate::segment::{self, HEAD_LEN};
use crate::{Action, Damage, Entry, Error, PAYLOAD_LEN_MAX, Position};

/// Entries from a position to the end of the log. After an error there are no more.
#[derive(Debug)]
pub struct Entries<'a, D: Disk> {
    log: &'a Log<D>,
    position: u64,
    /// Where reading stops: the end of the log, or `position` once something went wrong.
    end: u64,
    source: Option<Source<D::File>>,
    /// What the next record has to follow, once one was read.
    link: Option<Link>,
}

/// The segment that is being read, or the part of it that is not in the file yet.
#[derive(Debug)]
struct Source<F> {
    window: Window<F>,
    start: u64,
    /// Where the next source begins.
    end: u64,
    /// The checksum of the segment's head.
    head: u32,
}

impl<'a, D: Disk> Entries<'a, D> {
    pub(crate) fn new(log: &'a Log<D>, from: Position) -> Entries<'a, D> {
        Entries { log, position: from.0, end: log.end().0, source: None, link: None }
    }

    fn read_next(&mut self) -> Result<Option<Entry>, Error> {
        let mut parts = Parts::default();
        let mut position = self.position;
        let mut payload = Vec::new();
        while self.position < self.end {
            let header = self.read_record(&mut parts, &mut payload)?;
            if !parts.is_complete() {
                continue;
            }
            if header.is_entry() {
                let next = Position(self.position);
                return Ok(Some(Entry { position: Position(position), next, kind: header.kind, payload }));
            }
            payload.clear();
            position = self.position;
        }
        Ok(None)
    }

    /// Takes the record at `self.position` and adds its payload.
    fn read_record(&mut self, parts: &mut Parts, payload: &mut Vec<u8>) -> Result<Header, Error> {
        if self.source.as_ref().is_none_or(|source| self.position >= source.end) {
            self.source = Some(self.open_source()?);
        }
        let source = self.source.as_mut().expect("it was opened just now");
        let offset = HEAD_LEN + self.position - source.start;
        let name = || segment::name(source.start);
        let damaged = |damage| Error::Damaged { segment: name(), offset, damage };
        let read = source.window.record(offset);
        let read = read.while_doing(Action::Read, &name())?;
        if read.is_err()
            && planted::is(Bug::SalvagePastHole)
            && let Some(link) = self.link
            && let Some((at, _)) =
                source.window.after_hole(offset, link).while_doing(Action::Read, &name())?
        {
            (self.position, self.link) = (source.start + at - HEAD_LEN, None);
            (*parts, *payload) = (Parts::default(), Vec::new());
            return self.read_record(parts, payload);
        }
        let header = read.map_err(damaged)?;
        match self.link {
            Some(link) => parts.check(&header, link, self.position).map_err(damaged)?,
            None => parts.check_part(&header).map_err(damaged)?,
        }
        if payload.len() + header.len as usize > PAYLOAD_LEN_MAX {
            return Err(damaged(Damage::Part));
        }
        let record = source.window.payload(offset, &header);
        payload.extend_from_slice(record.while_doing(Action::Read, &name())?);
        self.link = Some(header.link(source.head));
        self.position += HEADER_LEN as u64 + u64::from(header.len);
        if self.position > source.end {
            return Err(damaged(Damage::Chain));
        }
        Ok(header)
    }

    fn open_source(&mut self) -> Result<Source<D::File>, Error> {
        let (start, mut end) = self.log.segment_at(Position(self.position))?;
        let name = segment::name(start);
        let file = self.log.disk().open_read(&name).while_doing(Action::Open, &name)?;
        let tail = self.log.tail();
        let written = tail.head.start + tail.written;
        let mut window = Window::new(file, HEAD_LEN + (end - start), Unreadable::Fails);
        let head = if start == tail.head.start {
            if self.position >= written {
                let rest = tail.buffer[(self.position - written) as usize..].to_vec();
                window = window.holding(HEAD_LEN + self.position - start, rest);
            } else {
                end = written;
            }
            tail.head
        } else {
            read_head(&mut window, start, self.link)?
        };
        if self.position == start {
            self.link = Some(head.link());
        }
        Ok(Source { window: window.behind(head.link().head), start, end, head: head.link().head })
    }
}

impl<D: Disk> Iterator for Entries<'_, D> {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.log.check_alive().and_then(|()| self.read_next());
        if result.is_err() {
            self.end = self.position;
        }
        result.transpose()
    }
}
