//! I18: what the author reads is the same before a cut and after what was cut is written again, and at most one such
//! writing of it is anchored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crdt::view::counter;
use crdt::view::lww::Live;
use crdt::{Commit, Dot, Payload, Supersede, WriterId};
use disk::MemoryDisk;
use replica::{Item, ItemKind, Replica};
use sync::Store;

use super::{Look, Verdict, breach};
use crate::book::{Book, Place, Vector, is_held};

/// What that depends on: as long as it is the same, the same is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AsOf {
    version: u64,
    tail: u64,
    drops: u64,
    is_damaged: bool,
    known: (usize, usize),
}

impl AsOf {
    /// Of a replica.
    pub fn of(replica: &Replica<MemoryDisk>, book: &Book) -> AsOf {
        AsOf {
            version: replica.base().version,
            tail: replica.tail_change(),
            drops: replica.drops(),
            is_damaged: replica.is_damaged(),
            known: (book.writers().size_hint().0, book.removed.len()),
        }
    }
}

/// What a replica held before it may have adopted something.
#[derive(Clone)]
pub struct Held {
    version: u64,
    /// What waits for its flush, too: that is written again as well. None where nobody was ever taken out.
    seen: Option<Arc<Vector>>,
    /// Its own device was taken out at some time.
    was_out: bool,
}

impl Held {
    /// Of a replica; what it holds, where somebody was taken out at some time.
    pub fn of(replica: &Replica<MemoryDisk>, book: &Book) -> Held {
        let is_concerned = !book.removed.is_empty() && !replica.is_stopped();
        let held = |writer: &WriterId| replica.pending_seq(writer).unwrap_or_default();
        let was_out = book.removed.contains(&replica.device().id());
        Held {
            version: replica.base().version,
            seen: is_concerned.then(|| Arc::new(vector(book, held))),
            was_out,
        }
    }

    /// What it held; none where nothing can have been cut.
    pub fn seen(&self) -> Option<&Vector> {
        self.seen.as_deref()
    }

    /// Whether a replica has adopted something since.
    pub fn is_past(&self, replica: &Replica<MemoryDisk>) -> bool {
        replica.base().version != self.version
    }

    /// Compares what is read now with what would be, had nothing of its own been cut.
    pub fn compare(&self, name: &str, replica: &Replica<MemoryDisk>, book: &Book) -> Verdict {
        let Some(before) = self.seen().filter(|_| self.was_out) else { return Ok(()) };
        // As readers see it: what came after the adoption waits for its flush.
        let now = vector(book, |writer| replica.seen(writer));
        let is_cut = |(writer, seq): &(&WriterId, &u64)| now.get(writer).is_none_or(|now| now < seq);
        let cut: Vec<WriterId> = before.iter().filter(is_cut).map(|(writer, _)| *writer).collect();
        let device = replica.device().id();
        if cut.iter().all(|writer| writer.device() != device) {
            return Ok(());
        }
        // A disk that fails now fails the replica, not this check.
        let Ok(inbox) = replica.inbox() else { return Ok(()) };
        // What is not written again has its content in the inbox, and so has what was, where the next Handle cut that at once.
        let of_another = |commit: &Commit| Some(commit.header().open.as_ref()?.reissues?.0);
        // An earlier branch of a writer, which lies there since before, says nothing of what was cut now.
        let is_cut_now = |dot: &Dot| is_held(before, dot) && !is_held(&now, dot);
        let of_itself = |commit: &Commit| Some(commit.dot()).filter(is_cut_now).map(|dot| dot.writer);
        let set_aside = inbox.iter().filter_map(|item| item.commit.as_ref());
        let aside: BTreeSet<WriterId> =
            set_aside.flat_map(|commit| [of_itself(commit), of_another(commit)]).flatten().collect();
        let mut uncut = now.clone();
        for writer in cut.iter().filter(|writer| writer.device() == device && !aside.contains(writer)) {
            uncut.insert(*writer, before[writer]);
        }
        let mut unlike = unlike(book, before, &now, replica);
        unlike.extend(came_and_went(book, before, &now, &inbox));
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
            let winner = read.map(|read| read.winner);
            let winners = expected.get(place).map_or(Vec::new(), |live| winners(book, live));
            let is_among = |winner: &Live| winners.iter().any(|(_, payload)| **payload == winner.payload);
            if winner.as_ref().map_or(!winners.is_empty(), |winner| !is_among(winner)) {
                let key = crdt::key::display(&place.1);
                let by = winner.map_or("nothing".to_owned(), |winner| format!("what {} wrote", winner.dot));
                let dots: Vec<String> = winners.iter().map(|(dot, _)| dot.to_string()).collect();
                let cut: Vec<String> = cut.iter().map(ToString::to_string).collect();
                let what = format!(
                    "{name} reads {by} at {key} where what it wrote was cut and written again, not what {} wrote; cut were {}",
                    dots.join(" or "),
                    cut.join(", ")
                );
                return Err(breach("I18", what));
            }
        }
        Ok(())
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

/// Places where more has changed: what others wrote was cut, too, or what came removes what was cut.
fn unlike(book: &Book, before: &Vector, now: &Vector, replica: &Replica<MemoryDisk>) -> BTreeSet<Place> {
    let device = replica.device().id();
    let is_cut = |dot: &Dot| is_held(before, dot) && !is_held(now, dot);
    let mut unlike = BTreeSet::new();
    for commit in book.commits() {
        let dot = commit.dot();
        let is_foreign = is_cut(&dot) && dot.writer.device() != device;
        let is_news = is_held(now, &dot) && !is_held(before, &dot);
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

/// Places of what another copy of the device wrote, that came in this very step, was cut, and was written again here.
fn came_and_went(book: &Book, before: &Vector, now: &Vector, inbox: &[Item]) -> BTreeSet<Place> {
    let is_here = |dot: &Dot| is_held(before, dot) || is_held(now, dot);
    let again = inbox.iter().filter(|item| item.kind == ItemKind::Reissued && !is_here(&item.dot));
    let mut places = BTreeSet::new();
    for first in again.map(|item| item.dot) {
        let of_it = book.commits().filter(|it| it.dot().writer == first.writer && it.dot().seq >= first.seq);
        // Where it is from an earlier step, what took its place was held before this one.
        let was_again = |it: &&Arc<Commit>| book.successors(it, &[]).any(|next| is_held(before, &next.dot()));
        let new = of_it.filter(|it| !was_again(it));
        places.extend(new.flat_map(|it| it.body().mutations.iter().map(|to| (to.coll, to.key.clone()))));
    }
    places
}

fn vector(book: &Book, held: impl Fn(&WriterId) -> u64) -> Vector {
    book.writers().map(|writer| (*writer, held(writer))).filter(|(_, seq)| *seq > 0).collect()
}

/// What may win: the latest, of which there may be several of one time.
fn winners<'a>(book: &Book, live: &[(Dot, &'a Payload)]) -> Vec<(Dot, &'a Payload)> {
    let time = |dot: &Dot| book.commit(dot).map(|commit| commit.header().hlc);
    let latest = live.iter().map(|(dot, _)| time(dot)).max();
    live.iter().filter(|(dot, _)| Some(time(dot)) == latest).copied().collect()
}
