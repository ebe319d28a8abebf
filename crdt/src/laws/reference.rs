//! State as the specification says it, in the fewest words: no order, no increments, no shared code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::clock::Hlc;
use crate::commit::{Commit, Op, Payload};
use crate::id::{Dot, WriterId};

pub(super) type State = BTreeMap<Vec<u8>, (Hlc, Payload)>;

/// Everything written minus everything superseded.
pub(super) fn state(commits: &[Arc<Commit>]) -> State {
    let mut written = State::new();
    let mut removed = BTreeSet::new();
    for commit in commits {
        for mutation in &commit.body().mutations {
            let key = |dot: Dot| [&mutation.coll.0, mutation.key.as_slice(), &dot.to_bytes()].concat();
            if let Op::Put(payload) = &mutation.op {
                written.insert(key(commit.dot()), (commit.header().hlc, payload.clone()));
            }
            for dot in &mutation.supersedes {
                if allowed(mutation.coll.0[0], &commit.header().writer, &dot.writer) {
                    removed.insert(key(*dot));
                }
            }
        }
    }
    written.retain(|key, _| !removed.contains(key));
    written
}

fn allowed(rule: u8, by: &WriterId, target: &WriterId) -> bool {
    let by_home = by.0[..16] == [0; 16];
    match rule & 3 {
        0 => true,
        1 => by == target || by_home,
        _ => by_home,
    }
}

/// Whether a commit writes anything.
pub(super) fn puts(commit: &Commit) -> bool {
    commit.body().mutations.iter().any(|mutation| mutation.op != Op::Delete)
}
