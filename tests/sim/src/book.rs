//! What really happened: every commit anyone made, what was acknowledged, and what state follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crdt::{CollId, Commit, Dot, Handle, Op, Payload, WriterId};

/// A promise that was broken: which one, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, by its name in `docs/testing.md`.
    pub invariant: &'static str,
    /// Which machine, which dot, which key.
    pub what: String,
}

/// The live dots of every key, with their payloads.
pub type State = BTreeMap<(CollId, Vec<u8>), BTreeMap<Dot, Payload>>;

/// Which run of which machine opened a writer.
pub type Run = (usize, u64);

/// The book of the world, which no replica can read.
#[derive(Default)]
pub struct Book {
    commits: BTreeMap<Dot, Arc<Commit>>,
    acknowledged: BTreeMap<Dot, usize>,
    writers: BTreeMap<WriterId, Run>,
    handles: BTreeMap<u64, Handle>,
    known: BTreeMap<WriterId, u64>,
}

impl Book {
    /// Notes a commit that its author's log holds, flushed. The same dot must always be the same commit.
    pub fn record(&mut self, commit: Arc<Commit>) -> Result<(), String> {
        let dot = commit.dot();
        match self.commits.get(&dot) {
            Some(known) if known.id() != commit.id() => Err(format!("two commits have the dot {dot}")),
            Some(_) => Ok(()),
            None => {
                let known = self.known.entry(dot.writer).or_default();
                *known = dot.seq.max(*known);
                self.commits.insert(dot, commit);
                Ok(())
            }
        }
    }

    /// Notes which run made a dot: no other run, of this copy of the folder or another, may use its writer.
    pub fn wrote(&mut self, dot: Dot, run: Run) -> Result<(), String> {
        let opened = *self.writers.entry(dot.writer).or_insert(run);
        if opened == run { Ok(()) } else { Err(format!("run {run:?} wrote {dot}, opened by run {opened:?}")) }
    }

    /// Notes that a writer was told its commit is durable.
    pub fn acknowledge(&mut self, dot: Dot, machine: usize) {
        self.acknowledged.insert(dot, machine);
    }

    /// Notes a Handle; two with one version are an alarm.
    pub fn handle(&mut self, handle: &Handle) -> Result<(), String> {
        match self.handles.get(&handle.version) {
            Some(known) if known != handle => Err(format!("two Handles have version {}", handle.version)),
            Some(_) => Ok(()),
            None => {
                self.handles.insert(handle.version, handle.clone());
                Ok(())
            }
        }
    }

    /// The Handle of a version, if anyone made it.
    pub fn handle_of(&self, version: u64) -> Option<&Handle> {
        self.handles.get(&version)
    }

    /// Every acknowledged dot and the machine it was acknowledged at.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Dot, &usize)> {
        self.acknowledged.iter()
    }

    /// The commit of a dot.
    pub fn commit(&self, dot: &Dot) -> Option<&Arc<Commit>> {
        self.commits.get(dot)
    }

    /// How many commits there are.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether nobody wrote anything.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// How far each writer is known, for asking a replica for what is not.
    pub fn known(&self) -> BTreeMap<WriterId, u64> {
        self.known.clone()
    }

    /// The state of the commits that a replica with this vector stands for: written minus superseded, and nothing
    /// else. Slow and obvious on purpose.
    pub fn state(&self, seen: impl Fn(&WriterId) -> u64) -> State {
        let held = |commit: &&Arc<Commit>| commit.dot().seq <= seen(&commit.dot().writer);
        let mut removed = BTreeSet::new();
        for commit in self.commits.values().filter(held) {
            for mutation in &commit.body().mutations {
                for dot in &mutation.supersedes {
                    if mutation.coll.rule().may_supersede(&commit.dot().writer, &dot.writer) {
                        removed.insert((mutation.coll, mutation.key.clone(), *dot));
                    }
                }
            }
        }
        let mut state = State::new();
        for commit in self.commits.values().filter(held) {
            for mutation in &commit.body().mutations {
                let place = (mutation.coll, mutation.key.clone(), commit.dot());
                if let Op::Put(payload) = &mutation.op
                    && !removed.contains(&place)
                {
                    let key = (mutation.coll, mutation.key.clone());
                    state.entry(key).or_default().insert(commit.dot(), payload.clone());
                }
            }
        }
        state
    }
}
