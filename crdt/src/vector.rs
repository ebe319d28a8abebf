//! Which commits have been seen: for each writer how many, and the last one by name.

use std::collections::BTreeMap;
use std::collections::btree_map;

use crate::clock::Hlc;
use crate::error::{Error, Problem};
use crate::id::{CommitId, Dot, WriterId};

/// Where a writer's history stands: enough to check the next commit without the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The number of the last commit.
    pub seq: u64,
    /// Its id, which names the whole history: equal counts with unequal ids are a fork, never a merge.
    pub id: CommitId,
    /// Its time; the next one's is later.
    pub hlc: Hlc,
    /// Its base; the next one's is not lower.
    pub base: u64,
}

impl Tip {
    /// Before the first commit of a writer.
    pub const START: Tip = Tip { seq: 0, id: CommitId::ZERO, hlc: Hlc(0), base: 0 };
}

/// One row of the tree of vectors, in the shape that the tree wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Writer, then 32 zeros where an entry of data has its dot.
    pub key: Vec<u8>,
    /// Kept beside the payload.
    pub hlc: Hlc,
    /// Number, id, base.
    pub payload: Vec<u8>,
}

const ROW_KEY_LEN: usize = WriterId::LEN + Dot::LEN;
const ROW_PAYLOAD_LEN: usize = 8 + CommitId::LEN + 8;

impl Row {
    /// The row of a writer.
    pub fn new(writer: &WriterId, tip: &Tip) -> Row {
        let mut payload = Vec::with_capacity(ROW_PAYLOAD_LEN);
        payload.extend_from_slice(&tip.seq.to_be_bytes());
        payload.extend_from_slice(&tip.id.0);
        payload.extend_from_slice(&tip.base.to_be_bytes());
        Row { key: Row::key(writer), hlc: tip.hlc, payload }
    }

    /// The key of a writer's row.
    pub fn key(writer: &WriterId) -> Vec<u8> {
        let mut key = Vec::with_capacity(ROW_KEY_LEN);
        key.extend_from_slice(&writer.0);
        key.resize(ROW_KEY_LEN, 0);
        key
    }

    /// The writer and tip of a row read from a tree.
    pub fn decode(key: &[u8], hlc: Hlc, payload: &[u8]) -> Result<(WriterId, Tip), Error> {
        let bad = |problem| Error::encoding(0, problem);
        if key.len() != ROW_KEY_LEN || payload.len() != ROW_PAYLOAD_LEN {
            return Err(bad(Problem::Length));
        }
        let (writer, zeros) = key.split_at(WriterId::LEN);
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(bad(Problem::Range));
        }
        let seq = be_u64(&payload[..8]);
        if seq == 0 {
            return Err(bad(Problem::Range));
        }
        let id = CommitId(payload[8..40].try_into().expect("the length was checked"));
        let base = be_u64(&payload[40..]);
        let writer = WriterId(writer.try_into().expect("the length was checked"));
        Ok((writer, Tip { seq, id, hlc, base }))
    }
}

fn be_u64(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().expect("callers slice eight bytes"))
}

/// The tip of every writer seen. It commits to an exact set of commits, since each tip names its whole chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vector {
    tips: BTreeMap<WriterId, Tip>,
}

impl Vector {
    /// Nothing seen yet.
    pub fn new() -> Vector {
        Vector::default()
    }

    /// A writer's tip, if anything of it was seen.
    pub fn get(&self, writer: &WriterId) -> Option<&Tip> {
        self.tips.get(writer)
    }

    /// The number of a writer's commits seen.
    pub fn seq(&self, writer: &WriterId) -> u64 {
        self.tips.get(writer).map_or(0, |tip| tip.seq)
    }

    /// Sets a writer's tip and returns the one before.
    pub fn insert(&mut self, writer: WriterId, tip: Tip) -> Option<Tip> {
        self.tips.insert(writer, tip)
    }

    /// Forgets a writer.
    pub fn remove(&mut self, writer: &WriterId) -> Option<Tip> {
        self.tips.remove(writer)
    }

    /// Whether the commit of this name was seen.
    pub fn covers(&self, dot: &Dot) -> bool {
        self.seq(&dot.writer) >= dot.seq
    }

    /// Writers and tips, by writer.
    pub fn iter(&self) -> btree_map::Iter<'_, WriterId, Tip> {
        self.tips.iter()
    }

    /// How many writers were seen.
    pub fn len(&self) -> usize {
        self.tips.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.tips.is_empty()
    }
}

impl FromIterator<(WriterId, Tip)> for Vector {
    fn from_iter<I: IntoIterator<Item = (WriterId, Tip)>>(tips: I) -> Vector {
        Vector { tips: tips.into_iter().collect() }
    }
}

impl<'a> IntoIterator for &'a Vector {
    type Item = (&'a WriterId, &'a Tip);
    type IntoIter = btree_map::Iter<'a, WriterId, Tip>;

    fn into_iter(self) -> Self::IntoIter {
        self.tips.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tip() -> Tip {
        Tip { seq: 7, id: CommitId([9; 32]), hlc: Hlc(5), base: 3 }
    }

    #[test]
    fn row_comes_back_as_it_went() {
        let writer = WriterId([4; 24]);
        let row = Row::new(&writer, &tip());
        assert_eq!(Row::decode(&row.key, row.hlc, &row.payload), Ok((writer, tip())));
    }

    #[test]
    fn row_of_another_shape_is_refused() {
        let row = Row::new(&WriterId([4; 24]), &tip());
        let mut key = row.key.clone();
        *key.last_mut().expect("keys are not empty") = 1;
        assert!(Row::decode(&key, row.hlc, &row.payload).is_err());
        assert!(Row::decode(&row.key[1..], row.hlc, &row.payload).is_err());
        assert!(Row::decode(&row.key, row.hlc, &row.payload[1..]).is_err());
        assert!(Row::decode(&row.key, row.hlc, &[0; ROW_PAYLOAD_LEN]).is_err(), "a row has a commit");
    }

    #[test]
    fn vector_covers_every_commit_up_to_the_tip() {
        let writer = WriterId([1; 24]);
        let vector = Vector::from_iter([(writer, tip())]);
        assert!(vector.covers(&Dot::new(writer, 7)));
        assert!(!vector.covers(&Dot::new(writer, 8)));
        assert!(!vector.covers(&Dot::new(WriterId([2; 24]), 1)));
    }
}
