//! What can go wrong at a home, by what a caller does about it.

use crdt::SpaceId;

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
}
