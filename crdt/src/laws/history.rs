//! Random histories: a few replicas that write on what they see and hear from each other now and then.

use std::sync::Arc;

use proptest::prelude::*;

use super::{Commits, folded, reference::State, union, vector};
use crate::clock::{Clock, Hlc, Time};
use crate::commit::{Body, Commit, Header, Mutation, Op, Open, Payload};
use crate::fold::{physical_prefix, split_physical};
use crate::id::{Class, CollId, DeviceId, Dot, SpaceId, WriterId};
use crate::key;
use crate::rule::{Descriptor, Policy};
use crate::vector::Tip;
use crate::view::lww::{Live, Losers, lww, supersedes_delete, supersedes_put};

const REPLICA_COUNT: usize = 4;
pub(super) const SPACE: SpaceId = SpaceId([1; 32]);

/// One of each rule, and one whose losers are kept. The last replica is the home.
pub(super) const POLICIES: [(Policy, Losers); 4] = [
    (Policy::Lww, Losers::Replace),
    (Policy::Copies, Losers::Keep),
    (Policy::GCounter, Losers::Replace),
    (Policy::Text, Losers::Replace),
];

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write { by: usize, coll: usize, key: u8, delete: bool, wall_ms: u64 },
    Hear { by: usize, from: usize },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let replica = || 0..REPLICA_COUNT;
    // Walls differ by more than the clamp, so that the clock decides what wins.
    let write = (replica(), 0..POLICIES.len(), 0u8..2, prop::bool::weighted(0.2), 0u64..1_000_000);
    let write =
        write.prop_map(|(by, coll, key, delete, wall_ms)| Step::Write { by, coll, key, delete, wall_ms });
    let hear = (replica(), replica()).prop_map(|(by, from)| Step::Hear { by, from });
    proptest::collection::vec(prop_oneof![3 => write, 2 => hear], 1..40)
}

/// Every replica with what it holds, in the order in which it came.
#[derive(Debug)]
pub(super) struct History {
    held: [Commits; REPLICA_COUNT],
    clocks: [Clock; REPLICA_COUNT],
    beaten_by_what_was_seen: usize,
}

impl History {
    pub(super) fn play(steps: &[Step]) -> History {
        let mut history =
            History { held: Default::default(), clocks: Default::default(), beaten_by_what_was_seen: 0 };
        for step in steps {
            match *step {
                Step::Write { by, coll, key, delete, wall_ms } => {
                    history.write(by, coll, key, delete, Time(wall_ms))
                }
                Step::Hear { by, from } => history.held[by] = union(&history.held[by], &history.held[from]),
            }
        }
        history
    }

    pub(super) fn held(&self) -> &[Commits; REPLICA_COUNT] {
        &self.held
    }

    /// How often a put, once folded, did not read as the winner in a collection that shows one.
    pub(super) fn beaten_by_what_was_seen(&self) -> usize {
        self.beaten_by_what_was_seen
    }

    fn write(&mut self, by: usize, coll: usize, key: u8, delete: bool, now: Time) {
        let (policy, losers) = POLICIES[coll];
        let coll = Descriptor::new("things", policy).expect("a name").id();
        let key = key::plain(&[b'a' + key]);
        let writer = writer(by);
        let tip = vector(&self.held[by]).get(&writer).copied().unwrap_or(Tip::START);
        let (dot, hlc) = (Dot::new(writer, tip.seq + 1), self.clocks[by].next(now));
        let live = live(&folded(&self.held[by]), &coll, &key);
        let supersedes =
            if delete { supersedes_delete(&live) } else { supersedes_put(&live, losers, hlc, dot) };
        let op = if delete { Op::Delete } else { Op::Put(Payload::Inline(dot.to_bytes().to_vec())) };
        let mutation = Mutation { coll, key: key.clone(), op, supersedes };
        let commit = Commit::new(header(by, &tip, dot, hlc), body(mutation)).expect("it is valid");
        self.held[by].push(Arc::new(commit));
        if !delete && policy.rule().byte() == 0 {
            let after = self::live(&folded(&self.held[by]), &coll, &key);
            let winner = lww(&after).expect("it was just written").winner.dot;
            self.beaten_by_what_was_seen += usize::from(winner != dot);
        }
    }
}

fn device_key(by: usize) -> [u8; 32] {
    [by as u8; 32]
}

fn writer(by: usize) -> WriterId {
    if by == REPLICA_COUNT - 1 {
        return WriterId::home([1; 8]);
    }
    WriterId::new(DeviceId::of(&device_key(by)), [by as u8; 7], Class::ALL[by])
}

fn header(by: usize, tip: &Tip, dot: Dot, hlc: Hlc) -> Header {
    let open = Open { device_key: device_key(by), closes: vec![], reissues: None };
    let open = (dot.seq == 1).then_some(open);
    let (writer, seq) = (dot.writer, dot.seq);
    Header { space: SPACE, writer, seq, prev: tip.id, hlc, base: 0, body_hash: [0; 32], open }
}

fn body(mutation: Mutation) -> Body {
    Body { deps: vec![], mutations: vec![mutation] }
}

pub(super) fn live(state: &State, coll: &CollId, key: &[u8]) -> Vec<Live> {
    let prefix = physical_prefix(coll, key);
    let under_key = state.iter().filter(|(key, _)| key.starts_with(&prefix));
    under_key
        .map(|(key, (hlc, payload))| {
            let (_, _, dot) = split_physical(key).expect("states hold physical keys");
            Live { dot, hlc: *hlc, payload: payload.clone() }
        })
        .collect()
}
