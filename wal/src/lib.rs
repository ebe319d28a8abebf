//! A log that remembers what it promised.
//!
//! [`Log::append`] adds an entry, [`Log::flush`] makes everything added so far durable, and [`Log::open`]
//! finds it again: every entry that was flushed, perhaps some that were not, never one that was not appended,
//! and never a gap. Where the disk broke the promise, opening refuses and says in which segment and at which
//! byte; [`survey`] then reads what is good before and after.

mod entries;
mod error;
mod log;
mod position;
mod record;
mod recovery;
mod scan;
mod segment;
mod survey;

pub use entries::Entries;
pub use error::{Action, Damage, Error};
pub use log::{Log, Options};
pub use position::{Cut, Entry, Position, Recovered, SegmentInfo};
pub use segment::parse_name;
pub use survey::{Hole, survey};

/// Largest payload of one entry: a commit of 16 MiB with its framing, and room for its seal.
pub const PAYLOAD_LEN_MAX: usize = 17 << 20;

/// Kinds an owner may give its entries are 1 to this one; the log keeps the others for itself.
pub const KIND_MAX: u8 = 0xEF;
