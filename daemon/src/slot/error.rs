//! Why a space did not do what it was asked, by what the caller does about it.

use replica::CommitError;

use crate::membership::Membership;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed in the middle: the write may be there after recovery, or not. Read before writing again.
    #[error("the disk failed while this was written: it may have happened or not")]
    OutcomeUnknown,
    /// The space is not served just now.
    #[error("the space cannot be opened: {reason}")]
    Unavailable {
        /// Why not.
        reason: String,
    },
    /// Come again.
    #[error("the space is busy: {waiting} commands are waiting")]
    Busy {
        /// How many.
        waiting: usize,
    },
    /// Somebody else changed what it read, again and again.
    #[error("what was read kept changing")]
    Contended,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Closed,
    /// The transaction was not taken.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The replica.
    #[error(transparent)]
    Replica(#[from] replica::Error),
    /// The home.
    #[error(transparent)]
    Home(#[from] home::Error),
    /// This device is not the home of the space.
    #[error("this device is not the home of the space")]
    NotHome,
    /// Nothing of this space goes anywhere from here.
    #[error("this device is no member of the space: {place}")]
    NotMember {
        /// What the home said.
        place: Membership,
    },
    /// Whoever decides is not connected just now.
    #[error("the home of the space is not in reach")]
    HomeAway,
    /// A condition of the request does not hold: `If-Match` and `If-None-Match`.
    #[error("the key is at {found}, not at {wanted}")]
    Precondition {
        /// The dot that is there, or `nothing`.
        found: String,
        /// The dot that was asked for.
        wanted: String,
    },
    /// A delete in place of what somebody saw, of which nothing is left.
    #[error("nothing that the context names is there any more, and what is there it does not name")]
    Unseen,
    /// A conflict that is no more: somebody settled it, or wrote there since.
    #[error("conflict {id} is not open: it was settled, or somebody wrote there since")]
    Settled {
        /// Its id.
        id: String,
    },
    /// A conflict that this way of settling does not fit.
    #[error("conflict {id}: {reason}")]
    Unsettled {
        /// Its id.
        id: String,
        /// Why it stays open.
        reason: String,
    },
    /// A collection in which writes never disagree.
    #[error("a collection of policy `{policy}` has no conflicts")]
    Peaceful {
        /// Its policy.
        policy: crdt::Policy,
    },
    /// A value that is no document, where documents are kept.
    #[error("{why}")]
    NotDocument {
        /// Why it is none.
        why: String,
    },
    /// A patch that does not fit the document.
    #[error("the patch does not fit: {why}")]
    BadPatch {
        /// Which part of it.
        why: String,
    },
    /// Nothing to delete.
    #[error("there is no such key")]
    NoKey,
    /// A session that has ended.
    #[error("the session has ended")]
    SessionEnded,
}

impl Error {
    /// Whether the same command can succeed after the flush: what it read was only visible up to then.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Error::Commit(CommitError::Conflict { .. } | CommitError::Retry))
    }
}
