//! A newer base: adopting what is offered, asking for missing nodes, and answering for ours.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crdt::Time;

use super::Session;
use crate::frame::{BLOB_LEN_MAX, BlobData, BlobWant, Data, FRAME_LEN_MAX, HASHES_MAX, Missing, Want};
use crate::store::{Adoption, NodeId, Offer};
use crate::{Error, Frame, Store};
use btree::Kind;

/// Nodes asked for and not yet here: enough to keep a link of 100 ms and 10 MB/s busy with nodes of 4 KiB.
const ASKED_MAX: usize = 256;

/// Nodes the peer may ask for before we have answered: two full Wants.
const SERVE_MAX: usize = 2 * HASHES_MAX;

/// Parts of blobs the peer may ask for before we have answered.
const SERVE_BLOBS_MAX: usize = 64;

/// Bytes of nodes in one Data before it is sent.
const DATA_LEN: usize = 256 << 10;

/// The asking half of a fetch. Which nodes are missing is the store's to say, level by level.
#[derive(Debug)]
pub(super) struct Fetch {
    /// The version being fetched; 0 for none.
    version: u64,
    wanted: BTreeSet<NodeId>,
    /// Asked for, and for which version.
    asked: BTreeMap<NodeId, u64>,
}

impl Fetch {
    pub(super) fn new() -> Fetch {
        Fetch { version: 0, wanted: BTreeSet::new(), asked: BTreeMap::new() }
    }

    /// Nodes known to be missing.
    pub(super) fn missing(&self) -> usize {
        self.wanted.len() + self.asked.len()
    }

    /// Asks for more once half of what was asked for is here, so that Wants are few.
    pub(super) fn next_want(&mut self) -> Option<Frame> {
        if self.wanted.is_empty() || self.asked.len() > ASKED_MAX / 2 {
            return None;
        }
        let mut nodes = Vec::new();
        while self.asked.len() < ASKED_MAX {
            let Some(node) = self.wanted.pop_first() else { break };
            self.asked.insert(node, self.version);
            nodes.push(node);
        }
        Some(Frame::Want(Want { nodes, version: self.version }))
    }

    fn start(&mut self, version: u64, nodes: Vec<NodeId>) -> Result<(), Error> {
        self.version = version;
        self.wanted.clear();
        self.go_on(nodes)
    }

    fn go_on(&mut self, nodes: Vec<NodeId>) -> Result<(), Error> {
        for node in nodes {
            match self.asked.get_mut(&node) {
                Some(version) => *version = self.version,
                None => {
                    self.wanted.insert(node);
                }
            }
        }
        let is_stuck = self.wanted.is_empty() && !self.asked.values().any(|version| *version == self.version);
        if is_stuck { Err(Error::NodesMissing { version: self.version }) } else { Ok(()) }
    }

    /// What is still under way is ignored when it comes.
    fn stop(&mut self) {
        self.version = 0;
        self.wanted.clear();
    }
}

/// The answering half: names of what the peer asked for.
#[derive(Debug)]
pub(super) struct Serve {
    nodes: VecDeque<NodeId>,
    blobs: VecDeque<BlobWant>,
    missing: Vec<NodeId>,
}

impl Serve {
    pub(super) fn new() -> Serve {
        Serve { nodes: VecDeque::new(), blobs: VecDeque::new(), missing: Vec::new() }
    }

    pub(super) fn handle_want(&mut self, want: Want) -> Result<(), Error> {
        self.nodes.extend(want.nodes);
        if self.nodes.len() > SERVE_MAX {
            return Err(Error::Flood { what: "unanswered hashes", max: SERVE_MAX });
        }
        Ok(())
    }

    pub(super) fn handle_blob_want(&mut self, want: BlobWant) -> Result<(), Error> {
        self.blobs.push_back(want);
        if self.blobs.len() > SERVE_BLOBS_MAX {
            return Err(Error::Flood { what: "unanswered parts of blobs", max: SERVE_BLOBS_MAX });
        }
        Ok(())
    }

    /// The next answer: nodes that are here, or the names of those that are not.
    pub(super) fn next_data(&mut self, store: &impl Store) -> Option<Frame> {
        let nodes = self.take_nodes(store);
        if !nodes.is_empty() {
            return Some(Frame::Data(Data { nodes }));
        }
        if let Some(frame) = self.blobs.pop_front().and_then(|want| self.part(&want, store)) {
            return Some(frame);
        }
        if self.missing.is_empty() {
            return None;
        }
        let nodes = self.missing.drain(..self.missing.len().min(HASHES_MAX)).collect();
        Some(Frame::Missing(Missing { nodes, newest_version: store.handle().version }))
    }

    fn take_nodes(&mut self, store: &impl Store) -> Vec<(Kind, btree::Hash, Vec<u8>)> {
        let (mut nodes, mut len) = (Vec::new(), 0);
        while len < DATA_LEN && nodes.len() < HASHES_MAX {
            let Some((kind, hash)) = self.nodes.pop_front() else { break };
            match store.node(kind, &hash) {
                // No node is near a frame's length; a store that has one cannot be asked for it here.
                Some(bytes) if bytes.len() < FRAME_LEN_MAX / 2 => {
                    len += bytes.len();
                    nodes.push((kind, hash, bytes));
                }
                Some(_) | None => self.missing.push((kind, hash)),
            }
        }
        nodes
    }

    fn part(&mut self, want: &BlobWant, store: &impl Store) -> Option<Frame> {
        let Some(bytes) = store.node(Kind::Chunk, &want.hash) else {
            self.missing.push((Kind::Chunk, want.hash));
            return None;
        };
        let start = usize::try_from(want.offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let len = usize::try_from(want.len).map_or(BLOB_LEN_MAX, |len| len.min(BLOB_LEN_MAX));
        let part = bytes[start..].iter().take(len).copied().collect();
        Some(Frame::BlobData(BlobData { hash: Some(want.hash), offset: want.offset, bytes: part }))
    }
}

impl Session {
    /// A base the peer has: adopted at once when it can be computed, fetched when not.
    pub(super) fn handle_offer(
        &mut self,
        now: Time,
        offer: Offer,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let (version, ours) = (offer.handle.version, store.handle());
        if version == ours.version && offer.handle != *ours {
            return Err(Error::HandleConflict { version });
        }
        self.peer.base = self.peer.base.max(version);
        if version <= ours.version {
            return Ok(());
        }
        let adoption = store.adopt(now, offer)?;
        if let Adoption::Fetch(nodes) = adoption {
            return self.fetch.start(version, nodes);
        }
        self.handle_adopted(store);
        Ok(())
    }

    /// Nodes we asked for; the store checks them and says what they lead to.
    pub(super) fn handle_data(&mut self, now: Time, data: Data, store: &mut impl Store) -> Result<(), Error> {
        let mut nodes = Vec::new();
        for (kind, hash, bytes) in data.nodes {
            let asked = self.fetch.asked.remove(&(kind, hash));
            let version = asked.ok_or(Error::Unexpected { frame: 8, state: "without a Want" })?;
            // Of a fetch that was replaced: the store no longer waits for it.
            if version == self.fetch.version {
                nodes.push((kind, hash, bytes));
            }
        }
        if nodes.is_empty() {
            return Ok(());
        }
        match store.store_nodes(now, nodes)? {
            Adoption::Fetch(more) => self.fetch.go_on(more),
            Adoption::Adopted | Adoption::Stale => {
                self.handle_adopted(store);
                Ok(())
            }
        }
    }

    /// Nodes the peer does not have. If its base moved on, it offers the newer one; if not, it cannot help.
    pub(super) fn handle_missing(&mut self, missing: Missing) -> Result<(), Error> {
        let version = self.fetch.version;
        let mut is_current = false;
        for node in missing.nodes {
            is_current |= self.fetch.asked.remove(&node) == Some(version);
        }
        if !is_current || version == 0 {
            return Ok(());
        }
        if missing.newest_version <= version {
            return Err(Error::NodesMissing { version });
        }
        self.fetch.stop();
        Ok(())
    }

    fn handle_adopted(&mut self, store: &impl Store) {
        self.fetch.stop();
        self.forget_anchored(store);
    }
}
