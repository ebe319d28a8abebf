//! The bytes of one file: what everybody reads, and what a crash may leave of them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::random::Random;

/// What a disk writes whole or not at all.
pub(crate) const SECTOR_LEN: usize = 512;

/// Earlier states of a sector that a crash may choose from, the durable one always among them.
const VERSIONS_MAX: usize = 6;

/// The bytes of a sector, shared by whoever remembers it; none are all zeros, as most of a file is.
type Page = Option<Arc<[u8; SECTOR_LEN]>>;

/// The bytes of a file as the cache shows them, with what is durable of them kept beside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Zeros behind the end of the file.
    pages: Vec<Page>,
    len: usize,
    /// Sectors whose durable state differs, or may differ, from `pages`.
    sectors: BTreeMap<usize, Sector>,
    /// The durable length, then the lengths since, each with the step that made it.
    lens: Vec<(u64, usize)>,
    /// Counts changes of a sector or of the length, so that a crash can keep a prefix of them.
    step: u64,
    /// Sectors that cannot be read until they are written again.
    unreadable: BTreeMap<usize, ()>,
}

/// What a crash may leave of a sector that was written.
#[derive(Clone, Debug)]
struct Sector {
    /// The durable state, then the unflushed ones but the newest, each with the step that made it.
    versions: Vec<(u64, Page)>,
    /// The step that made what the cache shows.
    newest: u64,
    /// Whether a flush would write it: no longer so after a flush that failed.
    dirty: bool,
}

/// How a crash chooses among what was not flushed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Survival {
    None,
    All,
    /// Changes up to a step, in order.
    Prefix(u64),
    /// Each sector by itself.
    Subset,
}

impl Survival {
    pub(crate) fn choose(contents: &Contents, random: &mut Random) -> Survival {
        match random.below(8) {
            0 => Survival::None,
            1 => Survival::All,
            2..4 => Survival::Prefix(random.below(contents.step + 1)),
            _ => Survival::Subset,
        }
    }
}

const ZEROS: [u8; SECTOR_LEN] = [0; SECTOR_LEN];

/// The parts of a stretch of a file that lie in one sector each: where, and which of the bytes.
fn pieces(offset: usize, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done;
        let count = (SECTOR_LEN - at % SECTOR_LEN).min(len - done);
        let range = done..done + count;
        done += count;
        (count > 0).then_some((at, range))
    })
}

/// The bytes of a page, its own from now on.
fn writable(page: &mut Page) -> &mut [u8; SECTOR_LEN] {
    Arc::make_mut(page.get_or_insert_with(|| Arc::new(ZEROS)))
}

impl Contents {
    /// Nothing, durably.
    pub(crate) fn empty() -> Contents {
        Contents { lens: vec![(0, 0)], ..Contents::default() }
    }

    /// What the cache shows, as if all of it were durable.
    pub(crate) fn settled(&self) -> Contents {
        Contents::of(self.pages.clone(), self.len)
    }

    fn of(mut pages: Vec<Page>, len: usize) -> Contents {
        pages.resize(len.div_ceil(SECTOR_LEN), None);
        let mut contents = Contents { pages, len, lens: vec![(0, len)], ..Contents::default() };
        contents.clear_behind_the_end();
        contents
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Copies bytes from here on, which lie within the file.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: usize) {
        for (at, range) in pieces(offset, buffer.len()) {
            let (index, start) = (at / SECTOR_LEN, at % SECTOR_LEN);
            let piece = &mut buffer[range];
            match &self.pages[index] {
                Some(page) => piece.copy_from_slice(&page[start..start + piece.len()]),
                None => piece.fill(0),
            }
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(&mut bytes, 0);
        bytes
    }

    /// Whether any of these bytes lies in a sector that cannot be read.
    pub(crate) fn is_unreadable(&self, offset: usize, len: usize) -> bool {
        let sectors = offset / SECTOR_LEN..(offset + len).div_ceil(SECTOR_LEN);
        len > 0 && self.unreadable.range(sectors).next().is_some()
    }

    pub(crate) fn make_unreadable(&mut self, offset: usize) {
        self.unreadable.insert(offset / SECTOR_LEN, ());
    }

    /// Changes a bit where it lies: in the cache and on the disk at once, as rot does.
    pub(crate) fn flip_bit(&mut self, offset: usize, bit: u32) {
        let (index, at, mask) = (offset / SECTOR_LEN, offset % SECTOR_LEN, 1u8.rotate_left(bit));
        writable(&mut self.pages[index])[at] ^= mask;
        if let Some(sector) = self.sectors.get_mut(&index) {
            for (_, version) in &mut sector.versions {
                writable(version)[at] ^= mask;
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: usize) {
        if offset + bytes.len() > self.len() {
            self.resize(offset + bytes.len());
        }
        for (at, range) in pieces(offset, bytes.len()) {
            let (index, start) = (at / SECTOR_LEN, at % SECTOR_LEN);
            self.touch(index);
            let piece = &bytes[range];
            self.pages[index] = match <&[u8; SECTOR_LEN]>::try_from(piece) {
                Ok(whole) => (*whole != ZEROS).then(|| Arc::new(*whole)),
                Err(_) => {
                    let mut page = self.pages[index].as_deref().copied().unwrap_or(ZEROS);
                    page[start..start + piece.len()].copy_from_slice(piece);
                    Some(Arc::new(page))
                }
            };
        }
    }

    pub(crate) fn resize(&mut self, len: usize) {
        if len == self.len() {
            return;
        }
        // What is cut off must come back as zeros if the file grows again, and may come back whole in a
        // crash.
        for index in len / SECTOR_LEN..self.len().div_ceil(SECTOR_LEN) {
            self.touch(index);
        }
        self.pages.resize(len.div_ceil(SECTOR_LEN), None);
        self.len = len;
        self.clear_behind_the_end();
        self.step += 1;
        self.lens.push((self.step, len));
    }

    fn clear_behind_the_end(&mut self) {
        let end = self.len % SECTOR_LEN;
        if end > 0
            && let Some(last @ Some(_)) = self.pages.last_mut()
        {
            writable(last)[end..].fill(0);
        }
    }

    /// Remembers a sector before it changes.
    fn touch(&mut self, index: usize) {
        self.step += 1;
        self.unreadable.remove(&index);
        let before = self.pages.get(index).cloned().flatten();
        let sector = self.sectors.entry(index).or_insert_with(|| Sector {
            versions: Vec::new(),
            newest: 0,
            dirty: true,
        });
        if sector.dirty || sector.versions.is_empty() {
            sector.versions.push((sector.newest, before));
        }
        if sector.versions.len() > VERSIONS_MAX {
            sector.versions.remove(1);
        }
        sector.dirty = true;
        sector.newest = self.step;
    }

    /// A flush that works: what is dirty becomes durable. What an earlier failed flush left behind does not.
    pub(crate) fn flush(&mut self) {
        self.sectors.retain(|_, sector| !sector.dirty);
        self.lens = vec![(0, self.len())];
        if self.sectors.is_empty() {
            self.step = 0;
        }
    }

    /// A flush that fails: any part becomes durable, and all of it is taken for clean from now on.
    pub(crate) fn fail_flush(&mut self, random: &mut Random) {
        self.sectors.retain(|_, sector| {
            let stays_behind = !sector.dirty || random.coin();
            sector.versions.truncate(1);
            sector.dirty = false;
            stays_behind
        });
        let durable_len = self.any_len(random);
        self.lens = vec![(0, durable_len), (self.step, self.len())];
    }

    /// What is on the disk after a crash.
    pub(crate) fn crash(&self, survival: Survival, random: &mut Random) -> Contents {
        let mut pages = self.pages.clone();
        let longest = self.lens.iter().map(|&(_, len)| len).max().unwrap_or(0);
        pages.resize(longest.max(self.len).div_ceil(SECTOR_LEN), None);
        for (&index, sector) in &self.sectors {
            let chosen = match survival {
                _ if !sector.dirty => 0,
                Survival::None => 0,
                Survival::All => sector.versions.len(),
                Survival::Prefix(step) => sector.up_to(step),
                Survival::Subset => random.below(sector.versions.len() as u64 + 1) as usize,
            };
            if let (Some((_, version)), Some(page)) = (sector.versions.get(chosen), pages.get_mut(index)) {
                *page = version.clone();
            }
        }
        Contents::of(pages, self.crash_len(survival, random))
    }

    /// One of the lengths there were since the last flush; 0 for a file that never had another.
    fn any_len(&self, random: &mut Random) -> usize {
        match self.lens.len() as u64 {
            0 => 0,
            count => self.lens[random.below(count) as usize].1,
        }
    }

    fn crash_len(&self, survival: Survival, random: &mut Random) -> usize {
        let up_to = |limit: u64| self.lens.iter().rev().find(|(step, _)| *step <= limit);
        let chosen = match survival {
            Survival::None => self.lens.first(),
            Survival::All => self.lens.last(),
            Survival::Prefix(step) => up_to(step),
            Survival::Subset => return self.any_len(random),
        };
        chosen.map_or(0, |&(_, len)| len)
    }
}

impl Sector {
    /// The index of the newest version made at or before `step`; one past the last is what the cache shows.
    fn up_to(&self, step: u64) -> usize {
        if self.newest <= step {
            return self.versions.len();
        }
        self.versions.iter().rposition(|(made, _)| *made <= step).unwrap_or(0)
    }
}
