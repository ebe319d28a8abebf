//! Writers that are two: the search for the first commit that differs, and the proof that both sides hold in the end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crdt::{Evidence, Proof, Time, WriterId};

use super::Session;
use crate::frame::{ForkFrame, NackCode, Shown};
use crate::{Error, Frame, Refusal, Store};

/// Writers searched at once. Those beyond are found again when the first are done and tips are compared anew.
const DISPUTES_MAX: usize = 1024;

/// Questions of the peer that wait for an answer. An honest peer has one for each writer it searches.
const ASKED_MAX: usize = 2 * DISPUTES_MAX;

/// Questions of the peer that are answered from the archive: a search of one writer takes some twenty.
const ANSWERS_BACK_MAX: u32 = 256;

/// Looks into the archive for the sake of one peer's claims: each may read all of it.
const LOOKS_BACK_MAX: u32 = 16;

/// What two sides that differ about writers say to each other.
#[derive(Debug, Default)]
pub(super) struct Forks {
    disputes: BTreeMap<WriterId, Dispute>,
    asked: VecDeque<(WriterId, u64)>,
    /// The lowest commit of each writer against which the peer is known to have proof.
    told: BTreeMap<WriterId, u64>,
    looks_back: u32,
    answers_back: u32,
    /// What the store was like when it was looked at last: its drops and its base.
    looked_at: Option<(u64, u64)>,
}

impl Forks {
    /// Whether histories are being searched. What a peer holds must not change meanwhile, so it is offered no Handle that
    /// may drop one of them.
    pub(super) fn is_searching(&self) -> bool {
        !self.disputes.is_empty()
    }

    /// Whether the archive may be asked once more.
    pub(super) fn may_look_back(&mut self) -> bool {
        self.looks_back += 1;
        self.looks_back <= LOOKS_BACK_MAX
    }
}

/// A search for the first commit of a writer that the two sides hold differently.
#[derive(Debug)]
struct Dispute {
    /// Up to here the histories are one, or one of them is not known any more.
    same: u64,
    /// Here they differ.
    differs: u64,
    is_asked: bool,
    /// The proof at `differs`, once the headers there were seen.
    found: Option<crdt::Fork>,
}

impl Dispute {
    /// Where to look next: half way, and in the end at the first that differs.
    fn middle(&self) -> u64 {
        self.same + (self.differs - self.same).div_ceil(2)
    }

    /// Takes in what the two sides show from the same commit on. Whether the search is over.
    fn narrow(&mut self, at: u64, theirs: Option<&Shown>, ours: Option<&Shown>) -> bool {
        let (Some(theirs), Some(ours)) = (theirs, ours) else {
            // What one side does not know any more, a base covers: nothing can be proven there.
            self.same = at;
            return self.is_over();
        };
        match crdt::Fork::find(ours.public, &theirs.strand, &ours.strand) {
            Some(fork) => {
                self.differs = fork.one.first();
                self.found = Some(fork);
                // Found behind a commit that is the same, it is the first that differs.
                self.same = if self.differs > at { self.differs - 1 } else { self.same };
            }
            None => self.same = theirs.strand.seal.seq.min(ours.strand.seal.seq).max(at),
        }
        self.is_over()
    }

    fn is_over(&self) -> bool {
        let is_first = self.differs == self.same + 1 && self.found.is_some();
        is_first || self.same >= self.differs
    }
}

impl Session {
    /// The two sides hold different commits of a writer at `seq`. Nothing of it is sent until that is settled.
    ///
    /// Whether there is something to settle: not where it is proven already, since the proof is on its way.
    pub(super) fn dispute(&mut self, store: &impl Store, writer: WriterId, seq: u64) -> bool {
        if seq == 0 || self.is_proven(store, &writer, seq) {
            return false;
        }
        self.sender.hold(writer);
        if !self.peer.speaks_of_forks() {
            return false;
        }
        if let Some(dispute) = self.forks.disputes.get_mut(&writer) {
            if seq < dispute.differs {
                *dispute = Dispute { same: dispute.same.min(seq - 1), differs: seq, ..Dispute::at(seq) };
            }
        } else if self.forks.disputes.len() < DISPUTES_MAX {
            // What one base of both covers is one history.
            let is_equal = self.peer.base == store.handle().version;
            let same = if is_equal { store.anchored(&writer).min(seq - 1) } else { 0 };
            self.forks.disputes.insert(writer, Dispute { same, ..Dispute::at(seq) });
        }
        true
    }

    fn is_proven(&self, store: &impl Store, writer: &WriterId, seq: u64) -> bool {
        store.evidence().against(writer).is_some_and(|proven| proven <= seq)
    }

    /// After something was dropped here, what was said and heard of what is held is void: everything is said again. And
    /// what the peer would not take may be something that it takes now, or that nobody offers it any more.
    pub(super) fn notice_drops(&mut self, store: &impl Store) {
        let now = (store.drops(), store.handle().version);
        let Some(before) = self.forks.looked_at.replace(now) else { return };
        if before == now {
            return;
        }
        self.sender.lift_refusals();
        if before.0 != now.0 {
            self.forks.disputes.clear();
            self.receiver.forget_owed();
            self.greeting.open_again();
        }
        let disputes = &self.forks.disputes;
        self.sender.release(|writer| !disputes.contains_key(writer));
    }

    /// Proofs first, since answers and tails rest on them; then answers, then questions.
    pub(super) fn next_fork(&mut self, store: &impl Store) -> Option<Frame> {
        if !self.peer.speaks_of_forks() {
            return None;
        }
        let frame = self
            .next_proof(store)
            .or_else(|| self.next_answer(store))
            .or_else(|| self.forks.disputes.iter_mut().find_map(|(writer, dispute)| dispute.ask(*writer)));
        frame.map(Frame::Fork)
    }

    /// Everything proven here, once. A peer with an older base adopts first, as it may not know the device yet; but what it
    /// listed itself it is told before a Handle takes the place of it.
    fn next_proof(&mut self, store: &impl Store) -> Option<ForkFrame> {
        let is_aligned = self.peer.base >= store.handle().version;
        let is_due = |proof: &Proof| {
            let is_told = self.forks.told.get(&proof.writer).is_some_and(|told| *told <= proof.seq);
            !is_told && (is_aligned || self.peer.has().contains_key(&proof.writer))
        };
        let (proof, evidence) = store.evidence().iter().find(|(proof, _)| is_due(proof))?;
        self.forks.told.insert(proof.writer, proof.seq);
        Some(ForkFrame::Proof(evidence.clone()))
    }

    fn next_answer(&mut self, store: &impl Store) -> Option<ForkFrame> {
        let (writer, seq) = self.forks.asked.pop_front()?;
        self.forks.answers_back += u32::from(seq <= store.anchored(&writer));
        let may_answer = self.forks.answers_back <= ANSWERS_BACK_MAX;
        let shown = if may_answer { store.strand(&writer, seq) } else { None };
        Some(ForkFrame::Shown { writer, seq, shown: shown.map(Box::new) })
    }

    pub(super) fn handle_fork(
        &mut self,
        now: Time,
        frame: ForkFrame,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        match frame {
            ForkFrame::Ask { writer, seq } => self.handle_ask(writer, seq),
            ForkFrame::Shown { writer, seq, shown } => {
                self.handle_shown(now, (writer, seq), shown.as_deref(), store)
            }
            ForkFrame::Proof(evidence) => self.handle_proof(now, &evidence, store),
        }
    }

    fn handle_ask(&mut self, writer: WriterId, seq: u64) -> Result<(), Error> {
        if self.forks.asked.len() >= ASKED_MAX {
            return Err(Error::Flood { what: "questions about writers", max: ASKED_MAX });
        }
        self.forks.asked.push_back((writer, seq));
        Ok(())
    }

    /// An answer. One that was not asked for, or not any more, says nothing.
    fn handle_shown(
        &mut self,
        now: Time,
        (writer, seq): (WriterId, u64),
        shown: Option<&Shown>,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let Some(dispute) = self.forks.disputes.get_mut(&writer) else { return Ok(()) };
        if !std::mem::take(&mut dispute.is_asked) || dispute.middle() != seq {
            return Ok(());
        }
        let is_of_it = |shown: &&Shown| shown.strand.writer() == writer && shown.strand.first() == seq;
        let theirs = shown.filter(is_of_it);
        let ours = store.strand(&writer, seq);
        if !dispute.narrow(seq, theirs, ours.as_ref()) {
            return Ok(());
        }
        let found = dispute.found.take();
        self.settle(now, writer, found, store)
    }

    /// The end of a search: a proof that both sides act upon, or none, and then the peer keeps its history to itself.
    fn settle(
        &mut self,
        now: Time,
        writer: WriterId,
        found: Option<crdt::Fork>,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let dispute = self.forks.disputes.remove(&writer);
        match found.map(Evidence::Fork) {
            // What the peer showed may be anything, but then it is the peer that shows wrong headers.
            Some(evidence) => {
                store.accept_evidence(now, Arc::new(evidence))?;
                self.release_proven(store, &writer);
            }
            None => {
                let seq = dispute.map_or(1, |dispute| dispute.differs);
                let detail = "two histories, and neither side can show where they part".to_owned();
                self.refuse_commit(Refusal { writer, seq, code: NackCode::Fork, detail })?;
            }
        }
        Ok(())
    }

    fn handle_proof(
        &mut self,
        now: Time,
        evidence: &Arc<Evidence>,
        store: &mut impl Store,
    ) -> Result<(), Error> {
        let claim = evidence.claim();
        store.accept_evidence(now, evidence.clone())?;
        let Some(proof) = claim.filter(|claim| self.is_proven(store, &claim.writer, claim.seq)) else {
            return Ok(());
        };
        let told = self.forks.told.entry(proof.writer).or_insert(proof.seq);
        *told = proof.seq.min(*told);
        let is_settled = |dispute: &Dispute| dispute.differs >= proof.seq;
        if self.forks.disputes.get(&proof.writer).is_some_and(is_settled) {
            self.forks.disputes.remove(&proof.writer);
        }
        self.release_proven(store, &proof.writer);
        Ok(())
    }

    /// What is left of a writer that something is proven against may go again.
    fn release_proven(&mut self, store: &impl Store, writer: &WriterId) {
        let is_settled =
            !self.forks.disputes.contains_key(writer) && store.evidence().against(writer).is_some();
        self.sender.release(|held| is_settled && held == writer);
    }
}

impl Dispute {
    fn at(seq: u64) -> Dispute {
        Dispute { same: 0, differs: seq, is_asked: false, found: None }
    }

    fn ask(&mut self, writer: WriterId) -> Option<ForkFrame> {
        if std::mem::replace(&mut self.is_asked, true) {
            return None;
        }
        Some(ForkFrame::Ask { writer, seq: self.middle() })
    }
}
