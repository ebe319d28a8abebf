//! A received unit, validated whole: valid, authorised, chained, ready and sealed, or nothing of it is taken.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use btree::{Hash, Kind};
use crdt::{BlobRef, Commit, DeviceId, Dot, Proofs, Time, Tip, WriterId, system};
use disk::Disk;
use planted::Bug;
use sync::frame::BLOB_LEN_MAX;
use sync::{Accepted, Incoming, Located, NackCode, Refusal};

use crate::cuts::{Cuts, Unauthorised};
use crate::error::Error;
use crate::grant::Grant;
use crate::record;
use crate::replica::Replica;
use crate::vouch::{self, Vouch};

/// Why a unit is not taken.
enum Turned {
    /// Something it needs is not here yet: the peer hears what is held, and sends again.
    NotReady,
    /// It will never be taken.
    Refused(Refusal),
    /// This replica failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Turned {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A unit while it is checked: how far each writer would be after it.
#[derive(Default)]
struct Checked {
    tips: BTreeMap<WriterId, Tip>,
    bounds: BTreeMap<WriterId, Bound>,
    commits: Vec<Arc<Commit>>,
    blobs: BTreeMap<Hash, Vec<u8>>,
    /// Writers of which a commit names what never comes.
    ended: BTreeSet<WriterId>,
}

/// What the base says of a writer, looked up once for a unit.
struct Bound {
    /// Who seals its commits.
    key: [u8; 32],
    /// Its last number that counts, if anything bounds it.
    end: Option<u64>,
}

impl<D: Disk> Replica<D> {
    /// Validates a unit and folds what is new of it into pending. All of it, or nothing.
    pub(crate) fn accept_unit(&mut self, now: Time, incoming: Incoming) -> Result<Accepted, Refusal> {
        match self.disputed(&incoming) {
            Ok(disputed) if disputed.is_empty() => {}
            Ok(disputed) => {
                // Their author hears of it with the Handle that cuts them, and only then are they refused.
                self.ended.extend(disputed);
                return Ok(Accepted::NotReady);
            }
            Err(error) => {
                self.last_error = Some(error.to_string());
                return Ok(Accepted::NotReady);
            }
        }
        let checked = self.check_unit(&incoming).and_then(|checked| {
            // What is proven meanwhile may change what is ready.
            if self.learn_taken_back(now, &incoming)? { self.check_unit(&incoming) } else { Ok(checked) }
        });
        let first = incoming.commits.first().map(|commit| commit.dot());
        let taken = checked.and_then(|checked| self.take_unit(now, checked, incoming));
        match taken {
            Ok(()) => Ok(Accepted::Stored),
            Err(Turned::NotReady) => Ok(Accepted::NotReady),
            Err(Turned::Failed(error)) if planted::is(Bug::NackForRoom) && error.is_full() => {
                let Dot { writer, seq } = first.expect("a unit has a commit");
                Err(Refusal { writer, seq, code: NackCode::Invalid, detail: error.to_string() })
            }
            // A failure here is no fault of the peer's, who sends again. Nothing was taken; a replica that stopped says
            // so at the owner's next flush.
            Err(Turned::Failed(error)) => {
                self.last_error = Some(error.to_string());
                Ok(Accepted::NotReady)
            }
            Err(Turned::Refused(refusal)) => Err(refusal),
        }
    }

    fn check_unit(&self, incoming: &Incoming) -> Result<Checked, Turned> {
        self.check_writable()?;
        let mut checked = Checked::default();
        for bytes in &incoming.blobs {
            checked.blobs.insert(self.pending.salt.hash(Kind::Chunk, bytes), bytes.clone());
        }
        let (nothing, mut cuts) = (Proofs::default(), self.pending.cuts()?);
        if planted::is(Bug::AdmitPastFork) && self.ring.key_for(u64::MAX) == self.device.public() {
            cuts.proofs = &nothing;
        }
        for commit in &incoming.commits {
            self.check_commit(&mut checked, &cuts, commit)?;
        }
        if !planted::is(Bug::AcceptUnsealed) {
            self.check_seals(&checked, incoming)?;
        }
        Ok(checked)
    }

    fn check_commit(
        &self,
        checked: &mut Checked,
        cuts: &Cuts<'_, D>,
        commit: &Arc<Commit>,
    ) -> Result<(), Turned> {
        let dot = commit.dot();
        if dot.writer.is_home() {
            return Err(refused(dot, NackCode::NotAuthorised, "home commits come with their handle"));
        }
        if commit.header().space != self.space {
            return Err(refused(dot, NackCode::Invalid, "it belongs to another space"));
        }
        commit.check().map_err(|error| refused(dot, NackCode::Invalid, &error.to_string()))?;
        let tip = self.tip_after(checked, &dot.writer)?;
        if dot.seq <= tip.seq {
            return self.check_held(checked, commit);
        }
        self.check_follows(commit, &tip)?;
        if commit.header().base > self.base().version {
            return Err(Turned::NotReady);
        }
        self.check_authorised(checked, cuts, commit)?;
        self.check_needs(checked, cuts, commit)?;
        self.check_blobs(checked, commit)?;
        checked.tips.insert(dot.writer, commit.tip());
        checked.commits.push(commit.clone());
        Ok(())
    }

    /// Where a writer stands after the part of the unit checked so far.
    fn tip_after(&self, checked: &Checked, writer: &WriterId) -> Result<Tip, Error> {
        match checked.tips.get(writer) {
            Some(tip) => Ok(*tip),
            None => Ok(self.pending.tip(writer)?.unwrap_or(Tip::START)),
        }
    }

    /// A commit whose dot is held: the same one, as far as that is known, or a fork.
    fn check_held(&self, checked: &Checked, commit: &Commit) -> Result<(), Turned> {
        let dot = commit.dot();
        let in_unit = checked.commits.iter().find(|held| held.dot() == dot).map(|held| held.id());
        let held = match in_unit {
            Some(id) => Located::Id(id),
            None => self.located(&dot.writer, dot.seq, Seen::Pending)?,
        };
        match held {
            Located::Id(id) if id != commit.id() => {
                Err(refused(dot, NackCode::Fork, "another commit has this dot"))
            }
            _ => Ok(()),
        }
    }

    fn check_follows(&self, commit: &Commit, tip: &Tip) -> Result<(), Turned> {
        let dot = commit.dot();
        match commit.follows(tip) {
            Ok(()) => Ok(()),
            Err(crdt::Error::Gap { .. }) => Err(Turned::NotReady),
            Err(error @ crdt::Error::Fork { .. }) => {
                Err(refused(Dot::new(dot.writer, tip.seq), NackCode::Fork, &error.to_string()))
            }
            Err(error) => Err(refused(dot, NackCode::Invalid, &error.to_string())),
        }
    }

    /// The base grants the device to write, the writer was opened under that grant, and nothing cuts it before this commit.
    fn check_authorised(
        &self,
        checked: &mut Checked,
        cuts: &Cuts<'_, D>,
        commit: &Commit,
    ) -> Result<(), Turned> {
        let dot = commit.dot();
        let bound = match checked.bounds.entry(dot.writer) {
            Entry::Occupied(bound) => bound.into_mut(),
            Entry::Vacant(vacant) => {
                // A home that has decided and not signed yet: its next Handle holds no more of this device than it does now.
                if self.tail.has_uncovered_home() && !self.is_granted_next(&dot.writer.device())? {
                    return Err(Turned::NotReady);
                }
                let opened = (dot.seq == 1).then_some(commit.header().base);
                cuts.authorise(&dot, opened)?.map_err(|reason| unauthorised(dot, reason))?;
                let grant = cuts.write_grant(&dot.writer)?.expect("it was authorised a moment ago");
                vacant.insert(Bound { key: grant.public, end: cuts.cut(&dot.writer)? })
            }
        };
        match bound.end.filter(|end| dot.seq > *end) {
            Some(end) => Err(unauthorised(dot, Unauthorised::Cut(end))),
            None => Ok(()),
        }
    }

    /// Everything that a commit names is held, or will never come.
    fn check_needs(&self, checked: &mut Checked, cuts: &Cuts<'_, D>, commit: &Commit) -> Result<(), Turned> {
        for needed in commit.needs() {
            let held = self.tip_after(checked, &needed.writer)?.seq;
            if held >= needed.seq {
                continue;
            }
            if !cuts.never_comes(needed, held > 0, commit.header().base)? {
                return Err(Turned::NotReady);
            }
            checked.ended.insert(needed.writer);
        }
        Ok(())
    }

    /// Whether a device may write after the Handle that is being made here.
    fn is_granted_next(&self, device: &DeviceId) -> Result<bool, Error> {
        let live = self.pending.live(system::acl(), &Grant::key(device))?;
        // A grant that is not covered yet is left to the base, which has none.
        Ok(!live.is_empty() || self.pending.cuts()?.grant(device)?.is_none())
    }

    /// Every value it names is here or in the unit: `stored` is a promise for values too.
    ///
    /// What is refused here is refused by every replica, whatever else it holds: a commit that one of them took and
    /// others did not would be in the base all the same.
    fn check_blobs(&self, checked: &Checked, commit: &Commit) -> Result<(), Turned> {
        for BlobRef { kind, hash, len } in commit.body().blobs() {
            let invalid = |detail| refused(commit.dot(), NackCode::Invalid, detail);
            if kind != BlobRef::CHUNK {
                return Err(invalid("a value is a list of chunks, which this version does not know"));
            }
            if len > BLOB_LEN_MAX as u64 {
                return Err(invalid("a value is longer than a chunk can be"));
            }
            let hash = Hash(hash);
            let in_unit = checked.blobs.get(&hash).map(|bytes| bytes.len() as u64);
            match in_unit.or_else(|| self.pending.blob_len(&hash)) {
                Some(here) if here != len => return Err(invalid("a value has another length than it says")),
                Some(_) => {}
                None => return Err(Turned::NotReady),
            }
        }
        Ok(())
    }

    /// Each writer's last new commit has a seal of its device, or a strand that leads to one.
    fn check_seals(&self, checked: &Checked, incoming: &Incoming) -> Result<(), Turned> {
        for (writer, tip) in &checked.tips {
            let dot = Dot::new(*writer, tip.seq);
            let public = &checked.bounds[writer].key;
            let Some(vouch) = vouch::find(incoming, writer, tip) else {
                return Err(refused(dot, NackCode::BadSeal, "its last commit is not sealed"));
            };
            let checked = vouch.check(self.space, public);
            checked.map_err(|error| refused(dot, NackCode::BadSeal, &error.to_string()))?;
        }
        Ok(())
    }

    /// Logs a unit as one batch, its seals right behind it: a crash inside leaves a unit that is not whole, which
    /// recovery drops, since nobody was told of it.
    fn take_unit(&mut self, now: Time, checked: Checked, incoming: Incoming) -> Result<(), Turned> {
        let named: BTreeSet<Hash> = checked
            .commits
            .iter()
            .flat_map(|commit| commit.body().blobs())
            .map(|blob| Hash(blob.hash))
            .collect();
        let mut blobs = checked.blobs;
        // What no commit names would be kept for nobody.
        blobs.retain(|hash, _| named.contains(hash));
        self.keep_blobs(blobs)?;
        let vouches = checked.tips.iter().filter_map(|(writer, tip)| vouch::find(&incoming, writer, tip));
        let vouches: Vec<Vouch> = vouches.collect();
        if checked.commits.is_empty() {
            return Ok(());
        }
        // A writer that goes on elsewhere is a copy's as well: from here on this device writes under another name.
        let open: Vec<WriterId> = self.author.writers().map(|(writer, _)| writer).collect();
        for (writer, tip) in open.iter().filter_map(|writer| Some((writer, checked.tips.get(writer)?))) {
            self.author.close(writer);
            self.author.part(&tip.id);
        }
        self.append(record::UNIT, &record::unit(checked.commits.len(), vouches.len()))?;
        let mut places = Vec::with_capacity(checked.commits.len());
        for commit in &checked.commits {
            places.push(self.append(record::RECEIVED, commit.encoded())?);
        }
        let mut sealed = Vec::with_capacity(vouches.len());
        for vouch in &vouches {
            sealed.push(match vouch {
                Vouch::Seal(seal) => (seal.writer, seal.seq, self.append(record::SEAL, &seal.encode())?),
                Vouch::Strand(strand) => {
                    (strand.writer(), strand.first(), self.append(record::STRAND, &strand.encode())?)
                }
            });
        }
        self.ended.extend(checked.ended);
        for (commit, place) in checked.commits.iter().zip(places) {
            self.fold(now, commit, place);
        }
        for (writer, seq, place) in sealed {
            self.tail.push_seal(&writer, seq, place);
        }
        Ok(())
    }
}

/// Which state a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// What is flushed: all a peer may hear of.
    Visible,
    /// What is accepted.
    Pending,
}

impl<D: Disk> Replica<D> {
    /// What is known about one place in a writer's chain.
    pub(crate) fn located(&self, writer: &WriterId, seq: u64, seen: Seen) -> Result<Located, Error> {
        let view = match seen {
            Seen::Visible => &self.visible.0,
            Seen::Pending => &self.pending,
        };
        let Some(tip) = view.tip(writer)?.filter(|tip| seq > 0 && seq <= tip.seq) else {
            return Ok(Located::Absent);
        };
        if tip.seq == seq {
            return Ok(Located::Id(tip.id));
        }
        if let Some(place) = self.tail.writer(writer).and_then(|tail| tail.place(seq)) {
            return Ok(Located::Id(self.read_commit(place)?.id()));
        }
        match view.base_tip(writer)? {
            Some(base) if base.seq == seq => Ok(Located::Id(base.id)),
            _ => Ok(Located::Unknown),
        }
    }
}

fn unauthorised(dot: Dot, reason: Unauthorised) -> Turned {
    let (code, detail) = match reason {
        Unauthorised::NoGrant => (NackCode::NotAuthorised, "its device may not write here".to_owned()),
        Unauthorised::BeforeGrant => {
            (NackCode::NotAuthorised, "its writer was opened before its device's grant".to_owned())
        }
        Unauthorised::BelowFloor => {
            (NackCode::Cut, "its writer was opened below what the home has pruned".to_owned())
        }
        Unauthorised::Cut(seq) => (NackCode::Cut, format!("its writer ends at {seq}")),
    };
    refused(dot, code, &detail)
}

fn refused(dot: Dot, code: NackCode, detail: &str) -> Turned {
    Turned::Refused(Refusal { writer: dot.writer, seq: dot.seq, code, detail: detail.to_owned() })
}
