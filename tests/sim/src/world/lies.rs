//! A member that lies in an ordinary world: one machine whose replica and sessions are true, and whose words are bent.
//!
//! When the faults stop it is gone: the promises are for the honest ones, whatever they were told.

use std::collections::BTreeMap;

use crdt::Time;
use disk::MemoryDisk;
use replica::Replica;

use super::World;
use super::process::End;
use crate::event::What;
use crate::malice::{Liar, Lie, Occasion, Speech, Told};
use crate::promise::{Verdict, breach};
use crate::weather::Feature;

/// The machine that lies.
pub(super) struct Lying {
    pub(super) machine: usize,
    /// What it says about each space.
    liars: BTreeMap<usize, Liar>,
    /// What it is up to on each connection.
    moods: BTreeMap<u64, Vec<Lie>>,
    /// Public keys of the others, whose names it takes.
    others: Vec<[u8; 32]>,
    /// What it may say at all.
    kinds: Vec<Lie>,
}

/// Where a word is said.
pub(super) struct Place {
    pub(super) connection: u64,
    pub(super) space: usize,
    pub(super) peer: usize,
}

impl Lying {
    /// What is sent instead of a frame.
    pub(super) fn speak(
        &mut self,
        place: &Place,
        now: Time,
        replica: &Replica<MemoryDisk>,
        bytes: Vec<u8>,
    ) -> Speech {
        let liar = self.liars.get_mut(&place.space).expect("it lies about all that it has");
        let mood = self.moods.entry(place.connection).or_insert_with(|| liar.mood(&self.kinds));
        let occasion = Occasion { now, replica, peer: place.peer, others: &self.others };
        liar.speak(mood, &occasion, bytes)
    }

    /// What it made by hand since it was last asked, and whoever takes that is right.
    pub(super) fn valid(&mut self, space: usize) -> Vec<crdt::Commit> {
        self.liars.get_mut(&space).map_or_else(Vec::new, |liar| std::mem::take(&mut liar.valid))
    }
}

impl World {
    /// The last device is a liar, where this world has one: nobody needs it to reach the home.
    pub(super) fn choose_liar(&mut self) {
        let machine = self.machines.len() - 1;
        if !self.weather.with(Feature::Liar)
            || machine < 2
            || self.spaces.iter().any(|space| space.home == machine)
        {
            return;
        }
        let key = self.machines[machine].key.clone();
        let others = self.machines[..machine].iter().map(|other| other.key.public()).collect();
        let mut liars = BTreeMap::new();
        for (number, space) in self.spaces.iter().enumerate() {
            let kept = space.colls.kept.iter().map(|kept| (kept.id, kept.made.policy)).collect();
            let (id, coll) = (space.genesis.space(), space.colls.things[0]);
            let liar = Liar::new(self.random.next(), key.clone(), id, coll, kept);
            liars.insert(number, liar);
        }
        let is_understood = self.spaces.iter().all(|space| space.colls.kept.is_empty());
        let kinds = Lie::alone().into_iter().filter(|lie| *lie != Lie::Nonsense || !is_understood).collect();
        self.lying = Some(Lying { machine, liars, moods: BTreeMap::new(), others, kinds });
    }

    /// Takes note of what was told; what is valid in it goes into the book.
    pub(super) fn note_lies(&mut self, machine: usize, place: &Place, lies: Vec<Lie>) -> Verdict {
        for lie in lies {
            self.note(machine, What::Lies { space: place.space, peer: place.peer, lie });
        }
        let valid = self.lying.as_mut().map_or_else(Vec::new, |lying| lying.valid(place.space));
        for commit in valid {
            self.spaces[place.space].book.record(commit).map_err(|what| breach("I6", what))?;
        }
        Ok(())
    }

    /// The liar is gone for good, with all that it alone held.
    pub(super) fn send_liar_away(&mut self) {
        let Some(Lying { machine, liars, .. }) = self.lying.take() else { return };
        liars.values().for_each(|liar| self.told.merge(&liar.told));
        self.end_process(machine, self.now, End::PowerCut);
        self.spaces.iter_mut().for_each(|space| space.book.forgive(machine));
        let it = &mut self.machines[machine];
        (it.is_rotten, it.is_healable) = (false, false);
        it.copies.clear();
    }

    /// How often each lie was told.
    pub(super) fn told(&self) -> Told {
        let mut told = self.told.clone();
        let liars = self.lying.iter().flat_map(|lying| lying.liars.values());
        liars.for_each(|liar| told.merge(&liar.told));
        told
    }
}
