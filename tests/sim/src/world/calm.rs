//! The liveness phase: the faults stop, everyone comes up, and all must become equal.

use std::collections::BTreeSet;

use crdt::DeviceId;
use home::MemoryRegistry;
use sync::Store;

use super::World;
use super::process::End;
use crate::event::What;
use crate::machine::{Copy, Machine};
use crate::promise::{Verdict, damage, liveness};

/// How often it is asked whether all are equal.
const LOOK_EVERY: u64 = 100;

/// Whoever is damaged in a pack has so long to be healed.
const HEAL_MS: u64 = 30_000;

/// And so long more to start again, where its process has just ended.
const START_MS: u64 = 6_000;

impl World {
    /// Calms everything down, and waits for all to be equal.
    pub(super) fn calm(&mut self) -> Verdict {
        self.note(None, What::Calm);
        self.weather.clear();
        self.is_calm = true;
        // Whoever has not left by now stays.
        for copy in self.machines.iter_mut().flat_map(|machine| machine.copies.values_mut()) {
            copy.leaving = None;
        }
        self.come_back();
        self.send_liar_away();
        let registries = self.spaces.iter_mut().flat_map(|space| space.registries.values_mut());
        registries.for_each(MemoryRegistry::heal);
        self.mend_machines()?;
        self.mend_links();
        self.heal_folders()?;
        self.join_again()?;
        self.converge()
    }

    /// Whose base calls the home out, since that came back and was handed the role meanwhile, is shown a ticket by a person.
    fn join_again(&mut self) -> Verdict {
        for space in 0..self.spaces.len() {
            let home = self.spaces[space].home;
            for machine in 0..self.machines.len() {
                if self.is_member(machine, space) && self.is_stranger(home, machine, space) {
                    self.show_ring(machine, space)?;
                }
            }
        }
        Ok(())
    }

    /// Everything that is under way arrives, until all are equal.
    pub(super) fn converge(&mut self) -> Verdict {
        let start = self.now;
        self.spaces.iter_mut().for_each(|space| space.rounds = 0);
        while self.now < start + liveness::CONVERGE_MAX {
            self.play_until(self.now + LOOK_EVERY)?;
            if self.is_converged() {
                self.counts.converged = self.counts.converged.max(self.now - start);
                for (number, space) in self.spaces.iter().enumerate() {
                    self.counts.rounds = self.counts.rounds.max(space.rounds);
                    liveness::check(number, space.rounds)?;
                }
                return self.check_end();
            }
        }
        Err(liveness::too_late(&self.where_is_everyone()))
    }

    /// Everyone has power, space and a disk that works; what is damaged is found out and given up. Clocks stay wrong.
    fn mend_machines(&mut self) -> Verdict {
        for machine in 0..self.machines.len() {
            let it = &mut self.machines[machine];
            let is_dark = it.is_dark();
            it.full_until = None;
            it.disk.set_capacity(None);
            it.asleep_until = self.now;
            it.is_doomed = false;
            let was_stuck = std::mem::take(&mut it.is_stuck);
            if is_dark || was_stuck {
                self.end_process(machine, self.now, End::Kill);
            }
            self.unplan(machine);
            let it = &mut self.machines[machine];
            it.down_until = self.now;
            it.wake_at = None;
            if it.is_rotten {
                self.mend_folder(machine)?;
            }
            for space in self.machines[machine].copies.keys().copied().collect::<Vec<_>>() {
                self.dirty.insert((machine, space));
            }
            self.schedule_wake(machine);
        }
        Ok(())
    }

    /// A folder whose bytes have changed: `verify` says so, or it is as good as any.
    fn mend_folder(&mut self, machine: usize) -> Verdict {
        self.end_process(machine, self.now, End::Kill);
        self.play_until(self.now + 2)?;
        if !self.machines[machine].is_rotten {
            // It did not open, and somebody gave it up.
            return Ok(());
        }
        let it = &self.machines[machine];
        match it.problems(self.now).first() {
            // Somebody may have what is damaged.
            Some(_) if it.is_healable && it.copies.values().all(|copy| copy.replica.is_some()) => {}
            Some(problem) => {
                self.note(machine, What::Stops { reason: format!("verify finds {problem}") });
                self.give_up(machine)?;
            }
            None if self.machines[machine].copies.values().all(|copy| copy.replica.is_none()) => {
                return Err(damage::overlooked(&format!("m{machine}"), "nothing runs there"));
            }
            // Whatever has changed, nothing rests on it.
            None => self.trust(machine),
        }
        Ok(())
    }

    /// Everything there is as it was written, as far as anything rests on it.
    pub(super) fn trust(&mut self, machine: usize) {
        let it = &mut self.machines[machine];
        (it.is_rotten, it.is_healable) = (false, false);
        it.flips.clear();
    }

    /// Whoever is damaged in a pack hears from others what was there. What nobody has is given up with its folder.
    fn heal_folders(&mut self) -> Verdict {
        let end = self.now + HEAL_MS;
        let is_rotten = |world: &World| world.machines.iter().any(|machine| machine.is_rotten);
        // A process that has just ended, as one does to be opened again whole, is judged once it has started.
        let is_starting = |world: &World| {
            let mut copies =
                world.machines.iter().filter(|it| it.is_rotten).flat_map(|it| it.copies.values());
            copies.any(|copy| copy.replica.is_none()) && world.now < end + START_MS
        };
        while (self.now < end || is_starting(self)) && is_rotten(self) {
            self.play_until(self.now + LOOK_EVERY)?;
            for machine in 0..self.machines.len() {
                let it = &self.machines[machine];
                let is_whole = |copy: &Copy| copy.replica.as_ref().is_some_and(|it| !it.is_damaged());
                if it.is_rotten && it.copies.values().all(is_whole) && it.problems(self.now).is_empty() {
                    self.trust(machine);
                }
            }
        }
        for machine in 0..self.machines.len() {
            if self.machines[machine].is_rotten {
                self.check_not_healable(machine)?;
                self.note(machine, What::Stops { reason: "nobody has what is damaged".into() });
                self.give_up(machine)?;
            }
        }
        Ok(())
    }

    /// What is given up could not be healed: nobody talks to it any more, or nobody that it talks with is whole and has what
    /// is lost.
    fn check_not_healable(&self, machine: usize) -> Verdict {
        let it = &self.machines[machine];
        let mut is_excused = !it.is_healable;
        let mut why = String::new();
        for (number, copy) in &it.copies {
            let Some(replica) = copy.replica.as_ref() else { continue };
            let lost = replica.lost(&BTreeSet::new(), usize::MAX);
            let links =
                self.links.iter().filter(|link| link.space == *number && link.ends.contains(&machine));
            let is_heard = |other: &usize| *other != machine && self.is_member(*other, *number);
            let others = links.flat_map(|link| link.ends).filter(is_heard);
            let whole: Vec<&Machine> =
                others.map(|other| &self.machines[other]).filter(|it| !it.is_rotten).collect();
            let has = |(kind, hash): &sync::NodeId| {
                let mut replicas = whole.iter().filter_map(|it| it.replica(*number));
                replicas.any(|replica| replica.node(*kind, hash).is_some())
            };
            // In the end nobody talks to a device that is out.
            is_excused |=
                !self.is_member(machine, *number) || replica.inbox().is_err() || !lost.iter().all(has);
            why += &format!("{} lost in s{number}, ", lost.len());
        }
        match is_excused {
            true => Ok(()),
            false => Err(damage::unhealed(&format!("m{machine}"), &why)),
        }
    }

    /// The machines that a device calls, as its ring has it: the home and the one before, of which it may not know yet that
    /// they are so no more.
    pub(super) fn homes_known_to(&self, machine: usize, space: usize) -> Vec<usize> {
        let Some(replica) = self.machines[machine].replica(space) else { return Vec::new() };
        let ring = replica.ring();
        let former = ring.records().last().map(|record| ring.key_for(record.from_version - 1));
        let keys = [Some(ring.key_for(u64::MAX)), former].into_iter().flatten();
        let homes: BTreeSet<DeviceId> = keys.map(|key| DeviceId::of(&key)).collect();
        let is_one = |other: &usize| {
            let it = &self.machines[*other];
            *other != machine && homes.contains(&it.key.id()) && it.copies.contains_key(&space)
        };
        (0..self.machines.len()).filter(is_one).collect()
    }

    /// Every way is free; what only its end cures ends, as the transport's own patience would have it.
    fn mend_links(&mut self) {
        self.link_members();
        let broken = |connection: &crate::link::Connection| {
            connection.is_broken
                || connection.is_silent
                || connection.pipes.iter().any(crate::pipe::Pipe::is_dead)
        };
        // From now on nobody talks to whoever is known to be out.
        let over = |connection: &crate::link::Connection| {
            let [from, to] = connection.ends;
            broken(connection)
                || self.is_stranger(from, to, connection.space)
                || self.is_stranger(to, from, connection.space)
        };
        let ids: Vec<u64> =
            self.connections.iter().filter(|(_, connection)| over(connection)).map(|(id, _)| *id).collect();
        for id in ids {
            self.cut(id, "the faults are over");
        }
        for connection in self.connections.values_mut() {
            connection.reads_at = [0; 2];
            connection.profile = crate::link::LAN;
            connection.awaited = [None; 2];
            connection.pipes.iter_mut().for_each(|pipe| pipe.clear(self.now));
        }
        for id in self.connections.keys().copied().collect::<Vec<_>>() {
            self.await_arrival(id, 0);
            self.await_arrival(id, 1);
        }
        for link in 0..self.links.len() {
            let it = &mut self.links[link];
            it.blocked_until = [0; 2];
            it.profile = crate::link::LAN;
            it.dial_at = self.now;
            self.agenda.add(self.now, crate::agenda::Due::Dial(link));
        }
    }

    fn is_converged(&self) -> bool {
        self.spaces.iter().enumerate().all(|(number, space)| {
            let Some(home) = self.machines[space.home].replica(number) else { return false };
            // What only the home wrote shows in no tail, and is yet to reach the others.
            if home.backlog().commits > 0 {
                return false;
            }
            (0..self.machines.len()).filter(|machine| self.is_member(*machine, number)).all(|machine| {
                self.machines[machine]
                    .replica(number)
                    .is_some_and(|replica| replica.base() == home.base() && replica.tail().is_empty())
            })
        })
    }

    fn where_is_everyone(&self) -> String {
        let mut lines = Vec::new();
        for (index, machine) in self.machines.iter().enumerate() {
            for (space, copy) in &machine.copies {
                let text = match &copy.replica {
                    None => format!("m{index}/s{space} down"),
                    Some(replica) => {
                        let (version, tail) = (replica.base().version, replica.tail().len());
                        let ring = replica.ring().n();
                        let role = copy.home.as_ref().filter(|_| self.spaces[*space].home == index);
                        let role = role.map_or(String::new(), |home| {
                            let ear =
                                if home.is_unheard() { "nobody was heard" } else { "somebody was heard" };
                            format!(", the home: {}, {ear}", home.duty())
                        });
                        format!(
                            "m{index}/s{space} at version {version} with ring {ring} and a tail of {tail} writers{role}"
                        )
                    }
                };
                lines.push(text);
            }
        }
        for connection in self.connections.values() {
            for (end, machine) in connection.ends.into_iter().enumerate() {
                let Some(replica) = self.machines[machine].replica(connection.space) else { continue };
                let status = connection.sessions[end].status(replica);
                let peer = connection.ends[1 - end];
                lines.push(format!(
                    "m{machine} with m{peer} about s{} in {:?}: {} lag, {:?} nacks",
                    connection.space, status.state, status.lag_commits, status.nacks
                ));
            }
        }
        lines.join(", ")
    }
}
