//! The file `manifest`: two slots of bytes, each kept twice, of which at least one is always whole.

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

/// Each slot is kept twice, far from itself: a byte that rots must not turn the newest manifest into one that a crash tore,
/// for then the one before would count, and what was acknowledged since might not.
const COPIES: usize = 2;

/// One copy of a slot that is whole.
pub(crate) struct Slot {
    /// Its place.
    pub(crate) place: usize,
    /// Whether its head says the format that is written here; another one is a damaged digit, or another time's.
    pub(crate) is_ours: bool,
    pub(crate) body: Vec<u8>,
}

/// The open file of two slots.
///
/// A writer only ever touches the slot it does not need: a torn write costs the new contents, never the old. What rots in
/// one copy is read from the other, and written again when the folder is opened.
pub(crate) struct Slots<D: Disk> {
    file: D::File,
}

impl<D: Disk> Slots<D> {
    /// Makes an empty file; fails if there is one.
    pub(crate) fn create(disk: &D) -> Result<Self, Error> {
        let file = disk.create(NAME).map_err(failed("create"))?;
        file.set_len(2 * COPIES as u64 * SLOT_LEN).map_err(failed("size"))?;
        for (slot, copy) in places() {
            file.write_all_at(&[0; RESERVED_LEN], offset(slot, copy)).map_err(failed("write"))?;
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

    /// Each copy that is whole, of whatever format. One that cannot be read is an error only where the other does not speak
    /// for it.
    pub(crate) fn read(&self) -> Result<Vec<Slot>, Error> {
        let mut whole = Vec::new();
        for place in 0..2 {
            let before = whole.len();
            let mut unread = None;
            for copy in 0..COPIES {
                match self.read_copy(place, copy) {
                    Ok(slot) => whole.extend(slot),
                    Err(error) => unread = Some(error),
                }
            }
            if let Some(error) = unread.filter(|_| whole.len() == before) {
                return Err(failed("read")(error));
            }
        }
        Ok(whole)
    }

    /// What is wrong with the copies of a slot that should hold this, one sentence each. Only a replica that has written
    /// them may ask: a crash leaves one of them torn, and nothing is wrong then.
    pub(crate) fn problems(&self, slot: usize, body: &[u8]) -> Vec<String> {
        let problem = |copy| match self.read_copy(slot, copy) {
            Ok(Some(found)) if found.is_ours && found.body == body => None,
            Ok(_) => Some(format!("{NAME}: copy {copy} of slot {slot} is not what was written")),
            Err(error) => Some(format!("{NAME}: copy {copy} of slot {slot} cannot be read: {error}")),
        };
        (0..COPIES).filter_map(problem).collect()
    }

    /// Replaces the contents of a slot, durably. After [`Error::NoSpace`] there are none in it that count; after another
    /// error either may be found there.
    pub(crate) fn write(&self, slot: usize, body: &[u8]) -> Result<(), Error> {
        let bytes = head_and(body)?;
        for copy in 0..COPIES {
            match self.file.write_all_at(&bytes, offset(slot, copy)) {
                Err(error) if has_no_room(&error) => {
                    self.void(slot, copy)?;
                    return Err(Error::NoSpace { name: NAME.into() });
                }
                written => written.map_err(failed("write"))?,
            }
        }
        self.file.flush().map_err(failed("flush"))
    }

    /// Writes again what a slot holds already, durably: in the copy that a crash tore, that has rotted, or that only the
    /// cache of the machine had. Where there is no room for a copy the other one has to do.
    pub(crate) fn write_again(&self, slot: usize, body: &[u8]) -> Result<(), Error> {
        let bytes = head_and(body)?;
        for copy in 0..COPIES {
            match self.file.write_all_at(&bytes, offset(slot, copy)) {
                Err(error) if has_no_room(&error) => {}
                written => written.map_err(failed("write"))?,
            }
        }
        self.file.flush().map_err(failed("flush"))
    }

    /// Takes back the copies of a slot that were written before there was no room for this one.
    fn void(&self, slot: usize, end: usize) -> Result<(), Error> {
        for copy in 0..end {
            self.file.write_all_at(&[0; HEAD_LEN], offset(slot, copy)).map_err(failed("write"))?;
        }
        if end == 0 { Ok(()) } else { self.file.flush().map_err(failed("flush")) }
    }

    fn read_copy(&self, place: usize, copy: usize) -> io::Result<Option<Slot>> {
        let start = offset(place, copy);
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

/// Every copy of every slot.
fn places() -> impl Iterator<Item = (usize, usize)> {
    (0..COPIES).flat_map(|copy| (0..2).map(move |slot| (slot, copy)))
}

/// Where a copy of a slot begins: both first copies lie before both second ones.
fn offset(slot: usize, copy: usize) -> u64 {
    (2 * copy + slot) as u64 * SLOT_LEN
}

fn head_and(body: &[u8]) -> Result<Vec<u8>, Error> {
    if body.len() > BODY_MAX {
        return Err(Error::ManifestTooLarge { len: body.len(), max: BODY_MAX });
    }
    let mut bytes = Vec::with_capacity(HEAD_LEN + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.push(FORMAT);
    bytes.extend_from_slice(&u32::try_from(body.len()).expect("shorter than a slot").to_le_bytes());
    bytes.extend_from_slice(&crdt::derive("manifest", body));
    bytes.extend_from_slice(body);
    Ok(bytes)
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
    use disk::{Fault, Faults, MemoryDisk, Operation};

    use super::*;

    /// What the copies hold: the first of each slot, then the second of each.
    fn bodies(slots: &Slots<MemoryDisk>) -> Vec<Vec<u8>> {
        let whole = slots.read().unwrap().into_iter();
        whole.filter(|slot| slot.is_ours).map(|slot| slot.body).collect()
    }

    fn two_slots(disk: &MemoryDisk) -> Slots<MemoryDisk> {
        let slots = Slots::create(disk).unwrap();
        assert!(bodies(&slots).is_empty());
        slots.write(0, b"old").unwrap();
        slots.write(1, b"new").unwrap();
        slots
    }

    #[test]
    fn damage_in_one_copy_leaves_the_other() {
        let disk = MemoryDisk::new(1);
        assert_eq!(bodies(&two_slots(&disk)), [b"old", b"old", b"new", b"new"]);
        for (slot, copy) in places() {
            for at in 0..(HEAD_LEN + 3) as u64 {
                let damaged = disk.copy();
                damaged.flip_bit(NAME, offset(slot, copy) + at, 3);
                let slots = Slots::open(&damaged).unwrap();
                let left = if slot == 0 { [b"old", b"new", b"new"] } else { [b"old", b"old", b"new"] };
                assert_eq!(bodies(&slots), left, "copy {copy} of slot {slot} at {at}");
                let body: &[u8] = if slot == 0 { b"old" } else { b"new" };
                assert_eq!(slots.problems(slot, body).len(), 1);
                slots.write_again(slot, body).unwrap();
                assert_eq!(bodies(&slots).len(), 4);
                assert_eq!(slots.problems(slot, body), [""; 0]);
            }
        }
    }

    #[test]
    fn a_copy_that_cannot_be_read_is_an_error_where_it_is_the_last() {
        let disk = MemoryDisk::new(1);
        let slots = two_slots(&disk);
        disk.damage_sector(NAME, offset(1, 0));
        assert_eq!(bodies(&slots), [b"old", b"old", b"new"]);
        disk.damage_sector(NAME, offset(1, 1));
        assert!(matches!(slots.read(), Err(Error::Disk { action: "read", .. })), "the older one may not do");
    }

    #[test]
    fn without_room_for_the_second_copy_the_first_counts_no_more() {
        let disk = MemoryDisk::new(1);
        let slots = two_slots(&disk);
        disk.set_faults(Faults::none().nth(Operation::Write, 1, Fault::NoSpace));
        let refused = slots.write(0, b"newest");
        disk.set_faults(Faults::none());
        assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
        assert_eq!(bodies(&slots), [b"new", b"new"]);
    }

    #[test]
    fn contents_longer_than_a_slot_are_refused() {
        let slots = Slots::create(&MemoryDisk::new(1)).unwrap();
        assert!(matches!(slots.write(0, &vec![0; BODY_MAX + 1]), Err(Error::ManifestTooLarge { .. })));
        slots.write(0, &vec![0; BODY_MAX]).unwrap();
    }
}
