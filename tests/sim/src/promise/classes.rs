//! I19: a commit never waits for a less urgent one that it does not need.

use std::collections::BTreeSet;

use crdt::{Commit, Dot};

use super::{Verdict, breach};
use crate::book::Book;

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
