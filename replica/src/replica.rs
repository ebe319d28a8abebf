//! `Replica`: its owner's verbs.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crdt::{Class, Clock, CommitId, DeviceKey, Dot, Handle, Ring, SpaceId, Time, WriterId};
use disk::Disk;
use planted::Bug;
use wal::{Log, Position};

use crate::author::Author;
use crate::changes::Changes;
use crate::error::{CommitError, Error};
use crate::fetch::Fetch;
use crate::heads::Heads;
use crate::manifest::Manifest;
use crate::mend::Mending;
use crate::notes::Notes;
use crate::options::{Limits, Mode};
use crate::overlay::Overlay;
use crate::record;
use crate::retired::Retired;
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::tail::Tail;
use crate::transaction::Transaction;
use crate::view::View;

/// One copy of one space, held by its one owner.
///
/// What is accepted is *pending* until [`Replica::flush`] has made it durable and, in the same step, *visible*.
/// Readers, sessions and acknowledgements see only what is visible, so a power cut takes nothing from anybody.
/// After a failed write or flush nobody knows what the disk holds: every later call returns [`Error::Stopped`], and
/// opening the folder again recovers what is really there.
pub struct Replica<D: Disk> {
    pub(crate) disk: D,
    pub(crate) space: SpaceId,
    pub(crate) device: DeviceKey,
    pub(crate) ring: Ring,
    pub(crate) limits: Limits,
    pub(crate) mode: Mode,
    pub(crate) is_stopped: bool,
    /// The log was not read: what it rests on is damaged.
    pub(crate) is_unread: bool,
    /// This folder is a copy of the one that the replica was made in.
    pub(crate) is_copy: bool,
    /// This folder does not act as the home: what a home wrote here counts once a Handle covers it, and not before.
    pub(crate) home_rests: bool,
    /// Something of that may be in the inbox.
    pub(crate) home_waits: bool,
    /// How often held commits were dropped since the open.
    pub(crate) drops: u64,
    /// Why something received was not taken, when that was no fault of its sender.
    pub(crate) last_error: Option<String>,
    pub(crate) log: Log<D>,
    pub(crate) slots: Slots<D>,
    /// The slot the last manifest is in.
    pub(crate) slot: usize,
    /// The last manifest written, which is the one that counts.
    pub(crate) manifest: Manifest,
    /// Packs made by this open, for their names.
    pub(crate) packs_made: u64,
    /// Collections and rebuilds since the open: what one took away, work that began before it may count on.
    pub(crate) collections: u64,
    /// A Handle over what was held here may be in a registry: its nodes stay until the base has moved.
    pub(crate) is_in_doubt: bool,
    /// Bytes of the values in packs, as far as they were counted.
    pub(crate) blob_len: Option<u64>,
    pub(crate) retired: Retired,
    pub(crate) pending: View<D>,
    pub(crate) visible: Snapshot<D>,
    /// The log up to here is what is visible.
    pub(crate) visible_end: Position,
    /// The end of the log after the last idle mark, which no flush need follow.
    pub(crate) marked_end: Position,
    pub(crate) tail: Tail,
    pub(crate) heads: Heads,
    pub(crate) changes: Changes,
    pub(crate) clock: Clock,
    pub(crate) author: Author,
    pub(crate) notes: Notes,
    /// Writers of which something folded here names what never comes; a home makes it so.
    pub(crate) ended: BTreeSet<WriterId>,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) mending: Mending,
    /// Archived segments with their lengths, oldest first.
    pub(crate) archive: VecDeque<(String, u64)>,
    pub(crate) _lock: Option<D::Lock>,
}

/// A commit that is pending here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Its name.
    pub dot: Dot,
    /// Its id.
    pub id: CommitId,
}

/// What a flush made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flushed {
    /// The number of the last change that is visible now.
    pub change: u64,
    /// Everything in the log before this is durable.
    pub position: Position,
}

impl<D: Disk> Replica<D> {
    /// The space this is a copy of.
    pub fn space(&self) -> SpaceId {
        self.space
    }

    /// The device that writes here.
    pub fn device(&self) -> &DeviceKey {
        &self.device
    }

    /// What the space is.
    pub fn genesis(&self) -> &crdt::Genesis {
        &self.manifest.genesis
    }

    /// The chain of home keys.
    pub fn ring(&self) -> &Ring {
        &self.ring
    }

    /// The base: the adopted Handle, of version 0 before the first.
    pub fn base(&self) -> &Handle {
        &self.pending.base
    }

    /// What is visible now. Cheap, and never changes afterwards.
    pub fn snapshot(&self) -> Snapshot<D> {
        self.visible.clone()
    }

    /// What the base says, without anything above it: who may talk to a replica that cannot read its log.
    pub fn snapshot_of_base(&self) -> Snapshot<D> {
        let mut view = (*self.visible.0).clone();
        (view.local, view.overlay) = (view.base_roots(), Overlay::default());
        Snapshot(Arc::new(view))
    }

    /// A transaction on what is visible now.
    pub fn begin(&self) -> Transaction<D> {
        Transaction::new(self.snapshot())
    }

    /// Makes a commit of a transaction whose reads still hold, pending until the next flush.
    ///
    /// `class` says how urgent it is: urgent commits never wait for less urgent ones.
    pub fn commit(
        &mut self,
        now: Time,
        transaction: Transaction<D>,
        class: Class,
    ) -> Result<Committed, CommitError> {
        self.check_writable()?;
        let is_of_now = transaction.snapshot().change() == self.visible.change();
        match transaction.validate(&self.changes) {
            Err(_) if planted::is(Bug::ValidateVisible) && is_of_now => {}
            Err(refused) if planted::is(Bug::PublishBeforeValidate) => {
                self.write_commit(now, transaction, class)?;
                return Err(refused);
            }
            validated => validated?,
        }
        self.write_commit(now, transaction, class)
    }

    /// Sets a local note: never replicated, durable with the next flush. An empty value takes it away.
    pub fn note(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        self.check_writable()?;
        crate::notes::check(key, value)?;
        let note = (key.to_vec(), value.to_vec());
        self.notes.check_room(std::slice::from_ref(&note))?;
        self.append(record::NOTE, &record::note(&note))?;
        self.notes.set(note);
        Ok(())
    }

    /// A local note, pending ones included.
    pub fn notes(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.notes.get(key)
    }

    /// How far a writer is held, by what waits for the next flush, too.
    pub fn pending_seq(&self, writer: &WriterId) -> Result<u64, Error> {
        Ok(self.pending.tip(writer)?.map_or(0, |tip| tip.seq))
    }

    /// Makes everything pending durable, then visible, in one step.
    pub fn flush(&mut self) -> Result<Flushed, Error> {
        self.check_running()?;
        if planted::is(Bug::AckBeforeFlush) {
            self.visible_end = self.log.end();
        } else if self.mode == Mode::ReadWrite {
            let flushed = self.log.flush();
            self.visible_end = self.stop_on_error(flushed)?;
        }
        // Only now: what a reader or a peer has seen must survive a power cut.
        self.show();
        Ok(Flushed { change: self.pending.change, position: self.visible_end })
    }

    /// Writes a mark that tells damage to the last batch from a torn tail. To be called when a second went by
    /// without another batch; it costs one small write and no flush.
    pub fn idle(&mut self) -> Result<(), Error> {
        self.check_writable()?;
        let marked = self.log.mark_idle();
        self.stop_on_error(marked)?;
        self.marked_end = self.log.end();
        Ok(())
    }

    /// Whether a write failed, so that the folder must be opened again.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Whether so much was damaged when it was opened that its log could not be read: nothing can be read or written here
    /// before peers have sent that. Then it stops, and opens as ever.
    pub fn is_unread(&self) -> bool {
        self.is_unread
    }

    /// Whether everything accepted is visible.
    pub fn is_flushed(&self) -> bool {
        // A mark alone is nothing that anybody waits for.
        self.visible.change() == self.pending.change
            && self.visible_end.max(self.marked_end) == self.log.end()
    }

    /// What is pending becomes visible.
    pub(crate) fn show(&mut self) {
        self.tail.show();
        self.notes.show();
        self.visible = Snapshot(Arc::new(self.pending.clone()));
    }

    pub(crate) fn check_running(&self) -> Result<(), Error> {
        if self.is_stopped { Err(Error::Stopped) } else { Ok(()) }
    }

    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        self.check_running()?;
        match self.mode {
            Mode::ReadWrite if self.is_unread => Err(Error::Unread),
            Mode::ReadWrite => Ok(()),
            Mode::ReadOnly => Err(Error::ReadOnly),
        }
    }

    /// The same for what mends.
    pub(crate) fn check_mendable(&self) -> Result<(), Error> {
        match self.check_writable() {
            Err(Error::Unread) => Ok(()),
            checked => checked,
        }
    }

    /// Passes on what a write to the disk answered. After an error nobody knows what the disk holds, so the replica
    /// stops; asking the disk again would prove nothing.
    pub(crate) fn stop_on_error<T, E: Into<Error>>(&mut self, answer: Result<T, E>) -> Result<T, Error> {
        answer.map_err(|error| {
            self.is_stopped = true;
            error.into()
        })
    }
}
