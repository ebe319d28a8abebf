//! Local notes: marks that ride in the log beside commits and never leave the device.

use std::collections::BTreeMap;

use imbl::OrdMap;

use crate::error::Error;
use crate::record::{NOTE_LEN_MAX, Note};

/// Most bytes of all live notes as the manifest holds them: half of a slot, which must hold packs and segments too.
/// The tickets that a home may have out take three quarters of it.
pub(crate) const NOTES_LEN_MAX: usize = 128 << 10;

/// Bytes that a note takes in the manifest beside its key and value, at most.
const NOTE_OVERHEAD: usize = 12;

/// The live notes, as the owner set them and as they are durable.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pending: OrdMap<Vec<u8>, Vec<u8>>,
    /// What the pending ones take in a manifest.
    len: usize,
    /// What a manifest may hold: a note in it must never be ahead of the log that it speaks of.
    visible: OrdMap<Vec<u8>, Vec<u8>>,
}

impl Notes {
    pub(crate) fn new(notes: &BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let len = notes.iter().map(|(key, value)| note_len(key, value)).sum();
        let notes: OrdMap<_, _> = notes.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { pending: notes.clone(), len, visible: notes }
    }

    pub(crate) fn set(&mut self, note: Note) {
        set(&mut self.pending, &mut self.len, note);
    }

    /// Refuses what would not leave room in the manifest for anything else. To be asked before it is logged, since a
    /// manifest that cannot be written is the end of every checkpoint. What takes away is never refused.
    pub(crate) fn check_room(&self, notes: &[Note]) -> Result<(), Error> {
        let (mut after, mut len) = (self.pending.clone(), self.len);
        for note in notes {
            set(&mut after, &mut len, note.clone());
        }
        let is_room = len <= NOTES_LEN_MAX || len <= self.len;
        if is_room { Ok(()) } else { Err(Error::NotesFull { len, max: NOTES_LEN_MAX }) }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.pending.get(key).cloned()
    }

    pub(crate) fn show(&mut self) {
        self.visible = self.pending.clone();
    }

    pub(crate) fn visible(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        self.visible.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

fn set(notes: &mut OrdMap<Vec<u8>, Vec<u8>>, len: &mut usize, (key, value): Note) {
    if let Some(before) = notes.remove(&key) {
        *len -= note_len(&key, &before);
    }
    if !value.is_empty() {
        *len += note_len(&key, &value);
        notes.insert(key, value);
    }
}

fn note_len(key: &[u8], value: &[u8]) -> usize {
    NOTE_OVERHEAD + key.len() + value.len()
}

/// Refuses a note that is a store rather than a mark.
pub(crate) fn check(key: &[u8], value: &[u8]) -> Result<(), Error> {
    let len = key.len() + value.len();
    if len <= NOTE_LEN_MAX { Ok(()) } else { Err(Error::NoteTooLarge { len, max: NOTE_LEN_MAX }) }
}
