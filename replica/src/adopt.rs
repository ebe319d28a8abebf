//! A newer Handle: compute it or fetch it, compare, and move the base in one manifest write.

use std::collections::BTreeMap;
use std::sync::Arc;

use btree::{Fresh, Hash, Kind, Nodes, Source, Value};
use crdt::fold::batch_effects;
use crdt::{Commit, Effect, Handle, Ring, Time, Tip, WriterId};
use disk::Disk;
use sync::{Adoption, Offer};

use crate::changes::Changes;
use crate::checkpoint::{fold_overlay, vector_row, write_pack};
use crate::error::Error;
use crate::history::vector_changes;
use crate::home::Roots;
use crate::manifest::{Manifest, RECENT_MAX};
use crate::overlay::Overlay;
use crate::record::{self, Record};
use crate::replica::Replica;
use crate::tail::Place;
use crate::view::{View, tip_in};

/// The rules of folding that this software knows.
pub(crate) const FOLD_VERSION: u64 = 1;

/// What a new Handle covers and the base does not, as far as it must be held to compute the Handle's trees.
struct Covered {
    /// Device commits held here.
    held: Vec<Commit>,
    /// Home commits not folded here yet; their Handle brings them.
    new_home: Vec<Arc<Commit>>,
    /// Home commits that are folded already: this replica is the home.
    own_home: Vec<Commit>,
    tips: Vec<(WriterId, Tip)>,
}

impl<D: Disk> Replica<D> {
    /// Moves the base to an offered Handle, or says what must be fetched for it.
    pub(crate) fn adopt_offer(&mut self, now: Time, offer: Offer) -> Result<Adoption, Error> {
        self.check_writable()?;
        let ring = self.longer_ring(&offer)?;
        let handle = &offer.handle;
        check_handle(&ring, self.space, handle)?;
        if handle.version <= self.base().version {
            return self.compare_versions(handle);
        }
        self.check_goes_on(handle)?;
        self.ring = ring;
        // The base moves only while pending, visible and flushed are one: else a crash would split them.
        self.flush()?;
        match self.covered(&offer)? {
            Some(covered) => self.adopt_computed(now, offer.handle, covered),
            None => self.adopt_fetched(now, offer.handle),
        }
    }

    /// A Handle that this replica may adopt: known rules, signed by the ring in force.
    pub(crate) fn check_handle(&self, handle: &Handle) -> Result<(), Error> {
        check_handle(&self.ring, self.space, handle)
    }

    /// Moves the base, by one manifest write, to a Handle whose trees are in the packs.
    pub(crate) fn move_base(&mut self, now: Time, handle: Handle) -> Result<(), Error> {
        let nodes = self.pending.nodes.clone();
        self.write_base(now, &handle, &nodes, self.manifest.clone())?;
        self.take_base(handle, nodes)
    }

    fn longer_ring(&self, offer: &Offer) -> Result<Ring, Error> {
        let mut ring = self.ring.clone();
        for record in &offer.ring {
            if record.n > ring.n() {
                ring.push(record.clone())?;
            }
        }
        Ok(ring)
    }

    /// Versions only go up; two Handles of one version are an alarm.
    fn compare_versions(&self, handle: &Handle) -> Result<Adoption, Error> {
        let base = self.base();
        if handle.version == base.version && handle.hash() != base.hash() {
            return Err(Error::TwoHandles { version: handle.version });
        }
        Ok(Adoption::Stale)
    }

    /// The next version names the base it was made on: with another one there are two Handles of the base's version.
    /// Version 0 is no Handle, and of those further on nobody here knows what they were made on.
    fn check_goes_on(&self, handle: &Handle) -> Result<(), Error> {
        let base = self.base();
        let is_next = base.version > 0 && handle.version == base.version + 1;
        if is_next && handle.prev != base.hash() {
            return Err(Error::TwoHandles { version: base.version });
        }
        Ok(())
    }

    /// Everything the Handle covers above the base, if all of it is here.
    fn covered(&self, offer: &Offer) -> Result<Option<Covered>, Error> {
        let Some(changes) = &offer.vector_changes else { return Ok(None) };
        let mut covered =
            Covered { held: Vec::new(), new_home: Vec::new(), own_home: Vec::new(), tips: Vec::new() };
        for (writer, tip) in changes {
            let from = self.pending.base_tip(writer)?.map_or(0, |tip| tip.seq) + 1;
            if from > tip.seq {
                continue;
            }
            let is_here = match writer.is_home() {
                true => self.cover_home(writer, from, tip, offer, &mut covered)?,
                false => self.cover_device(writer, from, tip, &mut covered)?,
            };
            if !is_here {
                return Ok(None);
            }
            covered.tips.push((*writer, *tip));
        }
        Ok(Some(covered))
    }

    fn cover_device(
        &self,
        writer: &WriterId,
        from: u64,
        tip: &Tip,
        covered: &mut Covered,
    ) -> Result<bool, Error> {
        let Some(tail) = self.tail.writer(writer).filter(|tail| tail.last() >= tip.seq) else {
            return Ok(false);
        };
        for seq in from..=tip.seq {
            let Some(place) = tail.place(seq) else { return Ok(false) };
            covered.held.push(self.read_commit(place)?);
        }
        // Nobody signed the list of changes: only the trees, once they are fetched, can say that a writer forked.
        Ok(covered.held.last().is_some_and(|last| last.id() == tip.id))
    }

    fn cover_home(
        &self,
        writer: &WriterId,
        from: u64,
        tip: &Tip,
        offer: &Offer,
        covered: &mut Covered,
    ) -> Result<bool, Error> {
        let folded = self.pending.tip(writer)?.unwrap_or(Tip::START);
        for seq in from..=tip.seq.min(folded.seq) {
            let Some(place) = self.tail.home(&crdt::Dot::new(*writer, seq)) else { return Ok(false) };
            covered.own_home.push(self.read_commit(place)?);
        }
        let mut last = folded;
        for commit in offer.home_commits.iter().filter(|commit| commit.header().writer == *writer) {
            if commit.header().seq == last.seq + 1 && last.seq < tip.seq {
                commit.check()?;
                commit.follows(&last)?;
                last = commit.tip();
                covered.new_home.push(commit.clone());
            }
        }
        // Whether these are the home's own is for the roots to say: they are signed.
        Ok(last.seq == tip.seq)
    }

    /// A commit of the log.
    pub(crate) fn read_commit(&self, place: Place) -> Result<Commit, Error> {
        let entry = self.log.read(place.position)?;
        match Record::decode(entry.position, entry.kind, &entry.payload)? {
            Record::Commit(commit)
            | Record::Received(commit)
            | Record::Home(commit)
            | Record::Noted(commit, _) => Ok(commit),
            _ => Err(Error::BadRecord { position: place.position.0, reason: "it is not a commit" }),
        }
    }

    /// Folds what the Handle covers onto the base, and believes neither of the two before their roots are equal.
    fn adopt_computed(&mut self, now: Time, handle: Handle, covered: Covered) -> Result<Adoption, Error> {
        let mut fresh = Fresh::new(self.pending.salt);
        let roots = compute(&self.pending, &mut fresh, &covered)?;
        if roots.vector != Hash(handle.vv_root) {
            // The list of changes was not that of this Handle: whoever offered it is wrong, not the home.
            return self.adopt_fetched(now, handle);
        }
        if roots.data != Hash(handle.data_root) {
            return Err(Error::Divergence { version: handle.version, root: "data" });
        }
        let places = self.log_home_commits(&covered.new_home)?;
        let nodes = self.write_nodes(&handle, fresh, self.manifest.clone())?;
        self.write_base(now, &handle, &nodes, self.manifest.clone())?;
        // Everything covered that was not folded here is a home's, so local and its log position stay.
        for (commit, place) in covered.new_home.iter().zip(places) {
            self.pending.overlay.fold(commit, &mut self.changes);
            self.tail.push_covered_home(commit.dot(), place);
        }
        self.take_base(handle, nodes)?;
        self.tidy_packs(now)?;
        Ok(Adoption::Adopted)
    }

    /// Logs the home commits that an adoption folds. A crash before the manifest leaves them without effect:
    /// recovery counts a home's commit only when the base covers it.
    fn log_home_commits(&mut self, commits: &[Arc<Commit>]) -> Result<Vec<Place>, Error> {
        let places = commits.iter().map(|commit| self.append(record::COMMIT, commit.encoded()));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        if !places.is_empty() {
            let flushed = self.log.flush();
            self.visible_end = self.stop_on_error(flushed)?;
        }
        Ok(places)
    }

    /// New nodes in a pack of their own, durable: a manifest must never name a root whose nodes may be lost.
    fn write_nodes(
        &mut self,
        handle: &Handle,
        fresh: Fresh,
        mut manifest: Manifest,
    ) -> Result<Nodes<D>, Error> {
        if fresh.is_empty() {
            return Ok(self.pending.nodes.clone());
        }
        let name = self.next_pack_name();
        manifest.base = handle.clone();
        let pack = write_pack(&self.pending.nodes, &name, fresh, &mut manifest)?;
        Ok(self.pending.nodes.with_pack(&pack)?)
    }

    /// One manifest write that names this base and these packs.
    fn write_base(
        &mut self,
        now: Time,
        handle: &Handle,
        nodes: &Nodes<D>,
        mut manifest: Manifest,
    ) -> Result<(), Error> {
        let before = std::mem::replace(&mut manifest.base, handle.clone());
        if before.version > 0 {
            manifest.recent.push((before.version, Hash(before.vv_root)));
        }
        let excess = manifest.recent.len().saturating_sub(RECENT_MAX);
        manifest.recent.drain(..excess);
        manifest.ring = self.ring.records().to_vec();
        manifest.packs = nodes.packs();
        self.write_manifest(now, manifest)
    }

    /// The manifest says so: the base is this Handle now, for the owner and, in the same step, for readers.
    fn take_base(&mut self, handle: Handle, nodes: Nodes<D>) -> Result<(), Error> {
        let before = Hash(self.pending.base.vv_root);
        let after = Hash(handle.vv_root);
        for (writer, tip) in vector_changes(&nodes, &before, &after)? {
            self.tail.cover(&writer, tip.seq);
        }
        let mut covered: BTreeMap<WriterId, u64> = BTreeMap::new();
        for writer in self.heads.writers() {
            covered.insert(writer, tip_in(&nodes, &after, &writer)?.map_or(0, |tip| tip.seq));
        }
        self.heads.forget(|dot| covered.get(&dot.writer).is_some_and(|seq| *seq >= dot.seq));
        self.pending.base = Arc::new(handle);
        self.pending.nodes = nodes;
        self.pending.change = self.changes.version();
        self.fetch = None;
        self.show();
        Ok(())
    }

    /// Takes a fetched Handle: its trees with the tail folded in are the new local trees.
    pub(crate) fn adopt_rebuilt(&mut self, now: Time, handle: Handle, mut fresh: Fresh) -> Result<(), Error> {
        self.flush()?;
        let roots = Roots { data: Hash(handle.data_root), vector: Hash(handle.vv_root) };
        let overlay = self.replay_tail(&roots.vector, &fresh)?;
        let mut manifest = self.manifest.clone();
        manifest.local = fold_overlay(&self.pending.nodes, &mut fresh, roots, &overlay)?;
        manifest.position = self.visible_end;
        manifest.notes = self.notes.visible();
        let local = manifest.local;
        let nodes = self.write_nodes(&handle, fresh, manifest.clone())?;
        self.write_base(now, &handle, &nodes, manifest)?;
        self.pending.local = local;
        self.pending.overlay = Overlay::default();
        // Keys may have changed that no commit here told of.
        self.changes.reset();
        self.clock.observe(now, handle.hlc);
        self.take_base(handle, nodes)?;
        self.tidy_packs(now)
    }

    /// The commits held that the Handle does not cover, folded in log order, and every value no pack holds.
    fn replay_tail(&mut self, root: &Hash, fresh: &Fresh) -> Result<Overlay, Error> {
        let mut overlay = Overlay::default();
        for (hash, bytes) in &self.pending.overlay.blobs {
            overlay.add_blob(*hash, bytes.clone());
        }
        for place in self.above(root, fresh)? {
            let commit = self.read_commit(place)?;
            overlay.fold(&commit, &mut self.changes);
        }
        Ok(overlay)
    }

    /// The trees of the base with the tail folded in: what local and overlay together should be.
    pub(crate) fn fold_tail(&self, fresh: &mut Fresh) -> Result<Roots, Error> {
        let base = self.pending.base_roots();
        let mut overlay = Overlay::default();
        let mut untold = Changes::new(0);
        for place in self.above(&base.vector, fresh)? {
            overlay.fold(&self.read_commit(place)?, &mut untold);
        }
        fold_overlay(&self.pending.nodes, fresh, base, &overlay)
    }

    /// Where the commits lie that a vector does not cover, in log order: what a commit needs lies before it, or below
    /// the vector.
    fn above(&self, root: &Hash, fresh: &Fresh) -> Result<Vec<Place>, Error> {
        let mut above = Vec::new();
        let source = Source::new(&self.pending.nodes, fresh);
        for (writer, tail) in self.tail.writers() {
            let covered = tip_in(source, root, writer)?.unwrap_or(Tip::START);
            if let Some(place) = tail.place(covered.seq)
                && self.read_commit(place)?.id() != covered.id
            {
                return Err(Error::Fork { writer: *writer, seq: covered.seq });
            }
            let first = tail.first().max(covered.seq + 1);
            above.extend((first..=tail.last()).filter_map(|seq| tail.place(seq)));
        }
        for (dot, place) in self.tail.uncovered_home() {
            let covered = tip_in(source, root, &dot.writer)?.map_or(0, |tip| tip.seq);
            above.extend((dot.seq > covered).then_some(place));
        }
        above.sort_unstable_by_key(|place| place.position);
        Ok(above)
    }
}

fn check_handle(ring: &Ring, space: crdt::SpaceId, handle: &Handle) -> Result<(), Error> {
    let version = handle.version;
    if handle.fold_version != FOLD_VERSION {
        return Err(Error::UnknownFold { version, found: handle.fold_version });
    }
    ring.verify(handle).map_err(|source| Error::NotSigned { space, version, source })
}

/// The base with everything covered folded onto it, as one batch in no order.
fn compute<D: Disk>(view: &View<D>, fresh: &mut Fresh, covered: &Covered) -> Result<Roots, Error> {
    let commits = covered.held.iter().chain(&covered.own_home);
    let commits: Vec<&Commit> = commits.chain(covered.new_home.iter().map(Arc::as_ref)).collect();
    let mut entries: BTreeMap<Vec<u8>, Option<Value>> = BTreeMap::new();
    // Puts come first, so that a removal finds what another commit of the batch has put.
    for effect in batch_effects(commits) {
        match effect {
            Effect::Put(physical, hlc, payload) => {
                entries.insert(physical, Some(Value { hlc: hlc.0, payload: payload.encode() }));
            }
            Effect::Remove(physical) => {
                entries.insert(physical, None);
            }
        }
    }
    let base = view.base_roots();
    let data = btree::apply(&view.nodes, fresh, Kind::Data, &base.data, entries)?;
    let rows: BTreeMap<_, _> = covered.tips.iter().map(|(writer, tip)| vector_row(writer, tip)).collect();
    let vector = btree::apply(&view.nodes, fresh, Kind::Vector, &base.vector, rows)?;
    Ok(Roots { data, vector })
}
