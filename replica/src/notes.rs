//! Local notes: marks that ride in the log beside commits and never leave the device.

use std::collections::BTreeMap;

use imbl::OrdMap;

use crate::error::Error;
use crate::record::{NOTE_LEN_MAX, Note};

/// The live notes, as the owner set them and as they are durable.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pending: OrdMap<Vec<u8>, Vec<u8>>,
    /// What a manifest may hold: a note in it must never be ahead of the log that it speaks of.
    visible: OrdMap<Vec<u8>, Vec<u8>>,
}

impl Notes {
    pub(crate) fn new(notes: &BTreeMap<Vec<u8>, Vec<u8>>) -> Self {
        let notes: OrdMap<_, _> = notes.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { pending: notes.clone(), visible: notes }
    }

    pub(crate) fn set(&mut self, (key, value): Note) {
        if value.is_empty() {
            self.pending.remove(&key);
        } else {
            self.pending.insert(key, value);
        }
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

/// Refuses a note that is a store rather than a mark.
pub(crate) fn check(key: &[u8], value: &[u8]) -> Result<(), Error> {
    let len = key.len() + value.len();
    if len <= NOTE_LEN_MAX { Ok(()) } else { Err(Error::NoteTooLarge { len, max: NOTE_LEN_MAX }) }
}
