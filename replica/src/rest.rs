//! What a home wrote in a folder that does not act as the home: nobody covers it from here, so it waits in the inbox.

use std::collections::BTreeSet;

use btree::Fresh;
use crdt::{Commit, Dot, Time, Tip};
use disk::Disk;

use crate::error::Error;
use crate::inbox::ItemKind;
use crate::record;
use crate::replica::Replica;

impl<D: Disk> Replica<D> {
    /// This folder does not act as the home: what a home wrote here and no Handle covers counts no more, and is in the
    /// inbox; of what is there already, what a Handle covers by now goes.
    ///
    /// The folder that acts may have lost it. Here alone it would show, for ever, as something that nobody else reads.
    pub fn rest_home(&mut self, now: Time) -> Result<(), Error> {
        self.home_rests = true;
        if self.tail.has_uncovered_home() {
            self.check_writable()?;
            let base = self.base().clone();
            self.rebuild_on(now, base, Fresh::new(self.pending.salt), &[])?;
            self.home_waits = true;
        }
        assert!(!self.tail.has_uncovered_home(), "a home that does not act has nothing that is not covered");
        self.settle_waiting(now, |_, _| Ok(false))
    }

    /// This folder acts as the home: what waits in the inbox since it did not counts again, if it is still due.
    ///
    /// Two Handles on, the home that acted has gone on without it, and a person decides. One on it may have: it was
    /// written while that Handle was on its way.
    pub fn wake_home(&mut self, now: Time) -> Result<(), Error> {
        self.home_rests = false;
        self.settle_waiting(now, |replica, commit| {
            let is_due = replica.base().version <= commit.header().base + 1 && replica.is_ready(commit)?;
            if is_due {
                let place = replica.append(record::HOME, commit.encoded())?;
                replica.fold(now, commit, place);
            }
            Ok(is_due)
        })
    }

    /// Takes out of the inbox what waits there and is held again, or is now by `take`.
    fn settle_waiting(
        &mut self,
        now: Time,
        mut take: impl FnMut(&mut Self, &Commit) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        if !self.home_waits {
            return Ok(());
        }
        self.check_writable()?;
        // One that is damaged stays as it is: nobody else has what lies in it.
        let Ok(items) = self.inbox() else { return Ok(()) };
        let (mut settled, mut is_any_left) = (BTreeSet::new(), false);
        for item in items {
            let Some(commit) = item.commit.filter(|_| item.kind == ItemKind::Unconfirmed) else { continue };
            let Dot { writer, seq } = item.dot;
            if !writer.is_home() {
                continue;
            }
            if self.pending_seq(&writer)? >= seq || take(self, &commit)? {
                settled.insert(item.dot);
            } else {
                is_any_left = true;
            }
        }
        if !settled.is_empty() {
            // Durable first: what a crash leaves in both places goes from the inbox the next time.
            self.flush()?;
            self.discard(now, &settled)?;
        }
        self.home_waits = is_any_left;
        Ok(())
    }

    /// Whether a commit follows its writer's last, and all is held that it needs.
    fn is_ready(&self, commit: &Commit) -> Result<bool, Error> {
        let tip = self.pending.tip(&commit.header().writer)?.unwrap_or(Tip::START);
        let mut is_ready = commit.follows(&tip).is_ok();
        for needed in commit.needs() {
            is_ready &= self.pending_seq(&needed.writer)? >= needed.seq;
        }
        Ok(is_ready)
    }
}
