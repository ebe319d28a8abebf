//! What a new commit must name as its past: the dots nothing held reaches yet, for each class.

use std::collections::BTreeMap;

use crdt::{Class, Commit, Dot, WriterId};
use planted::Bug;

/// For each class, the dots of that class or a more urgent one that no held commit of such a class reaches
/// through deps, sups or its chain.
///
/// A class looks only towards equal or more urgent ones: an urgent commit must never wait for bulk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heads {
    by_class: [BTreeMap<WriterId, u64>; 3],
}

impl Heads {
    /// Takes note of a commit that was folded.
    pub(crate) fn observe(&mut self, commit: &Commit) {
        let dot = commit.dot();
        // A home's dots are never deps: its commits are facts only through the Handle that covers them.
        let Some(class) = dot.writer.class() else { return };
        let first = if planted::is(Bug::DepsAcrossClasses) { 0 } else { class as usize };
        for heads in &mut self.by_class[first..] {
            let sups = commit.body().mutations.iter().flat_map(|mutation| &mutation.supersedes);
            for reached in commit.body().deps.iter().chain(sups) {
                if heads.get(&reached.writer).is_some_and(|seq| *seq <= reached.seq) {
                    heads.remove(&reached.writer);
                }
            }
            heads.insert(dot.writer, dot.seq);
        }
    }

    /// The deps of a new commit of `writer`: never its own dots, which its chain reaches.
    pub(crate) fn deps(&self, writer: &WriterId, class: Class) -> Vec<Dot> {
        let heads = self.by_class[class as usize].iter();
        heads.filter(|(head, _)| *head != writer).map(|(head, seq)| Dot::new(*head, *seq)).collect()
    }

    /// Every writer with a head, some of them more than once.
    pub(crate) fn writers(&self) -> impl Iterator<Item = WriterId> {
        self.by_class.iter().flat_map(|heads| heads.keys().copied())
    }

    /// Drops what the base covers now: everybody has that before the commit's base lets it in.
    pub(crate) fn forget(&mut self, mut is_covered: impl FnMut(&Dot) -> bool) {
        for heads in &mut self.by_class {
            heads.retain(|writer, seq| !is_covered(&Dot::new(*writer, *seq)));
        }
    }
}
