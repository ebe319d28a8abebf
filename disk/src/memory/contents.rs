//! The bytes of one file: what everybody reads, and what a crash may leave of them.

use std::collections::BTreeMap;

use crate::random::Random;

/// What a disk writes whole or not at all.
pub(crate) const SECTOR_LEN: usize = 512;

/// Earlier states of a sector that a crash may choose from, the durable one always among them.
const VERSIONS_MAX: usize = 6;

/// The bytes of a file as the cache shows them, with what is durable of them kept beside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    bytes: Vec<u8>,
    /// Sectors whose durable state differs, or may differ, from `bytes`.
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
    versions: Vec<(u64, Box<[u8]>)>,
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

impl Contents {
    pub(crate) fn durable(bytes: Vec<u8>) -> Contents {
        Contents { lens: vec![(0, bytes.len())], bytes, ..Contents::default() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
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
        let mask = 1u8.rotate_left(bit);
        self.bytes[offset] ^= mask;
        if let Some(sector) = self.sectors.get_mut(&(offset / SECTOR_LEN)) {
            for (_, version) in &mut sector.versions {
                version[offset % SECTOR_LEN] ^= mask;
            }
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], offset: usize) {
        if offset + bytes.len() > self.len() {
            self.resize(offset + bytes.len());
        }
        let mut written = 0;
        while written < bytes.len() {
            let at = offset + written;
            let count = (SECTOR_LEN - at % SECTOR_LEN).min(bytes.len() - written);
            self.touch(at / SECTOR_LEN);
            self.bytes[at..at + count].copy_from_slice(&bytes[written..written + count]);
            written += count;
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
        self.bytes.resize(len, 0);
        self.step += 1;
        self.lens.push((self.step, len));
    }

    /// Remembers a sector before it changes.
    fn touch(&mut self, index: usize) {
        self.step += 1;
        self.unreadable.remove(&index);
        let before = self.sector(index);
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

    /// A sector as the cache shows it, with zeros behind the end of the file.
    fn sector(&self, index: usize) -> Box<[u8]> {
        let mut sector = vec![0; SECTOR_LEN];
        let start = (index * SECTOR_LEN).min(self.len());
        let end = (start + SECTOR_LEN).min(self.len());
        sector[..end - start].copy_from_slice(&self.bytes[start..end]);
        sector.into()
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
    pub(crate) fn crash(&self, survival: Survival, random: &mut Random) -> Vec<u8> {
        let mut image = self.bytes.clone();
        let longest = self.lens.iter().map(|&(_, len)| len).max().unwrap_or(0);
        image.resize(longest.max(image.len()), 0);
        for (&index, sector) in &self.sectors {
            let chosen = match survival {
                _ if !sector.dirty => 0,
                Survival::None => 0,
                Survival::All => sector.versions.len(),
                Survival::Prefix(step) => sector.up_to(step),
                Survival::Subset => random.below(sector.versions.len() as u64 + 1) as usize,
            };
            if let Some((_, version)) = sector.versions.get(chosen) {
                let start = (index * SECTOR_LEN).min(image.len());
                let end = (start + SECTOR_LEN).min(image.len());
                image[start..end].copy_from_slice(&version[..end - start]);
            }
        }
        image.truncate(self.crash_len(survival, random));
        image
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
