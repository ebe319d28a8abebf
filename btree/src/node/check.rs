//! Bytes that may lie: every length, limit, order and spelling of a node, checked once.

use super::{
    Column, DOT_LEN, HASH_LEN, HEADER_LEN, KEY_LEN_MAX, Layout, NODE_LEN_MAX, Node, PAYLOAD_LEN_MAX, VERSION,
    WRITER_LEN, read_u16, width_of, writer_width,
};
use crate::boundary::{LEVEL_MAX, ROWS_MAX};
use crate::error::Damage;

/// Hands out consecutive places of a slice, refusing what reaches past its end.
struct Places {
    at: usize,
    end: usize,
}

impl Places {
    fn take(&mut self, len: usize) -> Result<usize, Damage> {
        let at = self.at;
        self.at += len;
        if self.at <= self.end { Ok(at) } else { Err(Damage::Length) }
    }
}

impl Layout {
    /// Finds the parts of a node. Every place lies inside `bytes`, and the last part ends where they end.
    pub(super) fn parse(bytes: &[u8]) -> Result<Layout, Damage> {
        if bytes.len() > NODE_LEN_MAX {
            return Err(Damage::Limit);
        }
        let mut places = Places { at: 0, end: bytes.len() };
        places.take(HEADER_LEN)?;
        let mut layout = Layout {
            level: bytes[1],
            rows: read_u16(bytes, 2),
            prefix_len: read_u16(bytes, 4),
            writers: read_u16(bytes, 6),
            ..Layout::default()
        };
        layout.check_counts(bytes[0])?;
        layout.writer.width = writer_width(layout.writers);
        layout.seq.width = usize::from(bytes[8]);
        layout.stamp.width = usize::from(bytes[9]);
        layout.size.width = usize::from(bytes[10]);
        layout.check_widths()?;
        layout.seq.base = read_u64(bytes, places.take(8)?);
        layout.stamp.base = read_u64(bytes, places.take(8)?);
        if layout.level > 0 {
            layout.size.base = read_u64(bytes, places.take(8)?);
        }
        layout.place(&mut places)?;
        layout.place_heaps(bytes, &mut places)?;
        if places.at == bytes.len() { Ok(layout) } else { Err(Damage::Length) }
    }

    fn check_counts(&self, version: u8) -> Result<(), Damage> {
        if version != VERSION {
            return Err(Damage::Format { found: version.into(), known: VERSION.into() });
        }
        let within = self.level <= LEVEL_MAX
            && (1..=ROWS_MAX).contains(&self.rows)
            && (1..=self.rows).contains(&self.writers)
            && self.prefix_len <= KEY_LEN_MAX - DOT_LEN;
        if within { Ok(()) } else { Err(Damage::Limit) }
    }

    fn check_widths(&self) -> Result<(), Damage> {
        let wide = [self.seq, self.stamp, self.size].into_iter().any(|column| column.width > 8);
        let leaf_has_sizes = self.level == 0 && self.size.width > 0;
        if wide || leaf_has_sizes { Err(Damage::Limit) } else { Ok(()) }
    }

    fn place(&mut self, places: &mut Places) -> Result<(), Damage> {
        self.prefix_at = places.take(self.prefix_len)?;
        self.writers_at = places.take(self.writers * WRITER_LEN)?;
        for column in [&mut self.writer, &mut self.seq, &mut self.stamp, &mut self.size] {
            column.at = places.take(self.rows * column.width)?;
        }
        self.name_ends_at = places.take(self.rows * 2)?;
        self.payload_ends_at = places.take(self.rows * if self.level == 0 { 2 } else { HASH_LEN })?;
        Ok(())
    }

    fn place_heaps(&mut self, bytes: &[u8], places: &mut Places) -> Result<(), Damage> {
        let last = 2 * (self.rows - 1);
        self.names_at = places.take(read_u16(bytes, self.name_ends_at + last))?;
        let payloads = if self.level == 0 { read_u16(bytes, self.payload_ends_at + last) } else { 0 };
        self.payloads_at = places.take(payloads)?;
        Ok(())
    }
}

impl Node {
    /// Checks all that [`Layout::parse`] could not: after it no accessor of the node can panic.
    pub(super) fn check(&self) -> Result<(), Damage> {
        let layout = &self.layout;
        self.check_ends(layout.name_ends_at, KEY_LEN_MAX - DOT_LEN - layout.prefix_len)?;
        if self.is_leaf() {
            self.check_ends(layout.payload_ends_at, PAYLOAD_LEN_MAX)?;
        }
        self.check_writers()?;
        for column in [layout.seq, layout.stamp, layout.size] {
            self.check_column(column)?;
        }
        self.check_prefix()?;
        let ascending = (1..self.len()).all(|i| self.is_after_its_neighbour(i));
        if ascending { Ok(()) } else { Err(Damage::Order) }
    }

    fn check_ends(&self, ends_at: usize, len_max: usize) -> Result<(), Damage> {
        let mut start = 0;
        for i in 0..self.len() {
            let end = read_u16(&self.bytes, ends_at + 2 * i);
            if end < start {
                return Err(Damage::Length);
            }
            if end - start > len_max {
                return Err(Damage::Limit);
            }
            start = end;
        }
        Ok(())
    }

    /// The table is sorted, and holds the writers of the rows and no others.
    fn check_writers(&self) -> Result<(), Damage> {
        let writers = self.layout.writers;
        if writers == 1 {
            return Ok(());
        }
        if !(1..writers).all(|i| self.writer_at(i - 1) < self.writer_at(i)) {
            return Err(Damage::Spelling);
        }
        let mut used = vec![false; writers];
        for i in 0..self.len() {
            let index = self.layout.writer.delta(&self.bytes, i) as usize;
            *used.get_mut(index).ok_or(Damage::Limit)? = true;
        }
        if used.contains(&false) { Err(Damage::Spelling) } else { Ok(()) }
    }

    /// The base is the smallest number, the width the least, and no number overflows.
    fn check_column(&self, column: Column) -> Result<(), Damage> {
        let (mut low, mut high) = (u64::MAX, 0);
        if column.width == 0 {
            return Ok(());
        }
        for i in 0..self.len() {
            let delta = column.delta(&self.bytes, i);
            low = low.min(delta);
            high = high.max(delta);
        }
        if low != 0 || width_of(high) != column.width {
            return Err(Damage::Spelling);
        }
        if column.base.checked_add(high).is_none() { Err(Damage::Limit) } else { Ok(()) }
    }

    /// The prefix is all that the names share: keys are sorted, so the first and the last name tell.
    fn check_prefix(&self) -> Result<(), Damage> {
        let shortest = (0..self.len()).map(|i| self.suffix(i).len()).min().unwrap_or(0);
        let longer = shortest > 0 && self.suffix(0)[0] == self.suffix(self.last())[0];
        if longer { Err(Damage::Spelling) } else { Ok(()) }
    }

    fn is_after_its_neighbour(&self, i: usize) -> bool {
        let (before, after) = (self.suffix(i - 1), self.suffix(i));
        let shared = before.len().min(after.len());
        match before[..shared].cmp(&after[..shared]) {
            std::cmp::Ordering::Less => true,
            std::cmp::Ordering::Greater => false,
            std::cmp::Ordering::Equal => {
                let [before, after] = [i - 1, i].map(|i| {
                    let row = self.row(i);
                    [&row.suffix[shared..], &row.dot()].concat()
                });
                before < after
            }
        }
    }
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("its place was taken, so it lies inside"))
}
