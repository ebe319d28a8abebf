//! The manifests found in a folder, and which of them has all its files.

use std::collections::BTreeSet;

use btree::PackRef;
use disk::{Disk, File};

use crate::error::Error;
use crate::folder::{PACKS, WAL};
use crate::manifest::Manifest;
use crate::options::Source;
use crate::slots::Slots;

/// A manifest, and where it was found.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) source: Source,
    pub(crate) manifest: Manifest,
}

/// Everything that the folder says about itself.
pub(crate) struct Found {
    /// Those whose files are all there to the lengths named, the newest first.
    pub(crate) complete: Vec<Candidate>,
    /// The highest sequence seen, complete or not.
    pub(crate) sequence: u64,
    /// The highest count of opens seen.
    pub(crate) opens: u64,
    /// Packs that one of them names.
    pub(crate) named: BTreeSet<String>,
}

impl Candidate {
    pub(crate) fn names_pack(&self, name: &str) -> bool {
        self.manifest.packs.iter().any(|pack| pack.name == name)
    }
}

/// Reads both slots; and, where neither is complete, the copies that packs carry.
///
/// A folder copied while it ran may hold packs and log of a moment before its manifest. The files of that moment were
/// still there, and so was a manifest that they are complete for: the copy in the newest pack that was copied.
pub(crate) fn candidates<D: Disk>(disk: &D, slots: &Slots<D>) -> Result<Found, Error> {
    let mut all = Vec::new();
    for (slot, body) in slots.read()? {
        all.push(Candidate { source: Source::Slot { slot }, manifest: Manifest::decode(&body)? });
    }
    if all.is_empty() {
        return Err(Error::NoManifest);
    }
    let mut complete = complete(disk, &mut all)?;
    if complete.is_empty() {
        let missing = first_missing(disk, &all[0].manifest)?;
        all.extend(copies(disk)?);
        complete = self::complete(disk, &mut all)?;
        if complete.is_empty() {
            let (name, len) = missing.expect("a manifest is complete or lacks a file");
            return Err(Error::Incomplete { name, len });
        }
    }
    let packs = all.iter().flat_map(|candidate| &candidate.manifest.packs);
    Ok(Found {
        complete,
        sequence: all.iter().map(|candidate| candidate.manifest.sequence).max().unwrap_or(0),
        opens: all.iter().map(|candidate| candidate.manifest.opens).max().unwrap_or(0),
        named: packs.map(|pack| pack.name.clone()).collect(),
    })
}

/// The complete ones; all of them sorted, the newest first.
fn complete<D: Disk>(disk: &D, all: &mut [Candidate]) -> Result<Vec<Candidate>, Error> {
    all.sort_by_key(|candidate| std::cmp::Reverse(candidate.manifest.sequence));
    let mut complete = Vec::new();
    for candidate in all.iter() {
        if first_missing(disk, &candidate.manifest)?.is_none() {
            complete.push(candidate.clone());
        }
    }
    Ok(complete)
}

/// The first file that is not there to the length a manifest names.
fn first_missing<D: Disk>(disk: &D, manifest: &Manifest) -> Result<Option<(String, u64)>, Error> {
    let packs = manifest.packs.iter().map(|pack| (format!("{PACKS}/{}", pack.name), pack.len));
    let segments = manifest.segments.iter().map(|(name, len)| (format!("{WAL}/{name}"), *len));
    for (name, len) in packs.chain(segments) {
        if file_len(disk, &name)?.is_none_or(|found| found < len) {
            return Ok(Some((name, len)));
        }
    }
    Ok(None)
}

/// The manifests that packs carry. A pack that is not whole carries none.
fn copies<D: Disk>(disk: &D) -> Result<Vec<Candidate>, Error> {
    let mut copies = Vec::new();
    let names =
        disk.list(PACKS).map_err(|source| Error::Disk { action: "list", name: PACKS.into(), source })?;
    for name in names {
        let Some(len) = file_len(disk, &format!("{PACKS}/{name}"))? else { continue };
        let pack = PackRef { name: name.clone(), len };
        let Ok(extra) = btree::read_extra(&disk.within(PACKS), &pack) else { continue };
        let Ok(mut manifest) = Manifest::decode(&extra) else { continue };
        // The copy could not know the length of the file it is in.
        manifest.packs.iter_mut().filter(|named| named.name == name).for_each(|named| named.len = len);
        copies.push(Candidate { source: Source::Pack { name }, manifest });
    }
    Ok(copies)
}

fn file_len<D: Disk>(disk: &D, name: &str) -> Result<Option<u64>, Error> {
    let failed = |source| Error::Disk { action: "measure", name: name.to_owned(), source };
    if !disk.exists(name).map_err(failed)? {
        return Ok(None);
    }
    disk.open_read(name).and_then(|file| file.len()).map(Some).map_err(failed)
}
