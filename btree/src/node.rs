//! Leaf and branch: one true encoding, searched where it lies.
//!
//! A node holds rows in strictly ascending order of their keys: at level 0 entries, above it children, each under
//! the last key below it. All numbers are little-endian; `docs/formats.md` draws it:
//!
//! ```text
//! version 1 | level 1 | rows 2 | prefix length 2 | writers 2 | widths 3 | bases 8 each | prefix | writers, 24 each
//! columns, one number a row:  writer index | sequence - base | stamp - base | size - base (branch)
//! end of each name's suffix 2 | end of each payload 2 (leaf) or child hash 32 (branch) | suffixes | payloads (leaf)
//! ```
//!
//! The stamp is an entry's time, or the number of entries below a child; the size is the number of bytes below it.
//! A column's base is its smallest number and its width the fewest bytes that hold the largest difference, so the
//! dot of a key costs a few bytes. What decodes is the only spelling of its content.

mod check;
mod encode;

use std::cmp::Ordering;

use crate::error::Damage;
use crate::hash::{Hash, Kind};

pub(crate) use encode::Builder;

/// The end of every key: who wrote it (24 bytes) and that writer's sequence number (8, big-endian).
pub const DOT_LEN: usize = WRITER_LEN + 8;

/// The longest key: a collection (16), an encoded key (1,024) and a dot.
pub const KEY_LEN_MAX: usize = 16 + 1024 + DOT_LEN;

/// The longest payload: an inline value of 1 KiB and what its owner needs to tell it from a reference.
pub const PAYLOAD_LEN_MAX: usize = 1100;

/// The longest encoding a node can have under its caps on rows and weight; refuse more before reading it.
pub const NODE_LEN_MAX: usize = 64 * 1024;

pub(crate) const WRITER_LEN: usize = 24;
pub(crate) const HASH_LEN: usize = 32;
const VERSION: u8 = 1;
const HEADER_LEN: usize = 11;

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The hybrid time of the commit that wrote it.
    pub hlc: u64,
    /// Bytes the tree does not look into, at most [`PAYLOAD_LEN_MAX`].
    pub payload: Vec<u8>,
}

/// What a branch says of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// The child's hash.
    pub hash: Hash,
    /// The number of entries below it.
    pub count: u64,
    /// The bytes of their keys and payloads.
    pub bytes: u64,
}

/// One row as it lies in a node. Its name is `prefix` and `suffix`; for a branch `payload` is the child's hash.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) suffix: &'a [u8],
    pub(crate) writer: &'a [u8; WRITER_LEN],
    pub(crate) seq: u64,
    pub(crate) stamp: u64,
    pub(crate) size: u64,
    pub(crate) payload: &'a [u8],
}

impl<'a> Row<'a> {
    /// A row of an edit, or nothing if the key has no room for a dot.
    pub(crate) fn new(key: &'a [u8], stamp: u64, size: u64, payload: &'a [u8]) -> Option<Row<'a>> {
        let (rest, seq) = key.split_last_chunk::<8>()?;
        let (suffix, writer) = rest.split_last_chunk::<WRITER_LEN>()?;
        Some(Row { prefix: &[], suffix, writer, seq: u64::from_be_bytes(*seq), stamp, size, payload })
    }

    pub(crate) fn dot(&self) -> [u8; DOT_LEN] {
        let mut dot = [0; DOT_LEN];
        dot[..WRITER_LEN].copy_from_slice(self.writer);
        dot[WRITER_LEN..].copy_from_slice(&self.seq.to_be_bytes());
        dot
    }

    pub(crate) fn has_name(&self, name: &[u8]) -> bool {
        name.strip_prefix(self.prefix) == Some(self.suffix)
    }

    pub(crate) fn write_key(&self, key: &mut Vec<u8>) {
        key.clear();
        key.reserve(self.prefix.len() + self.suffix.len() + DOT_LEN);
        key.extend_from_slice(self.prefix);
        key.extend_from_slice(self.suffix);
        key.extend_from_slice(self.writer);
        key.extend_from_slice(&self.seq.to_be_bytes());
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        self.write_key(&mut key);
        key
    }
}

/// One node: its bytes exactly as they are hashed, verified when they were decoded, and where its parts lie in them.
#[derive(Debug)]
pub struct Node {
    kind: Kind,
    bytes: Box<[u8]>,
    layout: Layout,
    total: Total,
}

/// What a node holds in all: the sum a parent must name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// A number for each row: a base and the differences to it, in as few bytes as the largest needs.
#[derive(Clone, Copy, Debug, Default)]
struct Column {
    at: usize,
    width: usize,
    base: u64,
}

impl Column {
    fn delta(self, bytes: &[u8], row: usize) -> u64 {
        if self.width == 0 {
            return 0;
        }
        let at = self.at + row * self.width;
        let mut word = [0; 8];
        match bytes.get(at..at + 8) {
            // One load and a mask: what follows the column makes up the rest of the word.
            Some(eight) => {
                word.copy_from_slice(eight);
                u64::from_le_bytes(word) & (u64::MAX >> (64 - 8 * self.width))
            }
            None => {
                word[..self.width].copy_from_slice(&bytes[at..at + self.width]);
                u64::from_le_bytes(word)
            }
        }
    }

    fn get(self, bytes: &[u8], row: usize) -> u64 {
        // Decoding refused every node in which this could overflow.
        self.base.wrapping_add(self.delta(bytes, row))
    }
}

/// Where the parts of a node lie.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    level: u8,
    rows: usize,
    prefix_at: usize,
    prefix_len: usize,
    writers_at: usize,
    writers: usize,
    writer: Column,
    seq: Column,
    stamp: Column,
    size: Column,
    name_ends_at: usize,
    payload_ends_at: usize,
    names_at: usize,
    payloads_at: usize,
}

impl Node {
    /// Reads a node, or says which rule its bytes break. Encoding its rows again would give the same bytes.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Node, Damage> {
        let layout = Layout::parse(bytes)?;
        let mut node = Node { kind, bytes: bytes.into(), layout, total: Total { count: 0, bytes: 0 } };
        node.check()?;
        node.total = node.sum().ok_or(Damage::Limit)?;
        Ok(node)
    }

    /// Adds up the totals of the rows; nothing if they overflow.
    fn sum(&self) -> Option<Total> {
        if self.is_leaf() {
            let layout = &self.layout;
            let fixed = layout.rows * (layout.prefix_len + DOT_LEN);
            let bytes = fixed + (self.bytes.len() - layout.names_at);
            return Some(Total { count: layout.rows as u64, bytes: bytes as u64 });
        }
        (0..self.len()).try_fold(Total { count: 0, bytes: 0 }, |sum, i| {
            let child = self.child(i);
            Some(Total {
                count: sum.count.checked_add(child.count)?,
                bytes: sum.bytes.checked_add(child.bytes)?,
            })
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes that are hashed, stored and sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The distance to the leaves; a leaf has 0.
    pub fn level(&self) -> u8 {
        self.layout.level
    }

    /// Whether the rows are entries and not children.
    pub fn is_leaf(&self) -> bool {
        self.layout.level == 0
    }

    /// The number of rows.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a node has at least one row; the empty tree has no node"
    )]
    pub fn len(&self) -> usize {
        self.layout.rows
    }

    pub(crate) fn total(&self) -> Total {
        self.total
    }

    /// What the node weighs by the rule of cuts.
    pub(crate) fn weight(&self) -> usize {
        let layout = &self.layout;
        let (names, payloads) = match self.is_leaf() {
            true => (layout.payloads_at - layout.names_at, self.bytes.len() - layout.payloads_at),
            false => (self.bytes.len() - layout.names_at, layout.rows * HASH_LEN),
        };
        names + payloads + layout.rows * crate::boundary::weight(layout.prefix_len, 0)
    }

    /// The key of a row.
    pub fn key(&self, i: usize) -> Vec<u8> {
        self.row(i).key()
    }

    /// The value of an entry of a leaf.
    pub fn value(&self, i: usize) -> Value {
        debug_assert!(self.is_leaf(), "only leaves hold values");
        Value { hlc: self.stamp(i), payload: self.payload(i).to_vec() }
    }

    /// What a branch says of a child.
    pub fn child(&self, i: usize) -> Child {
        debug_assert!(!self.is_leaf(), "only branches have children");
        let hash = self.payload(i).try_into().expect("a branch holds a hash of 32 bytes for each child");
        let (count, bytes) = (self.stamp(i), self.layout.size.get(&self.bytes, i));
        Child { hash: Hash(hash), count, bytes }
    }

    pub(crate) fn row(&self, i: usize) -> Row<'_> {
        Row {
            prefix: self.prefix(),
            suffix: self.suffix(i),
            writer: self.writer(i),
            seq: self.layout.seq.get(&self.bytes, i),
            stamp: self.stamp(i),
            size: self.layout.size.get(&self.bytes, i),
            payload: self.payload(i),
        }
    }

    pub(crate) fn last(&self) -> usize {
        self.layout.rows - 1
    }

    /// Where `key` is, or where it would be.
    pub(crate) fn search(&self, key: &[u8]) -> Result<usize, usize> {
        let prefix = self.prefix();
        let rest = match key.strip_prefix(prefix) {
            Some(rest) => rest,
            // A key outside the prefix lies before all rows or after them; one that ends inside it, before them.
            None => return Err(if key < prefix { 0 } else { self.len() }),
        };
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = (low + high) / 2;
            match self.compare(middle, rest) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Compares a key with a row's.
    pub(crate) fn compare_key(&self, i: usize, key: &[u8]) -> Ordering {
        let prefix = self.prefix();
        match key.strip_prefix(prefix) {
            Some(rest) => self.compare(i, rest),
            None => prefix.cmp(key),
        }
    }

    /// Compares a row's key, without the prefix, with `rest`.
    fn compare(&self, i: usize, rest: &[u8]) -> Ordering {
        let suffix = self.suffix(i);
        let shared = suffix.len().min(rest.len());
        suffix[..shared].cmp(&rest[..shared]).then_with(|| {
            if suffix.len() > shared {
                return Ordering::Greater;
            }
            self.row(i).dot().as_slice().cmp(&rest[shared..])
        })
    }

    fn prefix(&self) -> &[u8] {
        &self.bytes[self.layout.prefix_at..][..self.layout.prefix_len]
    }

    fn suffix(&self, i: usize) -> &[u8] {
        let (start, end) = self.span(self.layout.name_ends_at, i);
        &self.bytes[self.layout.names_at..][start..end]
    }

    /// An entry's time, or the number of entries below a child.
    pub(crate) fn stamp(&self, i: usize) -> u64 {
        self.layout.stamp.get(&self.bytes, i)
    }

    /// An entry's payload, or a child's hash.
    pub(crate) fn payload(&self, i: usize) -> &[u8] {
        if !self.is_leaf() {
            return &self.bytes[self.layout.payload_ends_at + i * HASH_LEN..][..HASH_LEN];
        }
        let (start, end) = self.span(self.layout.payload_ends_at, i);
        &self.bytes[self.layout.payloads_at..][start..end]
    }

    fn writer(&self, i: usize) -> &[u8; WRITER_LEN] {
        let index = self.layout.writer.delta(&self.bytes, i) as usize;
        self.writer_at(index)
    }

    fn writer_at(&self, index: usize) -> &[u8; WRITER_LEN] {
        self.bytes[self.layout.writers_at + index * WRITER_LEN..]
            .first_chunk()
            .expect("decoding refused every index outside the table")
    }

    /// Where a row's part of a heap lies, from the table of ends at `ends_at`.
    fn span(&self, ends_at: usize, i: usize) -> (usize, usize) {
        let start = if i == 0 { 0 } else { read_u16(&self.bytes, ends_at + 2 * i - 2) };
        (start, read_u16(&self.bytes, ends_at + 2 * i))
    }
}

fn read_u16(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

/// Bytes of a writer's index in a node of so many writers: none where there is no choice.
fn writer_width(writers: usize) -> usize {
    match writers {
        0..=1 => 0,
        2..=256 => 1,
        _ => 2,
    }
}

/// The fewest bytes that hold a number.
fn width_of(number: u64) -> usize {
    (64 - number.leading_zeros() as usize).div_ceil(8)
}
