//! The commit point of a space: what one slot says, and its one true encoding.

use std::collections::BTreeMap;

use btree::{Hash, PackRef};
use crdt::{Decoder, Encoder, Genesis, Handle, Hlc, Problem, RingRecord, SpaceId};
use wal::Position;

use crate::error::Error;
use crate::home::Roots;

const FORMAT: u64 = 1;
const FIELDS: usize = 17;
/// A list of what few replicas ever have; absent where it would be empty.
const FIELDS_MAX: usize = FIELDS + 1;
/// Versions that stay computable for a peer that missed a few Handles.
pub(crate) const RECENT_MAX: usize = 32;

/// Everything that moves in one step.
///
/// Nodes and log are durable up to what it names before it is written; nothing it names goes while either of
/// the last two manifests names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Counts manifest writes: the newest complete one counts.
    pub(crate) sequence: u64,
    /// Counts opens: seeds the checksums of the log, so that a record of an earlier run never follows one of ours.
    pub(crate) opens: u64,
    pub(crate) genesis: Genesis,
    pub(crate) ring: Vec<RingRecord>,
    pub(crate) base: Handle,
    /// The unsigned roots of everything held up to `position`.
    pub(crate) local: Roots,
    pub(crate) position: Position,
    /// Recovery reads the log from here: the first commit that no Handle covers, or `position`.
    pub(crate) log_start: Position,
    /// Vector roots of the bases before this one, oldest first.
    pub(crate) recent: Vec<(u64, Hash)>,
    pub(crate) notes: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) packs: Vec<PackRef>,
    /// Files of the log that hold something not covered, or not folded, with the least each must hold.
    pub(crate) segments: Vec<(String, u64)>,
    /// What is proven against writers, a value in the packs; none where nothing is.
    pub(crate) evidence: Option<Hash>,
    /// What the home keeps here, opaque; empty on a replica that is no home.
    pub(crate) claim: Vec<u8>,
    /// Stretches of the log that never counted: each began with a batch whose manifest never came.
    pub(crate) void: Vec<(Position, Position)>,
    /// Pieces of the inbox, in packs, oldest first.
    pub(crate) inbox: Vec<Hash>,
}

impl Manifest {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        let has_more = !self.void.is_empty() || !self.inbox.is_empty();
        out.array(if has_more { FIELDS_MAX } else { FIELDS })
            .uint(FORMAT)
            .uint(self.sequence)
            .uint(self.opens);
        out.bytes(&self.genesis.encode());
        out.array(self.ring.len());
        for record in &self.ring {
            out.bytes(&record.encode());
        }
        out.bytes(&self.base.encode());
        out.array(2).bytes(&self.local.data.0).bytes(&self.local.vector.0);
        out.uint(self.position.0).uint(self.log_start.0);
        out.array(self.recent.len());
        for (version, root) in &self.recent {
            out.array(2).uint(*version).bytes(&root.0);
        }
        out.array(self.notes.len());
        for (key, value) in &self.notes {
            out.array(2).bytes(key).bytes(value);
        }
        out.array(self.packs.len());
        for pack in &self.packs {
            out.array(2).bytes(pack.name.as_bytes()).uint(pack.len);
        }
        out.array(self.segments.len());
        for (name, len) in &self.segments {
            out.array(2).bytes(name.as_bytes()).uint(*len);
        }
        out.bytes(&self.claim);
        // Before and after the evidence lie places that the format keeps for pins and published marks.
        out.array(0).array(usize::from(self.evidence.is_some()));
        if let Some(hash) = &self.evidence {
            out.bytes(&hash.0);
        }
        out.array(0);
        if has_more {
            out.array(2).array(self.void.len());
            for (from, to) in &self.void {
                out.array(2).uint(from.0).uint(to.0);
            }
            out.array(self.inbox.len());
            for piece in &self.inbox {
                out.bytes(&piece.0);
            }
        }
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut input = Decoder::new(bytes);
        let manifest = decode_fields(&mut input).map_err(|source| match source {
            crdt::Error::UnknownVersion { .. } => Error::UnknownFormat { source },
            _ => bad("its encoding"),
        })?;
        input.finish().map_err(|_| bad("bytes after its end"))?;
        if manifest.base.space != manifest.genesis.space() {
            return Err(bad("a base of another space"));
        }
        Ok(manifest)
    }
}

fn decode_fields(input: &mut Decoder<'_>) -> Result<Manifest, crdt::Error> {
    let fields = input.format("manifest", FORMAT, FIELDS..=FIELDS_MAX)?;
    let sequence = input.uint()?;
    let opens = input.uint()?;
    let genesis = Genesis::decode(input.bytes()?)?;
    let ring = list(input, |input| RingRecord::decode(input.bytes()?))?;
    let base = Handle::decode(input.bytes()?)?;
    input.array_of(2)?;
    let local = Roots { data: Hash(input.fixed()?), vector: Hash(input.fixed()?) };
    let position = Position(input.uint()?);
    let log_start = Position(input.uint()?);
    let recent = list(input, |input| pair(input, |input| Ok((input.uint()?, Hash(input.fixed()?)))))?;
    let notes_at = input.position();
    let notes =
        list(input, |input| pair(input, |input| Ok((input.bytes()?.to_vec(), input.bytes()?.to_vec()))))?;
    check_notes(notes_at, &notes)?;
    let packs = list(input, named)?.into_iter().map(|(name, len)| PackRef { name, len }).collect();
    let segments = list(input, named)?;
    let claim = input.bytes()?.to_vec();
    input.array_of(0)?;
    let evidence = match input.array_up_to(1, "list of evidence")? {
        0 => None,
        _ => Some(Hash(input.fixed()?)),
    };
    input.array_of(0)?;
    let (void, inbox) = if fields == FIELDS_MAX { decode_more(input)? } else { Default::default() };
    let notes = notes.into_iter().collect();
    Ok(Manifest {
        sequence,
        opens,
        genesis,
        ring,
        base,
        local,
        position,
        log_start,
        recent,
        notes,
        packs,
        segments,
        evidence,
        claim,
        void,
        inbox,
    })
}

type More = (Vec<(Position, Position)>, Vec<Hash>);

fn decode_more(input: &mut Decoder<'_>) -> Result<More, crdt::Error> {
    let at = input.position();
    input.array_of(2)?;
    let void =
        list(input, |input| pair(input, |input| Ok((Position(input.uint()?), Position(input.uint()?)))))?;
    let inbox = list(input, |input| Ok(Hash(input.fixed()?)))?;
    let is_sorted = void.iter().all(|(from, to)| from < to) && void.is_sorted_by(|a, b| a.1 <= b.0);
    if !is_sorted || (void.is_empty() && inbox.is_empty()) {
        return Err(crdt::Error::Encoding { at, problem: Problem::Order });
    }
    Ok((void, inbox))
}

fn list<T>(
    input: &mut Decoder<'_>,
    item: impl Fn(&mut Decoder<'_>) -> Result<T, crdt::Error>,
) -> Result<Vec<T>, crdt::Error> {
    let count = input.array()?;
    (0..count).map(|_| item(input)).collect()
}

fn pair<'a, T>(
    input: &mut Decoder<'a>,
    items: impl Fn(&mut Decoder<'a>) -> Result<T, crdt::Error>,
) -> Result<T, crdt::Error> {
    input.array_of(2)?;
    items(input)
}

fn named(input: &mut Decoder<'_>) -> Result<(String, u64), crdt::Error> {
    pair(input, |input| {
        let at = input.position();
        let name = input.text()?;
        // A file of its own folder, and of no other: names are put behind a folder and opened, renamed and removed.
        if matches!(name, "" | "." | "..") || name.contains(['/', '\\', '\0']) {
            return Err(crdt::Error::Encoding { at, problem: Problem::Range });
        }
        Ok((name.to_owned(), input.uint()?))
    })
}

/// Refuses notes out of order, twice, or empty: what decodes encodes back to the same bytes.
fn check_notes(at: usize, notes: &[(Vec<u8>, Vec<u8>)]) -> Result<(), crdt::Error> {
    let is_sorted = notes.is_sorted_by(|a, b| a.0 < b.0);
    let is_live = notes.iter().all(|(_, value)| !value.is_empty());
    if is_sorted && is_live { Ok(()) } else { Err(crdt::Error::Encoding { at, problem: Problem::Order }) }
}

fn bad(reason: &'static str) -> Error {
    Error::BadManifest { reason }
}

/// The base of a replica that has adopted nothing yet: version 0 of an empty tree, signed by nobody.
pub(crate) fn nothing_adopted(space: SpaceId, data: Hash, vector: Hash) -> Handle {
    Handle {
        space,
        version: 0,
        prev: [0; 32],
        data_root: data.0,
        vv_root: vector.0,
        fold_version: 1,
        gc_epoch: 0,
        ring_n: 0,
        hlc: Hlc(0),
        batch: None,
        signature: [0; 64],
    }
}

#[cfg(test)]
mod tests {
    use crdt::DeviceKey;
    use crdt::genesis::{KEYS_MAX, RING_MAX};

    use super::*;
    use crate::notes::NOTES_LEN_MAX;

    /// A manifest with the longest of everything that somebody else may make longer, and room for this many packs.
    fn longest(packs: usize) -> Manifest {
        let home = DeviceKey::from_seed([1; 32]);
        let genesis = Genesis {
            salt: [7; 32],
            nonce: [8; 32],
            home_key: home.public(),
            recovery_key: [0; 32],
            owner: home.id(),
            params: vec![9; 1024],
        };
        let space = genesis.space();
        let record = |n| RingRecord {
            space,
            n,
            prev: [5; 32],
            keys: vec![[6; 32]; KEYS_MAX],
            from_version: u64::MAX,
            signature: [4; 64],
        };
        let pack = |n| PackRef { name: format!("{n:08x}-{n:08x}.pack"), len: u64::MAX };
        Manifest {
            sequence: u64::MAX,
            opens: u64::MAX,
            ring: (1..=RING_MAX as u64).map(record).collect(),
            base: nothing_adopted(space, Hash([1; 32]), Hash([2; 32])),
            local: Roots { data: Hash([1; 32]), vector: Hash([2; 32]) },
            position: Position(u64::MAX),
            log_start: Position(u64::MAX),
            recent: (0..RECENT_MAX as u64).map(|n| (u64::MAX - n, Hash([3; 32]))).collect(),
            notes: (0..NOTES_LEN_MAX as u32 / 16).map(|n| (n.to_be_bytes()[1..].to_vec(), vec![1])).collect(),
            packs: (0..packs).map(pack).collect(),
            segments: vec![("00000000000000000000.log".into(), 0)],
            evidence: Some(Hash([5; 32])),
            claim: vec![1; 40],
            void: vec![(Position(u64::MAX - 1), Position(u64::MAX))],
            inbox: vec![Hash([6; 32]); 64],
            genesis,
        }
    }

    #[test]
    fn a_slot_holds_the_longest_ring_and_all_notes_beside_two_thousand_packs() {
        let manifest = longest(2000);
        let bytes = manifest.encode();
        assert!(bytes.len() <= crate::slots::BODY_MAX, "{} bytes", bytes.len());
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
    }

    #[test]
    fn names_that_lead_out_of_their_folder_are_refused() {
        for name in ["", ".", "..", "a/b", "../manifest", "/etc", "a\\b", "a\0"] {
            let mut manifest = longest(1);
            manifest.packs[0].name = name.into();
            assert!(Manifest::decode(&manifest.encode()).is_err(), "{name:?} as a pack");
            let mut manifest = longest(1);
            manifest.segments[0].0 = name.into();
            assert!(Manifest::decode(&manifest.encode()).is_err(), "{name:?} as a segment");
        }
    }

    #[test]
    fn notes_have_one_spelling() {
        let mut manifest = longest(0);
        manifest.notes = [(b"aa", b"1"), (b"bb", b"2")].map(|(k, v)| (k.to_vec(), v.to_vec())).into();
        let bytes = manifest.encode();
        assert!(Manifest::decode(&bytes).is_ok());
        let at = bytes.windows(2).position(|part| part == b"aa").expect("keys stand as they are");
        for (offset, byte) in [(0, b"c"), (0, b"b")] {
            let mut other = bytes.clone();
            other[at + offset..at + 2].copy_from_slice(&[byte[0], byte[0]]);
            assert!(Manifest::decode(&other).is_err(), "{byte:?}: out of order, or twice");
        }
        manifest.notes.insert(b"cc".to_vec(), Vec::new());
        assert!(Manifest::decode(&manifest.encode()).is_err(), "an empty note is none");
    }
}
