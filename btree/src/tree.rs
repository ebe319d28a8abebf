//! Trees by their root: one entry, or a batch of changes that gives a new root.

use std::iter::Peekable;
use std::sync::Arc;

use disk::Disk;

use crate::boundary::LEVEL_MAX;
use crate::chunker::{Chunker, Named};
use crate::error::{Damage, Error};
use crate::fresh::Fresh;
use crate::hash::{Hash, Kind, empty_root};
use crate::node::{DOT_LEN, KEY_LEN_MAX, Node, PAYLOAD_LEN_MAX, Row, Value};
use crate::nodes::{Nodes, Source};
use crate::walk::Walk;

/// What a tree has under a key.
pub fn get<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    kind: Kind,
    root: &Hash,
    key: &[u8],
) -> Result<Option<Value>, Error> {
    let source = source.into();
    let Some(mut node) = source.root(kind, root)? else { return Ok(None) };
    while !node.is_leaf() {
        let at = node.search(key).unwrap_or_else(|at| at);
        if at == node.len() {
            return Ok(None);
        }
        node = source.child(&node, at)?;
    }
    Ok(node.search(key).ok().map(|at| node.value(at)))
}

/// Applies a batch to a tree and returns the new root; new nodes go to `fresh`, which is read, too.
///
/// `Some` puts a value under a key, `None` takes the key away if it is there. Changes come in ascending order of
/// their keys, none twice. The root depends on the entries alone, not on how they came to be; the cost is that of
/// the nodes touched, not of the tree.
pub fn apply<D: Disk, K: AsRef<[u8]>>(
    nodes: &Nodes<D>,
    fresh: &mut Fresh,
    kind: Kind,
    root: &Hash,
    changes: impl IntoIterator<Item = (K, Option<Value>)>,
) -> Result<Hash, Error> {
    let top = Source::new(nodes, fresh).root(kind, root)?.map(|node| (*root, node));
    let mut edits = changes.into_iter().map(|(key, value)| (key, value.map(Tail::from))).peekable();
    if edits.peek().is_none() {
        return Ok(*root);
    }
    let level = rewrite(Source::new(nodes, fresh), kind, 0, top.as_ref(), edits)?;
    raise(nodes, fresh, kind, top, level)
}

/// Carries a rewritten level up, level by level, until one node remains.
fn raise<D: Disk>(
    nodes: &Nodes<D>,
    fresh: &mut Fresh,
    kind: Kind,
    top: Option<(Hash, Arc<Node>)>,
    mut level: Rewritten,
) -> Result<Hash, Error> {
    for above in 1..=LEVEL_MAX + 1 {
        let old_above = top.as_ref().filter(|(_, node)| node.level() >= above);
        if old_above.is_none() && level.new.len() < 2 {
            return settle_root(nodes, fresh, kind, level.new.pop());
        }
        if old_above.is_none() {
            // The level above begins here and has no rows yet: even a node that is as it was is new to it.
            level.old.clear();
        }
        let edits = level.into_edits(fresh);
        match &top {
            Some((hash, _)) if edits.is_empty() => return Ok(*hash),
            _ if above > LEVEL_MAX => break,
            _ => {
                level =
                    rewrite(Source::new(nodes, fresh), kind, above, old_above, edits.into_iter().peekable())?
            }
        }
    }
    // A branch has 8 children or is the last of its level: no memory holds that many honest entries.
    let hash = top.map_or(empty_root(kind), |(hash, _)| hash);
    Err(Error::Shape { kind, hash, damage: Damage::Limit })
}

/// The root of a level of at most one node. Branches that removals have left with one child go.
fn settle_root<D: Disk>(
    nodes: &Nodes<D>,
    fresh: &mut Fresh,
    kind: Kind,
    last: Option<Named>,
) -> Result<Hash, Error> {
    let Some(Named { mut hash, mut node, .. }) = last else { return Ok(empty_root(kind)) };
    if node.is_leaf() || node.len() > 1 {
        fresh.insert_node(hash, node);
        return Ok(hash);
    }
    while !node.is_leaf() && node.len() == 1 {
        hash = node.child(0).hash;
        node = Source::new(nodes, fresh).child(&node, 0)?;
    }
    Ok(hash)
}

/// What comes after the key of a row: an entry's time and payload, or a child's count, bytes and hash.
struct Tail {
    stamp: u64,
    size: u64,
    payload: Vec<u8>,
}

impl From<Value> for Tail {
    fn from(value: Value) -> Tail {
        Tail { stamp: value.hlc, size: 0, payload: value.payload }
    }
}

impl From<&Named> for Tail {
    fn from(child: &Named) -> Tail {
        let total = child.node.total();
        Tail { stamp: total.count, size: total.bytes, payload: child.hash.0.to_vec() }
    }
}

/// The nodes of one level that a batch read and those it put in their place, both in order.
struct Rewritten {
    old: Vec<(Vec<u8>, Hash)>,
    new: Vec<Named>,
}

impl Rewritten {
    /// What this means for the level above. New nodes are kept; those that turned out as they were are not new.
    fn into_edits(self, fresh: &mut Fresh) -> Vec<(Vec<u8>, Option<Tail>)> {
        let mut edits = Vec::with_capacity(self.new.len());
        let mut old = self.old.into_iter().peekable();
        for child in self.new {
            while let Some((key, _)) = old.next_if(|(key, _)| *key < child.last_key) {
                edits.push((key, None));
            }
            let same_key = old.next_if(|(key, _)| *key == child.last_key);
            if same_key.is_some_and(|(_, hash)| hash == child.hash) {
                continue;
            }
            let tail = Tail::from(&child);
            fresh.insert_node(child.hash, child.node);
            edits.push((child.last_key, Some(tail)));
        }
        edits.extend(old.map(|(key, _)| (key, None)));
        edits
    }
}

/// Rewrites one level: from the node of each edit until the cuts fall where they fell before.
fn rewrite<D: Disk, K: AsRef<[u8]>>(
    source: Source<'_, D>,
    kind: Kind,
    level: u8,
    top: Option<&(Hash, Arc<Node>)>,
    edits: Peekable<impl Iterator<Item = (K, Option<Tail>)>>,
) -> Result<Rewritten, Error> {
    let chunker = Chunker::new(kind, source.nodes().salt(), level);
    let mut rewrite = Rewrite { chunker, edits, old: Vec::new() };
    match top {
        Some((hash, node)) => rewrite.all_regions(Walk::new(source, node.clone(), *hash, level))?,
        None => {
            while rewrite.edits.peek().is_some() {
                rewrite.apply_edit()?;
            }
            rewrite.chunker.finish();
        }
    }
    Ok(Rewritten { old: rewrite.old, new: rewrite.chunker.nodes })
}

struct Rewrite<I: Iterator> {
    chunker: Chunker,
    edits: Peekable<I>,
    old: Vec<(Vec<u8>, Hash)>,
}

impl<K: AsRef<[u8]>, I: Iterator<Item = (K, Option<Tail>)>> Rewrite<I> {
    fn all_regions<D: Disk>(&mut self, mut walk: Walk<'_, D>) -> Result<(), Error> {
        while let Some((key, _)) = self.edits.peek() {
            walk.seek(key.as_ref())?;
            // Whether the node before ends a name depends on the first row of this one, so if that changes, both do.
            if walk.node()?.compare_key(0, key.as_ref()).is_ge() {
                walk.backward()?;
            }
            self.region(&mut walk)?;
        }
        Ok(())
    }

    /// Rewrites nodes side by side, from a cut that stays to the next cut that stays.
    fn region<D: Disk>(&mut self, walk: &mut Walk<'_, D>) -> Result<(), Error> {
        loop {
            let node = walk.node()?;
            let (hash, last_key) = (walk.hash(), node.key(node.last()));
            let is_last = !walk.forward()?;
            self.merge(&node, is_last)?;
            self.old.push((last_key, hash));
            if is_last {
                self.chunker.finish();
                return Ok(());
            }
            // An edit in the next node may change its first row, and with it whether a name ends here.
            let next_changes = self.edits.peek().is_some_and(|(key, _)| walk.reaches(key.as_ref()));
            if !next_changes {
                let name_ends = self.name_ends(&node, walk)?;
                if self.chunker.settle(name_ends) {
                    return Ok(());
                }
            }
        }
    }

    /// Puts a node's rows and the edits among them in order.
    fn merge(&mut self, node: &Node, is_last: bool) -> Result<(), Error> {
        let mut done = 0;
        while let Some((key, _)) = self.edits.peek() {
            let (at, next) = match node.search(key.as_ref()) {
                Ok(at) => (at, at + 1),
                Err(at) if at == node.len() && !is_last => break,
                Err(at) => (at, at),
            };
            (done..at).for_each(|i| self.chunker.push(node.row(i)));
            self.apply_edit()?;
            done = next;
        }
        (done..node.len()).for_each(|i| self.chunker.push(node.row(i)));
        Ok(())
    }

    fn apply_edit(&mut self) -> Result<(), Error> {
        let Some((key, tail)) = self.edits.next() else { return Ok(()) };
        let key = key.as_ref();
        if let Some((next, _)) = self.edits.peek() {
            assert!(key < next.as_ref(), "changes come in ascending order, no key twice");
        }
        let Some(tail) = tail else { return Ok(()) };
        if !(DOT_LEN..=KEY_LEN_MAX).contains(&key.len()) {
            return Err(Error::KeyLen { len: key.len() });
        }
        if tail.payload.len() > PAYLOAD_LEN_MAX {
            return Err(Error::PayloadLen { len: tail.payload.len() });
        }
        let row =
            Row::new(key, tail.stamp, tail.size, &tail.payload).ok_or(Error::KeyLen { len: key.len() })?;
        self.chunker.push(row);
        Ok(())
    }

    /// Whether the last row's name ends with it; `walk` is at the node that follows.
    fn name_ends<D: Disk>(&self, node: &Node, walk: &Walk<'_, D>) -> Result<bool, Error> {
        let keeps_last_row =
            self.chunker.last_key().is_some_and(|key| node.compare_key(node.last(), &key).is_eq());
        if keeps_last_row && !self.chunker.is_full(node) {
            // The rule cut here, and it cuts only where a name ends: the next node need not be read.
            return Ok(true);
        }
        Ok(!self.chunker.ends_with_name_of(walk.node()?.row(0)))
    }
}
