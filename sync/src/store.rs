//! What a session needs from a replica: `Store`, and the values that pass between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use btree::{Hash, Kind};
use crdt::{
    Commit, CommitId, Evidence, Handle, Proofs, RingRecord, Seal, SpaceId, Strand, Time, Tip, WriterId,
};

use crate::StoreError;
use crate::frame::{NackCode, Shown};

/// One replica, as a session sees it: only what is visible, which is what is flushed.
///
/// A session never learns of a commit that a power cut could take back, so whatever it says to a peer stays
/// true. The owner calls [`crate::Session::poll_transmit`] after each flush and each adoption.
pub trait Store {
    /// The space this replica is a copy of.
    fn space(&self) -> SpaceId;

    /// The adopted base; its version is at least 1.
    fn handle(&self) -> &Handle;

    /// The number of the newest ring: the base's, or one that signs what follows.
    fn ring_n(&self) -> u64;

    /// Every writer with visible commits above the base, sorted by writer; never a home's.
    fn tail(&self) -> Vec<TailRow>;

    /// The last visible commit of a writer, base included; 0 for a writer never seen.
    fn seen(&self, writer: &WriterId) -> u64;

    /// The last commit of a writer that the base covers; 0 when it covers none.
    fn anchored(&self, writer: &WriterId) -> u64;

    /// What is known about one place in a writer's chain.
    fn locate(&self, writer: &WriterId, seq: u64) -> Located;

    /// The next visible commits that the peer lacks, ready on arrival when sent in this order.
    ///
    /// `peer` says how far the peer has each writer. A writer it does not name, or names below the base, is
    /// had up to the base and no further. At most [`crate::frame::COMMITS_MAX`] commits, together with blobs
    /// and seals of at most `len_max` encoded bytes, but at least one commit when any is lacking. Every
    /// writer in it is sealed at its last commit in it, or has a strand from there. Home commits are never in it: they travel with the
    /// Handle that covers them.
    fn next_commits(
        &mut self,
        peer: &BTreeMap<WriterId, u64>,
        len_max: usize,
    ) -> Result<Outgoing, StoreError>;

    /// The number of the last change of the tail that may have added to the answers of [`Store::next_commits`]: as long as
    /// it is the same, a peer that lacked nothing lacks nothing.
    fn tail_change(&self) -> u64;

    /// Validates a received unit whole and folds it into pending.
    ///
    /// It becomes visible, and so acknowledged, only with the owner's next flush. Commits already held are
    /// dropped after comparing ids; another id at a held dot is [`NackCode::Fork`].
    fn accept(&mut self, now: Time, incoming: Incoming) -> Result<Accepted, Refusal>;

    /// The base and what lets a peer whose base is `since` or newer compute it instead of fetching it.
    ///
    /// The rows are the tips at the base, so those that the peer has already change nothing.
    fn offer(&self, since: u64) -> Offer;

    /// Moves the base to the offered Handle, by computing it or by starting to fetch it.
    ///
    /// An offer of the base itself may bring a newer ring, which is kept: [`Adoption::Stale`] all the same.
    ///
    /// It flushes first where it must. A newer offer replaces a fetch that is under way; sessions with
    /// several peers may offer the same version, and each is told what is missing then.
    fn adopt(&mut self, now: Time, offer: Offer) -> Result<Adoption, StoreError>;

    /// The bytes of a node or chunk, if they are here.
    fn node(&self, kind: Kind, hash: &Hash) -> Option<Vec<u8>>;

    /// Nodes and chunks that the base needs and that are damaged here, at most so many, but for those that this peer was
    /// `asked` for already. What it answers is taken by [`Store::store_nodes`].
    fn lost(&self, asked: &BTreeSet<NodeId>, max: usize) -> Vec<NodeId>;

    /// Takes fetched nodes after checking each against its hash.
    ///
    /// Returns the children that turned out to be missing; those returned before are still wanted and need
    /// not be named again, but may be. The list may be empty, and nodes that nobody misses are ignored.
    /// [`Adoption::Adopted`] once the tree is whole and the base has moved.
    fn store_nodes(&mut self, now: Time, nodes: Vec<(Kind, Hash, Vec<u8>)>) -> Result<Adoption, StoreError>;

    /// What is proven against writers, durable here.
    fn evidence(&self) -> &Proofs;

    /// Takes evidence after checking all of it, durably, together with what follows from it: of that writer, and of
    /// whoever built on it, the commits that do not count any more are dropped.
    ///
    /// It flushes first where it must. Evidence that says no more than what is known, or that is about a device which
    /// never had a place here, changes nothing. What does not verify is the peer's fault.
    fn accept_evidence(&mut self, now: Time, evidence: Arc<Evidence>) -> Result<(), StoreError>;

    /// The visible history of a writer from a commit up to the next seal, where its headers are still here.
    fn strand(&self, writer: &WriterId, from: u64) -> Option<Shown>;

    /// How often visible commits were dropped. When it rises, what a peer was told of what is held here is void.
    fn drops(&self) -> u64;
}

/// One node of a space: nothing else has this kind and hash.
pub type NodeId = (Kind, Hash);

/// How far one writer's commits reach, and the id of the last of them.
pub type TailRow = (WriterId, u64, CommitId);

/// What a store knows about a dot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// The commit held there.
    Id(CommitId),
    /// The base covers it, and its id is not kept.
    Unknown,
    /// No such commit is held.
    Absent,
}

/// A unit of commits to send: causally ordered, each writer sealed at its last commit in it.
#[derive(Debug, Clone, Default)]
pub struct Outgoing {
    /// In the order in which a receiver can apply them.
    pub commits: Vec<Arc<Commit>>,
    /// The blobs these commits name, each at most [`crate::frame::BLOB_LEN_MAX`].
    pub blobs: Vec<Vec<u8>>,
    /// One for each writer in `commits`, at its last commit here, unless a strand is.
    pub seals: Vec<Seal>,
    /// From a writer's last commit in `commits` to one that its author sealed, of which the rest counts no more.
    pub strands: Vec<Strand>,
    /// More is lacking than fitted, or than can be read now.
    pub more: bool,
}

/// A unit of commits as received: decoded, nothing else believed.
#[derive(Debug, Clone, Default)]
pub struct Incoming {
    /// In the order in which the peer applied them.
    pub commits: Vec<Arc<Commit>>,
    /// Blobs the commits may name, unnamed: the store hashes them.
    pub blobs: Vec<Vec<u8>>,
    /// The seals that vouch for the commits.
    pub seals: Vec<Seal>,
    /// The strands that do.
    pub strands: Vec<Strand>,
}

/// What became of a received unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// In pending, or held already.
    Stored,
    /// A commit was not ready: it and the rest were dropped, and the peer is told what is held.
    NotReady,
}

/// Why a commit will never be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose commit.
    pub writer: WriterId,
    /// Which of its commits.
    pub seq: u64,
    /// The rule it breaks.
    pub code: NackCode,
    /// For a person; cut to [`crate::frame::DETAIL_LEN_MAX`] bytes when sent.
    pub detail: String,
}

/// A base, and what lets a replica near it compute the tree instead of fetching it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The signed Handle.
    pub handle: Handle,
    /// Ring records the receiver may lack, oldest first.
    pub ring: Vec<RingRecord>,
    /// Every vector row that changed since the receiver's base; `None` when that is not known or too much to
    /// send.
    pub vector_changes: Option<Vec<(WriterId, Tip)>>,
    /// The home's own commits since the receiver's base, in order.
    pub home_commits: Vec<Arc<Commit>>,
}

/// What became of an offered Handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// The base moved.
    Adopted,
    /// The base is as new already.
    Stale,
    /// These nodes are missing.
    Fetch(Vec<NodeId>),
}
