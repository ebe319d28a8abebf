//! What differs between two roots, walking only where their hashes do.

use std::cmp::Ordering;
use std::sync::Arc;

use disk::Disk;

use crate::error::Error;
use crate::hash::{Hash, Kind};
use crate::node::{Node, Row, Value};
use crate::nodes::Source;

/// One key on which two trees do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: Vec<u8>,
    /// What the first tree has under it.
    pub before: Option<Value>,
    /// What the second tree has under it.
    pub after: Option<Value>,
}

/// The changes from one tree to another, in the order of their keys.
pub struct Diff<'a, D: Disk> {
    before: Side<'a, D>,
    after: Side<'a, D>,
}

/// Compares two trees, each of which may be empty. Subtrees with equal hashes are not read.
pub fn diff<'a, D: Disk>(
    before: impl Into<Source<'a, D>>,
    before_root: &Hash,
    after: impl Into<Source<'a, D>>,
    after_root: &Hash,
    kind: Kind,
) -> Result<Diff<'a, D>, Error> {
    let (before, after) = (before.into(), after.into());
    if before_root == after_root {
        return Ok(Diff { before: Side::new(before, None), after: Side::new(after, None) });
    }
    let tops = (before.root(kind, before_root)?, after.root(kind, after_root)?);
    Ok(Diff { before: Side::new(before, tops.0), after: Side::new(after, tops.1) })
}

/// One of the two trees: everything before its place has been compared.
struct Side<'a, D: Disk> {
    source: Source<'a, D>,
    /// From the top down, which row of each node comes next. A branch's row is the subtree to compare or enter.
    path: Vec<(Arc<Node>, usize)>,
}

/// What comes next on one side.
enum Next {
    Subtree { hash: Hash, level: u8 },
    Entry,
    End,
}

impl<'a, D: Disk> Side<'a, D> {
    fn new(source: Source<'a, D>, top: Option<Arc<Node>>) -> Side<'a, D> {
        Side { source, path: top.map(|top| (top, 0)).into_iter().collect() }
    }

    fn next(&self) -> Next {
        match self.path.last() {
            None => Next::End,
            Some((node, _)) if node.is_leaf() => Next::Entry,
            Some((node, at)) => Next::Subtree { hash: node.child(*at).hash, level: node.level() - 1 },
        }
    }

    fn enter(&mut self) -> Result<(), Error> {
        let (node, at) = self.path.last().expect("a subtree comes next, so there is a branch");
        let child = self.source.child(node, *at)?;
        self.path.push((child, 0));
        Ok(())
    }

    /// Goes past what comes next.
    fn skip(&mut self) {
        while let Some((node, at)) = self.path.last_mut() {
            *at += 1;
            if *at < node.len() {
                return;
            }
            self.path.pop();
        }
    }

    fn row(&self) -> Row<'_> {
        let (leaf, at) = self.path.last().expect("an entry comes next, so there is a leaf");
        leaf.row(*at)
    }

    fn take(&mut self) -> (Vec<u8>, Value) {
        let (leaf, at) = self.path.last().expect("an entry comes next, so there is a leaf");
        let entry = (leaf.key(*at), leaf.value(*at));
        self.skip();
        entry
    }
}

fn compare(a: Row<'_>, b: Row<'_>) -> Ordering {
    if a.prefix == b.prefix && a.suffix == b.suffix {
        return (a.writer, a.seq).cmp(&(b.writer, b.seq));
    }
    if a.prefix == b.prefix && a.suffix.len() == b.suffix.len() {
        return a.suffix.cmp(b.suffix);
    }
    a.key().cmp(&b.key())
}

impl<D: Disk> Diff<'_, D> {
    fn step(&mut self) -> Result<Option<Change>, Error> {
        loop {
            match (self.before.next(), self.after.next()) {
                (Next::End, Next::End) => return Ok(None),
                (Next::Subtree { hash: before, .. }, Next::Subtree { hash: after, .. })
                    if before == after =>
                {
                    self.before.skip();
                    self.after.skip();
                }
                (Next::Subtree { level: before, .. }, Next::Subtree { level: after, .. }) => {
                    // The higher one first: the other may be found whole inside it.
                    if before >= after {
                        self.before.enter()?;
                    }
                    if after >= before {
                        self.after.enter()?;
                    }
                }
                (Next::Subtree { .. }, Next::Entry | Next::End) => self.before.enter()?,
                (Next::Entry | Next::End, Next::Subtree { .. }) => self.after.enter()?,
                (Next::Entry, Next::End) => return Ok(Some(self.removed())),
                (Next::End, Next::Entry) => return Ok(Some(self.added())),
                (Next::Entry, Next::Entry) => {
                    if let Some(change) = self.compare_entries() {
                        return Ok(Some(change));
                    }
                }
            }
        }
    }

    fn compare_entries(&mut self) -> Option<Change> {
        let (before, after) = (self.before.row(), self.after.row());
        match compare(before, after) {
            Ordering::Less => Some(self.removed()),
            Ordering::Greater => Some(self.added()),
            Ordering::Equal if before.stamp == after.stamp && before.payload == after.payload => {
                self.before.skip();
                self.after.skip();
                None
            }
            Ordering::Equal => {
                let (key, before) = self.before.take();
                let (_, after) = self.after.take();
                Some(Change { key, before: Some(before), after: Some(after) })
            }
        }
    }

    fn removed(&mut self) -> Change {
        let (key, value) = self.before.take();
        Change { key, before: Some(value), after: None }
    }

    fn added(&mut self) -> Change {
        let (key, value) = self.after.take();
        Change { key, before: None, after: Some(value) }
    }
}

impl<D: Disk> Iterator for Diff<'_, D> {
    type Item = Result<Change, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        if step.is_err() {
            // What comes after a node that cannot be read is unknown: the diff ends with the error.
            self.before.path.clear();
            self.after.path.clear();
        }
        step.transpose()
    }
}
