//! What can go wrong at a home, by what a caller does about it.

use crdt::{DeviceId, Handle, SpaceId};

use crate::home::Duty;

/// Why a home could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Try again later; nothing has changed.
    #[error("the registry does not answer")]
    Unavailable,
    /// Open the registry again: its file is read anew.
    #[error("cannot {action} the registry")]
    Registry {
        /// What was tried.
        action: &'static str,
        /// What the database says.
        source: Box<redb::Error>,
    },
    /// Open it with the software that wrote it, or a newer one; it stays as it is.
    #[error("{name} is in format {found}, and this software knows format {known}")]
    UnknownFormat {
        /// The file.
        name: &'static str,
        /// The format it says.
        found: u64,
        /// The format that is read and written here.
        known: u64,
    },
    /// Bytes in the registry that are no Handle.
    #[error("the registry's handle of space {space} is damaged")]
    BadHandle {
        /// Whose.
        space: SpaceId,
        /// What is wrong with it.
        source: crdt::Error,
    },
    /// A file of the registry.
    #[error("cannot {action} {name}")]
    Disk {
        /// What was tried.
        action: &'static str,
        /// On which file.
        name: &'static str,
        /// What the disk answered.
        source: std::io::Error,
    },
    /// Nothing is signed, admitted or invited here.
    #[error("this is not the acting home of the space: {duty}")]
    OffDuty {
        /// Why.
        duty: Duty,
    },
    /// It was claimed, and may have lost versions: nothing is signed before a member has said which one it has.
    #[error(
        "this home was claimed, and signs nothing before it has heard of a member, which may have newer versions"
    )]
    Unheard,
    /// The home cannot take itself out: another device must be the home first.
    #[error("this device is the home of the space")]
    OwnHome,
    /// The role goes to a device that may read and write.
    #[error("device {device} may not both read and write, so it cannot be the home")]
    NotWriter {
        /// Who may not.
        device: DeviceId,
    },
    /// Make the next Handle first.
    #[error("{commits} commits are not covered by a handle yet")]
    Uncovered {
        /// How many.
        commits: u64,
    },
    /// The role came here and nothing was signed since: the ring has no room for another home before the first version of
    /// this one.
    #[error("the role came to this home, which has not signed version {version}, its first, yet")]
    NotTakenUp {
        /// Its first version.
        version: u64,
    },
    /// The role has gone from home to home as often as it can.
    #[error("the home of this space has changed {max} times, which is as often as it can: found another one and move there", max = crdt::RING_MAX)]
    RingFull,
    /// Nobody with a row.
    #[error("device {device} is not a member of the space")]
    NotMember {
        /// Who is not.
        device: DeviceId,
    },
    /// No more until some are over.
    #[error("{max} tickets are out, and no more can be")]
    TooManyTickets {
        /// How many can be.
        max: usize,
    },
    /// Ask again: the same Handle is proposed until it is known.
    #[error("it is not known whether the registry holds version {version}")]
    InDoubt {
        /// Of the Handle.
        version: u64,
    },
    /// Another home moved the space on, or this one was restored: meet who has that Handle, and adopt it.
    #[error("version {version} is out, and not all that it covers is here: meet who has it, or claim the space again", version = .handle.version)]
    Behind {
        /// What the registry or a device holds.
        handle: Box<Handle>,
    },
    /// Two homes signed one version: one of them is a copy.
    #[error("the registry holds another handle of version {version} than this home adopted")]
    TwoHandles {
        /// The version.
        version: u64,
    },
    /// A row that only a home writes, and that no home wrote.
    #[error("a row of sys/{coll} is damaged")]
    BadRow {
        /// In which system collection.
        coll: &'static str,
        /// What is wrong with it.
        source: crdt::Error,
    },
    /// What the home kept in the manifest.
    #[error("the home's claim is damaged")]
    BadClaim {
        /// What is wrong with it.
        source: crdt::Error,
    },
    /// A commit of the home that nobody could take.
    #[error("a commit of the home is not valid")]
    Commit(#[from] crdt::Error),
    /// A commit of the home that the replica did not take.
    #[error("the replica refused a commit of the home")]
    Write(#[from] replica::CommitError),
    /// The replica.
    #[error("the replica failed")]
    Replica(#[from] replica::Error),
    /// What a Handle brings.
    #[error("the handle could not be adopted")]
    Adopt(#[from] sync::StoreError),
    /// The first tree of a space.
    #[error("the tree failed")]
    Tree(#[from] btree::Error),
}
