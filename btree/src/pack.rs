//! Nodes and chunks in append-only files, each closed by its own index.
//!
//! ```text
//! "STRANDPK" | version 8 | nodes and chunks, one after the other
//! index: [hash 32 | offset 8 | length 4 | kind 1] sorted by hash | extra
//! count 8 | extra length 8 | blake3 of index, extra and these two numbers 32
//! ```
//!
//! All numbers are little-endian. A pack is written once and never changed; what is in it is hashed again whenever
//! it is read. `extra` is its owner's, and readable without a salt: a copy of the manifest the pack was made for.

use disk::{Disk, File};
use planted::Bug;

use crate::error::{Action, Damage, Error};
use crate::fresh::Fresh;
use crate::hash::{Hash, Kind, Salt};
use crate::nodes::Nodes;

/// The longest chunk, manifest or node in a pack.
pub const RAW_LEN_MAX: usize = 4 << 20;

const MAGIC: &[u8; 8] = b"STRANDPK";
const FORMAT: u64 = 1;
const HEADER_LEN: u64 = 16;
const ENTRY_LEN: usize = 45;
const CHECKSUM_LEN: usize = 32;
const TRAILER_LEN: usize = 16 + CHECKSUM_LEN;

/// Bytes handed to the disk at a time.
const WRITE_LEN: usize = 1 << 20;

/// The name of a pack's file and the length it has: what a manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackRef {
    /// The file's name in the folder of packs.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
}

/// Where something lies in a pack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) kind: Kind,
}

/// An open pack: its file and its checked index.
pub(crate) struct Pack<F> {
    name: String,
    len: u64,
    file: F,
    index: Vec<u8>,
}

/// Writes all of `fresh` to a new pack, and flushes it and its folder: after that a root may name what is in it.
///
/// What the packs of `nodes` hold already is left out. A pack is to hold whole trees: see [`crate::missing`].
pub fn write_pack<D: Disk>(
    nodes: &Nodes<D>,
    name: &str,
    fresh: Fresh,
    extra: &[u8],
) -> Result<PackRef, Error> {
    let disk = nodes.disk();
    let file = disk.create(name).map_err(failed(Action::Create, name))?;
    let written = fill(nodes, name, file, fresh, extra);
    if written.is_err() {
        // Nothing names it, and on a full disk every attempt would leave one. If it stays, the next open removes it.
        drop(disk.remove(name));
    }
    written
}

fn fill<D: Disk>(
    nodes: &Nodes<D>,
    name: &str,
    file: D::File,
    fresh: Fresh,
    extra: &[u8],
) -> Result<PackRef, Error> {
    let mut writer = Writer { name, file, pending: [*MAGIC, FORMAT.to_le_bytes()].concat(), written: 0 };
    let mut index = Vec::new();
    for (hash, kind, bytes) in fresh.iter().filter(|(hash, ..)| !nodes.contains(hash)) {
        index.extend_from_slice(&hash.0);
        index.extend_from_slice(&writer.end().to_le_bytes());
        index.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        index.push(kind as u8);
        writer.put(bytes)?;
    }
    let counts = [(index.len() / ENTRY_LEN) as u64, extra.len() as u64].map(u64::to_le_bytes).concat();
    let checksum = checksum(&[&index, extra, &counts]);
    for part in [&index, extra, &counts, &checksum] {
        writer.put(part)?;
    }
    let len = writer.finish()?;
    if !planted::is(Bug::NoDirectoryFlush) {
        nodes.disk().flush_dir("").map_err(failed(Action::Flush, name))?;
    }
    Ok(PackRef { name: name.to_owned(), len })
}

/// The owner's bytes in a pack of this length, if its index is whole. Needs no salt, so it serves when nothing
/// else of a folder can be read.
pub fn read_extra<D: Disk>(disk: &D, pack: &PackRef) -> Result<Vec<u8>, Error> {
    let (_, footer, header) = read_ends(disk, pack)?;
    header.map(|()| footer.extra)
}

fn failed(action: Action, name: &str) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Disk { action, pack: name.to_owned(), source }
}

fn checksum(parts: &[&[u8]]) -> [u8; CHECKSUM_LEN] {
    let mut hasher = blake3::Hasher::new();
    parts.iter().for_each(|part| {
        hasher.update(part);
    });
    *hasher.finalize().as_bytes()
}

struct Writer<'a, F> {
    name: &'a str,
    file: F,
    pending: Vec<u8>,
    written: u64,
}

impl<F: File> Writer<'_, F> {
    fn end(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() < WRITE_LEN { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.file.write_all_at(&self.pending, self.written).map_err(failed(Action::Write, self.name))?;
        self.written = self.end();
        self.pending.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<u64, Error> {
        self.write()?;
        self.file.flush().map_err(failed(Action::Flush, self.name))?;
        Ok(self.written)
    }
}

struct Footer {
    index: Vec<u8>,
    extra: Vec<u8>,
}

/// The file, what is behind its nodes, and whether its first bytes are those of a pack.
type Ends<D> = (<D as Disk>::File, Footer, Result<(), Error>);

/// Reads and checks what is before the nodes and behind them.
///
/// A pack that ends as one of this format is one, whatever its first bytes say: those of another format end otherwise.
fn read_ends<D: Disk>(disk: &D, pack: &PackRef) -> Result<Ends<D>, Error> {
    let name = pack.name.as_str();
    let file = disk.open_read(name).map_err(failed(Action::Open, name))?;
    let damaged = |damage| Error::Damaged { pack: name.to_owned(), offset: 0, damage };
    let on_disk = file.len().map_err(failed(Action::Read, name))?;
    if on_disk < pack.len || pack.len < HEADER_LEN + TRAILER_LEN as u64 {
        let offset = on_disk.min(pack.len);
        return Err(Error::Damaged { pack: name.to_owned(), offset, damage: Damage::Length });
    }
    let header = read(&file, name, HEADER_LEN as usize, 0).map(|header| check_header(&header));
    let footer = match (read_footer(&file, pack), &header) {
        (Err(_), Ok(Err(other @ Damage::Format { .. }))) => return Err(damaged(*other)),
        (footer, _) => footer?,
    };
    let header = header.and_then(|checked| checked.map_err(|_| damaged(Damage::Header)));
    Ok((file, footer, header))
}

fn read(file: &impl File, name: &str, len: usize, offset: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, offset).map_err(failed(Action::Read, name))?;
    Ok(bytes)
}

/// Reads and checks everything behind the nodes. No length is believed before it fits the file.
fn read_footer(file: &impl File, pack: &PackRef) -> Result<Footer, Error> {
    let name = pack.name.as_str();
    let damaged = |offset, damage| Error::Damaged { pack: name.to_owned(), offset, damage };
    let trailer_at = pack.len - TRAILER_LEN as u64;
    let trailer = read(file, name, TRAILER_LEN, trailer_at)?;
    let [count, extra_len] =
        [0, 8].map(|at| u64::from_le_bytes(*trailer[at..].first_chunk().expect("48 bytes")));
    let footer_len = count.checked_mul(ENTRY_LEN as u64).and_then(|len| len.checked_add(extra_len));
    let Some(footer_len) = footer_len.filter(|len| *len <= trailer_at - HEADER_LEN) else {
        return Err(damaged(trailer_at, Damage::Length));
    };
    let footer_at = trailer_at - footer_len;
    let mut index = read(file, name, footer_len as usize, footer_at)?;
    let extra = index.split_off(count as usize * ENTRY_LEN);
    let (counts, expected) = trailer.split_at(16);
    if checksum(&[&index, &extra, counts]) != expected {
        return Err(damaged(footer_at, Damage::Checksum));
    }
    check_index(&index, footer_at).map_err(|damage| damaged(footer_at, damage))?;
    Ok(Footer { index, extra })
}

fn check_header(header: &[u8]) -> Result<(), Damage> {
    let format = header.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk()).ok_or(Damage::Header)?;
    let found = u64::from_le_bytes(*format);
    if found == FORMAT { Ok(()) } else { Err(Damage::Format { found, known: FORMAT }) }
}

/// Entries are sorted and lie before the index. The checksum keeps accidents out; this keeps out the rest.
fn check_index(index: &[u8], footer_at: u64) -> Result<(), Damage> {
    let mut before: Option<Hash> = None;
    for entry in index.chunks_exact(ENTRY_LEN) {
        let (hash, place) = read_entry(entry).ok_or(Damage::Limit)?;
        if before.is_some_and(|before| before >= hash) {
            return Err(Damage::Order);
        }
        let end = place.offset.checked_add(place.len as u64);
        if place.len > RAW_LEN_MAX || place.offset < HEADER_LEN || end.is_none_or(|end| end > footer_at) {
            return Err(Damage::Limit);
        }
        before = Some(hash);
    }
    Ok(())
}

fn read_entry(entry: &[u8]) -> Option<(Hash, Place)> {
    let (hash, rest) = entry.split_first_chunk::<32>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let kind = Kind::from_byte(*rest.first()?)?;
    let place = Place { offset: u64::from_le_bytes(*offset), len: u32::from_le_bytes(*len) as usize, kind };
    Some((Hash(*hash), place))
}

impl<F: File> Pack<F> {
    pub(crate) fn open<D: Disk<File = F>>(disk: &D, pack: &PackRef) -> Result<Pack<F>, Error> {
        let (pack, header) = Pack::open_readable(disk, pack)?;
        header.map(|()| pack)
    }

    /// A pack whose index is whole, and whether its first bytes are, too.
    pub(crate) fn open_readable<D: Disk<File = F>>(
        disk: &D,
        pack: &PackRef,
    ) -> Result<(Pack<F>, Result<(), Error>), Error> {
        let (file, footer, header) = read_ends(disk, pack)?;
        Ok((Pack { name: pack.name.clone(), len: pack.len, file, index: footer.index }, header))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn to_ref(&self) -> PackRef {
        PackRef { name: self.name.clone(), len: self.len }
    }

    pub(crate) fn damaged(&self, offset: u64, damage: Damage) -> Error {
        Error::Damaged { pack: self.name.clone(), offset, damage }
    }

    pub(crate) fn find(&self, hash: &Hash) -> Option<Place> {
        let (entries, _) = self.index.as_chunks::<ENTRY_LEN>();
        let at = entries.binary_search_by(|entry| entry[..32].cmp(&hash.0)).ok()?;
        self.entry(at).map(|(_, place)| place)
    }

    fn entry(&self, at: usize) -> Option<(Hash, Place)> {
        read_entry(&self.index[at * ENTRY_LEN..][..ENTRY_LEN])
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (Kind, Hash, usize)> {
        self.places().map(|(hash, place)| (place.kind, hash, place.len))
    }

    pub(crate) fn places(&self) -> impl Iterator<Item = (Hash, Place)> {
        (0..self.index.len() / ENTRY_LEN).filter_map(|at| self.entry(at))
    }

    /// Reads what lies at a place, and believes it only if it hashes to its name.
    pub(crate) fn read(&self, salt: &Salt, hash: &Hash, place: Place) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; place.len];
        self.file.read_exact_at(&mut bytes, place.offset).map_err(failed(Action::Read, &self.name))?;
        if salt.hash(place.kind, &bytes) == *hash {
            Ok(bytes)
        } else {
            Err(self.damaged(place.offset, Damage::Hash))
        }
    }
}
