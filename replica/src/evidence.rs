//! What is proven against writers: taken in one step with what follows from it, and shown to whoever asks.

use std::collections::BTreeSet;
use std::sync::Arc;

use btree::{Fresh, Hash, Kind, Nodes};
use crdt::{Commit, Evidence, Proof, Proofs, SpaceId, Strand, TakenBack, Time, WriterId};
use disk::Disk;
use sync::Incoming;

use crate::error::Error;
use crate::manifest::Manifest;
use crate::replica::Replica;
use crate::tail::WriterTail;
use crate::vouch;

impl<D: Disk> Replica<D> {
    /// The smallest known proof against each writer, durable here. No home may cover such a writer beyond it.
    pub fn evidence(&self) -> &Proofs {
        &self.pending.proofs
    }

    /// Takes evidence after checking all of it, in the same manifest write with what follows from it: commits that do not
    /// count any more are dropped, and what was dropped of this device's own is written again.
    ///
    /// Evidence that says no more than what is known, or that is about a device which never had a place here, changes
    /// nothing.
    pub(crate) fn take_evidence(&mut self, now: Time, evidence: Arc<Evidence>) -> Result<(), Error> {
        if self.is_unread {
            // Heard again once there is a log to hold it against.
            return Ok(());
        }
        self.check_writable()?;
        let is_known =
            |claim: Proof| self.pending.proofs.against(&claim.writer).is_some_and(|known| known <= claim.seq);
        if evidence.claim().is_some_and(is_known) {
            // Nothing follows from it, true or not, and signatures are slow to verify.
            return Ok(());
        }
        if self.is_decided(&evidence) {
            return Ok(());
        }
        let proof = evidence.check(self.space)?;
        match self.take_proof(now, proof, evidence.clone()) {
            // To end the session would keep away what mends it.
            Err(error) if error.is_damage() && !self.is_stopped && self.hear_later(proof, evidence) => Ok(()),
            taken => taken,
        }
    }

    fn take_proof(&mut self, now: Time, proof: Proof, evidence: Arc<Evidence>) -> Result<(), Error> {
        if !self.concerns(&proof)? {
            return Ok(());
        }
        let Some(proofs) = self.with_proof(proof, evidence)? else { return Ok(()) };
        self.flush()?;
        let (manifest, known) = (self.manifest.evidence, self.pending.proofs.clone());
        let sequence = self.manifest.sequence;
        let taken = self.keep_proofs(now, &proof, proofs);
        match &taken {
            Ok(()) => drop(self.ended.insert(proof.writer)),
            Err(_) if self.manifest.sequence == sequence => {
                (self.manifest.evidence, self.pending.proofs) = (manifest, known);
            }
            // It is kept, and what failed came after that.
            Err(_) => {}
        }
        taken
    }

    /// Whether a proven fork begins right behind the last commit of a writer that is held.
    pub(crate) fn ends_at_fork(&self, writer: &WriterId, tail: &WriterTail) -> bool {
        let of_it = |(proof, _): &(Proof, _)| proof.writer == *writer && proof.seq == tail.last() + 1;
        let parts_here = |evidence: &Evidence| match evidence {
            Evidence::Fork(fork) => {
                [&fork.one, &fork.other].iter().all(|strand| strand.headers[0].prev == tail.tip())
            }
            Evidence::TakenBack(_) => false,
        };
        self.pending.proofs.iter().find(of_it).is_some_and(|(_, evidence)| parts_here(evidence))
    }

    /// Whether a writer has anything to do with this space: anybody can make a device and prove things against it.
    fn concerns(&self, proof: &Proof) -> Result<bool, Error> {
        let is_known = self.pending.tip(&proof.writer)?.is_some();
        Ok(is_known || self.pending.cuts()?.grant(&proof.writer.device())?.is_some())
    }

    /// The proofs with one more, if it says anything new and there is room for it.
    fn with_proof(&mut self, proof: Proof, evidence: Arc<Evidence>) -> Result<Option<Proofs>, Error> {
        let mut proofs = (*self.pending.proofs).clone();
        let mut inserted = proofs.insert(proof, evidence.clone());
        if inserted.is_err() {
            let published = self.published_proofs(&proofs)?;
            proofs.retain(|proof| !published.contains(proof));
            inserted = proofs.insert(proof, evidence);
        }
        match inserted {
            Ok(is_news) => Ok(is_news.then_some(proofs)),
            // Nobody is at fault here: the home makes room once it publishes what is proven already.
            Err(full) => {
                self.last_error = Some(full.to_string());
                Ok(None)
            }
        }
    }

    /// Proofs that say no more than the base says itself.
    pub(crate) fn published_proofs(&self, proofs: &Proofs) -> Result<BTreeSet<Proof>, Error> {
        let cuts = self.pending.cuts()?;
        let mut published = BTreeSet::new();
        for (proof, _) in proofs.iter() {
            let (by_base, by_proof) = (cuts.published(&proof.writer)?, cuts.proven(&proof.writer)?);
            if by_base.is_some() && by_base <= by_proof {
                published.insert(proof);
            }
        }
        Ok(published)
    }

    /// Makes proofs count, by one manifest write.
    fn keep_proofs(&mut self, now: Time, proof: &Proof, proofs: Proofs) -> Result<(), Error> {
        let held = self.pending.tip(&proof.writer)?.map_or(0, |tip| tip.seq);
        let mut fresh = Fresh::new(self.pending.salt);
        self.manifest.evidence = Some(fresh.insert_raw(Kind::Chunk, &proofs.encode())?);
        self.pending.proofs = Arc::new(proofs);
        let base = self.base().clone();
        if self.cut(&proof.writer)?.is_some_and(|cut| cut < held) {
            return self.rebuild_on(now, base, fresh, &[]);
        }
        let nodes = self.write_nodes(&base, fresh, self.manifest.clone())?;
        let manifest = Manifest { packs: nodes.packs(), ..self.manifest.clone() };
        self.write_manifest(now, manifest)?;
        self.take_nodes_of(nodes);
        let closed = self.close_writers();
        self.stop_on_error(closed)?;
        self.tidy_packs(now)
    }

    /// Whoever takes back a suffix of a writer proves that nobody may take it any more. Learnt before the commits that
    /// say so are taken, so that they never lie in the log without it.
    ///
    /// Whether anything was: then the unit has to be checked anew.
    pub(crate) fn learn_taken_back(&mut self, now: Time, incoming: &Incoming) -> Result<bool, Error> {
        let before = self.pending.proofs.clone();
        for first in incoming.commits.iter().filter(|commit| commit.dot().seq == 1) {
            let Some(taken_back) = taken_back(first, incoming) else { continue };
            let evidence = Evidence::TakenBack(taken_back);
            let is_news = |claim: Proof| before.against(&claim.writer).is_none_or(|known| known > claim.seq);
            if evidence.claim().is_some_and(is_news) && evidence.check(self.space).is_ok() {
                self.take_evidence(now, Arc::new(evidence))?;
            }
        }
        Ok(!Arc::ptr_eq(&before, &self.pending.proofs))
    }

    /// The proofs with those that commits of this device are, which take back what an earlier writer of it wrote.
    pub(crate) fn prove_taken_back(&mut self, commits: &[Commit]) -> Result<Proofs, Error> {
        let mut proofs = (*self.pending.proofs).clone();
        for commit in commits {
            let seal = crdt::Seal::sign(
                &self.device,
                self.space,
                commit.dot().writer,
                commit.dot().seq,
                commit.id(),
            );
            let strand = Strand { headers: vec![commit.header().clone()], seal };
            let Some(taken_back) = TakenBack::find(self.device.public(), strand) else { continue };
            let evidence = Evidence::TakenBack(taken_back);
            let proof = evidence.check(self.space)?;
            if let Err(full) = proofs.insert(proof, Arc::new(evidence)) {
                // Nothing else depends on it here: it is in the log, and every peer learns it from the commit itself.
                self.last_error = Some(full.to_string());
            }
        }
        Ok(proofs)
    }
}

/// What a writer's first commit and those behind it in a unit take back.
pub(crate) fn taken_back(first: &Commit, incoming: &Incoming) -> Option<TakenBack> {
    let open = first.header().open.as_ref().filter(|open| open.reissues.is_some())?;
    let writer = first.dot().writer;
    let of_it = || incoming.commits.iter().filter(|commit| commit.dot().writer == writer);
    let vouch = vouch::find(incoming, &writer, &of_it().next_back()?.tip())?;
    let headers = of_it().map(|commit| commit.header().clone()).collect();
    TakenBack::find(open.device_key, vouch.extend(headers))
}

/// The proofs that a manifest names.
pub(crate) fn read_proofs<D: Disk>(
    nodes: &Nodes<D>,
    space: SpaceId,
    hash: Option<Hash>,
) -> Result<Proofs, Error> {
    let Some(hash) = hash else { return Ok(Proofs::new()) };
    let bytes = nodes.raw(&hash)?.ok_or(Error::NotLocal { hash })?;
    Ok(Proofs::decode(space, &bytes)?)
}
