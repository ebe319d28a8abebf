//! I5: a commit is held only with what it depends on and supersedes, but for writers that nobody ever opened.

use crdt::Dot;

use super::{Look, Verdict, breach};
use crate::book::is_held;

/// Goes through the commits above the base.
pub fn check(look: &Look<'_>) -> Verdict {
    for dot in look.tail() {
        let Some(commit) = look.book.commit(&dot) else { continue };
        let is_lacked = |needed: &&Dot| {
            look.book.known().contains_key(&needed.writer)
                && !is_held(&look.seen, needed)
                && !never_comes(look, needed)
        };
        if let Some(needed) = commit.needs().find(is_lacked) {
            return Err(breach("I5", format!("{} holds {dot} without {needed}", look.name)));
        }
    }
    Ok(())
}

/// The home has ended a writer below: nobody waits for it any more.
fn never_comes(look: &Look<'_>, dot: &Dot) -> bool {
    look.replica.cut(&dot.writer).is_ok_and(|cut| cut.is_some_and(|cut| cut < dot.seq))
}
