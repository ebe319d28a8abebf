//! The promises, each a check with a name in a file of its own, over what a replica shows and what really happened.

pub mod anchored;
pub mod atomic;
pub mod canonical;
pub mod chain;
pub mod classes;
pub mod closure;
pub mod damage;
pub mod expired;
pub mod handle;
pub mod liveness;
pub mod loss;
pub mod moved;
pub mod open;
pub mod poison;
pub mod policies;
pub mod quiescence;
pub mod reissue;
pub mod state;
pub mod truncation;
pub mod writers;

use crdt::{CollId, Dot, Payload};
use disk::MemoryDisk;
use replica::{KeyRange, Order, Replica};
use sync::Store;

use crate::book::{Book, Place, Vector};
use crate::machine::chain;

/// The name of a breach that is no promise's: an assertion of the core or of a check has tripped.
pub const ASSERTION: &str = "an assertion";

/// No promise: a world ends here, since what nobody else had is gone with the disk of a home.
pub const LOST: &str = "lost";

/// What a promise says, in the words of `docs/testing.md`.
pub fn says(promise: &str) -> Option<&'static str> {
    let row = format!("| {promise} | ");
    let row = include_str!("../../../docs/testing.md").lines().find_map(|line| line.strip_prefix(&row))?;
    row.split(" | ").next()
}

/// A promise that was broken: its name in `docs/testing.md`, and which replica, which dot, which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// The name.
    pub promise: &'static str,
    /// What is wrong, and where.
    pub what: String,
}

/// What a check found.
pub type Verdict = Result<(), Breach>;

/// A breach of a promise.
pub fn breach(promise: &'static str, what: impl Into<String>) -> Breach {
    Breach { promise, what: what.into() }
}

/// What the checks look at: one running replica beside the book.
pub struct Look<'a> {
    /// Which replica, for messages.
    pub name: String,
    /// It.
    pub replica: &'a Replica<MemoryDisk>,
    /// What really happened in its space.
    pub book: &'a Book,
    /// How far it holds each writer that ever wrote.
    pub seen: Vector,
    /// What its readers are shown, by key and dot.
    pub shown: Vec<(Place, Vec<(Dot, Payload)>)>,
}

impl<'a> Look<'a> {
    /// Looks at a replica; an error is one that a reader gets.
    pub fn at(
        name: String,
        replica: &'a Replica<MemoryDisk>,
        book: &'a Book,
        colls: impl IntoIterator<Item = CollId>,
    ) -> Result<Look<'a>, replica::Error> {
        let snapshot = replica.snapshot();
        let mut seen = Vector::new();
        for writer in book.known().keys() {
            if let Some(tip) = snapshot.tip(writer)? {
                seen.insert(*writer, tip.seq);
            }
        }
        let mut shown = Vec::new();
        let mut colls: Vec<CollId> = colls.into_iter().collect();
        colls.sort();
        for coll in colls {
            for read in snapshot.scan(coll, &KeyRange::all(), Order::Ascending)? {
                let read = read?;
                let mut live: Vec<(Dot, Payload)> = Vec::with_capacity(1 + read.losers.len());
                for live_dot in read.losers.into_iter().chain([read.winner]) {
                    if let Payload::Blob(_) = &live_dot.payload {
                        snapshot.value(&live_dot.payload)?;
                    }
                    live.push((live_dot.dot, live_dot.payload));
                }
                live.sort_by_key(|(dot, _)| *dot);
                shown.push(((coll, read.key), live));
            }
        }
        Ok(Look { name, replica, book, seen, shown })
    }

    /// Everything that holds of one replica at any time.
    pub fn check(&self) -> Verdict {
        closure::check(self)?;
        self.check_state()?;
        let unread =
            |promise, error| Err(breach(promise, format!("{} cannot be read: {}", self.name, chain(&error))));
        state::check_rows(self).unwrap_or_else(|error| unread("I1", error))?;
        policies::check(self).unwrap_or_else(|error| unread("I21", error))
    }

    /// What holds even where the newest manifest was damaged, so that the folder opened from the one before: commits
    /// in the log may name what only the newer base covered, until it is adopted again.
    pub fn check_damaged(&self) -> Verdict {
        self.check_state()?;
        // A refusal is an honest answer of a folder whose bytes have changed.
        policies::check(self).unwrap_or(Ok(()))
    }

    fn check_state(&self) -> Verdict {
        chain::check(self)?;
        handle::check(self)?;
        state::check(self)?;
        atomic::check(self)
    }

    /// The visible commits above its base, by writer: from the first that no Handle covers to the last.
    pub fn tail(&self) -> impl Iterator<Item = Dot> {
        self.replica.tail().into_iter().filter(|(writer, ..)| !writer.is_home()).flat_map(
            |(writer, last, _)| {
                let first = self.replica.anchored(&writer) + 1;
                (first..=last).map(move |seq| Dot::new(writer, seq))
            },
        )
    }
}
