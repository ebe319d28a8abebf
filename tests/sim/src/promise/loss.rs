//! I3: what was acknowledged is held by whoever acknowledged it, and by everyone in the end; of a device that was taken
//! out it is held, written again, superseded, or in the inbox.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{Commit, Dot, Op, Supersede, WriterId, system};
use disk::MemoryDisk;
use replica::{Grant, Item, ItemKind, Replica};
use sync::{Frame, Store};

use super::{Look, Verdict, breach};
use crate::book::{Book, Owed, Vector, is_held};

/// The machine that acknowledged holds it, now, or says what became of it: it was cut, or something it needs was.
pub fn at_author(look: &Look<'_>, machine: usize) -> Verdict {
    let own = look.book.acknowledged().filter(|(_, author)| *author == Some(machine));
    let lost: Vec<&Dot> = own.map(|(dot, _)| dot).filter(|dot| !is_held(&look.seen, dot)).collect();
    if lost.is_empty() {
        return Ok(());
    }
    let inbox = look.replica.inbox();
    let inbox = inbox.map_err(|error| breach("I3", format!("{} shows no inbox: {error}", look.name)))?;
    for dot in lost {
        if look.book.removed.is_empty() {
            return Err(breach("I3", format!("{} acknowledged {dot} and does not hold it", look.name)));
        }
        if !is_accounted_for(look, &inbox, dot) {
            let what = format!(
                "{} acknowledged {dot}, which was cut, and has it neither in its inbox nor written again",
                look.name
            );
            return Err(breach("I3", what));
        }
    }
    Ok(())
}

/// What a machine acknowledged and does not hold now, since it was cut or something that it needs was.
pub fn dropped(book: &Book, machine: usize, replica: &Replica<MemoryDisk>) -> BTreeSet<Dot> {
    let held: Vector = book.known().keys().map(|writer| (*writer, replica.seen(writer))).collect();
    let own = book.acknowledged().filter(|(_, author)| *author == Some(machine)).map(|(dot, _)| *dot);
    let is_held = |dot: &Dot| is_held(&held, dot);
    let is_cut = |dot: &Dot| is_cut(book, replica, dot);
    own.filter(|dot| !is_held(dot) && book.needs_cut(*dot, is_held, is_cut)).collect()
}

/// What of a machine's acknowledged commits had an effect as long as `before` was held, and is in none of them now.
pub fn owed(book: &Book, machine: usize, before: &Vector, now: &Vector) -> BTreeMap<Dot, Vec<Owed>> {
    let own = book.acknowledged().filter(|(_, author)| *author == Some(machine)).map(|(dot, _)| dot);
    let dropped = own.filter(|dot| is_held(before, dot) && !is_held(now, dot));
    let commits = dropped.filter_map(|dot| book.commit(dot));
    commits.map(|commit| (commit.dot(), effects(book, commit, before, now))).collect()
}

fn effects(book: &Book, commit: &Commit, before: &Vector, now: &Vector) -> Vec<Owed> {
    let mut effects = Vec::new();
    for mutation in &commit.body().mutations {
        let place = (mutation.coll, mutation.key.clone());
        let is_put = matches!(mutation.op, Op::Put(_));
        // What the new base brings may have come in the same step.
        let is_removed = |dot: &Dot| [before, now].iter().any(|seen| book.is_removed(&place, dot, seen));
        let put = (is_put && !is_removed(&commit.dot())).then_some(None);
        // Sums go on from what is left, and have nothing that could come back.
        let targets =
            mutation.supersedes.iter().filter(|_| mutation.coll.rule().supersede() == Supersede::Any);
        let comes_back =
            |dot: &&Dot| book.is_put(&place, dot) && is_held(now, dot) && !book.is_removed(&place, dot, now);
        let removes = targets.filter(comes_back).map(|target| Some(*target));
        effects.extend(put.into_iter().chain(removes).map(|removes| Owed { place: place.clone(), removes }));
    }
    effects
}

/// Everyone holds everything that was acknowledged, in the end, but for what the home has cut and what needs that.
pub fn everywhere(look: &Look<'_>, home: &Replica<MemoryDisk>) -> Verdict {
    let is_held = |dot: &Dot| is_held(&look.seen, dot);
    let is_cut = |dot: &Dot| {
        let is_covered = home.anchored(&dot.writer) >= dot.seq;
        !is_covered && (look.book.dropped.contains(dot) || is_cut(look.book, home, dot))
    };
    let lacks = |(dot, author): &(&Dot, Option<usize>)| {
        author.is_some() && !is_held(dot) && !look.book.needs_cut(**dot, is_held, is_cut)
    };
    match look.book.acknowledged().find(lacks) {
        Some((dot, author)) => {
            let author = author.expect("somebody answers for it");
            Err(breach("I3", format!("{} lacks {dot}, acknowledged at m{author}", look.name)))
        }
        None => Ok(()),
    }
}

/// Whether a commit is above the end of its writer, by the base of a replica and by what is proven there: its device was
/// taken out, and may not write or wrote it before it was let in again, or its writer was cut below.
pub fn is_cut(book: &Book, replica: &Replica<MemoryDisk>, dot: &Dot) -> bool {
    let Dot { writer, seq } = *dot;
    let covered = replica.anchored(&writer);
    let was_out = book.removed.contains(&writer.device());
    if covered >= seq || (!was_out && replica.evidence().against(&writer).is_none()) {
        return false;
    }
    if replica.cut(&writer).is_ok_and(|cut| cut.is_some_and(|cut| cut < seq)) {
        return true;
    }
    let row = replica.snapshot_of_base().get(system::acl(), &Grant::key(&writer.device()));
    let grant = row.ok().flatten().and_then(|row| Grant::decode(&row).ok());
    let opened = book.commit(&Dot::new(writer, 1)).map(|first| first.header().base);
    was_out && grant.is_none_or(|grant| covered == 0 && opened.is_some_and(|base| base < grant.since))
}

/// Whoever is told that it has left: all that it acknowledged and holds is anchored.
pub fn of_leaver(
    name: &str,
    machine: usize,
    book: &Book,
    replica: &Replica<MemoryDisk>,
    covered: impl Fn(&WriterId) -> u64,
) -> Verdict {
    let own = book.acknowledged().filter(|(_, author)| *author == Some(machine));
    // What was cut when it was out at an earlier time is no part of it.
    let mut held = own.map(|(dot, _)| dot).filter(|dot| replica.seen(&dot.writer) >= dot.seq);
    match held.find(|dot| covered(&dot.writer) < dot.seq) {
        Some(dot) => Err(breach("I3", format!("{name} has left, and the home does not cover {dot}"))),
        None => Ok(()),
    }
}

/// It is in the inbox with its content, it had no effect any more just before it was dropped, or each of its effects was
/// written again by what is held or in the inbox now.
fn is_accounted_for(look: &Look<'_>, inbox: &[Item], dot: &Dot) -> bool {
    let is_kept = |dot: &Dot| inbox.iter().any(|item| item.dot == *dot && item.commit.is_some());
    if is_kept(dot) {
        return true;
    }
    let (Some(commit), Some(owed)) = (look.book.commit(dot), look.book.owed.get(dot)) else { return false };
    // The inbox says of the first that was written again that it was, and by that of those after it.
    let is_from = |item: &Item| item.dot.writer == dot.writer && item.dot.seq <= dot.seq;
    let is_said = || inbox.iter().any(|item| item.kind == ItemKind::Reissued && is_from(item));
    // What was written again and cut in the same turn, nobody has seen: it is in the inbox alone.
    let unseen: Vec<&Commit> = inbox.iter().filter_map(|item| item.commit.as_ref()).collect();
    let again: Vec<_> = look.book.successors(commit, &unseen).map(|again| (again.dot(), again)).collect();
    let is_done = |owed: &Owed| {
        let does = |again: &Commit| {
            again.body().mutations.iter().any(|mutation| {
                let is_there = (mutation.coll, &mutation.key) == (owed.place.0, &owed.place.1);
                is_there
                    && match &owed.removes {
                        None => matches!(mutation.op, Op::Put(_)),
                        Some(target) => mutation.supersedes.contains(target),
                    }
            })
        };
        again.iter().any(|(by, again)| (is_held(&look.seen, by) || is_kept(by)) && does(again))
    };
    owed.is_empty() || (is_said() && owed.iter().all(is_done))
}

/// Notes what a frame tells a peer to be held, and so to be durable.
pub fn tell(told: &mut Vector, frame: &Frame) {
    let mut note = |writer: WriterId, seq: u64| {
        let told = told.entry(writer).or_default();
        *told = seq.max(*told);
    };
    match frame {
        Frame::Ack(ack) => ack.stored.iter().for_each(|(writer, seq)| note(*writer, *seq)),
        Frame::Open(open) => open.tail.iter().for_each(|(writer, seq, _)| note(*writer, *seq)),
        Frame::Cover(cover) => cover.rows.iter().for_each(|row| note(row.writer, row.seq)),
        _ => {}
    }
}

/// Whoever told its peers that it holds something holds it after an adoption and after its power was cut, too: they may have
/// let go of it.
pub fn of_told(name: &str, told: &Vector, replica: &Replica<MemoryDisk>, book: &Book) -> Verdict {
    let is_held = |dot: &Dot| replica.seen(&dot.writer) >= dot.seq;
    let is_cut = |dot: &Dot| is_cut(book, replica, dot);
    for (writer, seq) in told {
        let held = replica.seen(writer);
        // The first that it lacks decides: what comes after it of this writer counts only with it.
        let first = Dot::new(*writer, held + 1);
        if held < *seq && !book.needs_cut(first, is_held, is_cut) {
            return Err(breach(
                "I3",
                format!(
                    "{name} told a peer that it holds {writer} up to {seq}, and holds {held} of it, with nothing cut that {first} needs"
                ),
            ));
        }
    }
    Ok(())
}
