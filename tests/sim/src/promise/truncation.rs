//! I9: what no durable Handle covers is in the log of its author.

use crdt::{Dot, WriterId};
use sync::{Located, Store};

use super::{Look, Verdict, breach, loss};
use crate::book::is_held;

/// `covered` says how far the home covers a writer; a home that is down covers whatever its registry's Handle does, and
/// nothing here can tell how much that is.
pub fn check(look: &Look<'_>, machine: usize, covered: impl Fn(&WriterId) -> u64) -> Verdict {
    for (dot, _) in look.book.acknowledged().filter(|(_, author)| *author == Some(machine)) {
        let anchored = look.replica.anchored(&dot.writer);
        if anchored >= dot.seq && covered(&dot.writer) >= dot.seq {
            continue;
        }
        // Cut, or dropped with what it needs: what becomes of it is I3's.
        let is_dropped = look.book.dropped.contains(dot) && !is_held(&look.seen, dot);
        let is_cut = |dot: &Dot| loss::is_cut(look.book, look.replica, dot);
        if is_dropped || look.book.needs_cut(*dot, |dot| is_held(&look.seen, dot), is_cut) {
            continue;
        }
        let located = look.replica.locate(&dot.writer, dot.seq);
        // What cannot be read before it is healed is known by no id.
        let is_unread = located == Located::Unknown && look.replica.is_damaged();
        if !is_unread && !matches!(located, Located::Id(_)) {
            let version = look.replica.base().version;
            let what = format!(
                "{} at version {version}, which covers {anchored}, finds {dot} {located:?}",
                look.name
            );
            return Err(breach("I9", what));
        }
    }
    Ok(())
}
