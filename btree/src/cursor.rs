//! Entries in order, either way, between two bounds.

use std::ops::{Bound, Range};
use std::sync::Arc;

use disk::Disk;

use crate::error::Error;
use crate::hash::{Hash, Kind};
use crate::node::{Node, Value};
use crate::nodes::Source;

/// Which way a cursor goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key to the largest.
    Forward,
    /// From the largest key to the smallest.
    Backward,
}

/// The entries of one tree between two bounds, one at a time, reading each node when it comes to it.
///
/// As an iterator it hands out owned entries; [`Cursor::advance`] and the accessors look at them where they lie.
pub struct Cursor<'a, D: Disk> {
    source: Source<'a, D>,
    direction: Direction,
    low: Bound<Vec<u8>>,
    high: Bound<Vec<u8>>,
    /// The branches above the leaf, and which child of each is being read.
    path: Vec<(Arc<Node>, usize)>,
    leaf: Option<Arc<Node>>,
    /// The rows of the leaf still to come.
    rows: Range<usize>,
    current: usize,
}

/// A cursor before the first entry of a tree between two bounds, from the end that the direction starts at.
pub fn range<'a, D: Disk>(
    source: impl Into<Source<'a, D>>,
    kind: Kind,
    root: &Hash,
    low: Bound<&[u8]>,
    high: Bound<&[u8]>,
    direction: Direction,
) -> Result<Cursor<'a, D>, Error> {
    let source = source.into();
    let mut cursor = Cursor {
        source,
        direction,
        low: low.map(<[u8]>::to_vec),
        high: high.map(<[u8]>::to_vec),
        path: Vec::new(),
        leaf: None,
        rows: 0..0,
        current: 0,
    };
    if let Some(top) = source.root(kind, root)? {
        cursor.seek(top)?;
    }
    Ok(cursor)
}

/// The first row inside a lower bound.
fn lower(node: &Node, bound: &Bound<Vec<u8>>) -> usize {
    match bound {
        Bound::Unbounded => 0,
        Bound::Included(key) => node.search(key).unwrap_or_else(|at| at),
        Bound::Excluded(key) => node.search(key).map_or_else(|at| at, |at| at + 1),
    }
}

/// The first row outside an upper bound.
fn upper(node: &Node, bound: &Bound<Vec<u8>>) -> usize {
    match bound {
        Bound::Unbounded => node.len(),
        Bound::Included(key) => node.search(key).map_or_else(|at| at, |at| at + 1),
        Bound::Excluded(key) => node.search(key).unwrap_or_else(|at| at),
    }
}

impl<D: Disk> Cursor<'_, D> {
    /// Goes to the next entry. The accessors read it; after `false` there is none.
    pub fn advance(&mut self) -> Result<bool, Error> {
        loop {
            let row = match self.direction {
                Direction::Forward => self.rows.next(),
                Direction::Backward => self.rows.next_back(),
            };
            if let Some(row) = row {
                self.current = row;
                return Ok(true);
            }
            if self.leaf.is_none() || !self.next_leaf()? {
                self.leaf = None;
                return Ok(false);
            }
        }
    }

    /// Writes the key of the entry into a buffer, in place of what was there.
    pub fn write_key(&self, key: &mut Vec<u8>) {
        self.leaf().row(self.current).write_key(key);
    }

    /// The time of the entry.
    pub fn hlc(&self) -> u64 {
        self.leaf().stamp(self.current)
    }

    /// The payload of the entry.
    pub fn payload(&self) -> &[u8] {
        self.leaf().payload(self.current)
    }

    fn leaf(&self) -> &Node {
        self.leaf.as_deref().expect("an accessor is called after advance() has said that there is an entry")
    }

    /// Goes down from the top to where the first entry may be.
    fn seek(&mut self, top: Arc<Node>) -> Result<(), Error> {
        let mut node = top;
        while !node.is_leaf() {
            // A child is named by its last key: the entry is in the first child that does not end before it.
            let at = match self.direction {
                Direction::Forward => lower(&node, &self.low),
                Direction::Backward => match &self.high {
                    Bound::Unbounded => node.last(),
                    Bound::Included(key) | Bound::Excluded(key) => {
                        node.search(key).unwrap_or_else(|at| at).min(node.last())
                    }
                },
            };
            if at == node.len() {
                return Ok(());
            }
            let child = self.source.child(&node, at)?;
            self.path.push((node, at));
            node = child;
        }
        self.enter(node);
        Ok(())
    }

    fn enter(&mut self, leaf: Arc<Node>) {
        self.rows = lower(&leaf, &self.low)..upper(&leaf, &self.high);
        self.leaf = Some(leaf);
    }

    /// Whether the bound that the cursor goes to lies in this leaf.
    fn ends_here(&self) -> bool {
        let leaf = self.leaf();
        match self.direction {
            Direction::Forward => upper(leaf, &self.high) < leaf.len(),
            Direction::Backward => lower(leaf, &self.low) > 0,
        }
    }

    fn next_leaf(&mut self) -> Result<bool, Error> {
        if self.ends_here() {
            return Ok(false);
        }
        while let Some((branch, at)) = self.path.pop() {
            let next = match self.direction {
                Direction::Forward => Some(at + 1).filter(|next| *next < branch.len()),
                Direction::Backward => at.checked_sub(1),
            };
            let Some(next) = next else { continue };
            let child = self.source.child(&branch, next)?;
            self.path.push((branch, next));
            return self.descend(child).map(|()| true);
        }
        Ok(false)
    }

    fn descend(&mut self, mut node: Arc<Node>) -> Result<(), Error> {
        while !node.is_leaf() {
            let at = match self.direction {
                Direction::Forward => 0,
                Direction::Backward => node.last(),
            };
            let child = self.source.child(&node, at)?;
            self.path.push((node, at));
            node = child;
        }
        self.enter(node);
        Ok(())
    }
}

impl<D: Disk> Iterator for Cursor<'_, D> {
    type Item = Result<(Vec<u8>, Value), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance() {
            Ok(false) => None,
            Ok(true) => Some(Ok((self.leaf().key(self.current), self.leaf().value(self.current)))),
            Err(error) => {
                // What comes after a node that cannot be read is unknown: the cursor ends with the error.
                (self.leaf, self.rows) = (None, 0..0);
                Some(Err(error))
            }
        }
    }
}
