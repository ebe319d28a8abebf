//! The replica as a session sees it: only what is visible, which is what is flushed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use btree::{Hash, Kind};
use crdt::{Evidence, Handle, Proofs, SpaceId, Time, WriterId};
use disk::Disk;
use planted::Bug;
use sync::frame::Shown;
use sync::{
    Accepted, Adoption, ByeCode, Incoming, Located, NodeId, Offer, Outgoing, Refusal, Store, StoreError,
    TailRow,
};

use crate::accept::Seen;
use crate::error::Error;
use crate::replica::Replica;

impl<D: Disk> Store for Replica<D> {
    fn space(&self) -> SpaceId {
        self.space
    }

    fn handle(&self) -> &Handle {
        self.base()
    }

    fn ring_n(&self) -> u64 {
        self.ring.n()
    }

    fn tail(&self) -> Vec<TailRow> {
        let visible = self.tail.writers().filter_map(|(writer, tail)| Some((*writer, tail.visible()?)));
        visible.map(|(writer, (seq, tip))| (writer, seq, tip)).collect()
    }

    fn seen(&self, writer: &WriterId) -> u64 {
        let view = if planted::is(Bug::AckPeerBeforeDurable) { &self.pending } else { &*self.visible.0 };
        // A tree that cannot be read here promises nothing: the peer sends again, and hears the same.
        view.tip(writer).ok().flatten().map_or(0, |tip| tip.seq)
    }

    fn anchored(&self, writer: &WriterId) -> u64 {
        // As above.
        self.visible.0.base_tip(writer).ok().flatten().map_or(0, |tip| tip.seq)
    }

    fn locate(&self, writer: &WriterId, seq: u64) -> Located {
        // A commit that cannot be read is one whose id is not known: a legal answer.
        self.located(writer, seq, Seen::Visible).unwrap_or(Located::Unknown)
    }

    fn next_commits(
        &mut self,
        peer: &BTreeMap<WriterId, u64>,
        len_max: usize,
    ) -> Result<Outgoing, StoreError> {
        self.next_unit(peer, len_max).map_err(answer)
    }

    fn tail_change(&self) -> u64 {
        self.tail.change()
    }

    fn accept(&mut self, now: Time, incoming: Incoming) -> Result<Accepted, Refusal> {
        self.accept_unit(now, incoming)
    }

    fn offer(&self, since: u64) -> Offer {
        self.offer_since(since).unwrap_or_else(|_| Offer {
            // What cannot be computed from here is fetched, from here or from another peer.
            handle: self.base().clone(),
            ring: self.ring.records().to_vec(),
            vector_changes: None,
            home_commits: Vec::new(),
        })
    }

    fn adopt(&mut self, now: Time, offer: Offer) -> Result<Adoption, StoreError> {
        self.adopt_offer(now, offer).map_err(answer)
    }

    fn node(&self, kind: Kind, hash: &Hash) -> Option<Vec<u8>> {
        if let (Kind::Chunk, Some(bytes)) = (kind, self.visible.0.overlay.blobs.get(hash)) {
            return Some(bytes.to_vec());
        }
        // A node that cannot be read is one that is not here: the peer asks another.
        self.visible.0.nodes.raw(hash).ok().flatten()
    }

    fn lost(&self, asked: &BTreeSet<NodeId>, max: usize) -> Vec<NodeId> {
        self.lost_but(asked, max)
    }

    fn store_nodes(&mut self, now: Time, nodes: Vec<(Kind, Hash, Vec<u8>)>) -> Result<Adoption, StoreError> {
        self.take_nodes(now, nodes).map_err(answer)
    }

    fn evidence(&self) -> &Proofs {
        &self.pending.proofs
    }

    fn accept_evidence(&mut self, now: Time, evidence: Arc<Evidence>) -> Result<(), StoreError> {
        self.take_evidence(now, evidence).map_err(answer)
    }

    fn strand(&self, writer: &WriterId, from: u64) -> Option<Shown> {
        // Headers that cannot be read are not here any more: a legal answer.
        self.strand_from(writer, from).ok().flatten()
    }

    fn drops(&self) -> u64 {
        self.drops
    }
}

/// Whose fault it is decides what the session does.
fn answer(error: Error) -> StoreError {
    let code = match &error {
        Error::NotSigned { .. } | Error::WrongNode { .. } | Error::BadNode { .. } | Error::Commit(_) => {
            ByeCode::Forged
        }
        Error::UnknownFold { .. }
        | Error::Tree(btree::Error::Malformed { damage: btree::Damage::Format { .. }, .. }) => {
            ByeCode::Version
        }
        Error::Tree(
            btree::Error::Malformed { .. } | btree::Error::Shape { .. } | btree::Error::RawLen { .. },
        ) => ByeCode::Forged,
        Error::TwoHandles { .. } => ByeCode::HandleConflict,
        Error::Fork { .. } => ByeCode::Fork,
        Error::Divergence { .. } => ByeCode::HandleConflict,
        _ => return StoreError::Stopped(Box::new(error)),
    };
    StoreError::Peer { code, detail: error.to_string() }
}
