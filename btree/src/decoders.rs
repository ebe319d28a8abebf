//! For the fuzz targets alone: a node's rows, written again.

use crate::node::{Builder, Node};

/// The bytes that the rows of a node have when they are encoded anew.
pub fn encode_again(node: &Node) -> Vec<u8> {
    let mut builder = Builder::new(node.kind(), node.level());
    (0..node.len()).for_each(|row| builder.push(node.row(row)));
    builder.finish().as_bytes().to_vec()
}
