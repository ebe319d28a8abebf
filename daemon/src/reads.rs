//! What a reader outside saw, as an opaque token: sent back with a transaction, it says whether that is still so.

use crdt::{CollId, Decoder, Encoder, SpaceId};
use data_encoding::BASE64URL_NOPAD;
use disk::RealDisk;
use replica::{KeyRange, Snapshot};

/// One read: everything alive in a range of keys, its gaps included. A single key is a range that holds nothing else.
///
/// The digest is over dots, so that it changes with every write and never comes back to what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    space: SpaceId,
    /// The collection.
    pub coll: CollId,
    /// What was looked at.
    pub range: KeyRange,
    digest: [u8; 32],
}

impl Read {
    /// What this state holds there.
    pub fn of(
        space: SpaceId,
        snapshot: &Snapshot<RealDisk>,
        coll: CollId,
        range: KeyRange,
    ) -> Result<Read, replica::Error> {
        let digest = snapshot.digest(coll, &range)?;
        Ok(Read { space, coll, range, digest })
    }

    /// Whether a state holds the same there.
    pub fn holds(&self, snapshot: &Snapshot<RealDisk>) -> Result<bool, replica::Error> {
        Ok(snapshot.digest(self.coll, &self.range)? == self.digest)
    }

    /// Whether it is of this space.
    pub fn is_of(&self, space: &SpaceId) -> bool {
        self.space == *space
    }

    /// The key, where it was one.
    pub fn key(&self) -> Option<&[u8]> {
        let from = &self.range.from;
        // A prefix is a range of the same form, but no key: it ends within an element.
        let is_key = crdt::key::check(from).is_ok() && self.range == KeyRange::key(from);
        is_key.then_some(from.as_slice())
    }

    /// The token: header text, and nobody's business what is in it.
    pub fn token(&self) -> String {
        let mut out = Encoder::new();
        out.array(6).uint(1).bytes(&self.space.0).bytes(self.coll.as_bytes()).bytes(&self.range.from);
        match &self.range.to {
            Some(to) => out.array(1).bytes(to),
            None => out.array(0),
        };
        out.bytes(&self.digest);
        BASE64URL_NOPAD.encode(&out.finish())
    }

    /// The read that a token is of.
    pub fn parse(token: &str) -> Option<Read> {
        decode(&BASE64URL_NOPAD.decode(token.as_bytes()).ok()?).ok()
    }
}

fn decode(bytes: &[u8]) -> Result<Read, crdt::Error> {
    let mut input = Decoder::new(bytes);
    input.array_of(6)?;
    let at = input.position();
    if input.uint()? != 1 {
        return Err(crdt::Error::Encoding { at, problem: crdt::Problem::Range });
    }
    let (space, coll) = (SpaceId(input.fixed()?), CollId(input.fixed()?));
    let from = input.bytes()?.to_vec();
    let at = input.position();
    let to = match input.array()? {
        0 => None,
        1 => Some(input.bytes()?.to_vec()),
        _ => return Err(crdt::Error::Encoding { at, problem: crdt::Problem::Length }),
    };
    let digest = input.fixed()?;
    input.finish()?;
    Ok(Read { space, coll, range: KeyRange { from, to }, digest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_lies_do_not() {
        let range = KeyRange::key(&crdt::key::plain(b"k"));
        let (space, coll) = (SpaceId([1; 32]), CollId([2; 16]));
        let point = Read { space, coll, range, digest: [3; 32] };
        let all = Read { range: KeyRange::all(), ..point.clone() };
        for read in [&point, &all] {
            assert_eq!(Read::parse(&read.token()).as_ref(), Some(read));
            assert_eq!(Read::parse(&read.token()[1..]), None);
        }
        assert_eq!(point.key(), Some(crdt::key::plain(b"k").as_slice()));
        assert_eq!(all.key(), None);
        let prefix = Read { range: KeyRange::prefix(&crdt::key::prefix_of_text("k")), ..point.clone() };
        assert_eq!(prefix.key(), None);
    }
}
