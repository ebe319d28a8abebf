//! For the fuzz targets alone: the decoders that no other crate may use, each with its encoding.

use wal::Position;

use crate::error::Error;
use crate::inbox::Item;
use crate::manifest::Manifest;
use crate::record::{self, Record};

/// A manifest's body, read and written again.
pub fn manifest(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    Manifest::decode(bytes).map(|manifest| manifest.encode())
}

/// An entry of the log, read and written again.
pub fn record(kind: u8, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let record = Record::decode(Position(0), kind, payload)?;
    Ok(match record {
        Record::Commit(commit)
        | Record::Received(commit)
        | Record::Home(commit)
        | Record::Reissued(commit) => commit.encode(),
        Record::Rebuild(sequence, ends) => record::rebuild(sequence, &ends),
        Record::Seal(seal) => seal.encode(),
        Record::Strand(strand) => strand.encode(),
        Record::Blob(bytes) => bytes,
        Record::Note(note) => record::note(&note),
        Record::Unit(commits, seals) => record::unit(commits as usize, seals as usize),
        Record::Noted(commit, notes) => record::noted(&commit, &notes),
    })
}

/// An item of the inbox, read and written again.
pub fn inbox_item(bytes: &[u8]) -> Result<Vec<u8>, crdt::Error> {
    Item::decode(bytes).map(|item| item.encode())
}
