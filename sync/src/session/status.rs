//! How a session is doing, for delivery records and for people.

use std::collections::BTreeMap;

use crdt::{DeviceId, WriterId};

use super::{Role, Session};
use crate::Store;
use crate::frame::{ByeCode, Nack};

/// Where a conversation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Hello and Open are not yet exchanged.
    Opening,
    /// The side with the older base adopts the newer one.
    Align,
    /// Commits are under way, or it is not yet known that none are lacking.
    Stream,
    /// Nothing is under way, and the last beats were equal.
    Live,
    /// Over.
    Closed,
}

impl State {
    /// The state's name, for people.
    pub fn name(self) -> &'static str {
        match self {
            State::Opening => "opening",
            State::Align => "align",
            State::Stream => "stream",
            State::Live => "live",
            State::Closed => "closed",
        }
    }
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// This side.
    Us,
    /// The peer said Bye.
    Peer,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Who ended it.
    pub by: EndedBy,
    /// Why.
    pub code: ByeCode,
    /// The peer's wish not to be called sooner; 0 for none.
    pub retry_after_ms: u64,
}

/// A session in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// Who called.
    pub role: Role,
    /// The other device.
    pub peer: DeviceId,
    /// The base the peer is known to have; 0 until it said.
    pub peer_base: u64,
    /// How far the peer durably has each writer, as it last told, writers that its base covers meanwhile included.
    pub acked: BTreeMap<WriterId, u64>,
    /// Visible commits here that the peer is not known to have.
    pub lag_commits: u64,
    /// Bytes of commits and blobs sent and not acknowledged.
    pub unacked_len: usize,
    /// Nodes of a newer base that are known to be missing here.
    pub missing_nodes: usize,
    /// Bytes sent, frame headers included.
    pub sent_len: u64,
    /// Bytes received.
    pub received_len: u64,
    /// Whether the peer's last beat was equal to ours.
    pub is_equal: Option<bool>,
    /// From our Open to its Cover, the peer's flush included.
    pub rtt_ms: Option<u64>,
    /// Commits the peer will never take: their authors close these writers.
    pub nacks: Vec<Nack>,
    /// What closed the session, if something was wrong.
    pub last_error: Option<String>,
    /// How it ended, once it has.
    pub end: Option<End>,
}

impl Session {
    /// How the session is doing. Linear in the tail.
    pub fn status(&self, store: &impl Store) -> Status {
        Status {
            state: self.state(store),
            role: self.role,
            peer: self.local.peer,
            peer_base: self.peer.base,
            acked: self.peer.acked(),
            lag_commits: self.lag(store),
            unacked_len: self.sender.flying_len(),
            missing_nodes: self.fetch.missing(),
            sent_len: self.sent_len,
            received_len: self.received_len,
            is_equal: self.pulse.is_equal,
            rtt_ms: self.greeting.rtt_ms,
            nacks: self.sender.refused().cloned().collect(),
            last_error: self.last_error.clone(),
            end: self.end,
        }
    }

    /// Where the session stands.
    pub fn state(&self, store: &impl Store) -> State {
        match self.phase() {
            State::Stream if self.peer.base != store.handle().version => State::Align,
            State::Stream if self.is_drained() && self.pulse.is_equal == Some(true) => State::Live,
            phase => phase,
        }
    }

    /// As much of the state as can be told without the store.
    pub(super) fn phase(&self) -> State {
        if self.end.is_some() {
            State::Closed
        } else if !self.peer.is_open() || !self.greeting.is_covered {
            State::Opening
        } else if self.fetch.missing() > 0 {
            State::Align
        } else {
            State::Stream
        }
    }

    /// Bytes that this session keeps for its peer, roughly: what came and is not taken yet, what is owed to it, and what
    /// is known of it. Bounded whatever the peer sends.
    pub fn held_len(&self) -> usize {
        self.reader.held_len()
            + self.peer.held_len()
            + self.greeting.held_len()
            + self.receiver.held_len()
            + self.sender.held_len()
            + self.fetch.held_len()
            + self.serve.held_len()
    }

    /// Whether the peer is known to lack nothing of ours.
    pub(super) fn is_drained(&self) -> bool {
        self.greeting.is_covered && self.sender.is_drained && self.sender.flying_len() == 0
    }

    fn lag(&self, store: &impl Store) -> u64 {
        let has = self.peer.has();
        let behind = |(writer, seq, _): &crate::TailRow| {
            let known = has.get(writer).copied().unwrap_or(0).max(store.anchored(writer));
            seq.saturating_sub(known)
        };
        store.tail().iter().map(behind).sum()
    }
}
