//! Proposals on their way to the peer and back: the owner of the session makes them and decides on them.

use std::collections::VecDeque;

use crdt::Proposal;

use super::Session;
use crate::frame::{Decided, FEATURE_PROPOSALS, Outcome, Propose, Refused};
use crate::{Error, Frame};

/// Proposals of the peer that wait for a decision. An honest one asks for one thing at a time.
const PENDING_MAX: usize = 16;

/// What is asked, what was asked, and what is decided.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    /// Ours, to be sent.
    unsent: VecDeque<Proposal>,
    /// The peer's, for our owner to decide on.
    asked: VecDeque<Proposal>,
    /// Of the peer's, how many have no answer yet.
    unanswered: usize,
    /// Answers to the peer's, to be sent.
    answers: VecDeque<Decided>,
    /// Answers to ours, for our owner.
    decided: VecDeque<Decided>,
}

impl Session {
    /// Asks the peer, which should be the home. The answer comes by [`Session::poll_decided`]; none comes if the
    /// session ends before.
    pub fn propose(&mut self, proposal: Proposal) {
        self.proposals.unsent.push_back(proposal);
    }

    /// The next proposal of the peer, for the owner to decide on. Each is owed one [`Session::answer`].
    pub fn poll_proposal(&mut self) -> Option<Proposal> {
        self.proposals.asked.pop_front()
    }

    /// Answers a proposal of the peer's. It goes out even where the session is closed meanwhile.
    pub fn answer(&mut self, id: [u8; 16], outcome: Outcome) {
        self.proposals.unanswered = self.proposals.unanswered.saturating_sub(1);
        self.proposals.answers.push_back(Decided { id, outcome });
    }

    /// The next answer to a proposal of ours.
    pub fn poll_decided(&mut self) -> Option<([u8; 16], Outcome)> {
        self.proposals.decided.pop_front().map(|decided| (decided.id, decided.outcome))
    }

    pub(super) fn handle_propose(&mut self, propose: Propose) -> Result<(), Error> {
        if self.proposals.unanswered >= PENDING_MAX {
            return Err(Error::Flood { what: "proposals", max: PENDING_MAX });
        }
        self.proposals.unanswered += 1;
        self.proposals.asked.push_back(propose.0);
        Ok(())
    }

    pub(super) fn handle_decided(&mut self, decided: Decided) -> Result<(), Error> {
        if self.proposals.decided.len() >= PENDING_MAX {
            return Err(Error::Flood { what: "results", max: PENDING_MAX });
        }
        self.proposals.decided.push_back(decided);
        Ok(())
    }

    /// An answer that is owed.
    pub(super) fn next_decided(&mut self) -> Option<Frame> {
        self.proposals.answers.pop_front().map(Frame::Result)
    }

    /// A proposal of ours. A peer that does not know what one is has decided.
    pub(super) fn next_proposal(&mut self) -> Option<Frame> {
        let speaks = self.peer.hello.as_ref().is_some_and(|hello| hello.features & FEATURE_PROPOSALS != 0);
        let proposal = self.proposals.unsent.pop_front()?;
        if speaks {
            return Some(Frame::Propose(Propose(proposal)));
        }
        let outcome = Outcome::Refused(Refused::Unsupported);
        self.proposals.decided.push_back(Decided { id: proposal.id, outcome });
        None
    }
}
