//! I3: what was acknowledged is held by whoever acknowledged it, and by everyone in the end.

use crdt::{Dot, WriterId};
use disk::MemoryDisk;
use replica::Replica;
use sync::{Frame, Store};

use super::{Look, Verdict, breach};
use crate::book::{Vector, is_held};

/// The machine that acknowledged holds it, now.
pub fn at_author(look: &Look<'_>, machine: usize) -> Verdict {
    let own = look.book.acknowledged().filter(|(_, author)| *author == Some(machine));
    match own.map(|(dot, _)| dot).find(|dot| !is_held(&look.seen, dot)) {
        Some(dot) => Err(breach("I3", format!("{} acknowledged {dot} and does not hold it", look.name))),
        None => Ok(()),
    }
}

/// Everyone holds everything that was acknowledged, in the end.
pub fn everywhere(look: &Look<'_>) -> Verdict {
    let lacks = |(dot, author): &(&Dot, Option<usize>)| author.is_some() && !is_held(&look.seen, dot);
    match look.book.acknowledged().find(lacks) {
        Some((dot, author)) => {
            let author = author.expect("somebody answers for it");
            Err(breach("I3", format!("{} lacks {dot}, acknowledged at m{author}", look.name)))
        }
        None => Ok(()),
    }
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

/// Whoever told its peers that it holds something holds it after its power was cut, too: they may have let go of it.
pub fn after_start(name: &str, told: &Vector, replica: &Replica<MemoryDisk>) -> Verdict {
    // What is proven to be a fork may be dropped.
    let told = told.iter().filter(|(writer, _)| replica.evidence().against(writer).is_none());
    for (writer, seq) in told {
        let held = replica.seen(writer);
        if held < *seq {
            let dot = Dot::new(*writer, *seq);
            return Err(breach(
                "I3",
                format!("{name} told a peer that it holds {dot}, and holds {held} of it after a start"),
            ));
        }
    }
    Ok(())
}
