//! Why a conversation ends, and the code the peer is told.

use crdt::{DeviceId, SpaceId, Time};

use crate::frame::{ByeCode, FRAME_LEN_MAX};

/// Why a session closed. Each variant is a different answer to the peer or to the owner's backoff.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer announced a frame longer than its kind may be; nothing was allocated for it.
    #[error("frame {frame} of {len} bytes is over the limit of {max}")]
    TooLarge {
        /// The frame's number.
        frame: u8,
        /// The length it announced.
        len: u64,
        /// What its kind may have.
        max: usize,
    },
    /// A frame number this version does not speak.
    #[error("frame number {frame} is not known")]
    UnknownFrame {
        /// The number.
        frame: u8,
    },
    /// Bytes that are not the one true encoding of a frame of that kind.
    #[error("frame {frame} is malformed")]
    Malformed {
        /// The frame's number.
        frame: u8,
        /// What was wrong with it.
        source: crdt::Error,
    },
    /// A frame that has no place here: out of order, unsolicited, or twice.
    #[error("frame {frame} has no place in state {state}")]
    Unexpected {
        /// The frame's number.
        frame: u8,
        /// The state it arrived in.
        state: &'static str,
    },
    /// The peer exceeded what one session may make us remember.
    #[error("peer sent more than {max} {what}")]
    Flood {
        /// What there was too much of.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The peer speaks another protocol version.
    #[error("peer speaks protocol {proto}, not {ours}", ours = crate::frame::PROTO)]
    Version {
        /// Its version.
        proto: u64,
    },
    /// The peer is this very process.
    #[error("the peer is this instance itself")]
    Myself,
    /// The connection was authenticated for another device than the one that says hello.
    #[error("peer says it is {said} but the connection is {authenticated}'s")]
    WrongDevice {
        /// Who the peer says it is.
        said: DeviceId,
        /// Whose key opened the connection.
        authenticated: DeviceId,
    },
    /// The peer opened another space on this stream.
    #[error("peer opened space {theirs}, not {ours}")]
    WrongSpace {
        /// The space asked for.
        theirs: SpaceId,
        /// The space of this session.
        ours: SpaceId,
    },
    /// Two signed Handles of one version exist: an alarm, not a merge.
    #[error("peer has another handle with version {version}")]
    HandleConflict {
        /// The version both have.
        version: u64,
    },
    /// The peer has the newer base but not its nodes.
    #[error("peer lacks nodes of version {version} that it offered")]
    NodesMissing {
        /// The version it offered.
        version: u64,
    },
    /// Nothing came from the peer for too long.
    #[error("peer was silent since {}", since.0)]
    Silent {
        /// When it was last heard.
        since: Time,
    },
    /// The peer is alive, and never came to the end of its Open.
    #[error("peer has not opened the space within {max_ms} ms")]
    SlowOpening {
        /// How long it may take.
        max_ms: u64,
    },
    /// The peer is alive, and a frame of it hardly grows: its length may have come as another one.
    #[error("a frame of the peer does not end, {len} bytes of it are here")]
    EndlessFrame {
        /// How much of it has come.
        len: usize,
    },
    /// A commit of ours is too large for this version of the protocol.
    #[error("unit of {len} bytes cannot be sent: a frame holds {max}", max = FRAME_LEN_MAX)]
    Unsendable {
        /// Its encoded length.
        len: usize,
    },
    /// The home's answer to a join does not follow from the ticket.
    #[error("the answer to the join does not follow from the ticket")]
    Forged {
        /// What does not verify.
        source: crdt::Error,
    },
    /// The store refused to go on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a store cannot do, and whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The peer sent what no honest peer sends: the session closes with this code.
    #[error("peer's offer is refused ({code:?}): {detail}")]
    Peer {
        /// What the peer is told.
        code: ByeCode,
        /// For a person.
        detail: String,
    },
    /// The replica cannot do it, for now or at all; the session closes, and another one asks again.
    #[error("the replica cannot do it")]
    Stopped(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// The code the peer is told.
    pub fn code(&self) -> ByeCode {
        match self {
            Error::TooLarge { .. } => ByeCode::TooLarge,
            Error::Version { .. } | Error::Malformed { source: crdt::Error::UnknownVersion { .. }, .. } => {
                ByeCode::Version
            }
            Error::UnknownFrame { .. } | Error::Malformed { .. } | Error::Unexpected { .. } => {
                ByeCode::Protocol
            }
            Error::Flood { .. } => ByeCode::Flood,
            Error::Myself => ByeCode::Myself,
            Error::WrongDevice { .. } => ByeCode::NotAuthorised,
            Error::WrongSpace { .. } => ByeCode::UnknownSpace,
            Error::HandleConflict { .. } => ByeCode::HandleConflict,
            Error::NodesMissing { .. } => ByeCode::NodesMissing,
            Error::Silent { .. } | Error::SlowOpening { .. } | Error::EndlessFrame { .. } => ByeCode::Timeout,
            Error::Unsendable { .. } | Error::Store(StoreError::Stopped(_)) => ByeCode::Unavailable,
            Error::Forged { .. } => ByeCode::Forged,
            Error::Store(StoreError::Peer { code, .. }) => *code,
        }
    }
}
