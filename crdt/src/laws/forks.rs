//! Random histories in which one writer is two: copies that learn of the fork at different times and places, proofs that
//! spread, and a home that may anchor either branch before it knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::history::{self, POLICIES};
use super::reference::{self, State};
use super::{Commits, vector};
use crate::clock::{Clock, Time};
use crate::commit::{Body, Commit, Header, Mutation, Op, Open, Payload};
use crate::fold::effects;
use crate::id::{Class, DeviceId, Dot, WriterId};
use crate::key;
use crate::rule::Descriptor;
use crate::vector::{Tip, Vector};
use crate::view::lww::{supersedes_delete, supersedes_put};

const REPLICA_COUNT: usize = 4;
const HOME: usize = REPLICA_COUNT - 1;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write { by: usize, coll: usize, key: u8, delete: bool, wall_ms: u64 },
    Hear { by: usize, from: usize },
    Anchor,
}

pub(super) fn steps(anchors: u32) -> impl Strategy<Value = Vec<Step>> {
    let replica = || 0..REPLICA_COUNT;
    let write = (replica(), 0..POLICIES.len(), 0u8..2, prop::bool::weighted(0.2), 0u64..1_000_000);
    let write =
        write.prop_map(|(by, coll, key, delete, wall_ms)| Step::Write { by, coll, key, delete, wall_ms });
    let hear = (replica(), replica()).prop_map(|(by, from)| Step::Hear { by, from });
    let step = prop_oneof![6 => write, 5 => hear, anchors => Just(Step::Anchor)];
    proptest::collection::vec(step, 1..60)
}

/// What a home signed: a set of commits, and how far each cut writer counts.
#[derive(Clone, Debug, Default)]
struct Base {
    version: u64,
    commits: Commits,
    vector: Vector,
    cuts: BTreeMap<WriterId, u64>,
}

/// One replica: a base, the commits above it in the order in which they came, and the state kept step by step.
#[derive(Clone, Debug, Default)]
struct Replica {
    base: Base,
    tail: Commits,
    proofs: BTreeMap<WriterId, u64>,
    state: State,
    seen: Vector,
    clock: Clock,
    run: u8,
}

impl Replica {
    fn cut(&self, writer: &WriterId) -> u64 {
        let published = self.base.cuts.get(writer).copied().unwrap_or(u64::MAX);
        let proven = self.proofs.get(writer).map(|seq| (seq - 1).max(self.base.vector.seq(writer)));
        published.min(proven.unwrap_or(u64::MAX))
    }

    fn is_satisfied(&self, seen: &Vector, dot: &Dot) -> bool {
        seen.covers(dot) || self.cut(&dot.writer) < dot.seq
    }

    /// Valid on this base with this evidence, after what was seen.
    fn may_follow(&self, seen: &Vector, commit: &Commit) -> bool {
        let Header { writer, seq, base, .. } = *commit.header();
        commit.follows(seen.get(&writer).unwrap_or(&Tip::START)).is_ok()
            && seq <= self.cut(&writer)
            && base <= self.base.version
            && commit.needs().all(|dot| self.is_satisfied(seen, dot))
    }

    fn fold(&mut self, commit: &Arc<Commit>) {
        super::apply(&mut self.state, effects(commit));
        self.seen.insert(commit.header().writer, commit.tip());
    }

    fn accept(&mut self, commit: &Arc<Commit>) {
        if !self.seen.covers(&commit.dot()) && self.may_follow(&self.seen, commit) {
            self.fold(commit);
            self.tail.push(commit.clone());
        }
    }

    /// What is left of the tail on this base with this evidence.
    fn kept(&self) -> Commits {
        let mut seen = self.base.vector.clone();
        let mut kept = Commits::new();
        for commit in &self.tail {
            if !self.base.vector.covers(&commit.dot()) && self.may_follow(&seen, commit) {
                seen.insert(commit.header().writer, commit.tip());
                kept.push(commit.clone());
            }
        }
        kept
    }

    /// The base, and what is left of the tail folded onto it again.
    fn rebuild(&mut self) {
        self.tail = self.kept();
        (self.state, self.seen) = (folded_base(&self.base), self.base.vector.clone());
        for commit in self.tail.clone() {
            self.fold(&commit);
        }
    }

    fn learn(&mut self, writer: WriterId, seq: u64) {
        let known = self.proofs.entry(writer).or_insert(u64::MAX);
        *known = seq.min(*known);
        // A Cut that falls onto nothing held drops nothing.
        if self.cut(&writer) < self.seen.seq(&writer) {
            self.rebuild();
        }
    }

    fn adopt(&mut self, base: &Base) {
        if base.version <= self.base.version {
            return;
        }
        let writers: Vec<WriterId> =
            self.seen.iter().chain(base.vector.iter()).map(|(writer, _)| *writer).collect();
        let cuts = |replica: &Replica| writers.iter().map(|writer| replica.cut(writer)).collect::<Vec<_>>();
        let before = (cuts(self), self.tail.len());
        self.base = base.clone();
        let covered = |commit: &&Arc<Commit>| base.vector.covers(&commit.dot());
        let is_held = |commit: &Arc<Commit>| self.seen.covers(&commit.dot());
        let is_on_chain = self
            .tail
            .iter()
            .filter(covered)
            .all(|held| base.commits.iter().any(|commit| commit.id() == held.id()));
        let lacked: Commits = base.commits.iter().filter(|commit| !is_held(commit)).cloned().collect();
        let kept = self.kept();
        let is_whole = kept.len() + self.tail.iter().filter(covered).count() == before.1;
        let is_of_home = lacked.iter().all(|commit| commit.header().writer.is_home());
        if is_on_chain && is_whole && is_of_home && cuts(self) == before.0 {
            self.tail = kept;
            lacked.iter().for_each(|commit| self.fold(commit));
        } else {
            self.rebuild();
        }
    }

    /// The commit held under a dot, covered ones included.
    fn held(&self, dot: Dot) -> Option<&Arc<Commit>> {
        self.base.commits.iter().chain(&self.tail).find(|commit| commit.dot() == dot)
    }

    /// The first place where two replicas show that a writer is two.
    fn fork(&self, other: &Replica, writer: &WriterId) -> Option<u64> {
        let last = self.seen.seq(writer).min(other.seen.seq(writer));
        (1..=last).find(|seq| {
            let dot = Dot::new(*writer, *seq);
            self.held(dot).map(|commit| commit.id()) != other.held(dot).map(|commit| commit.id())
        })
    }

    /// What its commits mean by the definition of state, and whether each of them may be there.
    #[track_caller]
    fn check(&self) {
        let held: Commits = self.base.commits.iter().chain(&self.tail).cloned().collect();
        assert_eq!(self.state, reference::state(&held), "state is what its commits say");
        assert_eq!(self.seen, vector(&held), "and the vector names them");
        for commit in &self.tail {
            let Dot { writer, seq } = commit.dot();
            assert!(seq <= self.cut(&writer), "{commit:?} is cut");
            assert!(commit.needs().all(|dot| self.is_satisfied(&self.seen, dot)), "{commit:?} needs more");
        }
    }
}

fn folded_base(base: &Base) -> State {
    // Handles cover commits of which one may name a dot that will never come, so the order of arrival is no guide.
    super::folded_as_batch(&State::new(), &base.commits)
}

/// All replicas, with what the home published last.
#[derive(Debug, Default)]
pub(super) struct World {
    replicas: [Replica; REPLICA_COUNT],
    pub(super) rebuilt_by_proof: usize,
    anchors: bool,
}

impl World {
    pub(super) fn play(steps: &[Step]) -> World {
        let mut world = World::default();
        for step in steps {
            match *step {
                Step::Write { by, coll, key, delete, wall_ms } => {
                    world.write(by, coll, key, delete, Time(wall_ms));
                }
                Step::Hear { by, from } => world.hear(by, from),
                Step::Anchor => world.anchor(),
            }
            world.replicas.iter().for_each(Replica::check);
        }
        world
    }

    /// Everybody hears everybody until nothing is new, and a home that there is anchors what it hears.
    pub(super) fn settle(&mut self) {
        for _ in 0..REPLICA_COUNT {
            for (by, from) in (0..REPLICA_COUNT).flat_map(|by| (0..REPLICA_COUNT).map(move |from| (by, from)))
            {
                self.hear(by, from);
                self.replicas.iter().for_each(Replica::check);
            }
            if self.anchors {
                self.anchor();
            }
        }
    }

    pub(super) fn assert_converged(&self) {
        let [first, rest @ ..] = &self.replicas;
        for other in rest {
            assert_eq!(first.proofs, other.proofs);
            let is_home = |writer: &WriterId| writer.is_home();
            let foreign = |seen: &Vector| {
                seen.iter().filter(|(writer, _)| !is_home(writer)).map(|(w, t)| (*w, *t)).collect::<Vec<_>>()
            };
            assert_eq!(foreign(&first.seen), foreign(&other.seen));
            if self.anchors {
                assert_eq!((&first.state, &first.seen), (&other.state, &other.seen));
            }
        }
    }

    /// The state of each device: what a home has not anchored is in the home's alone.
    pub(super) fn states(&self) -> Vec<&State> {
        self.replicas[..HOME].iter().map(|replica| &replica.state).collect()
    }

    pub(super) fn proofs(&self) -> Vec<(WriterId, u64)> {
        self.replicas[0].proofs.iter().map(|(writer, seq)| (*writer, *seq)).collect()
    }

    fn hear(&mut self, by: usize, from: usize) {
        if by == from {
            return;
        }
        let (mut hearer, mut teller) = (self.replicas[by].clone(), self.replicas[from].clone());
        hearer.adopt(&teller.base);
        for (writer, seq) in teller.proofs.clone() {
            self.rebuilt_by_proof += usize::from(hearer.seen.seq(&writer) >= seq);
            hearer.learn(writer, seq);
        }
        for writer in hearer.seen.iter().map(|(writer, _)| *writer).collect::<Vec<_>>() {
            if let Some(seq) = hearer.fork(&teller, &writer) {
                hearer.learn(writer, seq);
                teller.learn(writer, seq);
            }
        }
        for commit in teller.tail.iter().filter(|commit| !commit.header().writer.is_home()) {
            hearer.accept(commit);
        }
        (self.replicas[by], self.replicas[from]) = (hearer, teller);
    }

    /// The home folds what it holds, and publishes what it has proof against.
    fn anchor(&mut self) {
        self.anchors = true;
        let home = &mut self.replicas[HOME];
        let mut base = Base {
            version: home.base.version + 1,
            commits: home.base.commits.iter().chain(&home.tail).cloned().collect(),
            vector: home.seen.clone(),
            cuts: home.base.cuts.clone(),
        };
        for writer in home.proofs.keys() {
            base.cuts.insert(*writer, home.cut(writer));
        }
        home.adopt(&base);
    }

    fn write(&mut self, by: usize, coll: usize, key: u8, delete: bool, now: Time) {
        let replica = &mut self.replicas[by];
        let (policy, losers) = POLICIES[coll];
        let coll = Descriptor::new("things", policy).expect("a name").id();
        let key = key::plain(&[b'a' + key]);
        // A writer that is cut is closed, and the next write opens another.
        while replica.seen.seq(&writer(by, replica.run)) >= replica.cut(&writer(by, replica.run)) {
            replica.run += 1;
        }
        let writer = writer(by, replica.run);
        let tip = replica.seen.get(&writer).copied().unwrap_or(Tip::START);
        let dot = Dot::new(writer, tip.seq + 1);
        replica.clock.observe(now, tip.hlc);
        let hlc = replica.clock.next(now).max(crate::clock::Hlc(tip.hlc.0 + 1));
        let live = history::live(&replica.state, &coll, &key);
        let supersedes =
            if delete { supersedes_delete(&live) } else { supersedes_put(&live, losers, hlc, dot) };
        // The copies of a writer write different things.
        let value = [dot.to_bytes().as_slice(), &[by as u8]].concat();
        let op = if delete { Op::Delete } else { Op::Put(Payload::Inline(value)) };
        let open = Open { device_key: device_key(by), closes: vec![], reissues: None };
        let header = Header {
            space: history::SPACE,
            writer,
            seq: dot.seq,
            prev: tip.id,
            hlc,
            base: replica.base.version,
            body_hash: [0; 32],
            open: (dot.seq == 1).then_some(open),
        };
        let body = Body { deps: vec![], mutations: vec![Mutation { coll, key, op, supersedes }] };
        let commit = Arc::new(Commit::new(header, body).expect("it is valid"));
        replica.accept(&commit);
        assert!(replica.seen.covers(&dot), "what a replica writes it takes itself");
    }
}

/// The first two replicas are copies of one device.
fn device_key(by: usize) -> [u8; 32] {
    [if by == 1 { 0 } else { by as u8 }; 32]
}

/// The first run of the copied device is the same at both copies; later ones are drawn anew.
fn writer(by: usize, run: u8) -> WriterId {
    if by == HOME {
        return WriterId::home([1; 8]);
    }
    let drawn = if run == 0 { 0 } else { by as u8 + 1 };
    WriterId::new(DeviceId::of(&device_key(by)), [drawn, run, 0, 0, 0, 0, 0], Class::Normal)
}
