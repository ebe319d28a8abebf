//! One copy of one space, whole: write, read, fold, adopt, recover.
//!
//! A [`Replica`] is an adopted Handle (the *base*), the unsigned roots of everything held up to a log position
//! (*local*), and the log after it, folded into an overlay. One owner at a time holds it; everyone else reads a
//! [`Snapshot`], which never waits.

mod accept;
mod adopt;
mod apply;
mod archive;
mod author;
mod base;
mod candidate;
mod changes;
mod checkpoint;
mod collect;
mod collection;
mod compare;
mod contest;
mod counted;
mod create;
mod cuts;
#[doc(hidden)]
pub mod decoders;
mod describe;
mod dispute;
mod drops;
mod error;
mod evidence;
mod feed;
mod fetch;
mod folder;
mod grant;
mod heads;
mod history;
mod home;
mod inbox;
mod lacking;
mod manifest;
mod mend;
mod merge;
mod notes;
mod options;
mod outbox;
mod overlay;
mod past;
mod rebuild;
mod record;
mod recovery;
mod reissue;
mod removed;
mod replay;
mod replica;
mod retention;
mod retired;
mod settle;
mod slots;
mod snapshot;
mod store;
mod strand;
mod supersede;
mod tail;
mod transaction;
mod values;
mod verbs;
mod verify;
mod view;

pub use apply::COMMIT_SENT_MAX;
pub use checkpoint::{CheckpointDone, CheckpointJob};
pub use collection::{Collection, keep_losers, view_write};
pub use contest::{Contest, ContestKind, Place};
pub use cuts::{Cut, PruneFloor};
pub use describe::{Backlog, Description};
pub use error::{CommitError, Error, is_damage, is_full};
pub use feed::{FeedMark, Told};
pub use grant::{ADMIN, Grant, READ, WRITE};
pub use home::{HomeWrite, Roots};
pub use inbox::{Item, ItemKind};
pub use options::{CreateOptions, Limits, Mode, OpenOptions, Opened, Origin, Source};
pub use past::{Past, Touch};
pub use removed::{Reason, Removed};
pub use replica::{Committed, Flushed, Replica};
pub use retention::{Late, Retention, Spent, Sweep, Sweeper};
pub use snapshot::{KeyRange, Order, Reading, Scan, Snapshot};
pub use transaction::{KeyValue, Transaction};
pub use values::{Entries, Entry, Value};
pub use verbs::Rename;
pub use verify::Report;
