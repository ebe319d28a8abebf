//! What a Handle of this home's own covers, found again in the log: its nodes may be gone, and nobody else ever had them.

use std::collections::BTreeMap;

use btree::{Fresh, Hash, Kind, empty_root};
use crdt::{Handle, Tip, WriterId};
use disk::Disk;

use crate::checkpoint::vector_row;
use crate::error::Error;
use crate::fetch::roots;
use crate::replica::Replica;

/// Commits that are tried; each costs a read of the log and a path of the vector's tree. A Handle that covers more than
/// this waits for its nodes.
const TRIED_MAX: usize = 65_536;

/// Rewritten nodes beyond this and twice what the tree needs are dropped.
const FRESH_LEN_MAX: usize = 4 << 20;

impl<D: Disk> Replica<D> {
    /// What the next Handle covers beyond the base, where this home signed it, its manifest never came, and something of its
    /// trees is gone: to be offered with it, so that it is computed. None: its trees are here, or it covers something else.
    ///
    /// A home signs all that it holds and has flushed, so it covers the first so many commits of the tail, in the order of
    /// the log. That they are the right ones is for whoever computes it to compare.
    pub fn covered_by_own(&self, next: &Handle) -> Result<Option<Vec<(WriterId, Tip)>>, Error> {
        let base = self.base();
        let is_next = next.version == base.version + 1 && next.prev == base.hash();
        // What is damaged is healed first: it is what all is computed from.
        if !is_next || self.is_unread || self.is_damaged() || self.has_trees_of(next)? {
            return Ok(None);
        }
        self.check_handle(next)?;
        self.first_commits_with(&Hash(next.vv_root))
    }

    /// Tips of the first so many commits of the tail that give, on the base, this root of a vector.
    fn first_commits_with(&self, root: &Hash) -> Result<Option<Vec<(WriterId, Tip)>>, Error> {
        let nodes = &self.pending.nodes;
        let (mut fresh, mut fresh_max) = (Fresh::new(self.pending.salt), FRESH_LEN_MAX);
        let (mut vector, mut tips) = (self.pending.base_roots().vector, BTreeMap::new());
        for place in self.tail.places().into_iter().take(TRIED_MAX) {
            let commit = self.read_commit(place)?;
            let (writer, tip) = (commit.header().writer, commit.tip());
            tips.insert(writer, tip);
            let row = [vector_row(&writer, &tip)];
            vector = btree::apply(nodes, &mut fresh, Kind::Vector, &vector, row)?;
            if vector == *root {
                return Ok(Some(tips.into_iter().collect()));
            }
            if fresh.byte_len() > fresh_max {
                fresh.keep_trees(&[(Kind::Vector, vector)]);
                fresh_max = FRESH_LEN_MAX + 2 * fresh.byte_len();
            }
        }
        Ok(None)
    }

    /// Whether every node of a Handle's trees is in a pack. A root in one does not say so here: mending keeps what is whole
    /// of a Handle in doubt. Leaves are looked up, and only what is above them is read.
    fn has_trees_of(&self, handle: &Handle) -> Result<bool, Error> {
        let nodes = &self.pending.nodes;
        let mut open = roots(handle).to_vec();
        open.retain(|(kind, root)| *root != empty_root(*kind));
        let is_here = |(kind, hash): &(Kind, Hash)| nodes.find(hash).is_some_and(|(found, _)| found == *kind);
        if !open.iter().all(is_here) {
            return Ok(false);
        }
        while let Some((kind, hash)) = open.pop() {
            let node = nodes.load(kind, &hash)?;
            if node.is_leaf() {
                continue;
            }
            let children: Vec<_> = (0..node.len()).map(|row| (kind, node.child(row).hash)).collect();
            if !children.iter().all(is_here) {
                return Ok(false);
            }
            if node.level() > 1 {
                open.extend(children);
            }
        }
        Ok(true)
    }
}
