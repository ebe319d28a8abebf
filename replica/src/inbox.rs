//! What came of this device's writes and counts no more, with its content: nothing that was accepted is lost silently.

use std::collections::BTreeSet;

use btree::{Fresh, Hash, Kind};
use crdt::{Commit, Decoder, Dot, Encoder, Time, WriterId};
use disk::Disk;

use crate::error::Error;
use crate::replica::Replica;

/// Items are gathered into pieces of about this length: few, so that the manifest can name them all.
const PIECE_LEN: usize = 1 << 20;

/// Why something is in the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A home or every peer will never take it.
    Rejected,
    /// It lay on a branch of its writer that was cut.
    Orphaned,
    /// It was cut, and its effect was written again under another writer.
    Reissued,
    /// Another branch of its writer may have taken its place.
    Unconfirmed,
}

impl ItemKind {
    const ALL: [Self; 4] = [Self::Rejected, Self::Orphaned, Self::Reissued, Self::Unconfirmed];
}

/// One commit of this device that counts no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Why it is here.
    pub kind: ItemKind,
    /// Its name; for [`ItemKind::Reissued`] that of the first one written again.
    pub dot: Dot,
    /// For a person.
    pub reason: String,
    /// All that it wrote; none where its effect lives on.
    pub commit: Option<Commit>,
}

impl Item {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(5).uint(self.kind as u64).bytes(self.dot.writer.as_bytes()).uint(self.dot.seq);
        out.bytes(self.reason.as_bytes());
        out.bytes(self.commit.as_ref().map_or(&[], |commit| commit.encoded()));
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, crdt::Error> {
        let mut input = Decoder::new(bytes);
        input.array_of(5)?;
        let at = input.position();
        let kind = usize::try_from(input.uint()?).ok().and_then(|code| ItemKind::ALL.get(code).copied());
        let kind = kind.ok_or(crdt::Error::Encoding { at, problem: crdt::Problem::Range })?;
        let dot = Dot::new(WriterId(input.fixed()?), input.uint()?);
        let reason = input.text()?.to_owned();
        let commit = input.bytes()?;
        let commit = if commit.is_empty() { None } else { Some(Commit::decode(commit)?) };
        input.finish()?;
        Ok(Self { kind, dot, reason, commit })
    }
}

/// Items on their way into pieces.
#[derive(Default)]
struct Pieces {
    full: Vec<Hash>,
    piece: Vec<Vec<u8>>,
    len: usize,
}

impl Pieces {
    fn push(&mut self, fresh: &mut Fresh, item: Vec<u8>) -> Result<(), Error> {
        if self.len + item.len() > PIECE_LEN {
            self.close(fresh)?;
        }
        self.len += item.len();
        self.piece.push(item);
        Ok(())
    }

    fn close(&mut self, fresh: &mut Fresh) -> Result<(), Error> {
        let piece = std::mem::take(&mut self.piece);
        self.len = 0;
        if !piece.is_empty() {
            self.full.push(fresh.insert_raw(Kind::Chunk, &encode_piece(&piece))?);
        }
        Ok(())
    }

    fn finish(mut self, fresh: &mut Fresh) -> Result<Vec<Hash>, Error> {
        self.close(fresh)?;
        Ok(self.full)
    }
}

/// A list of items as a pack holds it.
fn encode_piece(items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(items.len());
    for item in items {
        out.bytes(item);
    }
    out.finish()
}

fn decode_piece(bytes: &[u8]) -> Result<Vec<Item>, crdt::Error> {
    let mut input = Decoder::new(bytes);
    let count = input.array()?;
    let items = (0..count).map(|_| Item::decode(input.bytes()?)).collect::<Result<_, _>>()?;
    input.finish()?;
    Ok(items)
}

impl<D: Disk> Replica<D> {
    /// What of this device counts no more, oldest first.
    pub fn inbox(&self) -> Result<Vec<Item>, Error> {
        let mut items = Vec::new();
        for hash in &self.manifest.inbox {
            items.extend(self.inbox_piece(hash)?);
        }
        Ok(items)
    }

    fn inbox_piece(&self, hash: &Hash) -> Result<Vec<Item>, Error> {
        let bytes = self.pending.nodes.raw(hash)?.ok_or(Error::NotLocal { hash: *hash })?;
        decode_piece(&bytes).map_err(|_| Error::BadInbox)
    }

    /// Takes items out of the inbox: somebody has seen to them. Returns how many there were.
    pub fn discard(&mut self, now: Time, dots: &BTreeSet<Dot>) -> Result<usize, Error> {
        self.check_writable()?;
        let items = self.inbox()?;
        let kept: Vec<&Item> = items.iter().filter(|item| !dots.contains(&item.dot)).collect();
        if kept.len() == items.len() {
            return Ok(0);
        }
        let mut fresh = Fresh::new(self.pending.salt);
        let mut pieces = Pieces::default();
        kept.iter().try_for_each(|item| pieces.push(&mut fresh, item.encode()))?;
        let mut manifest = self.manifest.clone();
        manifest.inbox = pieces.finish(&mut fresh)?;
        let base = self.base().clone();
        let nodes = self.write_nodes(&base, fresh, manifest.clone())?;
        manifest.packs = nodes.packs();
        self.write_manifest(now, manifest)?;
        self.take_nodes_of(nodes);
        Ok(items.len() - kept.len())
    }

    /// Adds items, in pieces that the coming pack holds, and returns the list that the coming manifest names.
    pub(crate) fn add_to_inbox(&self, fresh: &mut Fresh, items: &[Item]) -> Result<Vec<Hash>, Error> {
        let mut pieces = Pieces { full: self.manifest.inbox.clone(), ..Pieces::default() };
        if items.is_empty() {
            return Ok(pieces.full);
        }
        // The last piece is filled up first: many small drops must not make the list long. One that cannot be read stays as
        // it is: what comes after it must not be lost with it.
        if let Some(Ok(last)) = pieces.full.last().map(|last| self.inbox_piece(last)) {
            pieces.full.pop();
            last.iter().try_for_each(|item| pieces.push(fresh, item.encode()))?;
        }
        items.iter().try_for_each(|item| pieces.push(fresh, item.encode()))?;
        pieces.finish(fresh)
    }

    /// The pieces of the inbox, and the values that the commits in it name.
    pub(crate) fn inbox_blobs(&self) -> Result<Vec<Hash>, Error> {
        let mut blobs = self.manifest.inbox.clone();
        for item in self.inbox()? {
            let named = item.commit.iter().flat_map(|commit| commit.body().blobs());
            blobs.extend(named.map(|blob| Hash(blob.hash)));
        }
        Ok(blobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_comes_back_as_it_went() {
        for kind in ItemKind::ALL {
            let dot = Dot::new(WriterId([7; 24]), 9);
            let item = Item { kind, dot, reason: "why".into(), commit: None };
            let piece = encode_piece(&[item.encode(), item.encode()]);
            assert_eq!(decode_piece(&piece), Ok(vec![item.clone(), item]));
        }
        assert!(decode_piece(&[0x81, 0x40]).is_err());
    }
}
