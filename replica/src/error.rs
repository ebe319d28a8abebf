//! What can go wrong in a replica, by what a caller does about it.

use std::io;

use crdt::{CollId, Dot, Policy, SpaceId, WriterId};

/// Why a replica could not do what its owner asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Open it again: recovery reads what the disk really holds.
    #[error("the replica stopped after a failed write; open it again to recover from disk")]
    Stopped,
    /// So much of the base is damaged that the log cannot be placed on it: peers are asked first.
    #[error(
        "what this replica rests on is damaged, and is asked of peers: until one has sent it, nothing can be read or written"
    )]
    Unread,
    /// The folder was opened from read-only media.
    #[error("the replica is open read-only")]
    ReadOnly,
    /// Nothing was ever made here.
    #[error("no manifest: there is no replica in this folder")]
    NoManifest,
    /// The folder holds a replica already.
    #[error("there is a replica in this folder already")]
    Occupied,
    /// A copy that was not taken whole.
    #[error("the folder is incomplete: {name} should hold {len} bytes and does not")]
    Incomplete {
        /// The first file found missing or short.
        name: String,
        /// What the newest manifest says it holds.
        len: u64,
    },
    /// Bytes of a manifest that passed their checksum and still make no sense.
    #[error("the manifest is damaged: {reason}")]
    BadManifest {
        /// What is wrong.
        reason: &'static str,
    },
    /// Software of another time wrote the folder: nothing in it is changed.
    #[error(
        "the folder is in a format of another time: open it with the software that wrote it, or a newer one"
    )]
    UnknownFormat {
        /// What has the format, which one, and which is known here.
        source: crdt::Error,
    },
    /// More packs, segments and notes than a slot holds.
    #[error("the manifest would be {len} bytes, over the limit of {max}")]
    ManifestTooLarge {
        /// Its length.
        len: usize,
        /// The length of a slot.
        max: usize,
    },
    /// A record of the log that decodes to nothing a replica writes.
    #[error("the log record at {position} is not a record of this replica: {reason}")]
    BadRecord {
        /// Where it starts.
        position: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// A record of the log that another software may write.
    #[error(
        "the log record at {position} is of kind {kind}, which this software does not know: a newer one wrote it"
    )]
    UnknownRecord {
        /// Where it starts.
        position: u64,
        /// What it says it is.
        kind: u8,
    },
    /// A Handle, or another thing a home signs, that this space's home did not sign.
    #[error("the handle of version {version} is not signed by the home of space {space}")]
    NotSigned {
        /// Which space.
        space: SpaceId,
        /// The version it claims.
        version: u64,
        /// What is wrong with the signature.
        source: crdt::Error,
    },
    /// Written by a home whose rules of folding this software does not know.
    #[error("the handle of version {version} was folded by rules {found}, and this software knows rules {known}", known = crate::adopt::FOLD_VERSION)]
    UnknownFold {
        /// The version.
        version: u64,
        /// The rules it names.
        found: u64,
    },
    /// Another Handle of a version that is already known here: a home was copied.
    #[error("version {version} has two different handles")]
    TwoHandles {
        /// The version.
        version: u64,
    },
    /// The end of the log is damaged, and what it held is in the base by now.
    #[error("the log does not reach commit {dot}, which version {version} covers: its end is damaged")]
    Short {
        /// The commit.
        dot: Dot,
        /// The version of the base.
        version: u64,
    },
    /// Equal commits, other tree: this replica or the home folds wrongly. The old base stays.
    #[error("divergence at version {version}: the same commits give another {root} root here")]
    Divergence {
        /// The version of the Handle.
        version: u64,
        /// Which of the two trees differs.
        root: &'static str,
    },
    /// A writer whose history here is not the one the Handle covers.
    #[error("writer {writer} has two different commits at or below {seq}")]
    Fork {
        /// The writer.
        writer: WriterId,
        /// The sequence number they differ at.
        seq: u64,
    },
    /// Roots that are not what is held here.
    #[error("the handle of version {version} is not the state of this replica")]
    NotCandidate {
        /// The version of the Handle.
        version: u64,
    },
    /// Bytes that do not hash to the name they were sent under.
    #[error("the bytes sent as {hash} are not its bytes")]
    WrongNode {
        /// The name.
        hash: btree::Hash,
    },
    /// A fetched node that is what it is called, and that no fold writes: whoever offers its Handle is wrong.
    #[error("the fetched node {hash} is not valid: {reason}")]
    BadNode {
        /// Its name.
        hash: btree::Hash,
        /// What is wrong.
        reason: &'static str,
    },
    /// A value whose bytes are not on this device.
    #[error("the value {hash} is not on this device")]
    NotLocal {
        /// Its name.
        hash: btree::Hash,
    },
    /// What this device alone has cannot be read, so that no peer heals it.
    #[error("{what} cannot be read, and no peer has it")]
    OwnDamaged {
        /// What it is.
        what: &'static str,
        /// What is wrong.
        #[source]
        source: Box<Error>,
    },
    /// A piece of the inbox that decodes to nothing a replica writes.
    #[error("the inbox is damaged; the rest of the replica is not")]
    BadInbox,
    /// A stored entry that decodes to nothing a fold writes.
    #[error("a tree entry is damaged: {reason}")]
    BadEntry {
        /// What is wrong.
        reason: &'static str,
    },
    /// A note over the limit.
    #[error("a note of {len} bytes is over the limit of {max}")]
    NoteTooLarge {
        /// Its length with its key.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// No more notes until some are taken away.
    #[error("all notes would take {len} bytes, over the limit of {max}")]
    NotesFull {
        /// Their length together.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Names and descriptors of collections.
    #[error("the collection descriptor is not valid: {reason}")]
    BadDescriptor {
        /// What is wrong.
        reason: &'static str,
    },
    /// The log.
    #[error("the log failed")]
    Log(#[from] wal::Error),
    /// The trees and packs.
    #[error("the tree failed")]
    Tree(#[from] btree::Error),
    /// Commits and what they are made of.
    #[error("a commit is not valid")]
    Commit(#[from] crdt::Error),
    /// The disk has no room for the file's new contents; what it says counts as before.
    #[error("no space left to write {name}")]
    NoSpace {
        /// Which file.
        name: String,
    },
    /// Files of the folder itself.
    #[error("cannot {action} {name}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file.
        name: String,
        /// What the disk answered.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the disk has no room: nothing was taken, nothing is lost, and it goes on by itself once there is some.
    pub fn is_full(&self) -> bool {
        is_full(self)
    }

    /// Whether something in a pack is not what was written there: everything else goes on, and [`crate::Replica::mend`] asks
    /// peers for it.
    pub fn is_damage(&self) -> bool {
        is_damage(self)
    }
}

/// The same of an error with this one somewhere among its causes.
pub fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_refused = matches!(error.downcast_ref(), Some(Error::NoSpace { .. }))
        || matches!(error.downcast_ref(), Some(wal::Error::NoSpace { .. }));
    is_refused || error.downcast_ref().is_some_and(has_no_room) || error.source().is_some_and(is_full)
}

/// The same of an error with this one somewhere among its causes.
pub fn is_damage(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_at_rest = matches!(
        error.downcast_ref(),
        Some(
            btree::Error::Damaged { .. }
                | btree::Error::Missing { .. }
                | btree::Error::Disk { action: btree::Action::Read, .. }
        )
    );
    // Software of another time wrote it, which is no damage.
    let is_of_another_time = matches!(
        error.downcast_ref(),
        Some(btree::Error::Damaged { damage: btree::Damage::Format { .. }, .. })
    );
    (is_at_rest && !is_of_another_time) || error.source().is_some_and(is_damage)
}

/// Whether this is the system's word for a full disk or a spent quota.
pub(crate) fn has_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Why a transaction did not become a commit.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Something it read has changed since: run it again on a new snapshot.
    #[error("a key read by the transaction changed in {coll} since its snapshot")]
    Conflict {
        /// The collection of the key.
        coll: CollId,
        /// The encoded key.
        key: Vec<u8>,
    },
    /// Its snapshot is older than what is remembered: run it again on a new one.
    #[error("the transaction's snapshot is too old to validate")]
    Retry,
    /// The outbox is full: nothing is dropped silently, so nothing more is taken.
    #[error("the outbox holds {len} bytes that no handle covers, the limit is {max}")]
    Full {
        /// Bytes of commits above the base.
        len: u64,
        /// The limit.
        max: u64,
    },
    /// Split the transaction.
    #[error(
        "the transaction has {mutations} mutations (at most {mutations_max}) in {len} bytes (at most {max}) \
         with large values of {blobs} bytes (at most {blobs_max})"
    )]
    TooLarge {
        /// Its mutations.
        mutations: usize,
        /// The limit for them.
        mutations_max: usize,
        /// Its bytes, large values aside.
        len: usize,
        /// The limit for them.
        max: usize,
        /// The bytes of its large values.
        blobs: usize,
        /// The limit for them.
        blobs_max: usize,
    },
    /// Too many concurrent versions of one key to supersede at once.
    #[error("a key in {coll} has {len} live versions, one commit can supersede {max}")]
    Siblings {
        /// The collection.
        coll: CollId,
        /// Live versions.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Only a home writes there: send a proposal.
    #[error("only the home may write to {coll}")]
    HomeOnly {
        /// The collection.
        coll: CollId,
    },
    /// The collection has other verbs.
    #[error("a collection of policy `{policy}` takes no {verb}")]
    WrongVerb {
        /// Its policy.
        policy: Policy,
        /// What was wanted.
        verb: &'static str,
        /// What it takes.
        instead: &'static str,
    },
    /// What was taken out of a two-phase set stays out.
    #[error("{key} was removed from the set, and stays removed", key = crdt::key::display(key))]
    StaysRemoved {
        /// The encoded key.
        key: Vec<u8>,
    },
    /// A counter that one writer cannot carry further.
    #[error("the counter is beyond what one writer can count to")]
    CountTooLarge,
    /// The name of a copy: the collection gives such names itself.
    #[error("{key} is the name of a copy, which is written at its own key", key = crdt::key::display(key))]
    CopyName {
        /// The encoded key.
        key: Vec<u8>,
    },
    /// Somebody saw a write that this replica has not seen.
    #[error("the read context names {dot}, which is not here yet")]
    NotSeen {
        /// The write.
        dot: Dot,
    },
    /// There is nothing to rename.
    #[error("there is nothing at {key}", key = crdt::key::display(key))]
    Missing {
        /// The encoded key.
        key: Vec<u8>,
    },
    /// The new name of something is taken.
    #[error("there is something at {key} already", key = crdt::key::display(key))]
    Taken {
        /// The encoded key.
        key: Vec<u8>,
    },
    /// It has several live values, and one of them would have to be chosen.
    #[error("{key} has values that nobody has chosen between", key = crdt::key::display(key))]
    Disputed {
        /// The encoded key.
        key: Vec<u8>,
    },
    /// A key that is not a tuple in its one spelling.
    #[error("the key is not a canonical tuple of at most {max} bytes", max = crdt::key::KEY_LEN_MAX)]
    BadKey,
    /// A value over the largest a commit can carry.
    #[error("a value of {len} bytes is over the limit of {max}")]
    ValueTooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// The replica itself failed.
    #[error(transparent)]
    Replica(#[from] Error),
}
