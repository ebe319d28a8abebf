//! A newer Handle: compute it or fetch it, compare, and move the base in one manifest write.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use btree::{Fresh, Hash, Kind, Source, Value};
use crdt::fold::batch_effects;
use crdt::{Commit, Dot, Effect, Handle, Ring, RingRecord, Time, Tip, WriterId, system};
use disk::Disk;
use planted::Bug;
use sync::{Adoption, Offer};

use crate::base::roots_of;
use crate::checkpoint::vector_row;
use crate::cuts::Cuts;
use crate::error::Error;
use crate::home::Roots;
use crate::record::{self, Record};
use crate::replica::Replica;
use crate::tail::Place;
use crate::view::View;

/// The rules of folding that this software knows.
pub(crate) const FOLD_VERSION: u64 = 1;

/// What a new Handle covers and the base does not, as far as it must be held to compute the Handle's trees.
struct Covered {
    /// Device commits held here.
    held: Vec<Commit>,
    /// Home commits not folded here yet; their Handle brings them. Each comes after what it supersedes: they are folded,
    /// and found in the log, one by one.
    new_home: Vec<Arc<Commit>>,
    /// Home commits that are folded already: this replica is the home.
    own_home: Vec<Commit>,
    tips: Vec<(WriterId, Tip)>,
}

impl Covered {
    /// Whether it says anything new on who may write how far.
    fn changes_rights(&self) -> bool {
        let rights = [system::acl(), system::cut(), system::meta()];
        let home = self.own_home.iter().chain(self.new_home.iter().map(Arc::as_ref));
        home.flat_map(|commit| &commit.body().mutations).any(|mutation| rights.contains(&mutation.coll))
    }
}

impl<D: Disk> Replica<D> {
    /// Moves the base to an offered Handle, or says what must be fetched for it.
    pub(crate) fn adopt_offer(&mut self, now: Time, offer: Offer) -> Result<Adoption, Error> {
        if self.is_unread {
            // It is taken up once there is a log to hold it against.
            return Ok(Adoption::Stale);
        }
        self.check_writable()?;
        let ring = self.longer_ring(&offer.ring)?;
        let handle = &offer.handle;
        check_handle(&ring, self.space, handle)?;
        if handle.version <= self.base().version {
            let stale = self.compare_versions(handle)?;
            self.keep_ring(now, ring)?;
            return Ok(stale);
        }
        self.check_goes_on(handle)?;
        self.ring = ring;
        // The base moves only while pending, visible and flushed are one: else a crash would split them.
        self.flush()?;
        let handle = offer.handle.clone();
        if self.is_waiting_to_adopt(&handle) {
            return Ok(Adoption::Fetch(Vec::new()));
        }
        if !self.is_damaged() {
            let computed = match self.covered(&offer) {
                Ok(Some(covered)) => {
                    disk::during("adopt", || self.adopt_computed(now, offer.handle, covered))
                }
                Ok(None) => self.adopt_fetched(now, offer.handle),
                Err(error) => Err(error),
            };
            match computed {
                Err(error) if self.is_only_damage(&error, &handle) => {}
                computed => return computed,
            }
        }
        // What it is computed from may not be whole: what is not is fetched with it.
        self.adopt_fetched(now, handle)
    }

    /// Whether the Handle was not taken up for damage alone, and may be once that is mended.
    pub(crate) fn is_only_damage(&self, error: &Error, handle: &Handle) -> bool {
        error.is_damage() && !self.is_stopped && handle.version > self.base().version
    }

    /// A Handle that this replica may adopt: known rules, signed by the ring in force.
    pub(crate) fn check_handle(&self, handle: &Handle) -> Result<(), Error> {
        check_handle(&self.ring, self.space, handle)
    }

    /// The ring with those of the records that go on from it.
    pub(crate) fn longer_ring(&self, records: &[RingRecord]) -> Result<Ring, Error> {
        let mut ring = self.ring.clone();
        for record in records {
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
        covered.new_home = in_order(covered.new_home);
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
        let mut last = folded;
        for seq in from..=tip.seq.min(folded.seq) {
            let Some(place) = self.tail.home(&Dot::new(*writer, seq)) else { return Ok(false) };
            let commit = self.read_commit(place)?;
            // The home may have gone on since it signed.
            last = commit.tip();
            covered.own_home.push(commit);
        }
        for commit in offer.home_commits.iter().filter(|commit| commit.header().writer == *writer) {
            if commit.header().seq == last.seq + 1 && last.seq < tip.seq {
                commit.check()?;
                commit.follows(&last)?;
                last = commit.tip();
                covered.new_home.push(commit.clone());
            }
        }
        // Another commit than the one named is its sender's, and no difference between the home and us. Whether the one
        // named is the home's own is for the roots to say: they are signed.
        Ok((last.seq, last.id) == (tip.seq, tip.id))
    }

    /// A commit of the log.
    pub(crate) fn read_commit(&self, place: Place) -> Result<Commit, Error> {
        let entry = self.log.read(place.position)?;
        let record = Record::decode(entry.position, entry.kind, &entry.payload)?;
        record
            .into_commit()
            .ok_or(Error::BadRecord { position: place.position.0, reason: "it is not a commit" })
    }

    /// Folds what the Handle covers onto the base, and believes neither of the two before their roots are equal.
    fn adopt_computed(&mut self, now: Time, handle: Handle, covered: Covered) -> Result<Adoption, Error> {
        let mut fresh = Fresh::new(self.pending.salt);
        let roots = compute(&self.pending, &mut fresh, &covered)?;
        let is_compared = !planted::is(Bug::AdoptUncompared);
        if is_compared && roots.vector != Hash(handle.vv_root) {
            // The list of changes was not that of this Handle: whoever offered it is wrong, not the home.
            return self.adopt_fetched(now, handle);
        }
        if is_compared && roots.data != Hash(handle.data_root) {
            return Err(Error::Divergence { version: handle.version, root: "data" });
        }
        let is_steady = planted::is(Bug::AlwaysSteady) || self.is_steady(&handle, &fresh, &covered)?;
        let places = self.log_home_commits(&covered.new_home)?;
        if !is_steady {
            self.rebuild_on(now, handle, fresh, &covered.new_home)?;
            for (commit, place) in covered.new_home.iter().zip(places) {
                self.tail.push_covered_home(commit.dot(), place);
            }
            return Ok(Adoption::Adopted);
        }
        let nodes = self.write_nodes(&handle, fresh, self.manifest.clone())?;
        self.write_base(now, &handle, &nodes, self.manifest.clone())?;
        // Everything covered that was not folded here is a home's, so local and its log position stay.
        for (commit, place) in covered.new_home.iter().zip(places) {
            self.pending.overlay.fold(commit, &mut self.changes);
            self.tail.push_covered_home(commit.dot(), place);
        }
        let taken = self.take_base(handle, nodes);
        self.stop_on_error(taken)?;
        self.tidy_packs(now)?;
        Ok(Adoption::Adopted)
    }

    /// Whether local may stay as it is: no writer that is held or covered ends elsewhere now, and nothing held drops out.
    fn is_steady(&self, handle: &Handle, fresh: &Fresh, covered: &Covered) -> Result<bool, Error> {
        let (roots, proofs) = (roots_of(handle), &self.pending.proofs);
        let before = self.pending.cuts()?;
        let after = Cuts::new(Source::new(&self.pending.nodes, fresh), roots, proofs)?;
        let is_told = covered.changes_rights();
        let held = self.tail.writers().map(|(writer, _)| writer);
        for writer in held.chain(covered.tips.iter().map(|(writer, _)| writer)) {
            // Where nothing is said of rights, only a writer that something is proven against can end elsewhere.
            let may_move = is_told || proofs.against(writer).is_some();
            if may_move && before.cut(writer)? != after.cut(writer)? {
                return Ok(false);
            }
        }
        // Else everything held is as good as it was.
        Ok(!is_told || !self.drops_any(fresh, roots)?)
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
}

fn check_handle(ring: &Ring, space: crdt::SpaceId, handle: &Handle) -> Result<(), Error> {
    let version = handle.version;
    if handle.fold_version != FOLD_VERSION {
        return Err(Error::UnknownFold { version, found: handle.fold_version });
    }
    ring.verify(handle).map_err(|source| Error::NotSigned { space, version, source })
}

/// Commits of several runs of a home, each after what it supersedes: folded the other way round, a row that was taken away
/// would be there again. In a circle, which no home makes, some order is as good as another.
fn in_order(commits: Vec<Arc<Commit>>) -> Vec<Arc<Commit>> {
    let mut rest: BTreeMap<WriterId, VecDeque<Arc<Commit>>> = BTreeMap::new();
    let mut ordered = Vec::with_capacity(commits.len());
    for commit in commits {
        rest.entry(commit.header().writer).or_default().push_back(commit);
    }
    while let Some(any) = rest.keys().next().copied() {
        let is_ready = |writer: &&WriterId| is_next(&rest[*writer][0], &rest);
        let writer = rest.keys().find(is_ready).copied().unwrap_or(any);
        let of_one = rest.get_mut(&writer).expect("it was found a moment ago");
        ordered.extend(of_one.pop_front());
        if of_one.is_empty() {
            rest.remove(&writer);
        }
    }
    ordered
}

/// Whether nothing that a commit supersedes is among the rest.
fn is_next(commit: &Commit, rest: &BTreeMap<WriterId, VecDeque<Arc<Commit>>>) -> bool {
    let is_to_come = |dot: &Dot| {
        let first = rest.get(&dot.writer).and_then(VecDeque::front);
        dot.writer != commit.header().writer && first.is_some_and(|first| first.header().seq <= dot.seq)
    };
    !commit.body().mutations.iter().flat_map(|mutation| &mutation.supersedes).any(is_to_come)
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
