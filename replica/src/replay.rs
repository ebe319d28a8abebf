//! The log of an open, read again: what lies above the base is the tail, and what lies after the checkpoint is folded.

use std::collections::{BTreeMap, BTreeSet};

use btree::{Hash, Kind};
use crdt::{Commit, Dot, Time, WriterId};
use disk::Disk;
use planted::Bug;
use wal::Position;

use crate::error::Error;
use crate::heads::Heads;
use crate::record::Record;
use crate::replica::Replica;
use crate::tail::Place;

impl<D: Disk> Replica<D> {
    /// Reads the log.
    pub(crate) fn replay(&mut self, now: Time, replay: &mut Replay) -> Result<(), Error> {
        let start = self.manifest.log_start;
        // The log cannot be lent out while what it holds changes the replica: a few entries at a time.
        let mut next = start;
        loop {
            let batch = self.log.entries(next).take(REPLAY_BATCH).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = batch.last() else { break };
            next = last.next;
            for entry in batch {
                if let Some((_, to)) = self.void_at(entry.position) {
                    next = to;
                    break;
                }
                let len = u32::try_from(entry.payload.len()).expect("the log refuses longer payloads");
                let place = Place { position: entry.position, len };
                let record = Record::decode(entry.position, entry.kind, &entry.payload)?;
                self.replay_record(now, replay, record, place)?;
                if replay.undone {
                    // Nothing of it was visible, and whatever follows was written on it.
                    self.manifest.void.push((place.position, self.log.end()));
                    next = self.log.end();
                    break;
                }
            }
        }
        replay.give_up_unit();
        self.look_for_values(replay);
        if replay.has_drops { self.find_heads() } else { Ok(()) }
    }

    /// A pack may have been given up since it was damaged, and with it values of the tail: whether they are in the log is
    /// looked up by [`Replica::mend`].
    fn look_for_values(&self, replay: &Replay) {
        let is_in_tail =
            |dot: &Dot| self.tail.writer(&dot.writer).is_some_and(|it| it.place(dot.seq).is_some());
        let is_lost = |(hash, dot): &(Hash, Dot)| self.pending.blob_len(hash).is_none() && is_in_tail(dot);
        if replay.values.iter().any(is_lost) {
            self.pending.nodes.suspect();
        }
    }

    /// Finds the batch that was for a manifest that never came, where the log is not replayed yet: the next manifest must not
    /// be taken for that one.
    pub(crate) fn void_orphan_batch(&mut self) -> Result<(), Error> {
        let mut orphan = None;
        for entry in self.log.entries(self.manifest.log_start) {
            let entry = entry?;
            if self.void_at(entry.position).is_none()
                && let Record::Rebuild(sequence, _) =
                    Record::decode(entry.position, entry.kind, &entry.payload)?
                && sequence > self.manifest.sequence
            {
                orphan = Some(entry.position);
                break;
            }
        }
        self.manifest.void.extend(orphan.map(|from| (from, self.log.end())));
        Ok(())
    }

    /// The stretch of the log that never counted and that holds a position.
    pub(crate) fn void_at(&self, position: Position) -> Option<(Position, Position)> {
        self.manifest.void.iter().copied().find(|(from, to)| (*from..*to).contains(&position))
    }

    /// The heads of the tail as it is, after commits were dropped that had been among them.
    fn find_heads(&mut self) -> Result<(), Error> {
        self.heads = Heads::default();
        for place in self.tail.places() {
            let commit = self.read_commit(place)?;
            self.heads.observe(&commit);
        }
        Ok(())
    }

    fn replay_record(
        &mut self,
        now: Time,
        replay: &mut Replay,
        record: Record,
        place: Place,
    ) -> Result<(), Error> {
        let is_in_unit = matches!(record, Record::Received(_) | Record::Seal(_) | Record::Strand(_));
        if !is_in_unit {
            replay.give_up_unit();
        }
        let is_new = place.position >= self.manifest.position;
        match record {
            Record::Unit(commits, seals) => replay.unit = Some(Unit::new(commits, seals)),
            Record::Received(commit) => match &mut replay.unit {
                Some(unit) => unit.commits.push((commit, place)),
                // The log starts inside this unit: a Handle covers its first commits. It was whole, or nothing of it
                // would lie below the checkpoint.
                None if !is_new => self.replay_commit(now, replay, &commit, place)?,
                None => {}
            },
            Record::Seal(seal) => match &mut replay.unit {
                Some(unit) => {
                    unit.seals.push((seal.writer, seal.seq, place));
                    self.replay_unit(now, replay)?;
                }
                None if !is_new => self.tail.push_seal(&seal.writer, seal.seq, place),
                None => {}
            },
            Record::Strand(strand) => match &mut replay.unit {
                Some(unit) => {
                    unit.seals.push((strand.writer(), strand.first(), place));
                    self.replay_unit(now, replay)?;
                }
                // Behind the drop that made it, or of a unit whose first commits a Handle covers.
                None => self.tail.push_seal(&strand.writer(), strand.first(), place),
            },
            Record::Blob(bytes) if is_new => {
                let hash = self.pending.salt.hash(Kind::Chunk, &bytes);
                if self.pending.blob_len(&hash).is_none() {
                    self.pending.overlay.add_blob(hash, bytes.into());
                }
            }
            Record::Note(note) if is_new => self.notes.set(note),
            Record::Blob(_) | Record::Note(_) => {}
            Record::Home(commit) => self.replay_commit(now, replay, &commit, place)?,
            Record::Noted(commit, notes) => {
                self.replay_commit(now, replay, &commit, place)?;
                notes.into_iter().filter(|_| is_new).for_each(|note| self.notes.set(note));
            }
            // It was for a manifest that never came.
            Record::Rebuild(sequence, _)
                if sequence > self.manifest.sequence && !planted::is(Bug::KeepOrphanBatch) =>
            {
                replay.undone = true;
            }
            Record::Rebuild(_, ends) => {
                replay.has_drops = true;
                for (writer, from) in ends {
                    self.drop_from(&writer, from)?;
                }
            }
            Record::Reissued(commit) => self.replay_commit(now, replay, &commit, place)?,
            Record::Commit(commit) => self.replay_unsealed(now, replay, &commit, place)?,
        }
        Ok(())
    }

    fn replay_unsealed(
        &mut self,
        now: Time,
        replay: &mut Replay,
        commit: &Commit,
        place: Place,
    ) -> Result<(), Error> {
        let dot = commit.dot();
        // A home's commit counts once a Handle covers it: this one may be left from an adoption cut short.
        if dot.writer.is_home() && dot.seq > self.base_seq(replay, &dot.writer)? {
            return Ok(());
        }
        self.replay_commit(now, replay, commit, place)
    }

    /// A received unit that is whole. One that is not was never acknowledged, and what follows it in the log was written
    /// without it.
    fn replay_unit(&mut self, now: Time, replay: &mut Replay) -> Result<(), Error> {
        let Some(unit) = replay.unit.take_if(|unit| unit.is_whole()) else { return Ok(()) };
        for (commit, place) in unit.commits {
            self.replay_commit(now, replay, &commit, place)?;
        }
        for (writer, seq, place) in unit.seals {
            self.tail.push_seal(&writer, seq, place);
        }
        Ok(())
    }

    fn replay_commit(
        &mut self,
        now: Time,
        replay: &mut Replay,
        commit: &Commit,
        place: Place,
    ) -> Result<(), Error> {
        let dot = commit.dot();
        let is_covered = dot.seq <= self.base_seq(replay, &dot.writer)?;
        if is_covered {
            if dot.writer.is_home() {
                self.tail.push_covered_home(dot, place);
            }
        } else if self.tail.next_of(&dot.writer).is_none_or(|next| next == dot.seq) {
            self.tail.push(dot, commit.id(), place);
            self.heads.observe(commit);
            replay.values.extend(commit.body().blobs().iter().map(|blob| (Hash(blob.hash), dot)));
        }
        self.clock.observe(now, commit.header().hlc);
        if place.position < self.manifest.position || replay.is_of_tail {
            return Ok(());
        }
        let tip = self.pending.tip(&dot.writer)?.unwrap_or(crdt::Tip::START);
        if dot.seq <= tip.seq {
            return Ok(());
        }
        let reason = "a commit does not follow its writer's last";
        commit.follows(&tip).map_err(|_| Error::BadRecord { position: place.position.0, reason })?;
        self.pending.overlay.fold(commit, &mut self.changes);
        self.pending.change = self.changes.version();
        replay.folded += 1;
        Ok(())
    }

    /// How far the base covers a writer, looked up once.
    fn base_seq(&self, replay: &mut Replay, writer: &WriterId) -> Result<u64, Error> {
        if let Some(seq) = replay.base.get(writer) {
            return Ok(*seq);
        }
        let seq = self.pending.base_tip(writer)?.map_or(0, |tip| tip.seq);
        replay.base.insert(*writer, seq);
        Ok(seq)
    }
}

/// Entries read at once: enough to be quick, few enough for a small memory.
const REPLAY_BATCH: usize = 256;

/// What a replay keeps in mind.
#[derive(Default)]
pub(crate) struct Replay {
    /// The received unit being read.
    unit: Option<Unit>,
    base: BTreeMap<WriterId, u64>,
    /// Local trees are made anew from the tail, so that nothing is folded onto those there are.
    is_of_tail: bool,
    /// What the tail names, and which of its commits does.
    values: BTreeSet<(Hash, Dot)>,
    /// Commits were dropped.
    has_drops: bool,
    /// A batch was met whose manifest never came.
    pub(crate) undone: bool,
    pub(crate) folded: u64,
    pub(crate) unsealed: u64,
}

/// A received unit, as far as it was read.
struct Unit {
    commit_count: u64,
    seal_count: u64,
    commits: Vec<(Commit, Place)>,
    /// What each vouches for, and where it lies.
    seals: Vec<(WriterId, u64, Place)>,
}

impl Replay {
    /// One that only says what is above the base.
    pub(crate) fn of_tail() -> Self {
        Self { is_of_tail: true, ..Self::default() }
    }

    /// The rest of a unit is not there.
    fn give_up_unit(&mut self) {
        let unit = self.unit.take();
        self.unsealed += unit.map_or(0, |unit| unit.commits.len() as u64);
    }
}

impl Unit {
    fn new(commit_count: u64, seal_count: u64) -> Self {
        Self { commit_count, seal_count, commits: Vec::new(), seals: Vec::new() }
    }

    fn is_whole(&self) -> bool {
        (self.commits.len() as u64, self.seals.len() as u64) == (self.commit_count, self.seal_count)
    }
}
