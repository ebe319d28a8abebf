//! The commits that a peer lacks, one after another: the most urgent first, each after what it needs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use crdt::{Class, Commit, CommitId, Dot, WriterId};
use disk::Disk;
use planted::Bug;
use wal::Position;

use crate::error::Error;
use crate::replica::Replica;
use crate::tail::Place;

/// Which of the commits that a peer lacks goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The most urgent.
    Urgency,
    /// The most urgent, and then the rest of what a seal covers of which something is taken.
    Sealing,
    /// Of what others wrote the oldest in the log, where every received unit lies in one piece, its seals at its end.
    Log,
}

/// What a peer lacks of the visible tail.
///
/// Within a class the order is that of the log, which is causal. Across classes deps point only towards the more urgent;
/// an urgent commit that supersedes a less urgent dot drags that along. So each commit is ready on arrival.
pub(crate) struct Lacking<'a, D: Disk> {
    replica: &'a Replica<D>,
    /// How far the peer will have each writer that lacks something, with what was taken. All that is visible of the others,
    /// it has.
    sent: BTreeMap<WriterId, u64>,
    /// The last commits to send; none: all that is visible.
    tips: Option<BTreeMap<WriterId, (u64, CommitId)>>,
    order: Order,
    /// The next commit of each writer, with its class where that counts. An entry is stale once that commit was dragged
    /// along by another.
    queue: BinaryHeap<Reverse<(Option<Class>, Position, WriterId)>>,
    /// Commits that are wanted, each for the one before it.
    path: Vec<Dot>,
    /// Those of them that wait for others, already read.
    waiting: BTreeMap<Dot, Arc<Commit>>,
    next: Option<(Arc<Commit>, Place)>,
}

impl<'a, D: Disk> Lacking<'a, D> {
    /// Everything above what the peer has. A writer that it does not name, it has up to the base.
    pub(crate) fn new(replica: &'a Replica<D>, peer: &BTreeMap<WriterId, u64>, order: Order) -> Self {
        let mut lacking = Self {
            replica,
            sent: BTreeMap::new(),
            tips: None,
            order,
            queue: BinaryHeap::new(),
            path: Vec::new(),
            waiting: BTreeMap::new(),
            next: None,
        };
        // Both are in the order of the writers: one walk, since of many writers few have anything new.
        let mut known = peer.iter().peekable();
        for (writer, tail) in replica.tail.writers() {
            while known.next_if(|(before, _)| *before < writer).is_some() {}
            let known = known.next_if(|(at, _)| *at == writer).map_or(0, |(_, seq)| *seq);
            let has = known.max(tail.first() - 1);
            if tail.visible().is_some_and(|(visible, _)| has < visible) {
                lacking.sent.insert(*writer, has);
                lacking.queue(writer);
            }
        }
        lacking
    }

    /// Nothing beyond these, which need nothing that is.
    pub(crate) fn up_to(self, tips: BTreeMap<WriterId, (u64, CommitId)>) -> Self {
        Self { tips: Some(tips), ..self }
    }

    /// The next commit, and where it lies.
    pub(crate) fn peek(&mut self) -> Result<Option<&(Arc<Commit>, Place)>, Error> {
        while self.next.is_none() {
            let Some(wanted) = self.path.last().copied().or_else(|| self.first()) else { return Ok(None) };
            self.approach(wanted)?;
        }
        Ok(self.next.as_ref())
    }

    /// Takes the next commit.
    pub(crate) fn take(&mut self) -> Option<(Arc<Commit>, Place)> {
        let (commit, place) = self.next.take()?;
        let Dot { writer, seq } = commit.dot();
        self.sent.insert(writer, seq);
        self.queue(&writer);
        Some((commit, place))
    }

    /// Unless something waits for what was taken, the next of this writer is next.
    pub(crate) fn prefer(&mut self, writer: &WriterId) {
        if self.waiting.is_empty() {
            self.path.extend(self.next_of(writer).map(|(seq, _)| Dot::new(*writer, seq)));
        }
    }

    /// Whether anything is lacking that was not taken.
    pub(crate) fn is_any(&self) -> bool {
        self.sent.keys().any(|writer| self.next_of(writer).is_some())
    }

    /// One step towards a wanted commit: it is there, or the commit before it is next, or what that needs is wanted first.
    fn approach(&mut self, wanted: Dot) -> Result<(), Error> {
        let next = self.next_of(&wanted.writer).filter(|(seq, _)| *seq <= wanted.seq);
        let Some((seq, place)) = next else {
            self.path.pop();
            return Ok(());
        };
        let dot = Dot::new(wanted.writer, seq);
        let commit = match self.waiting.remove(&dot) {
            Some(commit) => commit,
            None => Arc::new(self.replica.read_commit(place)?),
        };
        let needed = commit.needs().find(|needed| self.lacks(needed)).copied();
        match needed {
            Some(needed) => {
                self.waiting.insert(dot, commit);
                self.path.push(needed);
            }
            None => self.next = Some((commit, place)),
        }
        Ok(())
    }

    /// The most urgent writer's next commit.
    fn first(&mut self) -> Option<Dot> {
        loop {
            let Reverse((_, position, writer)) = self.queue.pop()?;
            match self.next_of(&writer) {
                Some((seq, place)) if place.position == position => {
                    let dot = Dot::new(writer, seq);
                    self.path.push(dot);
                    return Some(dot);
                }
                _ => {}
            }
        }
    }

    fn lacks(&self, dot: &Dot) -> bool {
        // What is no part of the tail, the base covers; and the peer has a base as new.
        self.next_of(&dot.writer).is_some_and(|(seq, _)| seq <= dot.seq)
    }

    fn next_of(&self, writer: &WriterId) -> Option<(u64, Place)> {
        let seq = self.sent.get(writer)?.checked_add(1)?;
        let tail = self.replica.tail.writer(writer)?;
        let (visible, _) = tail.visible()?;
        // What nothing vouches for goes no further than its author brings it.
        let last = if self.replica.is_own(writer) { visible } else { visible.min(tail.sealed()) };
        let tip = self.tips.as_ref().map(|tips| tips.get(writer).map_or(0, |(seq, _)| *seq));
        let last = tip.map_or(last, |tip| tip.min(last));
        if seq <= last { tail.place(seq).map(|place| (seq, place)) } else { None }
    }

    fn queue(&mut self, writer: &WriterId) {
        if self.order == Order::Log && self.replica.is_own(writer) {
            // Sealed whenever it goes, it never has to go in this order: only where something needs it.
            return;
        }
        let Some((_, place)) = self.next_of(writer) else { return };
        let class = writer.class().filter(|_| self.order != Order::Log && !planted::is(Bug::LogOrder));
        self.queue.push(Reverse((class, place.position, *writer)));
    }
}
