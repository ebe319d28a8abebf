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

/// Nodes that are damaged here and that one peer was asked for and has not brought.
const LOST_MAX: usize = 4096;

/// Nodes the peer may ask for before we have answered: two full Wants.
const SERVE_MAX: usize = 2 * HASHES_MAX;

/// Parts of blobs the peer may ask for before we have answered.
const SERVE_BLOBS_MAX: usize = 64;

/// Bytes of nodes in one Data before it is sent.
const DATA_LEN: usize = 256 << 10;

/// When nothing is left to ask for and the base has not moved, another session fetches the rest. Should that
/// one end first, this one goes on after so long.
const RETRY_MS: u64 = 2_000;

/// What the name of one node costs to remember, with its place in a list.
const NODE_LEN: usize = 64;

/// The asking half of a fetch. Which nodes are missing is the store's to say, level by level.
#[derive(Debug)]
pub(super) struct Fetch {
    /// The version being fetched; 0 for none.
    version: u64,
    /// What is being fetched, without what would let it be computed: that was tried.
    offer: Option<Offer>,
    retry_at: Option<Time>,
    wanted: BTreeSet<NodeId>,
    /// Asked for, and for which version.
    asked: BTreeMap<NodeId, u64>,
    lost: Lost,
}

/// What is damaged here, as far as this peer was asked for it. Nothing is asked for twice before the peer's base rises:
/// who does not have it, or does not answer, is not asked on and on.
#[derive(Debug, Default)]
struct Lost {
    /// Not answered yet.
    asked: BTreeSet<NodeId>,
    /// Not brought, answered or not.
    tried: BTreeSet<NodeId>,
}

impl Fetch {
    pub(super) fn new() -> Fetch {
        Fetch {
            version: 0,
            offer: None,
            retry_at: None,
            wanted: BTreeSet::new(),
            asked: BTreeMap::new(),
            lost: Lost::default(),
        }
    }

    /// Bytes kept, roughly.
    pub(super) fn held_len(&self) -> usize {
        (self.missing() + self.lost.asked.len() + self.lost.tried.len()) * NODE_LEN
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

    /// Asks for what is damaged here.
    pub(super) fn next_lost(&mut self, store: &impl Store) -> Option<Frame> {
        let Lost { asked, tried } = &mut self.lost;
        let room = LOST_MAX.saturating_sub(tried.len()).min(ASKED_MAX.saturating_sub(asked.len()));
        if room == 0 {
            return None;
        }
        let nodes = store.lost(tried, room);
        if nodes.is_empty() {
            return None;
        }
        asked.extend(&nodes);
        tried.extend(&nodes);
        Some(Frame::Want(Want { nodes, version: store.handle().version }))
    }

    /// The peer has a newer base, and so may have what it lacked.
    pub(super) fn try_lost_again(&mut self) {
        let Lost { asked, tried } = &mut self.lost;
        tried.retain(|node| asked.contains(node));
    }

    pub(super) fn retry_at(&self) -> Option<Time> {
        self.retry_at
    }

    fn start(&mut self, now: Time, offer: Offer, nodes: Vec<NodeId>) {
        self.version = offer.handle.version;
        self.offer = Some(offer);
        self.wanted.clear();
        self.go_on(now, nodes);
    }

    fn go_on(&mut self, now: Time, nodes: Vec<NodeId>) {
        for node in nodes {
            match self.asked.get_mut(&node) {
                Some(version) => *version = self.version,
                None => {
                    self.wanted.insert(node);
                }
            }
        }
        let is_idle = self.wanted.is_empty() && !self.asked.values().any(|version| *version == self.version);
        self.retry_at = is_idle.then(|| now.plus_ms(RETRY_MS));
    }

    /// What is still under way is ignored when it comes.
    fn stop(&mut self) {
        self.version = 0;
        self.offer = None;
        self.retry_at = None;
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

    /// Bytes kept, roughly.
    pub(super) fn held_len(&self) -> usize {
        (self.nodes.len() + self.blobs.len() + self.missing.len()) * NODE_LEN
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
        self.raise_base(version);
        let is_ring_news = offer.ring.last().is_some_and(|record| record.n > store.ring_n());
        if version < ours.version || (version == ours.version && !is_ring_news) {
            return Ok(());
        }
        self.adopt(now, offer, store)
    }

    /// Takes up a fetch that had nothing left to ask for.
    pub(super) fn retry_adoption(&mut self, now: Time, store: &mut impl Store) -> Result<(), Error> {
        if self.fetch.retry_at.is_none_or(|at| at > now) {
            return Ok(());
        }
        self.fetch.retry_at = None;
        match self.fetch.offer.take() {
            Some(offer) if offer.handle.version > store.handle().version => self.adopt(now, offer, store),
            Some(_) | None => Ok(()),
        }
    }

    fn adopt(&mut self, now: Time, offer: Offer, store: &mut impl Store) -> Result<(), Error> {
        let (handle, ring) = (offer.handle.clone(), offer.ring.clone());
        match store.adopt(now, offer)? {
            Adoption::Fetch(nodes) => {
                let offer = Offer { handle, ring, vector_changes: None, home_commits: Vec::new() };
                self.fetch.start(now, offer, nodes);
            }
            Adoption::Adopted | Adoption::Stale => self.handle_adopted(store),
        }
        Ok(())
    }

    /// Nodes we asked for; the store checks them and says what they lead to.
    pub(super) fn handle_data(&mut self, now: Time, data: Data, store: &mut impl Store) -> Result<(), Error> {
        let mut nodes = Vec::new();
        for (kind, hash, bytes) in data.nodes {
            let is_current = match self.fetch.asked.remove(&(kind, hash)) {
                // Of a fetch that was replaced: the store no longer waits for it.
                Some(version) => version == self.fetch.version,
                None if self.fetch.lost.asked.remove(&(kind, hash)) => {
                    self.fetch.lost.tried.remove(&(kind, hash));
                    true
                }
                None => return Err(Error::Unexpected { frame: 8, state: "without a Want" }),
            };
            if is_current {
                nodes.push((kind, hash, bytes));
            }
        }
        if nodes.is_empty() {
            return Ok(());
        }
        match store.store_nodes(now, nodes)? {
            Adoption::Fetch(more) => self.fetch.go_on(now, more),
            // What was damaged, and nothing of what is being fetched; or what another peer offers, which is older.
            Adoption::Adopted | Adoption::Stale if self.fetch.version > store.handle().version => {
                self.fetch.go_on(now, Vec::new());
                self.forget_anchored(store);
            }
            Adoption::Adopted | Adoption::Stale => self.handle_adopted(store),
        }
        Ok(())
    }

    /// Nodes the peer does not have. If its base moved on, it offers the newer one; if not, it cannot help.
    pub(super) fn handle_missing(&mut self, missing: Missing, store: &impl Store) -> Result<(), Error> {
        let version = self.fetch.version;
        let mut is_current = false;
        for node in missing.nodes {
            match self.fetch.asked.remove(&node) {
                Some(of) => is_current |= of == version,
                // Another peer may have it.
                None => drop(self.fetch.lost.asked.remove(&node)),
            }
        }
        // Another session may have brought them meanwhile.
        if !is_current || store.handle().version >= version {
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
