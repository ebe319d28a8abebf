//! I3: what was acknowledged is held by whoever acknowledged it, and by everyone in the end; of a device that was taken
//! out it is held, written again, superseded, or in the inbox.

use std::collections::BTreeSet;

use crdt::{Dot, Op, WriterId};
use disk::MemoryDisk;
use replica::{Item, ItemKind, Replica};
use sync::{Frame, Store};

use super::{Look, Verdict, breach};
use crate::book::{Book, Vector, is_held};

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

/// What a machine acknowledged and does not hold now, since something that it needs was of a device that is out.
pub fn dropped(book: &Book, machine: usize, replica: &Replica<MemoryDisk>) -> BTreeSet<Dot> {
    let held: Vector = book.known().keys().map(|writer| (*writer, replica.seen(writer))).collect();
    let own = book.acknowledged().filter(|(_, author)| *author == Some(machine)).map(|(dot, _)| *dot);
    own.filter(|dot| !is_held(&held, dot) && book.needs_dropped(*dot, |dot| is_held(&held, dot))).collect()
}

/// Everyone holds everything that was acknowledged, in the end. Where a device was taken out, the home may have cut it, or
/// what it needs; what the home covers, everyone holds.
pub fn everywhere(look: &Look<'_>, covered: impl Fn(&WriterId) -> u64) -> Verdict {
    let is_cut = |dot: &Dot| !look.book.removed.is_empty() && covered(&dot.writer) < dot.seq;
    let lacks =
        |(dot, author): &(&Dot, Option<usize>)| author.is_some() && !is_held(&look.seen, dot) && !is_cut(dot);
    match look.book.acknowledged().find(lacks) {
        Some((dot, author)) => {
            let author = author.expect("somebody answers for it");
            Err(breach("I3", format!("{} lacks {dot}, acknowledged at m{author}", look.name)))
        }
        None => Ok(()),
    }
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

fn is_accounted_for(look: &Look<'_>, inbox: &[Item], dot: &Dot) -> bool {
    let is_named = inbox.iter().any(|item| {
        let is_from = item.kind == ItemKind::Reissued && item.dot.seq <= dot.seq;
        (item.dot == *dot && item.commit.is_some()) || (is_from && item.dot.writer == dot.writer)
    });
    // One whose every put had been superseded has no effect that could be written again.
    let is_moot = look.book.commit(dot).is_none_or(|commit| {
        let mut puts = commit.body().mutations.iter().filter(|mutation| matches!(mutation.op, Op::Put(_)));
        puts.all(|put| look.book.removers(&(put.coll, put.key.clone()), dot).next().is_some())
    });
    is_named || is_moot
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
    // What is proven to be a fork may be dropped, and so may what a device wrote that was out, and what needs what was dropped.
    let told = told.iter().filter(|(writer, _)| {
        replica.evidence().against(writer).is_none() && !book.removed.contains(&writer.device())
    });
    let is_held = |dot: &Dot| replica.seen(&dot.writer) >= dot.seq;
    for (writer, seq) in told {
        let held = replica.seen(writer);
        let dot = Dot::new(*writer, *seq);
        if held < *seq && !book.needs_dropped(dot, is_held) {
            return Err(breach(
                "I3",
                format!("{name} told a peer that it holds {dot}, and holds {held} of it"),
            ));
        }
    }
    Ok(())
}
