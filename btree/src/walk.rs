//! The nodes of one level of a tree, side by side.

use std::cmp::Ordering;
use std::sync::Arc;

use disk::Disk;

use crate::error::Error;
use crate::hash::Hash;
use crate::node::Node;
use crate::nodes::Source;

/// A place among the nodes of one level. The branches above it are held, the node itself is read when asked for.
pub(crate) struct Walk<'a, D: Disk> {
    source: Source<'a, D>,
    top: Arc<Node>,
    top_hash: Hash,
    level: u8,
    /// The branches from the top to just above the level, and which child of each leads on.
    path: Vec<(Arc<Node>, usize)>,
}

impl<'a, D: Disk> Walk<'a, D> {
    pub(crate) fn new(source: Source<'a, D>, top: Arc<Node>, top_hash: Hash, level: u8) -> Walk<'a, D> {
        debug_assert!(level <= top.level(), "a tree has no nodes above its top");
        Walk { source, top, top_hash, level, path: Vec::new() }
    }

    /// Goes to the node that has `key` or would have it: the first that does not end before it, or the last.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        self.path.clear();
        if self.top.level() > self.level {
            let choose = |branch: &Node| branch.search(key).unwrap_or_else(|at| at).min(branch.last());
            self.path.push((self.top.clone(), choose(&self.top)));
            self.descend(choose)?;
        }
        Ok(())
    }

    pub(crate) fn node(&self) -> Result<Arc<Node>, Error> {
        match self.path.last() {
            Some((branch, at)) => self.source.child(branch, *at),
            None => Ok(self.top.clone()),
        }
    }

    pub(crate) fn hash(&self) -> Hash {
        self.path.last().map_or(self.top_hash, |(branch, at)| branch.child(*at).hash)
    }

    /// Whether the node ends at `key` or after it.
    pub(crate) fn reaches(&self, key: &[u8]) -> bool {
        match self.path.last() {
            Some((branch, at)) => branch.compare_key(*at, key) != Ordering::Less,
            None => self.top.compare_key(self.top.last(), key) != Ordering::Less,
        }
    }

    /// Goes to the next node, or stays at the last one and says so.
    pub(crate) fn forward(&mut self) -> Result<bool, Error> {
        let Some(turn) = self.path.iter().rposition(|(branch, at)| *at < branch.last()) else {
            return Ok(false);
        };
        self.path.truncate(turn + 1);
        self.path[turn].1 += 1;
        self.descend(|_| 0).map(|()| true)
    }

    /// Goes to the node before, or stays at the first one and says so.
    pub(crate) fn backward(&mut self) -> Result<bool, Error> {
        let Some(turn) = self.path.iter().rposition(|(_, at)| *at > 0) else { return Ok(false) };
        self.path.truncate(turn + 1);
        self.path[turn].1 -= 1;
        self.descend(Node::last).map(|()| true)
    }

    fn descend(&mut self, choose: impl Fn(&Node) -> usize) -> Result<(), Error> {
        while let Some((branch, at)) = self.path.last()
            && branch.level() > self.level + 1
        {
            let child = self.source.child(branch, *at)?;
            let at = choose(&child);
            self.path.push((child, at));
        }
        Ok(())
    }
}
