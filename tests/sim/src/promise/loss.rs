//! I3: what was acknowledged is held by whoever acknowledged it, and by everyone in the end.

use crdt::Dot;

use super::{Look, Verdict, breach};
use crate::book::is_held;

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
