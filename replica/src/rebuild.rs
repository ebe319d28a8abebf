//! A Handle under which local cannot stay as it is: what is left of the tail is folded anew, and what was dropped of this
//! device's own is written again in the same step.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use btree::{Fresh, Kind, Nodes, Source};
use crdt::{Commit, Handle, Strand, Time, WriterId};
use disk::{Disk, File};
use planted::Bug;

use crate::base::roots_of;
use crate::checkpoint::fold_overlay;
use crate::drops::Sorted;
use crate::error::Error;
use crate::folder::PACKS;
use crate::history::covers;
use crate::home::Roots;
use crate::overlay::Overlay;
use crate::record;
use crate::reissue::Reissue;
use crate::replica::Replica;
use crate::tail::Place;

/// About what a record of the log, a row of a batch or an entry of a pack's index takes beside what it holds.
const ROW_LEN: usize = 64;

/// And what there is but once: the ends of a pack, and what its manifest says of the pack itself.
const REST_LEN: usize = 1 << 10;

/// Where the entries of a batch lie that a manifest completes.
#[derive(Default)]
struct Places {
    strands: Vec<Place>,
    commits: Vec<Place>,
}

impl<D: Disk> Replica<D> {
    /// Makes a Handle the base whose trees are here, and local what that Handle and the commits that still count give.
    ///
    /// The present base will do: what is known of forks may have changed meanwhile.
    pub fn rebuild(&mut self, now: Time, handle: Handle) -> Result<(), Error> {
        self.check_writable()?;
        self.check_handle(&handle)?;
        if handle.version < self.base().version {
            return Err(Error::NotCandidate { version: handle.version });
        }
        let fresh = Fresh::new(self.pending.salt);
        self.rebuild_on(now, handle, fresh, &[])
    }

    /// The same with a Handle whose trees are partly in `fresh`. `unseen` are home commits that it covers and that are not
    /// folded here.
    ///
    /// One manifest write moves everything. The commits that take the place of dropped ones are in the log before it, in
    /// a batch that names it; without it, recovery cuts that batch off.
    pub(crate) fn rebuild_on(
        &mut self,
        now: Time,
        handle: Handle,
        mut fresh: Fresh,
        unseen: &[Arc<Commit>],
    ) -> Result<(), Error> {
        // The base moves only while pending, visible and flushed are one: else a crash would split them.
        let flushed_end = self.visible_end;
        self.flush()?;
        self.check_covers_base(&handle, &fresh)?;
        let mut sorted = self.sort_tail(&fresh, roots_of(&handle))?;
        if planted::is(Bug::ReissueFlushedOnly) {
            sorted.dropped.retain(|dropped| dropped.place.position < flushed_end);
        }
        let nodes = self.pending.nodes.clone();
        let survivors = fold_overlay(&nodes, &mut fresh, roots_of(&handle), &sorted.overlay)?;
        if let Some(own) = sorted.dropped.iter().find(|dropped| self.is_own(&dropped.dot.writer)) {
            self.author.part(&own.id);
        }
        let reissue = self.reissue(&handle, &fresh, survivors, &sorted, unseen)?;
        let local = fold_overlay(&nodes, &mut fresh, survivors, &reissue.overlay())?;
        let end = self.log.end();
        sorted.strands = self.strands_for(&sorted.ends(), &fresh, roots_of(&handle))?;
        let moved = self.write_rebuilt(now, handle, fresh, local, sorted, &reissue);
        // A batch without its manifest must not meet another one of that number.
        if self.log.end() > end {
            self.stop_on_error(moved)?
        } else {
            moved?
        }
        self.tidy_packs(now)
    }

    /// A Handle several versions on does not say what it was made on. One that lacks something the base covers was made
    /// on another history: to take it would lose that, which is no outbox of anybody any more.
    pub(crate) fn check_covers_base(&self, handle: &Handle, fresh: &Fresh) -> Result<(), Error> {
        let base = self.base();
        if base.version == 0 {
            return Ok(());
        }
        let source = Source::new(&self.pending.nodes, fresh);
        let (newer, older) = (roots_of(handle).vector, roots_of(base).vector);
        match covers(source, &newer, &older)? {
            true => Ok(()),
            false => Err(Error::TwoHandles { version: base.version }),
        }
    }

    fn write_rebuilt(
        &mut self,
        now: Time,
        handle: Handle,
        mut fresh: Fresh,
        local: Roots,
        sorted: Sorted,
        reissue: &Reissue,
    ) -> Result<(), Error> {
        let ends = sorted.ends();
        let mut manifest = self.manifest.clone();
        manifest.inbox = self.add_to_inbox(&mut fresh, &reissue.items)?;
        let proofs = self.prove_taken_back(&reissue.commits)?;
        if !proofs.is_empty() {
            manifest.evidence = Some(fresh.insert_raw(Kind::Chunk, &proofs.encode())?);
        }
        if !ends.is_empty() {
            let commits = reissue.commits.iter().map(|commit| commit.encoded().len() + ROW_LEN);
            let strands = sorted.strands.iter().map(|strand| strand.encode().len() + ROW_LEN);
            let batch = commits.chain(strands).sum::<usize>() + ends.len() * ROW_LEN;
            self.log.reserve(batch as u64)?;
            let pack_len = fresh.byte_len() + fresh.count() * ROW_LEN + manifest.encode().len() + REST_LEN;
            self.find_room(pack_len)?;
        }
        let places = self.log_reissue(&ends, &sorted.strands, &reissue.commits)?;
        manifest.local = local;
        manifest.position = self.visible_end;
        manifest.notes = self.notes.visible();
        let feed_mark = self.next_feed_mark();
        manifest.notes.extend(feed_mark.clone());
        let nodes = self.write_nodes(&handle, fresh, manifest.clone())?;
        self.write_base(now, &handle, &nodes, manifest)?;
        self.pending.proofs = Arc::new(proofs);
        if let Some(mark) = feed_mark {
            self.notes.set(mark);
            self.notes.show();
        }
        self.clock.observe(now, handle.hlc);
        let taken = self.take_rebuilt(handle, nodes, local, sorted, reissue, places);
        // The manifest has moved: memory follows all the way, or is read again from the disk.
        self.stop_on_error(taken)
    }

    /// In memory what the manifest says already.
    fn take_rebuilt(
        &mut self,
        handle: Handle,
        nodes: Nodes<D>,
        local: Roots,
        mut sorted: Sorted,
        reissue: &Reissue,
        places: Places,
    ) -> Result<(), Error> {
        let ends = sorted.ends();
        for (writer, from) in &ends {
            self.drop_from(writer, *from)?;
        }
        for (strand, place) in sorted.strands.iter().zip(places.strands) {
            self.tail.push_seal(&strand.writer(), strand.first(), place);
        }
        for (commit, place) in reissue.commits.iter().zip(places.commits) {
            self.tail.push(commit.dot(), commit.id(), place);
            sorted.heads.observe(commit);
        }
        self.heads = sorted.heads;
        self.drops += u64::from(!ends.is_empty());
        self.pending.local = local;
        self.pending.overlay = Overlay::default();
        // A checkpoint that began before holds what was dropped.
        self.collections += 1;
        // Keys may have changed that no commit here told of.
        self.changes.reset();
        self.take_base(handle, nodes)?;
        ends.keys().for_each(|writer| self.author.close(writer));
        Ok(())
    }

    /// Whether all of this step finds room, before anything is in the log that only a manifest makes count: a disk that is
    /// full leaves everything as it was, and the replica goes on.
    fn find_room(&self, len: usize) -> Result<(), Error> {
        // What a crash leaves there goes with other packs that no manifest names; what an error left, is taken up again.
        let name = format!("{PACKS}/room");
        let file = match self.disk.create(&name) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self.disk.open(&name),
            created => created,
        };
        let tried = file.and_then(|file| {
            let written = file.write_all_at(&vec![0; len], 0);
            written.and(file.set_len(0))
        });
        let removed = self.disk.remove(&name);
        tried.and(removed).map_err(|source| Error::Disk { action: "find room for", name, source })
    }

    /// Logs what was dropped, what vouches for what is left, and what takes its place, as one batch for the coming manifest,
    /// durable.
    fn log_reissue(
        &mut self,
        ends: &BTreeMap<WriterId, u64>,
        strands: &[Strand],
        commits: &[Commit],
    ) -> Result<Places, Error> {
        if ends.is_empty() {
            return Ok(Places::default());
        }
        let sequence = self.manifest.sequence + 1;
        self.append(record::REBUILD, &record::rebuild(sequence, ends))?;
        let strands = strands.iter().map(|strand| self.append(record::STRAND, &strand.encode()));
        let strands = strands.collect::<Result<_, _>>()?;
        let commits = commits.iter().map(|commit| self.append(record::REISSUED, commit.encoded()));
        let commits = commits.collect::<Result<_, _>>()?;
        let flushed = self.log.flush();
        self.visible_end = self.stop_on_error(flushed)?;
        Ok(Places { strands, commits })
    }

    /// The commits of a writer from this number on are no part of the tail any more.
    pub(crate) fn drop_from(&mut self, writer: &WriterId, from: u64) -> Result<(), Error> {
        if let Some(last) = self.tail.drop_from(writer, from) {
            let id = self.read_commit(last)?.id();
            self.tail.end_at(writer, id);
        }
        Ok(())
    }

    /// Closes the writers of this open that the base ends, or covers otherwise than they were written here: a copy of
    /// this device writes under their names too.
    pub(crate) fn close_writers(&mut self) -> Result<(), Error> {
        let cuts = self.pending.cuts()?;
        let mut closed = Vec::new();
        for (writer, tip) in self.author.writers() {
            let base = cuts.tip(&writer)?;
            let is_cloned =
                base.is_some_and(|base| base.seq > tip.seq || (base.seq == tip.seq && base.id != tip.id));
            if is_cloned || cuts.cut(&writer)?.is_some() {
                closed.push(writer);
            }
        }
        closed.iter().for_each(|writer| self.author.close(writer));
        Ok(())
    }

    /// The trees of the base with the tail folded in: what local and overlay together should be.
    pub(crate) fn fold_tail(&self, fresh: &mut Fresh) -> Result<Roots, Error> {
        let mut overlay = Overlay::default();
        for place in self.tail.places() {
            overlay.fold_quietly(&self.read_commit(place)?);
        }
        fold_overlay(&self.pending.nodes, fresh, self.pending.base_roots(), &overlay)
    }

    /// Moves the base to a Handle over the local trees, which this replica's home signed. What came while it was on its
    /// way may not count under it.
    pub(crate) fn install(&mut self, now: Time, handle: Handle) -> Result<(), Error> {
        let fresh = Fresh::new(self.pending.salt);
        if self.drops_any(&fresh, roots_of(&handle))? {
            return self.rebuild_on(now, handle, fresh, &[]);
        }
        self.move_base(now, handle)
    }
}
