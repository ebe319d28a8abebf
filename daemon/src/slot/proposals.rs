//! Proposals: what this device asks the home, and, at the home, what devices ask.

use std::collections::BTreeMap;

use crdt::{DeviceId, Proposal, Time};
use disk::Disk;
use home::Decision;
use sync::frame::{Outcome, Refused};
use tokio::sync::oneshot;

use super::{Error, Owner, SessionId};

/// What is asked and not answered yet.
#[derive(Default)]
pub(super) struct Proposals {
    /// Here, by whom each answer is waited for.
    waiting: BTreeMap<[u8; 16], oneshot::Sender<Outcome>>,
    /// At the home: carried out, and answered once a Handle of this version is made.
    undecided: Vec<(SessionId, [u8; 16], u64)>,
}

impl<D: Disk> Owner<D> {
    /// Asks the home. Nothing comes through the channel, which closes, where the session ends before the answer.
    pub fn propose(
        &mut self,
        home: DeviceId,
        proposal: Proposal,
    ) -> Result<oneshot::Receiver<Outcome>, Error> {
        let session = self.sessions.with(home).ok_or(Error::HomeAway)?;
        let (answer, answered) = oneshot::channel();
        let id = proposal.id;
        session.propose(proposal);
        self.proposals.waiting.insert(id, answer);
        Ok(answered)
    }

    /// Decides on what was asked, and passes on what was answered.
    pub(super) fn keep_proposals(&mut self, now: Time) {
        for (id, proposal) in self.sessions.proposals() {
            let Some((session, peer)) = self.sessions.by_id(id) else { continue };
            let decision = match self.live.as_mut().map(|live| (&mut live.replica, live.home.as_mut())) {
                Some((replica, Some(home))) => home.decide(replica, now, &peer, &proposal),
                _ => Ok(Decision::Answered(Outcome::Refused(Refused::NotHome))),
            };
            match decision {
                Ok(Decision::Answered(outcome)) => session.answer(proposal.id, outcome),
                Ok(Decision::Decided(version)) => {
                    self.proposals.undecided.push((id, proposal.id, version));
                }
                Err(error) => {
                    tracing::warn!(%peer, %error, "a proposal could not be decided");
                    session.answer(proposal.id, Outcome::Retry);
                    self.suspect();
                }
            }
        }
        for (id, outcome) in self.sessions.decided() {
            if let Some(answer) = self.proposals.waiting.remove(&id) {
                // A caller that timed out does not want to know.
                answer.send(outcome).unwrap_or_default();
            }
        }
    }

    /// Answers what a Handle covers by now.
    pub(super) fn answer_proposals(&mut self) {
        self.proposals.waiting.retain(|_, answer| !answer.is_closed());
        let Some(live) = &self.live else { return };
        let version = live.replica.base().version;
        for (session, id, decided) in std::mem::take(&mut self.proposals.undecided) {
            match self.sessions.by_id(session) {
                Some((session, _)) if decided <= version => session.answer(id, Outcome::Committed(decided)),
                Some(_) => self.proposals.undecided.push((session, id, decided)),
                // Whoever asked is gone, and asks again.
                None => {}
            }
        }
    }

    /// The sessions are gone, and with them every answer that was under way.
    pub(super) fn forget_proposals(&mut self) {
        self.proposals = Proposals::default();
    }
}
