//! The shape every tree must have, and which of its nodes are here.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use disk::Disk;

use crate::chunker::Chunker;
use crate::error::{Damage, Error};
use crate::hash::{Hash, Kind};
use crate::node::Node;
use crate::nodes::Source;

/// What a verified tree consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes read and hashed.
    pub nodes: u64,
    /// Entries.
    pub entries: u64,
    /// Bytes of all nodes.
    pub bytes: u64,
}

/// Reads every node of a tree anew, past the cache: its hash, its bytes, the order of its keys, what its parent says
/// of it, and that it ends where the rule says. A tree that passes is the only tree of its entries.
pub fn verify<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    kind: Kind,
    root: &Hash,
) -> Result<Report, Error> {
    let source = source.into();
    if source.root(kind, root)?.is_none() {
        return Ok(Report::default());
    }
    let top = source.load_anew(kind, root)?;
    if !top.is_leaf() && top.len() == 1 {
        return Err(Error::Shape { kind, hash: *root, damage: Damage::Cut });
    }
    let levels = (0..=top.level()).map(|level| Level::new(Chunker::new(kind, source.nodes().salt(), level)));
    let mut audit = Audit { source, kind, levels: levels.collect(), report: Report::default() };
    audit.visit(*root, &top)?;
    audit.finish()
}

/// A tree being verified: each level is cut again, and must give the nodes that were found.
struct Audit<'a, D: Disk> {
    source: Source<'a, D>,
    kind: Kind,
    levels: Vec<Level>,
    report: Report,
}

struct Level {
    chunker: Chunker,
    found: VecDeque<Hash>,
    last_key: Option<Vec<u8>>,
}

impl Level {
    fn new(chunker: Chunker) -> Level {
        Level { chunker, found: VecDeque::new(), last_key: None }
    }

    fn add(&mut self, hash: Hash, node: &Node) -> Result<(), (Hash, Damage)> {
        if self.last_key.as_ref().is_some_and(|last| node.compare_key(0, last).is_le()) {
            return Err((hash, Damage::Order));
        }
        self.last_key = Some(node.key(node.last()));
        self.found.push_back(hash);
        (0..node.len()).for_each(|i| self.chunker.push(node.row(i)));
        self.compare()
    }

    fn compare(&mut self) -> Result<(), (Hash, Damage)> {
        for expected in self.chunker.nodes.drain(..) {
            match self.found.pop_front() {
                Some(found) if found == expected.hash => {}
                Some(found) => return Err((found, Damage::Cut)),
                None => return Err((expected.hash, Damage::Cut)),
            }
        }
        Ok(())
    }
}

impl<D: Disk> Audit<'_, D> {
    fn visit(&mut self, hash: Hash, node: &Node) -> Result<(), Error> {
        let shape = |(hash, damage)| Error::Shape { kind: self.kind, hash, damage };
        self.levels[usize::from(node.level())].add(hash, node).map_err(shape)?;
        self.report.nodes += 1;
        self.report.bytes += node.as_bytes().len() as u64;
        if node.is_leaf() {
            self.report.entries += node.len() as u64;
            return Ok(());
        }
        for i in 0..node.len() {
            let hash = node.child(i).hash;
            let child = self.source.load_anew(self.kind, &hash)?;
            check_child(node, i, &child)?;
            self.visit(hash, &child)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Report, Error> {
        for level in &mut self.levels {
            level.chunker.finish();
            level.compare().map_err(|(hash, damage)| Error::Shape { kind: self.kind, hash, damage })?;
        }
        Ok(self.report)
    }
}

/// A child is all that its parent says: its level, last key, count and bytes.
fn check_child(parent: &Node, i: usize, child: &Node) -> Result<(), Error> {
    let (said, total) = (parent.child(i), child.total());
    let fits = child.level() + 1 == parent.level()
        && (said.count, said.bytes) == (total.count, total.bytes)
        && parent.compare_key(i, &child.key(child.last())).is_eq();
    match fits {
        true => Ok(()),
        false => Err(Error::Shape { kind: parent.kind(), hash: said.hash, damage: Damage::Parent }),
    }
}

/// The hashes that a node's bytes name: none for a leaf.
pub fn children(kind: Kind, bytes: &[u8]) -> Result<Vec<Hash>, Damage> {
    let node = Node::decode(kind, bytes)?;
    Ok(child_hashes(&node))
}

fn child_hashes(node: &Node) -> Vec<Hash> {
    if node.is_leaf() {
        return Vec::new();
    }
    (0..node.len()).map(|i| node.child(i).hash).collect()
}

/// The nodes of a tree to fetch next: those named by what is here, and not here themselves. None: the tree is whole.
///
/// A node in a pack is taken to have all below it in packs, too: write a pack only once its trees are whole. So only
/// fresh nodes are looked at, and each is checked against its parent.
pub fn missing<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    kind: Kind,
    root: &Hash,
) -> Result<Vec<Hash>, Error> {
    let source = source.into();
    // A name of another kind of thing, a chunk's say, is no node of this tree.
    let is_in_pack = |hash: &Hash| source.nodes().find(hash).is_some_and(|(found, _)| found == kind);
    let Some(fresh) = source.fresh().filter(|fresh| fresh.kind(root) == Some(kind)) else {
        let is_here = *root == crate::hash::empty_root(kind) || is_in_pack(root);
        return Ok(if is_here { Vec::new() } else { vec![*root] });
    };
    let mut missing = Vec::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<Arc<Node>> = vec![source.load(kind, root)?];
    while let Some(node) = open.pop() {
        for (i, hash) in child_hashes(&node).into_iter().enumerate() {
            if let Some(child) = fresh.node(kind, &hash) {
                check_child(&node, i, &child)?;
                if seen.insert(hash) {
                    open.push(child);
                }
            } else if !is_in_pack(&hash) && seen.insert(hash) {
                missing.push(hash);
            }
        }
    }
    Ok(missing)
}

/// Adds the hashes of a tree's nodes to `found`: what to keep when packs are merged. Nodes already there are taken to
/// have been followed.
pub fn reachable<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    kind: Kind,
    root: &Hash,
    found: &mut BTreeSet<Hash>,
) -> Result<(), Error> {
    let source = source.into();
    let Some(top) = source.root(kind, root)?.filter(|_| found.insert(*root)) else { return Ok(()) };
    let mut open = vec![top];
    while let Some(node) = open.pop() {
        for (i, hash) in child_hashes(&node).into_iter().enumerate() {
            // Leaves name nothing, so they need not be read.
            if found.insert(hash) && node.level() > 1 {
                open.push(source.child(&node, i)?);
            }
        }
    }
    Ok(())
}
