//! Who is let in: a device shows its home a ticket, and asks again where nobody answered.

use crdt::Role;
use home::{Admission, Invite};

use super::World;
use crate::faults::Fault;
use crate::machine::{Copy, undisturbed};
use crate::promise::Verdict;

impl World {
    /// The home lets a machine's device in, which shows it a ticket made for it.
    pub(super) fn admit(&mut self, machine: usize, space: usize) -> Result<Admission, home::Error> {
        let secret = self.seed();
        let home = self.spaces[space].home;
        let now = self.machines[home].time(self.now);
        let key = self.machines[machine].key.clone();
        let Copy { home, replica, .. } = self.machines[home].copies.get_mut(&space).expect("it is the home");
        let (home, replica) = (home.as_mut().expect("it runs"), replica.as_mut().expect("it runs"));
        let not_after = now.plus_ms(1_000);
        let invite = Invite { role: Role::Writer, uses: 1, not_after, secret, addresses: Vec::new() };
        let ticket = home.invite(replica, now, invite)?;
        let proof = crdt::proof(&ticket.secret, &replica.space(), &key.public(), b"exported");
        let join = sync::frame::Join { space: replica.space(), device_key: key.public(), proof };
        home.admit_join(replica, now, &join, b"exported")
    }

    /// A device that was out is told that it is in again, and who the home is; whoever has a copy of its folder comes along.
    pub(super) fn welcome(&mut self, machine: usize, space: usize) -> Verdict {
        self.suffer(machine, Fault::Readmit, format!("in s{space}"));
        let device = self.machines[machine].key.id();
        let same = |world: &World, it: &usize| world.machines[*it].key.id() == device;
        for it in (0..self.machines.len()).filter(|it| same(self, it)).collect::<Vec<_>>() {
            let copy = self.machines[it].copies.get_mut(&space).expect("it has the space");
            (copy.leaving, copy.has_left) = (None, false);
            self.show_ring(it, space)?;
        }
        Ok(())
    }

    /// A machine takes up who the home is, as the ticket and its answer say.
    pub(super) fn show_ring(&mut self, machine: usize, space: usize) -> Verdict {
        let ring = self.spaces[space].ring.clone();
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let Some(replica) = copy.replica.as_mut().filter(|replica| !replica.is_stopped()) else {
            return Ok(());
        };
        match replica.follow_ring(now, &ring) {
            Ok(()) => Ok(()),
            Err(error) => self.endure(machine, space, &error),
        }
    }

    /// A home that failed while it let a device in has done so, or not. Whoever had no answer shows its ticket again,
    /// which costs nothing where it is in.
    pub(super) fn answer_stranger(&mut self, home: usize, space: usize) -> Verdict {
        let is_open = self.machines[home].replica(space).is_some();
        if self.spaces[space].home != home || !is_open {
            return Ok(());
        }
        let Some(machine) = self.spaces[space].unanswered.take() else { return Ok(()) };
        if undisturbed(&self.machines[home].disk, || self.is_member(machine, space)) {
            self.welcome(machine, space)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use disk::{Fault as DiskFault, Faults, Operation};

    use super::*;
    use crate::options::Options;
    use crate::weather::Weather;

    const HOME: usize = 0;
    const DEVICE: usize = 1;
    const SPACE: usize = 0;

    fn copy(world: &mut World) -> &mut Copy {
        world.machines[DEVICE].copies.get_mut(&SPACE).expect("it has the space")
    }

    /// A device has asked to be taken out, and is; whether it heard the answer is for the caller to say.
    fn one_that_is_out(is_told: bool) -> World {
        let weather = Some(Weather::of(&[], &[], 1_000));
        let mut world = World::new(1, Options { weather, devices_max: Some(1), ..Options::default() });
        world.play_until(world.now + 5_000).expect("nothing is wrong");
        copy(&mut world).leaving = Some([7; 16]);
        world.dirty.insert((DEVICE, SPACE));
        while world.is_member(DEVICE, SPACE) {
            assert!(world.turn(u64::MAX).expect("nothing is wrong"));
        }
        if !is_told {
            world.links[0].blocked_until = [world.now + 10_000; 2];
            world.leave_all(DEVICE, true);
        }
        world.play_until(world.now + 5_000).expect("nothing is wrong");
        let Copy { leaving, has_left, .. } = copy(&mut world);
        assert_eq!((*has_left, leaving.is_some()), (is_told, !is_told));
        world
    }

    /// Whether it heard that it is out or not: it comes back, though its home's disk failed under the admission.
    #[test]
    fn a_device_that_was_let_in_and_had_no_answer_comes_back() {
        for is_told in [true, false] {
            let mut world = one_that_is_out(is_told);
            // The first flush is that of its ticket.
            let plan = Faults::none().nth(Operation::Flush, 1, DiskFault::Error);
            world.plan(HOME, Fault::FlushError, plan);
            while world.machines[HOME].is_up {
                world.change_members(Fault::Readmit).expect("only its disk is wrong");
            }
            assert!(!world.is_member(DEVICE, SPACE), "its home is down");
            assert_eq!(world.fired.count(Fault::Readmit), 0, "it had no answer");
            world.play_until(world.now + 10_000).expect("its disk is well again");
            assert!(world.is_member(DEVICE, SPACE), "the row of a device is there, though its flush failed");
            assert!(!copy(&mut world).has_left);
            assert_eq!(world.fired.count(Fault::Readmit), 1);
            world.calm().expect("both are equal");
        }
    }
}
