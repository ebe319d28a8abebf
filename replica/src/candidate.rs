//! The manifests found in a folder, and which of them has all its files.

use std::collections::BTreeSet;

use btree::PackRef;
use disk::{Disk, File};

use crate::error::Error;
use crate::folder::{PACKS, WAL};
use crate::manifest::Manifest;
use crate::options::Source;
use crate::slots::{Slot, Slots};

/// A manifest, and where it was found.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) source: Source,
    pub(crate) manifest: Manifest,
}

/// What the slots say, complete or not.
pub(crate) struct InSlots {
    /// The newest first; never empty.
    pub(crate) all: Vec<Candidate>,
}

impl Candidate {
    pub(crate) fn names_pack(&self, name: &str) -> bool {
        self.manifest.packs.iter().any(|pack| pack.name == name)
    }

    /// The first file that is not there to the length it should have.
    pub(crate) fn first_missing<D: Disk>(&self, disk: &D) -> Result<Option<(String, u64)>, Error> {
        let packs = self.manifest.packs.iter().map(|pack| (format!("{PACKS}/{}", pack.name), pack.len));
        let segments = self.manifest.segments.iter().map(|(name, len)| (format!("{WAL}/{name}"), *len));
        for (name, len) in packs.chain(segments) {
            if file_len(disk, &name)?.is_none_or(|found| found < len) {
                return Ok(Some((name, len)));
            }
        }
        Ok(None)
    }
}

impl InSlots {
    /// Reads both slots, and of each the newer copy. One of another format refuses the folder: the other slot is older, and
    /// to go on from there would lose what a newer software did.
    pub(crate) fn read<D: Disk>(slots: &Slots<D>) -> Result<Self, Error> {
        let mut all = Vec::new();
        for Slot { place, is_ours, body } in slots.read()? {
            let manifest = Manifest::decode(&body)?;
            if is_ours {
                all.push(Candidate { source: Source::Slot { slot: place }, manifest });
            }
        }
        if all.is_empty() {
            return Err(Error::NoManifest);
        }
        newest_first(&mut all);
        let mut places = BTreeSet::new();
        all.retain(|found| match found.source {
            Source::Slot { slot } => places.insert(slot),
            Source::Pack { .. } => true,
        });
        Ok(Self { all })
    }

    /// The highest sequence and the highest count of opens.
    pub(crate) fn highest(&self) -> (u64, u64) {
        let highest =
            |number: fn(&Manifest) -> u64| self.all.iter().map(|found| number(&found.manifest)).max();
        let sequence = highest(|manifest| manifest.sequence).unwrap_or(0);
        (sequence, highest(|manifest| manifest.opens).unwrap_or(0))
    }

    /// Packs that they name.
    pub(crate) fn named_packs(&self) -> BTreeSet<String> {
        let packs = self.all.iter().flat_map(|found| &found.manifest.packs);
        packs.map(|pack| pack.name.clone()).collect()
    }
}

fn newest_first(candidates: &mut [Candidate]) {
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.manifest.sequence));
}

/// The manifests that packs carry, the newest first. A pack that is not whole carries none.
///
/// A folder copied while it ran may hold packs or log of a moment before its manifest. The files of that moment were
/// still there, and so was a manifest that they are complete for: the copy in the newest pack that was copied.
pub(crate) fn copies<D: Disk>(disk: &D) -> Result<Vec<Candidate>, Error> {
    let mut copies = Vec::new();
    let names =
        disk.list(PACKS).map_err(|source| Error::Disk { action: "list", name: PACKS.into(), source })?;
    for name in names {
        let Some(len) = file_len(disk, &format!("{PACKS}/{name}"))? else { continue };
        let pack = PackRef { name: name.clone(), len };
        let Ok(extra) = btree::read_extra(&disk.within(PACKS), &pack) else { continue };
        let mut manifest = match Manifest::decode(&extra) {
            Ok(manifest) => manifest,
            Err(error @ Error::UnknownFormat { .. }) => return Err(error),
            Err(_) => continue,
        };
        // The copy could not know the length of the file it is in.
        manifest.packs.iter_mut().filter(|named| named.name == name).for_each(|named| named.len = len);
        copies.push(Candidate { source: Source::Pack { name }, manifest });
    }
    newest_first(&mut copies);
    Ok(copies)
}

fn file_len<D: Disk>(disk: &D, name: &str) -> Result<Option<u64>, Error> {
    let failed = |source| Error::Disk { action: "measure", name: name.to_owned(), source };
    if !disk.exists(name).map_err(failed)? {
        return Ok(None);
    }
    disk.open_read(name).and_then(|file| file.len()).map(Some).map_err(failed)
}
