//! I19: a commit never waits for a less urgent one that it does not need.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{Class, Commit, Dot, WriterId};
use disk::MemoryDisk;
use replica::Replica;
use sync::{Frame, Store};

use super::{Verdict, breach};
use crate::book::{Book, Vector, is_held};

/// What a commit depends on is of its class or a more urgent one.
pub fn depends(name: &str, commit: &Commit) -> Verdict {
    let dot = commit.dot();
    let class = dot.writer.class();
    match commit.body().deps.iter().find(|dep| dep.writer.class() > class) {
        Some(dep) => Err(breach("I19", format!("{name} let {dot} depend on {dep}, which is less urgent"))),
        None => Ok(()),
    }
}

/// In a unit that is sent, a less urgent commit goes before a more urgent one only if something more urgent needs it,
/// in this unit or in the next.
pub fn sent(name: &str, book: &Book, commits: &[std::sync::Arc<Commit>]) -> Verdict {
    let mut needed = BTreeSet::<Dot>::new();
    let mut most_urgent = None;
    for commit in commits.iter().rev() {
        let dot = commit.dot();
        let class = dot.writer.class();
        if most_urgent.is_some_and(|urgent| class > urgent) && !needed.contains(&dot) && !book.is_urgent(&dot)
        {
            return Err(breach(
                "I19",
                format!("{name} sends {dot} before more urgent commits that do not need it"),
            ));
        }
        most_urgent = Some(most_urgent.map_or(class, |urgent: Option<crdt::Class>| urgent.min(class)));
        needed.extend(commit.needs().copied());
        if dot.seq > 1 {
            needed.insert(Dot::new(dot.writer, dot.seq - 1));
        }
    }
    Ok(())
}

/// What one end of a conversation has sent of its machine's writers, and what was ready while something less urgent went.
///
/// Only writers of its own: what it hands on of others, a copy of its folder included, waits for their seals. After a refusal or a proof nothing is said of
/// what is ready, nor once the peer says anew what it has, nor after a unit that was not read here.
#[derive(Default)]
pub struct Line {
    sent: Vector,
    /// How far each of its own writers was ready when the unit that is under way was put together.
    ready: Option<Vector>,
    /// How far a writer was ready when a less urgent commit went, and that one.
    passed: BTreeMap<WriterId, (u64, Dot)>,
    is_over: bool,
}

/// What a frame that has arrived changes in what its hearer sends, and when, whether it is true, or comes twice, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    Nothing,
    /// Some of it is not taken, or disputed.
    Refused,
    /// The peer says what it has: before anything was sent, as every talk begins, or anew.
    Anew,
}

impl News {
    /// Of a frame.
    pub fn of(frame: Option<&Frame>) -> News {
        match frame {
            Some(Frame::Nack(_) | Frame::Fork(_)) => News::Refused,
            Some(Frame::Cover(_) | Frame::Open(_)) => News::Anew,
            _ => News::Nothing,
        }
    }
}

impl Line {
    /// Nothing more is to be said of it.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// Something has arrived. Who says anew what it has is sent anew what it lacks.
    pub fn hears(&mut self, news: News) {
        self.is_over |= match news {
            News::Nothing => false,
            News::Refused => true,
            News::Anew => !self.sent.is_empty(),
        };
    }

    /// The values of a unit go before its commits.
    pub fn begins(&mut self, book: &Book, machine: usize, replica: &Replica<MemoryDisk>) {
        if !self.is_over {
            self.ready.get_or_insert_with(|| ready(book, machine, replica));
        }
    }

    /// A unit goes. What it brings for the first time, and could have gone before something less urgent that went, waited.
    pub fn sends(
        &mut self,
        name: &str,
        book: &Book,
        machine: usize,
        replica: &Replica<MemoryDisk>,
        commits: &[std::sync::Arc<Commit>],
    ) -> Verdict {
        if self.is_over {
            return Ok(());
        }
        let ready = self.ready.take().unwrap_or_else(|| ready(book, machine, replica));
        let fresh: Vec<Dot> =
            commits.iter().map(|commit| commit.dot()).filter(|dot| !is_held(&self.sent, dot)).collect();
        for dot in &fresh {
            if let Some((_, before)) = self.passed.get(&dot.writer).filter(|(seq, _)| dot.seq <= *seq) {
                let what = format!(
                    "{name} sends {dot}, which was ready when {before} went, in another unit: that is less urgent, and nothing urgent needs it"
                );
                return Err(breach("I19", what));
            }
        }
        for commit in commits {
            let sent = self.sent.entry(commit.dot().writer).or_default();
            *sent = commit.dot().seq.max(*sent);
        }
        let carried = carried(book, machine, commits);
        for (writer, seq) in ready {
            let waits = !is_held(&self.sent, &Dot::new(writer, seq)) && !self.passed.contains_key(&writer);
            let less_urgent = |dot: &&Dot| dot.writer.class() > writer.class() && !carried.contains(*dot);
            if !waits {
                continue;
            }
            if let Some(before) = fresh.iter().find(less_urgent) {
                self.passed.insert(writer, (seq, *before));
            }
        }
        Ok(())
    }
}

/// What of a unit something urgent carries along: what that needs, and of what others wrote the rest up to the seal, without
/// which none of it could go.
fn carried(book: &Book, machine: usize, commits: &[std::sync::Arc<Commit>]) -> BTreeSet<Dot> {
    let mut carried: BTreeSet<Dot> =
        commits.iter().map(|commit| commit.dot()).filter(|dot| book.is_urgent(dot)).collect();
    loop {
        let before = carried.len();
        for commit in commits {
            let Dot { writer, seq } = commit.dot();
            let is_begun = book.machine_of(&writer) != Some(machine)
                && carried.range(Dot::new(writer, 0)..Dot::new(writer, seq)).next().is_some();
            if is_begun || carried.contains(&commit.dot()) {
                carried.insert(commit.dot());
                carried.extend(commit.needs().copied());
                carried.extend((seq > 1).then(|| Dot::new(writer, seq - 1)));
            }
        }
        if carried.len() == before {
            return carried;
        }
    }
}

/// How far the writers that a machine opened are visible there, but for the least urgent, which nothing passes.
fn ready(book: &Book, machine: usize, replica: &Replica<MemoryDisk>) -> Vector {
    let tail = replica.tail().into_iter().map(|(writer, seq, _)| (writer, seq));
    let is_own = |writer: &WriterId| book.machine_of(writer) == Some(machine) && !writer.is_home();
    tail.filter(|(writer, _)| is_own(writer) && writer.class() < Some(Class::Bulk)).collect()
}
