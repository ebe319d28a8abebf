//! I4: a commit shows whole or not at all, but for what others have superseded since.

use std::collections::BTreeSet;

use crdt::{Dot, Op};

use super::{Look, Verdict, breach};
use crate::book::is_held;

/// Goes through the commits rather than the keys, so that it does not lean on the check of the state.
pub fn check(look: &Look<'_>) -> Verdict {
    let shown: BTreeSet<(&crate::book::Place, &Dot)> =
        look.shown.iter().flat_map(|(place, live)| live.iter().map(move |(dot, _)| (place, dot))).collect();
    for commit in look.book.commits().filter(|commit| commit.body().mutations.len() > 1) {
        let dot = commit.dot();
        if !is_held(&look.seen, &dot) {
            continue;
        }
        for mutation in &commit.body().mutations {
            let place = (mutation.coll, mutation.key.clone());
            let is_put = matches!(mutation.op, Op::Put(_));
            if is_put && !shown.contains(&(&place, &dot)) && !look.book.is_removed(&place, &dot, &look.seen) {
                let key = crdt::key::display(&mutation.key);
                return Err(breach("I4", format!("{} shows {dot} without its key {key}", look.name)));
            }
        }
    }
    Ok(())
}
