//! The only place where state changes: the log first, then the fold, and with it everything that follows from it.

use std::collections::BTreeMap;

use btree::Hash;
use crdt::commit::{DEPS_MAX, MUTATIONS_MAX};
use crdt::{Body, Class, Commit, Dot, Header, Hlc, Open, Time, Tip, WriterId};
use disk::Disk;
use planted::Bug;
use sync::frame::BLOBS_LEN_MAX;

use crate::error::{CommitError, Error};
use crate::record::{self, Note};
use crate::replica::{Committed, Replica};
use crate::tail::Place;
use crate::transaction::Transaction;

/// Longest commit made here, counted before it has its deps and superseded dots.
pub const COMMIT_SENT_MAX: usize = crdt::commit::COMMIT_LEN_MAX - (256 << 10);

/// Everything a new commit's header says beside what its writer's chain decides.
pub(crate) struct Draft {
    pub(crate) writer: WriterId,
    pub(crate) tip: Tip,
    pub(crate) hlc: Hlc,
    /// The key that the writer's first commit names.
    pub(crate) key: [u8; 32],
}

impl<D: Disk> Replica<D> {
    /// Adds a record to the log. Nothing happened if there was no room for it; any other failure stops the replica.
    pub(crate) fn append(&mut self, kind: u8, payload: &[u8]) -> Result<Place, Error> {
        let len = u32::try_from(payload.len()).expect("the log refuses longer payloads");
        match self.log.append(kind, payload) {
            Err(error @ (wal::Error::NoSpace { .. } | wal::Error::TooLarge { .. })) => Err(error.into()),
            answer => Ok(Place { position: self.stop_on_error(answer)?, len }),
        }
    }

    /// Folds a commit that is ready and in the log.
    pub(crate) fn fold(&mut self, now: Time, commit: &Commit, place: Place) {
        self.pending.overlay.fold(commit, &mut self.changes);
        self.pending.change = self.changes.version();
        self.tail.push(commit.dot(), commit.id(), place);
        self.heads.observe(commit);
        self.clock.observe(now, commit.header().hlc);
    }

    /// Logs values that a commit names, so that it never stands without them.
    pub(crate) fn keep_blobs(&mut self, blobs: BTreeMap<Hash, Vec<u8>>) -> Result<(), Error> {
        for (hash, bytes) in blobs {
            if self.pending.blob_len(&hash).is_none() {
                self.append(record::BLOB, &bytes)?;
                self.pending.overlay.add_blob(hash, bytes.into());
            }
        }
        Ok(())
    }

    /// Makes a commit of what a validated transaction wants.
    pub(crate) fn write_commit(
        &mut self,
        now: Time,
        transaction: Transaction<D>,
        class: Class,
    ) -> Result<Committed, CommitError> {
        self.check_room()?;
        self.notes.check_room(&transaction.notes)?;
        check_size(&transaction, transaction.inline_bytes())?;
        let (writer, tip) = self.open_writer(now, class)?;
        let tip = self.reach_heads(now, writer, tip, class)?;
        let hlc = self.time_after(now, &tip);
        let draft = Draft { writer, tip, hlc, key: self.device.public() };
        let dot = Dot::new(writer, tip.seq + 1);
        let mutations = self.mutations(&transaction.writes, dot, hlc)?;
        let body = Body { deps: self.heads.deps(&writer, class), mutations };
        let commit = self.draft(draft, body).map_err(Error::from)?;
        check_size(&transaction, commit.encoded().len())?;
        self.keep_blobs(transaction.blobs)?;
        Ok(self.write(now, &commit, &transaction.notes)?)
    }

    /// The writer of a class and its tip. A copy of the running process draws the same names: one that is known already is
    /// another's.
    fn open_writer(&mut self, now: Time, class: Class) -> Result<(WriterId, Tip), Error> {
        loop {
            let (writer, tip) = self.author.writer(now, class, &mut self.clock);
            let Some(held) = self.pending.tip(&writer)?.filter(|_| tip.seq == 0) else {
                return Ok((writer, tip));
            };
            if planted::is(Bug::ReuseWriter) {
                return Ok((writer, held));
            }
            self.author.close(&writer);
        }
    }

    /// A name that no writer known here has.
    pub(crate) fn draw_writer(&mut self, class: Class) -> Result<WriterId, Error> {
        loop {
            let writer = self.author.draw(class);
            if self.pending.tip(&writer)?.is_none() {
                return Ok(writer);
            }
        }
    }

    /// The commit that follows `draft.tip`.
    pub(crate) fn draft(&self, draft: Draft, body: Body) -> Result<Commit, crdt::Error> {
        let Draft { writer, tip, hlc, key } = draft;
        let open = (tip.seq == 0).then(|| Open { device_key: key, closes: Vec::new(), reissues: None });
        let header = Header {
            space: self.space,
            writer,
            seq: tip.seq + 1,
            prev: tip.id,
            hlc,
            base: self.pending.base.version,
            body_hash: [0; 32],
            open,
        };
        Commit::new(header, body)
    }

    /// The time of a writer's next commit. It rises over its last one even where the clock was put back meanwhile,
    /// by another class's writer or under a home: a time that does not rise makes a commit invalid everywhere.
    pub(crate) fn time_after(&mut self, now: Time, tip: &Tip) -> Hlc {
        self.clock.next(now).max(Hlc(tip.hlc.0.saturating_add(1)))
    }

    /// Empty commits until what is left of the heads fits into one: the chain carries the others.
    fn reach_heads(
        &mut self,
        now: Time,
        writer: WriterId,
        mut tip: Tip,
        class: Class,
    ) -> Result<Tip, CommitError> {
        loop {
            let mut deps = self.heads.deps(&writer, class);
            if deps.len() <= DEPS_MAX {
                return Ok(tip);
            }
            deps.truncate(DEPS_MAX);
            let hlc = self.time_after(now, &tip);
            let draft = Draft { writer, tip, hlc, key: self.device.public() };
            let commit = self.draft(draft, Body { deps, mutations: Vec::new() }).map_err(Error::from)?;
            self.write(now, &commit, &[])?;
            tip = commit.tip();
        }
    }

    fn write(&mut self, now: Time, commit: &Commit, notes: &[Note]) -> Result<Committed, Error> {
        let place = if notes.is_empty() {
            self.append(record::COMMIT, commit.encoded())?
        } else {
            self.append(record::NOTED, &record::noted(commit, notes))?
        };
        self.fold(now, commit, place);
        self.author.advance(&commit.header().writer, commit.tip());
        for note in notes {
            self.notes.set(note.clone());
        }
        Ok(Committed { dot: commit.dot(), id: commit.id() })
    }

    /// Refuses more commits while the outbox is full: dropping some of them silently is no way out.
    fn check_room(&self) -> Result<(), CommitError> {
        let (len, max) = (self.tail.bytes(), self.limits.outbox_bytes);
        if len < max { Ok(()) } else { Err(CommitError::Full { len, max }) }
    }
}

/// Refuses what no frame can carry.
fn check_size<D: Disk>(transaction: &Transaction<D>, len: usize) -> Result<(), CommitError> {
    let mutations = transaction.len();
    let blobs = transaction.blob_bytes();
    if mutations <= MUTATIONS_MAX && len <= COMMIT_SENT_MAX && blobs <= BLOBS_LEN_MAX {
        return Ok(());
    }
    Err(CommitError::TooLarge {
        mutations,
        mutations_max: MUTATIONS_MAX,
        len,
        max: COMMIT_SENT_MAX,
        blobs,
        blobs_max: BLOBS_LEN_MAX,
    })
}
