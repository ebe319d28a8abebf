//! Rows to the one true bytes of a node.

use super::{
    Column, DOT_LEN, HASH_LEN, HEADER_LEN, Layout, Node, Row, VERSION, WRITER_LEN, width_of, writer_width,
};
use crate::hash::Kind;

/// Gathers the rows of one node in ascending order, then encodes them. Kept and reused from node to node.
pub(crate) struct Builder {
    kind: Kind,
    level: u8,
    names: Vec<u8>,
    name_ends: Vec<usize>,
    writers: Vec<[u8; WRITER_LEN]>,
    seqs: Vec<u64>,
    stamps: Vec<u64>,
    sizes: Vec<u64>,
    payloads: Vec<u8>,
    payload_ends: Vec<usize>,
}

impl Builder {
    pub(crate) fn new(kind: Kind, level: u8) -> Builder {
        Builder {
            kind,
            level,
            names: Vec::new(),
            name_ends: Vec::new(),
            writers: Vec::new(),
            seqs: Vec::new(),
            stamps: Vec::new(),
            sizes: Vec::new(),
            payloads: Vec::new(),
            payload_ends: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, row: Row<'_>) {
        self.names.extend_from_slice(row.prefix);
        self.names.extend_from_slice(row.suffix);
        self.name_ends.push(self.names.len());
        self.writers.push(*row.writer);
        self.seqs.push(row.seq);
        self.stamps.push(row.stamp);
        self.sizes.push(row.size);
        self.payloads.extend_from_slice(row.payload);
        self.payload_ends.push(self.payloads.len());
    }

    pub(crate) fn rows(&self) -> usize {
        self.name_ends.len()
    }

    /// The name of the row pushed last.
    pub(crate) fn last_name(&self) -> &[u8] {
        self.name(self.rows() - 1)
    }

    /// The key of the row pushed last.
    pub(crate) fn last_key(&self) -> Vec<u8> {
        let i = self.rows() - 1;
        [self.name(i), &self.writers[i], &self.seqs[i].to_be_bytes()].concat()
    }

    fn name(&self, i: usize) -> &[u8] {
        let start = if i == 0 { 0 } else { self.name_ends[i - 1] };
        &self.names[start..self.name_ends[i]]
    }

    /// The node of the rows so far; the builder is empty again.
    pub(crate) fn finish(&mut self) -> Node {
        let node = self.encode();
        self.names.clear();
        self.name_ends.clear();
        self.writers.clear();
        self.seqs.clear();
        self.stamps.clear();
        self.sizes.clear();
        self.payloads.clear();
        self.payload_ends.clear();
        node
    }

    fn encode(&self) -> Node {
        let rows = self.rows();
        let prefix_len = self.shared_prefix_len();
        let table = self.writer_table();
        let mut layout =
            Layout { level: self.level, rows, prefix_len, writers: table.len(), ..Layout::default() };
        layout.writer.width = writer_width(table.len());
        layout.seq = span(&self.seqs);
        layout.stamp = span(&self.stamps);
        layout.size = span(&self.sizes);

        let mut bytes = Vec::with_capacity(self.len_estimate(table.len()));
        bytes.extend_from_slice(&[VERSION, self.level]);
        for count in [rows, prefix_len, table.len()] {
            put_u16(&mut bytes, count);
        }
        bytes.extend([layout.seq, layout.stamp, layout.size].map(|column| column.width as u8));
        debug_assert_eq!(bytes.len(), HEADER_LEN, "the header has a fixed length");
        bytes.extend_from_slice(&layout.seq.base.to_le_bytes());
        bytes.extend_from_slice(&layout.stamp.base.to_le_bytes());
        if self.level > 0 {
            bytes.extend_from_slice(&layout.size.base.to_le_bytes());
        }
        layout.prefix_at = bytes.len();
        bytes.extend_from_slice(&self.name(0)[..prefix_len]);
        layout.writers_at = bytes.len();
        table.iter().for_each(|writer| bytes.extend_from_slice(writer));
        self.put_columns(&mut bytes, &mut layout, &table);
        self.put_heaps(&mut bytes, &mut layout);

        let mut node =
            Node { kind: self.kind, bytes: bytes.into(), layout, total: super::Total { count: 0, bytes: 0 } };
        debug_assert_eq!(node.check(), Ok(()), "what we write is what we accept");
        node.total = node.sum().expect("the entries of a tree are fewer than 2^64");
        node
    }

    fn put_columns(&self, bytes: &mut Vec<u8>, layout: &mut Layout, table: &[[u8; WRITER_LEN]]) {
        layout.writer.at = bytes.len();
        if layout.writer.width > 0 {
            for writer in &self.writers {
                let index = table.binary_search(writer).expect("the table was made of these");
                bytes.extend_from_slice(&index.to_le_bytes()[..layout.writer.width]);
            }
        }
        put_column(bytes, &mut layout.seq, &self.seqs);
        put_column(bytes, &mut layout.stamp, &self.stamps);
        put_column(bytes, &mut layout.size, &self.sizes);
    }

    fn put_heaps(&self, bytes: &mut Vec<u8>, layout: &mut Layout) {
        let prefix_len = layout.prefix_len;
        layout.name_ends_at = bytes.len();
        for (i, end) in self.name_ends.iter().enumerate() {
            put_u16(bytes, end - (i + 1) * prefix_len);
        }
        layout.payload_ends_at = bytes.len();
        if self.level == 0 {
            self.payload_ends.iter().for_each(|end| put_u16(bytes, *end));
        } else {
            debug_assert_eq!(
                self.payloads.len(),
                self.rows() * HASH_LEN,
                "a branch holds a hash for each child"
            );
            bytes.extend_from_slice(&self.payloads);
        }
        layout.names_at = bytes.len();
        (0..self.rows()).for_each(|i| bytes.extend_from_slice(&self.name(i)[prefix_len..]));
        layout.payloads_at = bytes.len();
        if self.level == 0 {
            bytes.extend_from_slice(&self.payloads);
        }
    }

    /// Keys are sorted, so what the first and the last share all share; a name may end sooner than its key.
    fn shared_prefix_len(&self) -> usize {
        let (first, last) = (self.name(0), self.last_name());
        let shared = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        (0..self.rows()).map(|i| self.name(i).len()).min().unwrap_or(0).min(shared)
    }

    fn writer_table(&self) -> Vec<[u8; WRITER_LEN]> {
        let mut table = self.writers.clone();
        table.dedup();
        table.sort_unstable();
        table.dedup();
        table
    }

    fn len_estimate(&self, writers: usize) -> usize {
        let fixed = HEADER_LEN + 24 + writers * WRITER_LEN;
        fixed + self.names.len() + self.payloads.len() + self.rows() * (DOT_LEN - WRITER_LEN + 16)
    }
}

fn span(numbers: &[u64]) -> Column {
    let base = numbers.iter().copied().min().unwrap_or(0);
    let highest = numbers.iter().copied().max().unwrap_or(0);
    Column { at: 0, width: width_of(highest - base), base }
}

fn put_column(bytes: &mut Vec<u8>, column: &mut Column, numbers: &[u64]) {
    column.at = bytes.len();
    if column.width > 0 {
        for number in numbers {
            bytes.extend_from_slice(&(number - column.base).to_le_bytes()[..column.width]);
        }
    }
}

fn put_u16(bytes: &mut Vec<u8>, number: usize) {
    let number = u16::try_from(number).expect("a node's caps keep its parts far below 64 KiB");
    bytes.extend_from_slice(&number.to_le_bytes());
}
