//! What a home needs of its replica: its own commits, the roots it may sign, and the Handle it made.

use std::collections::{BTreeMap, BTreeSet};

use btree::Hash;
use crdt::{Body, CollId, Dot, Handle, Payload, Ring, RingRecord, Time, Tip, WriterId};
use disk::Disk;

use crate::apply::Draft;
use crate::error::{CommitError, Error};
use crate::record;
use crate::replica::{Committed, Replica};
use crate::transaction::{Scope, Write};

/// The two roots of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roots {
    /// Of the live dots.
    pub data: Hash,
    /// Of the vector.
    pub vector: Hash,
}

/// One write of a home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeWrite {
    /// Where; any collection.
    pub coll: CollId,
    /// The encoded key.
    pub key: Vec<u8>,
    /// At most [`crdt::commit::PAYLOAD_INLINE_MAX`] bytes; none: a delete.
    pub value: Option<Vec<u8>>,
}

impl<D: Disk> Replica<D> {
    /// Makes a commit of the home that this replica is, pending until the next flush.
    ///
    /// Each write takes the place of everything alive at its key. No peer gets it before a Handle covers it.
    /// `generation` is drawn anew at each start of the home, and `key` is the home's public key.
    pub fn home_commit(
        &mut self,
        now: Time,
        generation: [u8; 8],
        key: [u8; 32],
        writes: Vec<HomeWrite>,
    ) -> Result<Committed, CommitError> {
        self.check_writable()?;
        assert!(!self.home_rests, "only a home that acts decides anything");
        let writer = WriterId::home(generation);
        let tip = self.pending.tip(&writer)?.unwrap_or(Tip::START);
        let hlc = self.time_after(now, &tip);
        let writes: BTreeMap<_, _> =
            writes.into_iter().map(|write| ((write.coll, write.key), to_write(write.value))).collect();
        let mutations = self.mutations(&writes, Dot::new(writer, tip.seq + 1), hlc)?;
        let body = Body { deps: Vec::new(), mutations };
        let commit = self.draft(Draft { writer, tip, hlc, key }, body).map_err(Error::from)?;
        let place = self.append(record::HOME, commit.encoded())?;
        self.fold(now, &commit, place);
        Ok(Committed { dot: commit.dot(), id: commit.id() })
    }

    /// Flushes, folds everything held into the local trees, and returns their roots: what the next Handle may sign.
    ///
    /// The nodes are durable when this returns: a Handle must never name one that is not.
    pub fn candidate(&mut self, now: Time) -> Result<Roots, Error> {
        // From here on, since the checkpoint itself tidies; what it folds are the roots that count.
        self.is_in_doubt = true;
        self.checkpoint(now)?;
        // Whatever is wrong here: what was anchored stays so.
        self.check_holds_base()?;
        Ok(self.pending.local)
    }

    /// Moves the base to a Handle over the roots that [`Replica::candidate`] returned: one manifest write.
    ///
    /// It must be the next version, signed by the home of this space. Commits that came since stay above it.
    pub fn install_handle(&mut self, now: Time, handle: Handle) -> Result<(), Error> {
        self.check_writable()?;
        self.check_handle(&handle)?;
        let roots = Roots { data: Hash(handle.data_root), vector: Hash(handle.vv_root) };
        if handle.version != self.base().version + 1 || roots != self.manifest.local {
            return Err(Error::NotCandidate { version: handle.version });
        }
        self.install(now, handle)
    }

    /// Writers of which a commit held here names what never comes, or that something is proven against, as far as nobody has
    /// seen to it that nothing more of them comes.
    pub fn ended(&self) -> &BTreeSet<WriterId> {
        &self.ended
    }

    /// It is seen to that nothing more of these writers comes.
    pub fn forget_ended(&mut self, writers: &[WriterId]) {
        self.ended.retain(|writer| !writers.contains(writer));
    }

    /// Finds them again among what no Handle covers and what is proven: they are kept in memory. Linear in the tail.
    pub fn find_ended(&mut self) -> Result<(), Error> {
        let places = self.tail.writers().flat_map(|(_, tail)| tail.places());
        let mut ended = BTreeSet::new();
        for place in places {
            for needed in self.read_commit(place)?.needs() {
                let held = self.pending.tip(&needed.writer)?.map_or(0, |tip| tip.seq);
                if held < needed.seq {
                    ended.insert(needed.writer);
                }
            }
        }
        let proofs = self.pending.proofs.clone();
        let published = self.published_proofs(&proofs)?;
        let proven = proofs.iter().map(|(proof, _)| proof);
        ended.extend(proven.filter(|proof| !published.contains(proof)).map(|proof| proof.writer));
        self.ended = ended;
        Ok(())
    }

    /// Takes up a change of home that begins after the base, by one manifest write: what a home signs from then on is
    /// believed by nobody, here neither.
    pub fn change_ring(&mut self, now: Time, record: RingRecord) -> Result<(), Error> {
        self.check_writable()?;
        let mut ring = self.ring.clone();
        ring.push(record)?;
        self.keep_ring(now, ring)
    }

    /// Takes up what somebody else's ring has beyond the one here, by one manifest write: who has become the home meanwhile.
    pub fn follow_ring(&mut self, now: Time, records: &[RingRecord]) -> Result<(), Error> {
        let ring = self.longer_ring(records)?;
        if ring.n() == self.ring.n() {
            return Ok(());
        }
        self.check_writable()?;
        self.keep_ring(now, ring)
    }

    /// Keeps a longer ring. One that takes the base's own version from the home that signed it is refused: that home went
    /// on after it had handed over, or the ring is that of a copy.
    pub(crate) fn keep_ring(&mut self, now: Time, ring: Ring) -> Result<(), Error> {
        let version = self.base().version;
        if ring.n() <= self.ring.n() {
            return Ok(());
        }
        if version > 0 && ring.n_for(version) != self.ring.n_for(version) {
            return Err(Error::TwoHandles { version });
        }
        let mut manifest = self.manifest.clone();
        manifest.ring = ring.records().to_vec();
        self.write_manifest(now, manifest)?;
        self.ring = ring;
        Ok(())
    }

    /// What the home keeps in the manifest for itself; empty on a replica that is no home.
    pub fn claim(&self) -> &[u8] {
        &self.manifest.claim
    }

    /// Replaces what the home keeps in the manifest, durably.
    pub fn set_claim(&mut self, now: Time, claim: Vec<u8>) -> Result<(), Error> {
        self.check_writable()?;
        let mut manifest = self.manifest.clone();
        manifest.claim = claim;
        self.write_manifest(now, manifest)
    }
}

fn to_write(value: Option<Vec<u8>>) -> Write {
    match value {
        Some(value) => Write::Put(Payload::Inline(value), Scope::Resolved),
        None => Write::Delete,
    }
}
