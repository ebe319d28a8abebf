//! Who is in a space: taken out, let in again, leaving by its own wish, and where the home is.

use crdt::{DeviceId, Op, Proposal, Wish, system};
use home::{Admission, Decision, Duty, Error, Members};
use replica::Grant;
use sync::frame::Outcome;
use sync::{ByeCode, Store};

use super::World;
use crate::faults::Fault;
use crate::machine::{Copy, chain};
use crate::promise::{Verdict, loss};
use crate::weather::Feature;

impl World {
    /// Whether the home counts a machine's device among its members, as far as that is known.
    pub(super) fn is_member(&self, machine: usize, space: usize) -> bool {
        let it = &self.machines[machine];
        if !it.copies.contains_key(&space) {
            return false;
        }
        let home = self.machines[self.spaces[space].home].replica(space);
        home.is_some_and(|home| home::grant(home, &it.key.id()).is_ok_and(|grant| grant.is_some()))
    }

    /// The home takes a device out, or lets one in again.
    pub(super) fn change_members(&mut self, fault: Fault) -> Verdict {
        let space = self.random.below(self.spaces.len() as u64) as usize;
        let machine = self.any_machine();
        let home = self.spaces[space].home;
        // A copy of the home has its key: nobody takes the home out.
        let is_home = self.machines[machine].key.id() == self.machines[home].key.id();
        if is_home || self.is_liar(machine) || !self.is_on_duty(home, space) {
            return Ok(());
        }
        let is_member = self.is_member(machine, space);
        if is_member != (fault == Fault::Revoke) {
            return Ok(());
        }
        let done = if is_member {
            self.spaces[space].book.removed.insert(self.machines[machine].key.id());
            self.revoke(machine, space)
        } else {
            self.admit(machine, space).map(|admission| admission == Admission::Admitted)
        };
        match done {
            Ok(true) if is_member => self.suffer(machine, fault, format!("in s{space}")),
            Ok(true) => self.welcome(machine, space)?,
            Ok(false) => {}
            Err(error) => {
                if !is_member {
                    self.spaces[space].unanswered = Some(machine);
                }
                self.fail(home, &chain(&error))?;
            }
        }
        self.dirty.insert((home, space));
        self.settle()
    }

    /// Whoever lies stays a member, so that somebody listens.
    fn is_liar(&self, machine: usize) -> bool {
        self.lying.as_ref().is_some_and(|lying| lying.machine == machine)
    }

    fn revoke(&mut self, machine: usize, space: usize) -> Result<bool, Error> {
        let device = self.machines[machine].key.id();
        let home = self.spaces[space].home;
        let it = &mut self.machines[home];
        let now = it.time(self.now);
        let Copy { home, replica, .. } = it.copies.get_mut(&space).expect("it is the home");
        let (home, replica) = (home.as_mut().expect("it runs"), replica.as_mut().expect("it runs"));
        home.revoke(replica, now, &device).map(|_| true)
    }

    fn is_on_duty(&self, machine: usize, space: usize) -> bool {
        let it = &self.machines[machine];
        let copy = &it.copies[&space];
        let is_awake = it.is_up && it.asleep_until <= self.now && !it.is_dark();
        let is_well = copy.replica.as_ref().is_some_and(|replica| !replica.is_stopped());
        is_awake && is_well && copy.home.as_ref().is_some_and(home::Home::is_on_duty)
    }

    /// A machine that is to leave: it writes nothing more, waits for what it wrote to be anchored, and asks.
    pub(super) fn begin_leaving(&mut self) {
        let Some(machine) = self.any_device().filter(|machine| !self.is_liar(*machine)) else { return };
        let space = self.random.below(self.spaces.len() as u64) as usize;
        let id = self.seed()[..16].try_into().expect("sixteen of 32 bytes");
        let is_member = self.is_member(machine, space);
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        if is_member && !copy.has_left {
            copy.leaving.get_or_insert(id);
            self.dirty.insert((machine, space));
        }
    }

    /// Asks the home to be taken out, once nothing is left behind; under one id, so that it is done once.
    pub(super) fn ask_to_leave(&mut self, machine: usize, space: usize) {
        let home = self.spaces[space].home;
        let it = &mut self.machines[machine];
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let (Some(id), Some(replica)) = (copy.leaving, copy.replica.as_ref()) else { return };
        let device = it.key.id();
        let is_anchored = replica.tail().iter().all(|(writer, ..)| writer.device() != device);
        if !is_anchored || !replica.is_flushed() || !copy.pending.is_empty() {
            return;
        }
        let mut connections = self.connections.iter_mut();
        let talks = connections.find_map(|(number, connection)| {
            let end = connection.end_of(machine).filter(|end| connection.is_open[*end])?;
            let leads_home = connection.space == space && connection.ends[1 - end] == home;
            leads_home.then_some((*number, &mut connection.sessions[end]))
        });
        let Some((number, session)) = talks else { return };
        let asked = (number, replica.base().version);
        if copy.asked.replace(asked) == Some(asked) {
            return;
        }
        let proposal = Proposal {
            id,
            space: replica.space(),
            base: replica.base().version,
            deps: Vec::new(),
            reads: Vec::new(),
            writes: vec![Wish { coll: system::acl(), key: Grant::key(&device), op: Op::Delete }],
            signature: [0; 64],
        };
        session.propose(proposal.sign(&it.key));
    }

    /// What has come over a connection that is for the owner of a session, not for the replica.
    pub(super) fn hear(&mut self, id: u64, end: usize) -> Verdict {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        let (machine, peer, space) = (connection.ends[end], connection.ends[1 - end], connection.space);
        let session = &mut connection.sessions[end];
        let heard = session.poll_heard();
        let asked: Vec<Proposal> = std::iter::from_fn(|| session.poll_proposal()).collect();
        let decided: Vec<_> = std::iter::from_fn(|| session.poll_decided()).collect();
        let from = self.machines[peer].key.id();
        let now = self.machines[machine].time(self.now);
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        if let (Some(home), Some(replica), Some(handle)) = (&mut copy.home, &copy.replica, heard) {
            home.hear(replica, &from, &handle);
        }
        let has_asked = !asked.is_empty();
        for proposal in asked {
            let (Some(home), Some(replica)) = (&mut copy.home, &mut copy.replica) else { break };
            if home.is_on_duty() {
                // Whatever becomes of the answer.
                self.spaces[space].book.removed.insert(from);
            }
            match home.decide(replica, now, &from, &proposal) {
                Ok(Decision::Answered(outcome)) => session.answer(proposal.id, outcome),
                Ok(Decision::Decided(version)) => copy.owed.push((id, proposal.id, version)),
                Err(error) => return self.fail(machine, &chain(&error)),
            }
        }
        if self.is_calm && has_asked {
            // It was on its way: whoever reached the home through that one needs another way.
            self.link_members();
        }
        for (proposal, outcome) in decided {
            self.take_answer(machine, space, proposal, &outcome)?;
        }
        Ok(())
    }

    fn take_answer(&mut self, machine: usize, space: usize, id: [u8; 16], outcome: &Outcome) -> Verdict {
        let name = self.name(machine, space);
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        if copy.leaving != Some(id) {
            return Ok(());
        }
        match outcome {
            Outcome::Committed(_) => {
                (copy.leaving, copy.has_left) = (None, true);
                self.suffer(machine, Fault::Leave, format!("in s{space}"));
                let home = self.machines[self.spaces[space].home].replica(space);
                let replica = self.machines[machine].replica(space);
                if let (Some(home), Some(replica)) = (home, replica) {
                    let book = &self.spaces[space].book;
                    loss::of_leaver(&name, machine, book, replica, |writer| home.anchored(writer))?;
                }
            }
            Outcome::Refused(_) => copy.leaving = None,
            Outcome::Retry | Outcome::Rejected(_) => {}
        }
        Ok(())
    }

    /// What a machine does about the role beside making Handles: takes it up or lays it down, hands it on, answers.
    pub(super) fn see_to_role(&mut self, machine: usize, space: usize) -> Verdict {
        self.review(machine, space)?;
        self.answer(machine, space);
        if self.spaces[space].home == machine {
            self.hand_over(machine, space)?;
        }
        Ok(())
    }

    fn review(&mut self, machine: usize, space: usize) -> Verdict {
        self.note_home(machine, space);
        let others = self.machines.iter().enumerate().filter(|(other, _)| *other != machine);
        let newest =
            others.filter_map(|(_, other)| other.copies.get(&space)).map(Copy::version_at_most).max();
        let is_home = self.spaces[space].home == machine;
        let liar_is_gone = self.is_calm && self.weather.with(Feature::Liar);
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let (Some(home), Some(replica)) = (copy.home.as_mut(), copy.replica.as_mut()) else { return Ok(()) };
        if replica.is_stopped() {
            return Ok(());
        }
        let as_of = (replica.base().version, replica.ring().n());
        if copy.seated != as_of {
            match home.review(replica, now, self.spaces[space].registry(machine)) {
                Ok(()) => copy.seated = as_of,
                // The next one asks again.
                Err(Error::Unavailable | Error::InDoubt { .. }) => {}
                Err(error) => return self.endure(machine, space, &error),
            }
        }
        // Its folder was moved before the role came to it. Somebody who knows that nobody has more lets it act.
        // And who lied is gone and says nothing any more: where the others have lost everything, it is known not to be ahead.
        let members =
            if liar_is_gone && home.is_unheard() { Members::AreNotAhead } else { Members::MayBeAhead };
        let is_due = home.duty() == Duty::Copied || (home.is_on_duty() && members == Members::AreNotAhead);
        let version = replica.base().version;
        if is_home && is_due && newest <= Some(version) {
            let claimed = home.claim(replica, now, members);
            // Also where it failed, and is so all the same.
            self.forget_after(space, version);
            match claimed {
                Ok(()) => self.leave_space(machine, space),
                // Whoever asked is told, and asks again once it is healed.
                Err(error) => return self.endure(machine, space, &error),
            }
        }
        Ok(())
    }

    /// Ends all talk of a machine about a space, which is taken up again.
    fn leave_space(&mut self, machine: usize, space: usize) {
        let here = |(id, connection): (&u64, &crate::link::Connection)| {
            (connection.space == space && connection.end_of(machine).is_some()).then_some(*id)
        };
        for id in self.connections.iter().filter_map(here).collect::<Vec<_>>() {
            self.cut(id, "the home was claimed");
        }
    }

    /// Answers what a Handle covers by now.
    fn answer(&mut self, machine: usize, space: usize) {
        let copy = self.machines[machine].copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_ref().filter(|_| !copy.owed.is_empty()) else { return };
        let base = replica.base().version;
        let (covered, owed) = copy.owed.iter().partition(|(_, _, version)| *version <= base);
        copy.owed = owed;
        let covered: Vec<(u64, [u8; 16], u64)> = covered;
        for (connection, id, version) in covered {
            let Some(connection) = self.connections.get_mut(&connection) else { continue };
            let Some(end) = connection.end_of(machine) else { continue };
            connection.sessions[end].answer(id, Outcome::Committed(version));
        }
    }

    /// A machine that is to be the home of some space.
    pub(super) fn choose_successor(&mut self) {
        let space = self.random.below(self.spaces.len() as u64) as usize;
        let machine = self.any_machine();
        if machine != self.spaces[space].home && !self.is_liar(machine) && self.is_member(machine, space) {
            self.spaces[space].successor = Some(machine);
        }
    }

    /// Hands the role to whoever was chosen, once that one holds the newest version and nothing else is to be covered.
    fn hand_over(&mut self, machine: usize, space: usize) -> Verdict {
        let Some(to) = self.spaces[space].successor else { return Ok(()) };
        let target = &self.machines[to];
        let leaves = |copy: &Copy| copy.leaving.is_some() || copy.has_left;
        // Two machines with one key: only a person can tell which of them acts.
        let is_double = self.machines.iter().filter(|it| it.key.id() == target.key.id()).count() > 1;
        if to == machine || target.is_rotten || is_double || self.is_calm || leaves(&target.copies[&space]) {
            self.spaces[space].successor = None;
            return Ok(());
        }
        let base = target.replica(space).filter(|_| !target.is_dark()).map(|replica| replica.base().clone());
        let device = target.key.id();
        if !self.is_on_duty(machine, space) {
            return Ok(());
        }
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let Copy { home, replica, .. } = it.copies.get_mut(&space).expect("it is the home");
        let (home, replica) =
            (home.as_mut().expect("it is on duty"), replica.as_mut().expect("it is on duty"));
        if base.as_ref() != Some(replica.base()) {
            return Ok(());
        }
        match home.hand_over(replica, now, &device) {
            Ok(()) => self.note_home(machine, space),
            Err(Error::Uncovered { .. }) => home.wait(now),
            Err(
                Error::NotMember { .. }
                | Error::NotWriter { .. }
                | Error::NotTakenUp { .. }
                | Error::RingFull,
            ) => {
                self.spaces[space].successor = None;
            }
            Err(error) => return self.fail(machine, &chain(&error)),
        }
        Ok(())
    }

    /// The ring of a machine says where the home is: what was handed over may be so though the disk has failed under it.
    fn note_home(&mut self, machine: usize, space: usize) {
        let Some(replica) = self.machines[machine].replica(space) else { return };
        if replica.ring().records().len() <= self.spaces[space].ring.len() {
            return;
        }
        let id = DeviceId::of(&replica.ring().key_for(u64::MAX));
        let to =
            self.machines.iter().position(|it| it.key.id() == id).expect("it went to one of the machines");
        let ring = replica.ring().records().to_vec();
        // A copy of either from before knows less than the ring says.
        (self.machines[machine].backup, self.machines[to].backup) = (None, None);
        let it = &mut self.spaces[space];
        (it.home, it.successor, it.ring) = (to, None, ring);
        self.suffer(machine, Fault::Handover, format!("of s{space} to m{to}"));
        self.link([to, machine]);
        if self.random.coin() {
            self.link_members();
        }
        self.dirty.insert((machine, space));
    }

    /// Everyone knows where the home is, wherever it went, and who may not talk to the others needs no one between.
    pub(super) fn link_members(&mut self) {
        for space in 0..self.spaces.len() {
            let home = self.spaces[space].home;
            let it = &self.spaces[space];
            let has_changed = !it.ring.is_empty() || !it.book.removed.is_empty() || it.was_restored;
            for machine in (0..self.machines.len()).filter(|machine| has_changed && *machine != home) {
                if !self.machines[machine].copies.contains_key(&space) {
                    continue;
                }
                self.link([machine, home]);
                for known in self.homes_known_to(machine, space) {
                    self.link([machine, known]);
                }
            }
        }
    }

    /// Whether one of two does not talk to the other about a space: it knows the other not to be a member, or has left.
    ///
    /// While the faults last a daemon of before is among them now and then, which asks nobody: the rules hold without.
    pub(super) fn is_refused(&mut self, ends: [usize; 2], space: usize) -> bool {
        if self.spaces[space].book.removed.is_empty() {
            return false;
        }
        if ends.iter().any(|end| self.machines[*end].copies[&space].has_left) {
            return true;
        }
        let is_refused =
            self.is_stranger(ends[0], ends[1], space) || self.is_stranger(ends[1], ends[0], space);
        is_refused && (self.is_calm || self.random.coin())
    }

    /// Whether a base calls a peer out that is not the home.
    pub(super) fn is_stranger(&self, peer: usize, to: usize, space: usize) -> bool {
        let peer = self.machines[peer].key.id();
        let replica = self.machines[to].replica(space).filter(|replica| replica.base().version > 0);
        replica.is_some_and(|replica| {
            let is_home = peer == DeviceId::of(&replica.ring().key_for(u64::MAX));
            !is_home && home::grant(replica, &peer).is_ok_and(|grant| grant.is_none())
        })
    }

    /// A base that was just adopted says that a peer is out: it is told so.
    pub(super) fn turn_out(&mut self, machine: usize, space: usize) {
        let here = |(id, connection): (&u64, &crate::link::Connection)| {
            let end = connection.end_of(machine).filter(|end| connection.is_open[*end])?;
            (connection.space == space).then_some((*id, end, connection.ends[1 - end]))
        };
        for (id, end, peer) in self.connections.iter().filter_map(here).collect::<Vec<_>>() {
            if self.is_stranger(peer, machine, space) && (self.is_calm || self.random.coin()) {
                let connection = self.connections.get_mut(&id).expect("it was there a moment ago");
                connection.sessions[end].close(ByeCode::Revoked, 0);
                self.dirty.insert((machine, space));
            }
        }
    }
}
