//! The state of a set of commits in memory, with the traits of the crate `crdts`: so that laws written for any type of
//! theirs hold ours to the same.
//!
//! No replica keeps its state so: it is in trees. What is folded here is what is folded there, by the same code.

use std::collections::BTreeMap;
use std::sync::Arc;

use crdts::{CmRDT, CvRDT};

use crate::clock::Hlc;
use crate::commit::{Commit, Payload};
use crate::error::Error;
use crate::fold::{Effect, effects, physical_prefix, split_physical};
use crate::id::{CollId, Dot, WriterId};
use crate::vector::{Tip, Vector};
use crate::view::Live;

/// The live dots that some commits come to, and which commits those are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    live: BTreeMap<Vec<u8>, (Hlc, Payload)>,
    seen: Vector,
    /// Commits that came before what they need.
    waiting: BTreeMap<Dot, Arc<Commit>>,
}

impl State {
    /// What is alive at a key, for a view to read.
    pub fn live(&self, coll: &CollId, key: &[u8]) -> Vec<Live> {
        let prefix = physical_prefix(coll, key);
        let here = self.live.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let live = |(key, (hlc, payload)): (&Vec<u8>, &(Hlc, Payload))| {
            let (_, _, dot) = split_physical(key)?;
            Some(Live { dot, hlc: *hlc, payload: payload.clone() })
        };
        here.filter_map(live).collect()
    }

    /// The keys of a collection at which something is alive, in order: those of a document's fields stand together.
    pub fn keys(&self, coll: &CollId) -> Vec<Vec<u8>> {
        let here = self.live.range(coll.0.to_vec()..).map_while(|(key, _)| split_physical(key));
        let here = here.take_while(|(of, ..)| of == coll);
        let mut keys: Vec<Vec<u8>> = here.map(|(_, key, _)| key.to_vec()).collect();
        keys.dedup();
        keys
    }

    /// Where a writer's history stands here.
    pub fn tip(&self, writer: &WriterId) -> Tip {
        self.seen.get(writer).copied().unwrap_or(Tip::START)
    }

    /// Folds whatever is ready, until nothing is.
    fn fold(&mut self) {
        let is_ready = |seen: &Vector, commit: &Commit| {
            commit.header().seq == seen.seq(&commit.header().writer) + 1
                && commit.needs().all(|dot| seen.covers(dot))
        };
        self.waiting.retain(|dot, _| !self.seen.covers(dot));
        while let Some(commit) = self.waiting.values().find(|commit| is_ready(&self.seen, commit)).cloned() {
            for effect in effects(&commit) {
                match effect {
                    Effect::Remove(key) => drop(self.live.remove(&key)),
                    Effect::Put(key, hlc, payload) => drop(self.live.insert(key, (hlc, payload.clone()))),
                }
            }
            self.seen.insert(commit.header().writer, commit.tip());
            self.waiting.remove(&commit.dot());
        }
    }

    /// A live dot stays that the other has, too, or has never seen: one that it has seen and does not have is superseded.
    fn stays(&self, key: &[u8], other: &State) -> bool {
        let dot = split_physical(key).map(|(_, _, dot)| dot);
        other.live.contains_key(key) || dot.is_some_and(|dot| !other.seen.covers(&dot))
    }
}

impl CmRDT for State {
    type Op = Arc<Commit>;
    type Validation = Error;

    /// Refuses what no replica takes, and a second commit of one dot.
    fn validate_op(&self, commit: &Arc<Commit>) -> Result<(), Error> {
        commit.check()?;
        let dot = commit.dot();
        let known = self.waiting.get(&dot).map(|known| known.id());
        let last = self.seen.get(&dot.writer).filter(|tip| tip.seq == dot.seq).map(|tip| tip.id);
        match known.or(last) {
            Some(id) if id != commit.id() => Err(Error::Fork { writer: dot.writer, seq: dot.seq }),
            _ => Ok(()),
        }
    }

    fn apply(&mut self, commit: Arc<Commit>) {
        self.waiting.insert(commit.dot(), commit);
        self.fold();
    }
}

impl CvRDT for State {
    type Validation = Error;

    /// Refuses a state in which a writer has another history.
    fn validate_merge(&self, other: &State) -> Result<(), Error> {
        for (writer, tip) in self.seen.iter() {
            match other.seen.get(writer) {
                Some(theirs) if theirs.seq == tip.seq && theirs.id != tip.id => {
                    return Err(Error::Fork { writer: *writer, seq: tip.seq });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn merge(&mut self, other: State) {
        let mut live = BTreeMap::new();
        for (own, their) in [(&*self, &other), (&other, &*self)] {
            let stay = own.live.iter().filter(|(key, _)| own.stays(key, their));
            live.extend(stay.map(|(key, value)| (key.clone(), value.clone())));
        }
        self.live = live;
        for (writer, tip) in other.seen.iter() {
            if self.seen.seq(writer) < tip.seq {
                self.seen.insert(*writer, *tip);
            }
        }
        self.waiting.extend(other.waiting);
        self.fold();
    }
}
