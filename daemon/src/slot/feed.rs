//! What a follower of the change feed finds at its place in the log.

use disk::Disk;
use replica::{FeedMark, Past, Snapshot, Told};

use super::{Error, Owner};

/// Bytes of commits that one look at the log returns.
const TOLD_LEN_MAX: usize = 1 << 20;

/// What a follower at some position finds.
pub struct Look<D: Disk> {
    /// Commits from there on and where to go on; none: the log has let them go.
    pub told: Option<(Vec<Told>, u64)>,
    /// From where on commits tell everything.
    pub mark: FeedMark,
    /// Where the feed has come to.
    pub end: u64,
    /// The state at that end.
    pub snapshot: Snapshot<D>,
    /// What lies before the log.
    pub past: Past<D>,
}

impl<D: Disk> Look<D> {
    /// As far back as can be told: commits tell everything, and are still here.
    pub fn oldest(&self) -> u64 {
        self.mark.start.max(self.past.start())
    }
}

impl<D: Disk> Owner<D> {
    /// What a follower finds at a position; none: it begins at the end.
    pub fn look(&mut self, from: Option<u64>) -> Result<Look<D>, Error> {
        let replica = &mut self.live()?.replica;
        let mark = replica.begin_feed()?;
        let end = replica.feed_end();
        let told = replica.told(from.unwrap_or(end).min(end), TOLD_LEN_MAX)?;
        Ok(Look { told, mark, end, snapshot: replica.snapshot(), past: replica.past() })
    }
}
