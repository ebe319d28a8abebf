//! The file `manifest`: two slots of bytes, of which at least one is always whole.

use std::io;

use disk::{Disk, File};

use crate::error::{Error, has_no_room};

/// Room for some thousand packs, segments and notes; only what is used of it is written.
const SLOT_LEN: u64 = 256 << 10;
/// What every slot begins with, and behind it the digit of its format.
const MAGIC: [u8; 7] = *b"strandm";
const FORMAT: u8 = b'1';
/// Magic and digit, length, checksum: the same in every format.
const HEAD_LEN: usize = 8 + 4 + 32;
/// Longest contents of a slot.
pub(crate) const BODY_MAX: usize = SLOT_LEN as usize - HEAD_LEN;
const NAME: &str = "manifest";
/// Filled with zeros when the file is made: on a full disk a manifest of this length can still be written, so that a
/// folder opens and shows what it has.
const RESERVED_LEN: usize = 32 << 10;

/// One slot that is whole.
pub(crate) struct Slot {
    /// Its place.
    pub(crate) place: usize,
    /// Whether its head says the format that is written here; another one is a damaged digit, or another time's.
    pub(crate) is_ours: bool,
    pub(crate) body: Vec<u8>,
}

/// The open file of two slots.
///
/// A writer only ever touches the slot it does not need: a torn write costs the new contents, never the old.
pub(crate) struct Slots<D: Disk> {
    file: D::File,
}

impl<D: Disk> Slots<D> {
    /// Makes an empty file; fails if there is one.
    pub(crate) fn create(disk: &D) -> Result<Self, Error> {
        let file = disk.create(NAME).map_err(failed("create"))?;
        file.set_len(2 * SLOT_LEN).map_err(failed("size"))?;
        for slot in 0..2 {
            file.write_all_at(&[0; RESERVED_LEN], slot * SLOT_LEN).map_err(failed("write"))?;
        }
        file.flush().map_err(failed("flush"))?;
        disk.flush_dir("").map_err(failed("flush the folder of"))?;
        Ok(Self { file })
    }

    /// Opens the file to read and write its slots.
    pub(crate) fn open(disk: &D) -> Result<Self, Error> {
        disk.open(NAME).map(|file| Self { file }).map_err(missing)
    }

    /// Opens the file only to read it.
    pub(crate) fn open_read(disk: &D) -> Result<Self, Error> {
        disk.open_read(NAME).map(|file| Self { file }).map_err(missing)
    }

    /// Each slot that is whole, of whatever format.
    pub(crate) fn read(&self) -> Result<Vec<Slot>, Error> {
        let mut whole = Vec::new();
        for place in 0..2 {
            whole.extend(self.read_slot(place).map_err(failed("read"))?);
        }
        Ok(whole)
    }

    /// Replaces the contents of a slot, durably. After [`Error::NoSpace`] there are none in it that count; after another
    /// error either may be found there.
    pub(crate) fn write(&self, slot: usize, body: &[u8]) -> Result<(), Error> {
        if body.len() > BODY_MAX {
            return Err(Error::ManifestTooLarge { len: body.len(), max: BODY_MAX });
        }
        let mut bytes = Vec::with_capacity(HEAD_LEN + body.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&u32::try_from(body.len()).expect("shorter than a slot").to_le_bytes());
        bytes.extend_from_slice(&crdt::derive("manifest", body));
        bytes.extend_from_slice(body);
        match self.file.write_all_at(&bytes, slot as u64 * SLOT_LEN) {
            Err(error) if has_no_room(&error) => return Err(Error::NoSpace { name: NAME.into() }),
            written => written.map_err(failed("write"))?,
        }
        self.file.flush().map_err(failed("flush"))
    }

    fn read_slot(&self, place: usize) -> io::Result<Option<Slot>> {
        let start = place as u64 * SLOT_LEN;
        let mut head = [0; HEAD_LEN];
        if self.file.read_up_to(&mut head, start)? < HEAD_LEN || head[..7] != MAGIC {
            return Ok(None);
        }
        let len = u32::from_le_bytes(head[8..12].try_into().expect("four bytes")) as usize;
        if len > BODY_MAX {
            return Ok(None);
        }
        let mut body = vec![0; len];
        let filled = self.file.read_up_to(&mut body, start + HEAD_LEN as u64)?;
        let is_whole = filled == len && head[12..] == crdt::derive("manifest", &body);
        Ok(is_whole.then_some(Slot { place, is_ours: head[7] == FORMAT, body }))
    }
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::Disk { action, name: NAME.into(), source }
}

fn missing(source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::NoManifest,
        _ => failed("open")(source),
    }
}

#[cfg(test)]
mod tests {
    use disk::MemoryDisk;

    use super::*;

    fn bodies(slots: &Slots<MemoryDisk>) -> Vec<Vec<u8>> {
        let whole = slots.read().unwrap().into_iter();
        whole.filter(|slot| slot.is_ours).map(|slot| slot.body).collect()
    }

    #[test]
    fn damage_in_one_slot_leaves_the_other() {
        let disk = MemoryDisk::new(1);
        let slots = Slots::create(&disk).unwrap();
        assert!(bodies(&slots).is_empty());
        slots.write(0, b"old").unwrap();
        slots.write(1, b"new").unwrap();
        assert_eq!(bodies(&slots), [b"old", b"new"]);
        for offset in 0..(HEAD_LEN + 3) as u64 {
            let copy = disk.copy();
            copy.flip_bit("manifest", SLOT_LEN + offset, 3);
            assert_eq!(bodies(&Slots::open(&copy).unwrap()), [b"old"], "offset {offset}");
        }
    }

    #[test]
    fn contents_longer_than_a_slot_are_refused() {
        let slots = Slots::create(&MemoryDisk::new(1)).unwrap();
        assert!(matches!(slots.write(0, &vec![0; BODY_MAX + 1]), Err(Error::ManifestTooLarge { .. })));
        slots.write(0, &vec![0; BODY_MAX]).unwrap();
    }
}
