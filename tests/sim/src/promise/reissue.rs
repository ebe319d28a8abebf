//! I18: what the author reads is the same before a cut and after what was cut is written again, and at most one such
//! writing of it is anchored.

use std::collections::{BTreeMap, BTreeSet};

use crdt::view::counter;
use crdt::{Dot, Payload, Supersede, WriterId};
use disk::MemoryDisk;
use replica::Replica;
use sync::Store;

use super::{Look, Verdict, breach};
use crate::book::{Book, Place, Vector, is_held};

/// What a replica held before it may have adopted something.
pub struct Held {
    version: u64,
    seen: Vector,
}

impl Held {
    /// Of a replica whose device was taken out at some time; of others nothing is cut. What waits for its flush is written
    /// again, too, and the book does not know it yet: such a replica is looked at the next time.
    pub fn of(replica: &Replica<MemoryDisk>, book: &Book) -> Option<Held> {
        let is_concerned = book.removed.contains(&replica.device().id()) && !replica.is_stopped();
        (is_concerned && replica.is_flushed())
            .then(|| Held { version: replica.base().version, seen: seen(replica, book) })
    }

    /// Compares what is read now with what would be, had nothing of its own been cut.
    pub fn compare(&self, name: &str, replica: &Replica<MemoryDisk>, book: &Book) -> Verdict {
        if replica.is_stopped() || replica.base().version == self.version {
            return Ok(());
        }
        let now = seen(replica, book);
        let is_cut = |(writer, seq): &(&WriterId, &u64)| now.get(writer).is_none_or(|now| now < seq);
        let cut: Vec<WriterId> = self.seen.iter().filter(is_cut).map(|(writer, _)| *writer).collect();
        let device = replica.device().id();
        if cut.iter().all(|writer| writer.device() != device) {
            return Ok(());
        }
        // A disk that fails now fails the replica, not this check.
        let Ok(inbox) = replica.inbox() else { return Ok(()) };
        // What is not written again has its content in the inbox.
        let aside: BTreeSet<WriterId> =
            inbox.iter().filter(|item| item.commit.is_some()).map(|item| item.dot.writer).collect();
        let mut uncut = now.clone();
        for writer in cut.iter().filter(|writer| writer.device() == device && !aside.contains(writer)) {
            uncut.insert(*writer, self.seen[writer]);
        }
        let unlike = self.unlike(book, &now, replica);
        let expected: BTreeMap<&Place, Vec<(Dot, &Payload)>> = book.state(&uncut).into_iter().collect();
        let snapshot = replica.snapshot();
        for place in book.places().filter(|place| !unlike.contains(place)) {
            if place.0.rule().supersede() == Supersede::Own {
                // A sum has no winner.
                let live = snapshot.live(place.0, &place.1).unwrap_or_default();
                let sum = counter::balance(&live).or_else(|| counter::grown(&live));
                let expected = book.deeds.count(place.0, &place.1, &uncut);
                if sum != expected {
                    let key = crdt::key::display(&place.1);
                    let what = format!(
                        "{name} counts {sum:?} at {key} where what it counted was cut and written again, not {expected:?}"
                    );
                    return Err(breach("I18", what));
                }
                continue;
            }
            let Ok(read) = snapshot.read(place.0, &place.1) else { return Ok(()) };
            let winner = read.map(|read| read.winner.payload);
            let winners = expected.get(place).map_or(Vec::new(), |live| winners(book, live));
            if winner.as_ref().map_or(!winners.is_empty(), |winner| !winners.contains(&winner)) {
                let key = crdt::key::display(&place.1);
                let what = format!(
                    "{name} reads {winner:?} at {key} where what it wrote was cut and written again, not {winners:?}"
                );
                return Err(breach("I18", what));
            }
        }
        Ok(())
    }

    /// Places where more has changed: what others wrote was cut, too, or what came removes what was cut.
    fn unlike(&self, book: &Book, now: &Vector, replica: &Replica<MemoryDisk>) -> BTreeSet<Place> {
        let device = replica.device().id();
        let is_cut = |dot: &Dot| is_held(&self.seen, dot) && !is_held(now, dot);
        let mut unlike = BTreeSet::new();
        for commit in book.commits() {
            let dot = commit.dot();
            let is_foreign = is_cut(&dot) && dot.writer.device() != device;
            let is_news = is_held(now, &dot) && !is_held(&self.seen, &dot);
            let is_named = |named: &Dot| is_cut(named);
            let concerned = commit
                .body()
                .mutations
                .iter()
                .filter(|mutation| is_foreign || (is_news && mutation.supersedes.iter().any(is_named)));
            unlike.extend(concerned.map(|mutation| (mutation.coll, mutation.key.clone())));
        }
        unlike
    }
}

/// Whoever went on with a suffix that was cut: of each, one at most is anchored.
pub fn once(home: &Look<'_>) -> Verdict {
    let mut again: BTreeMap<WriterId, WriterId> = BTreeMap::new();
    for commit in home.book.commits().filter(|commit| is_held(&home.seen, &commit.dot())) {
        let opened = commit.header().open.as_ref().and_then(|open| open.reissues.as_ref());
        let Some((of, ..)) = opened else { continue };
        let by = commit.dot().writer;
        if let Some(other) = again.insert(*of, by) {
            let what = format!("{} covers what {of} wrote twice more, by {other} and by {by}", home.name);
            return Err(breach("I18", what));
        }
    }
    Ok(())
}

fn seen(replica: &Replica<MemoryDisk>, book: &Book) -> Vector {
    let writers = book.known().keys();
    writers.map(|writer| (*writer, replica.seen(writer))).filter(|(_, seq)| *seq > 0).collect()
}

/// What may win: the latest, of which there may be several of one time.
fn winners<'a>(book: &Book, live: &[(Dot, &'a Payload)]) -> Vec<&'a Payload> {
    let time = |dot: &Dot| book.commit(dot).map(|commit| commit.header().hlc);
    let latest = live.iter().map(|(dot, _)| time(dot)).max();
    live.iter().filter(|(dot, _)| Some(time(dot)) == latest).map(|(_, payload)| *payload).collect()
}
