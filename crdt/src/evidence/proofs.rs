//! What is proven against whom: for each writer the evidence that reaches lowest.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use super::{EVIDENCE_LEN_MAX, Evidence, Proof};
use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};
use crate::id::{SpaceId, WriterId};

/// Longest encoding of all proofs together: one value of a replica's folder, which holds some thousand short ones.
pub const PROOFS_LEN_MAX: usize = 1 << 20;

/// What each evidence costs beside its own bytes, at most, and the head of the list.
const OVERHEAD: usize = 8;

/// The smallest known proof against each writer. Only what was checked goes in.
///
/// Of two proofs at one commit the first stays: what they prove is the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proofs {
    rows: BTreeMap<WriterId, Row>,
    len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    seq: u64,
    evidence: Arc<Evidence>,
    len: usize,
}

impl Proofs {
    /// Nothing proven.
    pub fn new() -> Proofs {
        Proofs::default()
    }

    /// The first commit of a writer that is proven against, if any is.
    pub fn against(&self, writer: &WriterId) -> Option<u64> {
        self.rows.get(writer).map(|row| row.seq)
    }

    /// Takes note of checked evidence; `false` when as much is proven already.
    ///
    /// Fails when there is no room for it: a proof that lies lower takes the place of one that lies higher, anything else
    /// has to wait until a Handle has made another superfluous.
    pub fn insert(&mut self, proof: Proof, evidence: Arc<Evidence>) -> Result<bool, Error> {
        let Proof { writer, seq } = proof;
        let row = Row { seq, len: evidence.encode().len() + OVERHEAD, evidence };
        let before = self.rows.get(&writer);
        if before.is_some_and(|before| before.seq <= seq) {
            return Ok(false);
        }
        let len = self.len - before.map_or(0, |before| before.len) + row.len;
        if len > PROOFS_LEN_MAX - OVERHEAD {
            let (len, max) = (len as u64, PROOFS_LEN_MAX as u64);
            return Err(Error::TooLarge { what: "list of proofs", len, max });
        }
        self.len = len;
        match self.rows.entry(writer) {
            Entry::Vacant(entry) => drop(entry.insert(row)),
            Entry::Occupied(mut entry) => drop(entry.insert(row)),
        }
        Ok(true)
    }

    /// Forgets the proofs for which `is_needed` is false. Whether that was any.
    pub fn retain(&mut self, is_needed: impl Fn(&Proof) -> bool) -> bool {
        let before = self.rows.len();
        self.rows.retain(|writer, row| is_needed(&Proof { writer: *writer, seq: row.seq }));
        self.len = self.rows.values().map(|row| row.len).sum();
        self.rows.len() < before
    }

    /// Every proof with its evidence, by writer.
    pub fn iter(&self) -> impl Iterator<Item = (Proof, &Arc<Evidence>)> {
        self.rows.iter().map(|(writer, row)| (Proof { writer: *writer, seq: row.seq }, &row.evidence))
    }

    /// Whether nothing is proven.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The number of writers something is proven against.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(self.len + OVERHEAD);
        out.array(self.rows.len());
        for row in self.rows.values() {
            out.bytes(&row.evidence.encode());
        }
        out.finish()
    }

    /// Reads and checks proofs of a space: a disk is believed no more than a peer.
    pub fn decode(space: SpaceId, bytes: &[u8]) -> Result<Proofs, Error> {
        if bytes.len() > PROOFS_LEN_MAX {
            let (len, max) = (bytes.len() as u64, PROOFS_LEN_MAX as u64);
            return Err(Error::TooLarge { what: "list of proofs", len, max });
        }
        let mut from = Decoder::new(bytes);
        let count = from.array()?;
        let mut proofs = Proofs::new();
        for _ in 0..count {
            let at = from.position();
            let evidence = Evidence::decode(from.bytes_up_to(EVIDENCE_LEN_MAX, "evidence")?)?;
            let proof = evidence.check(space)?;
            let is_last = proofs.rows.keys().next_back().is_none_or(|last| *last < proof.writer);
            if !is_last {
                return Err(Error::encoding(at, Problem::Order));
            }
            proofs.insert(proof, Arc::new(evidence))?;
        }
        from.finish()?;
        Ok(proofs)
    }
}
