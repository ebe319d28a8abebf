//! What the log holds: the kinds of records and the bytes of each.

use std::collections::BTreeMap;

use crdt::{Commit, Decoder, Encoder, Problem, Seal, Strand, WriterId};
use wal::Position;

use crate::error::Error;

/// Longest key and value of a note together: a note is a mark, not a store.
pub(crate) const NOTE_LEN_MAX: usize = 64 << 10;

/// Kind of a commit's encoding.
pub(crate) const COMMIT: u8 = 1;
/// Kind of a seal's encoding.
pub(crate) const SEAL: u8 = 2;
/// Kind of a value's bytes.
pub(crate) const BLOB: u8 = 3;
/// Kind of a note.
pub(crate) const NOTE: u8 = 4;
/// Kind of the encoding of a commit of the home that this replica is.
pub(crate) const HOME: u8 = 5;
/// Kind of a commit with notes.
pub(crate) const NOTED: u8 = 6;
/// Kind of the head of a received unit.
pub(crate) const UNIT: u8 = 7;
/// Kind of the encoding of a commit in a received unit.
pub(crate) const RECEIVED: u8 = 8;

/// Kind of the head of a batch that a coming manifest completes: what is dropped, before what takes its place.
pub(crate) const REBUILD: u8 = 9;
/// Kind of the encoding of a commit of such a batch.
pub(crate) const REISSUED: u8 = 10;
/// Kind of a strand's encoding, where a seal would stand, and in such a batch.
pub(crate) const STRAND: u8 = 11;

/// Key and value of a local note; an empty value takes it away.
pub(crate) type Note = (Vec<u8>, Vec<u8>);

/// One record, decoded.
#[derive(Debug)]
pub(crate) enum Record {
    /// A commit made here, or one of a home elsewhere that a Handle adopted here covers.
    Commit(Commit),
    /// The head of a received unit: so many commits follow, and then so many seals and strands. A unit counts whole or not at
    /// all.
    Unit(u64, u64),
    /// A commit of a received unit.
    Received(Commit),
    /// A seal of a received unit.
    Seal(Seal),
    /// A strand of a received unit; or of what loses its seal to the drop of which it follows the head.
    Strand(Strand),
    /// A value that a later commit names. Logged first, so that no commit stands without its values.
    Blob(Vec<u8>),
    /// A local note.
    Note(Note),
    /// A commit of the home that this replica is: held before any Handle covers it.
    Home(Commit),
    /// The manifest of this sequence takes each of these writers' commits from a number on out of the tail. It counts only
    /// with that manifest, and so does what follows.
    Rebuild(u64, BTreeMap<WriterId, u64>),
    /// A commit that takes the place of dropped ones.
    Reissued(Commit),
    /// A local commit with the notes that are durable exactly when it is.
    Noted(Commit, Vec<Note>),
}

impl Record {
    pub(crate) fn decode(position: Position, kind: u8, payload: &[u8]) -> Result<Self, Error> {
        let bad = |reason| Error::BadRecord { position: position.0, reason };
        match kind {
            UNIT => {
                let (commits, seals) = decode_unit(payload).map_err(|_| bad("the head of a unit"))?;
                Ok(Self::Unit(commits, seals))
            }
            RECEIVED => Ok(Self::Received(Commit::decode(payload)?)),
            COMMIT => Ok(Self::Commit(Commit::decode(payload)?)),
            SEAL => Ok(Self::Seal(Seal::decode(payload)?)),
            BLOB => Ok(Self::Blob(payload.to_vec())),
            NOTE => Ok(Self::Note(decode_note(payload).map_err(|_| bad("a note"))?)),
            HOME => Ok(Self::Home(Commit::decode(payload)?)),
            REBUILD => {
                let (sequence, ends) = decode_rebuild(payload).map_err(|_| bad("the head of a rebuild"))?;
                Ok(Self::Rebuild(sequence, ends))
            }
            REISSUED => Ok(Self::Reissued(Commit::decode(payload)?)),
            STRAND => Ok(Self::Strand(Strand::decode(payload)?)),
            NOTED => {
                let (commit, notes) = decode_noted(payload)?;
                Ok(Self::Noted(commit, notes))
            }
            _ => Err(Error::UnknownRecord { position: position.0, kind }),
        }
    }

    /// The commit in it, if there is one.
    pub(crate) fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Commit(commit)
            | Self::Received(commit)
            | Self::Home(commit)
            | Self::Reissued(commit)
            | Self::Noted(commit, _) => Some(commit),
            Self::Rebuild(..)
            | Self::Unit(..)
            | Self::Seal(_)
            | Self::Strand(_)
            | Self::Blob(_)
            | Self::Note(_) => None,
        }
    }
}

impl Record {
    /// The commit in it, taken out.
    pub(crate) fn into_commit(self) -> Option<Commit> {
        match self {
            Self::Commit(commit)
            | Self::Received(commit)
            | Self::Home(commit)
            | Self::Reissued(commit)
            | Self::Noted(commit, _) => Some(commit),
            Self::Rebuild(..)
            | Self::Unit(..)
            | Self::Seal(_)
            | Self::Strand(_)
            | Self::Blob(_)
            | Self::Note(_) => None,
        }
    }
}

/// A commit and the notes that stand or fall with it.
pub(crate) fn noted(commit: &Commit, notes: &[Note]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(1 + notes.len()).bytes(commit.encoded());
    for note in notes {
        encode_note(&mut out, note);
    }
    out.finish()
}

/// The head of a received unit.
pub(crate) fn unit(commits: usize, seals: usize) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(2).uint(commits as u64).uint(seals as u64);
    out.finish()
}

/// The head of a batch for the manifest of this sequence: each writer with the first number that counts no more.
pub(crate) fn rebuild(sequence: u64, ends: &BTreeMap<WriterId, u64>) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(2).uint(sequence).array(ends.len());
    for (writer, from) in ends {
        out.array(2).bytes(writer.as_bytes()).uint(*from);
    }
    out.finish()
}

/// A note by itself.
pub(crate) fn note(note: &Note) -> Vec<u8> {
    let mut out = Encoder::new();
    encode_note(&mut out, note);
    out.finish()
}

fn encode_note(out: &mut Encoder, (key, value): &Note) {
    out.array(2).bytes(key).bytes(value);
}

fn decode_unit(payload: &[u8]) -> Result<(u64, u64), crdt::Error> {
    let mut input = Decoder::new(payload);
    input.array_of(2)?;
    let counts = (input.uint()?, input.uint()?);
    input.finish()?;
    Ok(counts)
}

fn decode_rebuild(payload: &[u8]) -> Result<(u64, BTreeMap<WriterId, u64>), crdt::Error> {
    let mut input = Decoder::new(payload);
    input.array_of(2)?;
    let sequence = input.uint()?;
    let count = input.array()?;
    let mut ends = BTreeMap::new();
    for _ in 0..count {
        let at = input.position();
        input.array_of(2)?;
        let writer = WriterId(input.fixed()?);
        // What decodes encodes back to the same bytes: in one order, and no writer twice.
        if ends.last_key_value().is_some_and(|(last, _)| *last >= writer) {
            return Err(crdt::Error::Encoding { at, problem: Problem::Order });
        }
        ends.insert(writer, input.uint()?);
    }
    input.finish()?;
    Ok((sequence, ends))
}

fn decode_note(payload: &[u8]) -> Result<Note, crdt::Error> {
    let mut input = Decoder::new(payload);
    let note = next_note(&mut input)?;
    input.finish()?;
    Ok(note)
}

fn decode_noted(payload: &[u8]) -> Result<(Commit, Vec<Note>), crdt::Error> {
    let mut input = Decoder::new(payload);
    let count = input.array()?;
    if count == 0 {
        return Err(crdt::Error::Encoding { at: 0, problem: Problem::Length });
    }
    let commit = Commit::decode(input.bytes()?)?;
    let notes = (1..count).map(|_| next_note(&mut input)).collect::<Result<_, _>>()?;
    input.finish()?;
    Ok((commit, notes))
}

fn next_note(input: &mut Decoder<'_>) -> Result<Note, crdt::Error> {
    input.array_of(2)?;
    Ok((input.bytes()?.to_vec(), input.bytes()?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuild_has_one_spelling() {
        let writer = |byte| WriterId([byte; 24]);
        let ends = BTreeMap::from([(writer(1), 5), (writer(2), 6)]);
        let bytes = rebuild(9, &ends);
        assert_eq!(decode_rebuild(&bytes), Ok((9, ends)));
        let at = bytes.windows(24).position(|part| part == [1; 24]).expect("the first writer");
        for other in [2, 3] {
            let mut bytes = bytes.clone();
            bytes[at..at + 24].fill(other);
            assert!(decode_rebuild(&bytes).is_err(), "{other}: a writer twice, or out of order");
        }
    }

    #[test]
    fn notes_stand_behind_a_commit_that_is_counted() {
        let no_item_and_then_bytes = [0x80, 0x41, 7];
        let refused = decode_noted(&no_item_and_then_bytes).expect_err("an array of nothing holds no commit");
        assert_eq!(refused, crdt::Error::Encoding { at: 0, problem: Problem::Length });
    }
}
