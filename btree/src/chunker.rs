//! Rows of one level in order, cut into its nodes by the rule.

use std::sync::Arc;

use crate::boundary::{Boundary, weight};
use crate::hash::{Hash, Kind, Salt};
use crate::node::{Builder, Node, Row};

/// A node as its parent names it.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) last_key: Vec<u8>,
    pub(crate) hash: Hash,
    pub(crate) node: Arc<Node>,
}

/// Cuts a level's rows into nodes. The same rows always give the same nodes, from any cut on.
pub(crate) struct Chunker {
    kind: Kind,
    salt: Salt,
    rule: Boundary,
    builder: Builder,
    weight: usize,
    /// The weight after the last row of the name before.
    weight_before: usize,
    pub(crate) nodes: Vec<Named>,
}

impl Chunker {
    pub(crate) fn new(kind: Kind, salt: Salt, level: u8) -> Chunker {
        Chunker {
            kind,
            salt,
            rule: Boundary::new(salt.boundary_seed(), level),
            builder: Builder::new(kind, level),
            weight: 0,
            weight_before: 0,
            nodes: Vec::new(),
        }
    }

    /// Adds the next row. Whether the one before it ends a node is known only now.
    pub(crate) fn push(&mut self, row: Row<'_>) {
        if self.builder.rows() > 0 {
            let is_sibling = row.has_name(self.builder.last_name());
            self.settle(!is_sibling);
        }
        self.builder.push(row);
        self.weight += weight(row.prefix.len() + row.suffix.len(), row.payload.len());
    }

    /// Decides about the last row, given whether its name ends with it. Deciding twice changes nothing.
    /// Returns whether all rows so far are in finished nodes.
    pub(crate) fn settle(&mut self, name_ends: bool) -> bool {
        let rows = self.builder.rows();
        if rows == 0 {
            return true;
        }
        let cuts = self.rule.is_full(rows, self.weight)
            || name_ends && self.rule.cuts(self.builder.last_name(), rows, self.weight_before, self.weight);
        if cuts {
            self.cut();
        } else if name_ends {
            self.weight_before = self.weight;
        }
        cuts
    }

    /// Ends the level.
    pub(crate) fn finish(&mut self) {
        if self.builder.rows() > 0 {
            self.cut();
        }
    }

    /// The key of the last row that is in no node yet.
    pub(crate) fn last_key(&self) -> Option<Vec<u8>> {
        (self.builder.rows() > 0).then(|| self.builder.last_key())
    }

    /// Whether that row has this row's name.
    pub(crate) fn ends_with_name_of(&self, row: Row<'_>) -> bool {
        self.builder.rows() > 0 && row.has_name(self.builder.last_name())
    }

    /// Whether a node was cut by the caps: then it may end between two siblings.
    pub(crate) fn is_full(&self, node: &Node) -> bool {
        self.rule.is_full(node.len(), node.weight())
    }

    fn cut(&mut self) {
        let last_key = self.builder.last_key();
        let node = Arc::new(self.builder.finish());
        let hash = self.salt.hash(self.kind, node.as_bytes());
        self.nodes.push(Named { last_key, hash, node });
        (self.weight, self.weight_before) = (0, 0);
    }
}
