//! I5: a commit is held only with what it depends on and supersedes.

use super::{Look, Verdict, breach};
use crate::book::is_held;

/// Goes through the commits above the base.
pub fn check(look: &Look<'_>) -> Verdict {
    for dot in look.tail() {
        let Some(commit) = look.book.commit(&dot) else { continue };
        if let Some(needed) =
            commit.needs().find(|needed| !needed.writer.is_home() && !is_held(&look.seen, needed))
        {
            return Err(breach("I5", format!("{} holds {dot} without {needed}", look.name)));
        }
    }
    Ok(())
}
