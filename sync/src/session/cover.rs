//! Who has what: Opens and Covers, and the comparison of tips that finds forks.

use std::collections::BTreeMap;

use crdt::{CommitId, Time, WriterId};
use planted::Bug;

use super::Session;
use super::peer::{Opening, ROW_LEN, WRITERS_MAX};
use crate::frame::{Cover, CoverRow, Mode, Open, ROWS_MAX, Yours};
use crate::store::{Located, TailRow};
use crate::{Error, Frame, Store};

/// How far our own greeting is.
#[derive(Debug)]
pub(super) struct Greeting {
    step: Step,
    /// The peer has answered every page of our Open: only then is it known what it lacks.
    pub(super) is_covered: bool,
    /// Writers the peer is owed a row for, with the tip it listed, if it did.
    owed: BTreeMap<WriterId, Option<(u64, CommitId)>>,
    /// An Open is owed an answer, even one without rows.
    is_answer_owed: bool,
    pub(super) opened_at: Option<Time>,
    pub(super) rtt_ms: Option<u64>,
}

#[derive(Debug)]
enum Step {
    Hello,
    Open,
    /// A tail of several pages; this much of it is not sent.
    Pages(Vec<TailRow>),
    Done,
}

impl Greeting {
    pub(super) fn new() -> Greeting {
        Greeting {
            step: Step::Hello,
            is_covered: false,
            owed: BTreeMap::new(),
            is_answer_owed: false,
            opened_at: None,
            rtt_ms: None,
        }
    }

    /// Says again what we have; the answer replaces what we believed of the peer.
    pub(super) fn open_again(&mut self) {
        self.step = Step::Open;
    }

    /// Whether every page of our Open is gone.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Bytes kept, roughly.
    pub(super) fn held_len(&self) -> usize {
        self.owed.len() * (ROW_LEN + CommitId::LEN)
    }

    /// The peer is told how far we have this writer, since what it sent of it was dropped.
    pub(super) fn owe(&mut self, writer: WriterId) {
        self.owed.entry(writer).or_insert(None);
    }
}

impl Session {
    /// Hello, and every page of Open.
    pub(super) fn next_greeting(&mut self, now: Time, store: &impl Store) -> Option<Frame> {
        match std::mem::replace(&mut self.greeting.step, Step::Done) {
            Step::Hello => {
                self.greeting.step = Step::Open;
                Some(self.hello(now))
            }
            Step::Open => {
                self.greeting.is_covered = false;
                self.greeting.opened_at = Some(now);
                self.told_base = store.handle().version;
                Some(self.next_page(store.tail(), store))
            }
            Step::Pages(rows) => Some(self.next_page(rows, store)),
            Step::Done => None,
        }
    }

    fn next_page(&mut self, mut tail: Vec<TailRow>, store: &impl Store) -> Frame {
        let rest = tail.split_off(tail.len().min(ROWS_MAX));
        let more = !rest.is_empty();
        if more {
            self.greeting.step = Step::Pages(rest);
        }
        let (space, handle) = (store.space(), store.handle().clone());
        Frame::Open(Open { space, handle, ring_n: store.ring_n(), mode: Mode::Full, tail, more })
    }

    /// A page of the peer's tail: it has these, and is owed a Cover.
    pub(super) fn handle_open(&mut self, now: Time, open: Open, store: &impl Store) -> Result<(), Error> {
        if open.space != store.space() {
            return Err(Error::WrongSpace { theirs: open.space, ours: store.space() });
        }
        let ours = store.handle();
        if open.handle.version == ours.version && open.handle != *ours {
            return Err(Error::HandleConflict { version: ours.version });
        }
        self.peer.heard = Some(open.handle.clone());
        if self.peer.opening != Opening::Begun {
            self.peer.forget_rows();
            self.sender.forget_sent();
        }
        self.peer.mode = open.mode;
        self.peer.ring = self.peer.ring.max(open.ring_n);
        self.raise_base(open.handle.version);
        for (writer, seq, tip) in open.tail {
            self.compare(store, writer, seq, tip);
            self.peer.has_exactly(writer, seq)?;
            self.greeting.owed.insert(writer, Some((seq, tip)));
        }
        if self.greeting.owed.len() > WRITERS_MAX {
            return Err(Error::Flood { what: "writers", max: WRITERS_MAX });
        }
        self.peer.opened(now, open.more);
        self.greeting.is_answer_owed |= !open.more;
        Ok(())
    }

    /// A page of rows the peer is owed, from what is visible now.
    pub(super) fn next_cover(&mut self, store: &impl Store) -> Option<Frame> {
        let greeting = &mut self.greeting;
        if greeting.owed.is_empty() && !greeting.is_answer_owed {
            return None;
        }
        let page = take_first(&mut greeting.owed, ROWS_MAX);
        let more = !greeting.owed.is_empty();
        greeting.is_answer_owed &= more;
        let rows = page.into_iter().map(|(writer, theirs)| self.row(store, writer, theirs)).collect();
        Some(Frame::Cover(Cover { rows, more }))
    }

    /// How far the peer has what we listed or sent. It may be less than we believed: then that was dropped.
    pub(super) fn handle_cover(&mut self, now: Time, cover: Cover, store: &impl Store) -> Result<(), Error> {
        let mut is_dropped = false;
        for row in cover.rows {
            if row.yours == Yours::Fork {
                // At the commit that was listed, which is no later than the last on either side.
                self.dispute(store, row.writer, row.seq.min(store.seen(&row.writer)));
            }
            if let Some(tip) = row.tip {
                self.compare(store, row.writer, row.seq, tip);
            }
            self.peer.has_exactly(row.writer, row.seq)?;
            is_dropped |= self.sender.restart_writer(row.writer, row.seq);
        }
        if is_dropped {
            self.sender.pause(now);
        }
        if !cover.more {
            self.greeting.is_covered = true;
            let opened_at = self.greeting.opened_at.take();
            self.greeting.rtt_ms = opened_at.map(|at| now.since(at)).or(self.greeting.rtt_ms);
        }
        Ok(())
    }

    /// Same place, other id: a fork, never a merge.
    fn compare(&mut self, store: &impl Store, writer: WriterId, seq: u64, tip: CommitId) {
        if matches!(self.locate(store, &writer, seq), Located::Id(id) if !is_same(id, tip)) {
            self.dispute(store, writer, seq);
        }
    }

    fn row(&mut self, store: &impl Store, writer: WriterId, theirs: Option<(u64, CommitId)>) -> CoverRow {
        let seq = store.seen(&writer);
        let tip = match store.locate(&writer, seq) {
            Located::Id(id) => Some(id),
            Located::Unknown | Located::Absent => None,
        };
        let yours = match theirs.map(|(seq, tip)| (self.locate(store, &writer, seq), tip)) {
            Some((Located::Id(id), tip)) if is_same(id, tip) => Yours::Same,
            Some((Located::Id(_), _)) => Yours::Fork,
            Some((Located::Unknown | Located::Absent, _)) | None => Yours::Unknown,
        };
        CoverRow { writer, seq, tip, yours }
    }

    /// What is known about a place in a writer's chain. A base that covers more of the peer's own writer than the peer has
    /// is worth a look into the archive: the peer was restored, or runs twice.
    fn locate(&mut self, store: &impl Store, writer: &WriterId, seq: u64) -> Located {
        let located = store.locate(writer, seq);
        let is_authors = located == Located::Unknown && writer.device() == self.local.peer;
        if !is_authors || !self.forks.may_look_back() {
            return located;
        }
        let shown = store.strand(writer, seq).and_then(|shown| shown.strand.id(seq));
        shown.map_or(located, Located::Id)
    }
}

/// Whether two tails that are as long are one.
fn is_same(one: CommitId, other: CommitId) -> bool {
    one == other || planted::is(Bug::VectorsWithoutTips)
}

fn take_first<V>(map: &mut BTreeMap<WriterId, V>, count: usize) -> BTreeMap<WriterId, V> {
    match map.keys().nth(count).copied() {
        Some(next) => {
            let rest = map.split_off(&next);
            std::mem::replace(map, rest)
        }
        None => std::mem::take(map),
    }
}
