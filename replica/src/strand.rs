//! Stretches of writers' histories as headers, from the log or, for what a Handle covers, from the archive.

use std::collections::BTreeMap;

use crdt::{CommitId, Header, Seal, Strand, WriterId};
use disk::Disk;
use sync::frame::Shown;
use wal::Position;

use crate::accept::Seen;
use crate::error::Error;
use crate::folder::ARCHIVE;
use crate::record::Record;
use crate::replica::Replica;
use crate::tail::WriterTail;

/// Most commits between two seals of what leaves a device, and so between any commit and the next seal.
pub(crate) const STRETCH_MAX: u64 = 256;

impl<D: Disk> Replica<D> {
    /// The visible history of a writer from a commit up to the next seal, where its headers are still here.
    pub(crate) fn strand_from(&self, writer: &WriterId, from: u64) -> Result<Option<Shown>, Error> {
        if writer.is_home()
            || from == 0
            || self.located(writer, from, Seen::Visible)? == sync::Located::Absent
        {
            return Ok(None);
        }
        let found = match self.tail.writer(writer).filter(|tail| tail.first() <= from) {
            Some(tail) => self.in_tail(writer, tail, from)?,
            None => self.in_archive(writer, from)?,
        };
        let Some(strand) = found else { return Ok(None) };
        let Some(public) = self.public_key(writer, &strand.headers)? else { return Ok(None) };
        Ok(Some(Shown { public, strand }))
    }

    /// The key that a writer's seals verify with. A device that has no grant any more has said it in its first commit.
    fn public_key(&self, writer: &WriterId, headers: &[Header]) -> Result<Option<[u8; 32]>, Error> {
        if self.is_own(writer) {
            return Ok(Some(self.device.public()));
        }
        let grant = self.pending.cuts()?.grant(&writer.device())?.map(|grant| grant.public);
        let opened = headers[0].open.as_ref().map(|open| open.device_key);
        Ok(grant.or(opened))
    }

    fn in_tail(&self, writer: &WriterId, tail: &WriterTail, from: u64) -> Result<Option<Strand>, Error> {
        let Some((visible, _)) = tail.visible() else { return Ok(None) };
        let last = match self.is_own(writer) {
            true => visible.min(from + STRETCH_MAX - 1),
            false => match tail.next_seal(from).filter(|seq| *seq <= visible) {
                Some(seq) => seq,
                None => return Ok(None),
            },
        };
        let headers = (from..=last)
            .filter_map(|seq| tail.place(seq))
            .map(|place| Ok(self.read_commit(place)?.header().clone()));
        let headers = headers.collect::<Result<Vec<_>, Error>>()?;
        let Some(tip) = headers.last().map(Header::id) else { return Ok(None) };
        Ok(Some(self.vouch(writer, last, tip)?.extend(headers)))
    }

    /// From what the log still holds below the base, and from the segments that it let go.
    fn in_archive(&self, writer: &WriterId, from: u64) -> Result<Option<Strand>, Error> {
        let mut past = Past::new(*writer, from);
        wal::survey(&self.disk.within(ARCHIVE), Position(0), |entry| past.visit(entry))?;
        for entry in self.log.entries(self.log.start()) {
            past.visit(entry?);
        }
        let Some(base) = self.pending.base_tip(writer)? else { return Ok(None) };
        let headers = past.chain(base.id);
        if headers.first().is_none_or(|first| first.seq != from) {
            return Ok(None);
        }
        self.end_at_seal(writer, headers, &past.seals)
    }

    fn end_at_seal(
        &self,
        writer: &WriterId,
        mut headers: Vec<Header>,
        seals: &BTreeMap<CommitId, Seal>,
    ) -> Result<Option<Strand>, Error> {
        let Some((last, id)) = headers.last().map(|header| (header.seq, header.id())) else {
            return Ok(None);
        };
        if self.is_own(writer) {
            return Ok(Some(self.vouch(writer, last, id)?.extend(headers)));
        }
        let sealed = headers.iter().position(|header| seals.contains_key(&header.id()));
        let Some(sealed) = sealed else { return Ok(None) };
        headers.truncate(sealed + 1);
        let seal = seals[&headers[sealed].id()].clone();
        Ok(Some(Strand { headers, seal }))
    }
}

/// What old segments hold of one writer, from one of its commits on.
struct Past {
    writer: WriterId,
    from: u64,
    /// Those near enough to be shown.
    headers: BTreeMap<CommitId, Header>,
    /// The predecessor of each commit, to tell which of two under one dot the base covers.
    links: BTreeMap<CommitId, CommitId>,
    seals: BTreeMap<CommitId, Seal>,
}

impl Past {
    fn new(writer: WriterId, from: u64) -> Self {
        let (headers, links, seals) = Default::default();
        Self { writer, from, headers, links, seals }
    }

    fn visit(&mut self, entry: wal::Entry) {
        // What is no record of this version is nothing that could be shown.
        let Ok(record) = Record::decode(entry.position, entry.kind, &entry.payload) else { return };
        if let Record::Seal(seal) = &record {
            if seal.writer == self.writer && seal.seq >= self.from {
                self.seals.insert(seal.tip, seal.clone());
            }
            return;
        }
        if let Record::Strand(strand) = &record {
            if strand.writer() == self.writer {
                self.seals.insert(strand.seal.tip, strand.seal.clone());
                strand.headers.iter().for_each(|header| self.visit_header(header, header.id()));
            }
            return;
        }
        let Some(commit) = record.commit() else { return };
        self.visit_header(commit.header(), commit.id());
    }

    fn visit_header(&mut self, header: &Header, id: CommitId) {
        if header.writer != self.writer || header.seq < self.from {
            return;
        }
        self.links.insert(id, header.prev);
        if header.seq < self.from + STRETCH_MAX {
            self.headers.insert(id, header.clone());
        }
    }

    /// The commits that lead to `tip`, as far as they are to be shown, in order.
    fn chain(&self, tip: CommitId) -> Vec<Header> {
        let mut headers = Vec::new();
        let mut next = tip;
        while let Some(prev) = self.links.get(&next) {
            headers.extend(self.headers.get(&next).cloned());
            next = *prev;
        }
        headers.reverse();
        headers
    }
}
