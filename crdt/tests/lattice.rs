//! Laws that hold for every type of the crate `crdts`, held against theirs and against ours alike.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;

use crdt::commit::{Body, Header, Open};
use crdt::lattice::State;
use crdt::view::counter::Total;
use crdt::view::lww::{Losers, supersedes_delete, supersedes_put};
use crdt::view::map::{self, Document, MARKER, Parts};
use crdt::view::mv::Context;
use crdt::view::set::ADDED;
use crdt::view::{Deletes, Json, Live, Manner, Shown, show};
use crdt::{
    Class, CollId, Commit, CommitId, Descriptor, DeviceId, Dot, Element, Hlc, Mutation, Op, Payload, Policy,
    SpaceId, WriterId, key,
};
use crdts::{CmRDT, CvRDT, GCounter, GSet, MVReg, Orswot, PNCounter};

const REPLICAS: usize = 3;
const HISTORIES: u64 = 400;
const STEPS: u64 = 20;

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A type under the laws: what it is and what its replicas write.
trait Subject {
    type Op: Clone;
    type State: Clone
        + Default
        + PartialEq
        + Debug
        + CvRDT<Validation: Error>
        + CmRDT<Op = Self::Op, Validation: Error>;

    /// What replica `at` does next.
    fn write(dice: &mut Dice, at: usize, state: &Self::State) -> Self::Op;
}

/// Some replicas that wrote and heard of each other, each with the operations it made.
struct Lived<S: Subject> {
    states: Vec<S::State>,
    made: Vec<Vec<S::Op>>,
}

fn live<S: Subject>(seed: u64) -> Lived<S> {
    let mut dice = Dice(seed);
    let mut lived =
        Lived::<S> { states: vec![S::State::default(); REPLICAS], made: vec![Vec::new(); REPLICAS] };
    for _ in 0..STEPS {
        let at = dice.below(REPLICAS as u64) as usize;
        let from = dice.below(REPLICAS as u64) as usize;
        if dice.below(3) == 0 && from != at {
            let other = lived.states[from].clone();
            lived.states[at].validate_merge(&other).expect("an honest history");
            lived.states[at].merge(other);
        } else {
            let op = S::write(&mut dice, at, &lived.states[at]);
            lived.states[at].validate_op(&op).expect("an honest operation");
            lived.states[at].apply(op.clone());
            lived.made[at].push(op);
        }
    }
    lived
}

fn merged<S: Subject>(states: &[&S::State]) -> S::State {
    let mut merged = S::State::default();
    states.iter().for_each(|state| merged.merge((*state).clone()));
    merged
}

fn laws<S: Subject>(name: &str) {
    for seed in 0..HISTORIES {
        let Lived { states, made } = live::<S>(seed);
        let [a, b, c] = [&states[0], &states[1], &states[2]];
        assert_eq!(merged::<S>(&[a, b]), merged::<S>(&[b, a]), "{name}: merge commutes, history {seed}");
        let inner = merged::<S>(&[b, c]);
        let outer = merged::<S>(&[a, b]);
        assert_eq!(
            merged::<S>(&[a, &inner]),
            merged::<S>(&[&outer, c]),
            "{name}: merge associates, history {seed}"
        );
        assert_eq!(merged::<S>(&[a, a]), *a, "{name}: merge is idempotent, history {seed}");
        let all = merged::<S>(&[a, b, c]);
        assert_eq!(merged::<S>(&[&all, b]), all, "{name}: merge absorbs, history {seed}");
        // In any order that keeps each replica's own, once or more, operations come to what merging comes to.
        let mut dice = Dice(!seed);
        let mut applied = S::State::default();
        let mut next = [0; REPLICAS];
        while next != [made[0].len(), made[1].len(), made[2].len()] {
            let at = dice.below(REPLICAS as u64) as usize;
            let Some(op) = made[at].get(next[at]) else { continue };
            applied.apply(op.clone());
            if dice.below(4) == 0 {
                applied.apply(op.clone());
            }
            next[at] += 1;
        }
        assert_eq!(applied, all, "{name}: operations come to what merging does, history {seed}");
    }
}

/// Theirs, as a control: laws that theirs break would say nothing about ours.
macro_rules! theirs {
    ($name:ident, $state:ty, $op:ty, $write:expr) => {
        struct $name;
        impl Subject for $name {
            type Op = $op;
            type State = $state;
            fn write(dice: &mut Dice, at: usize, state: &$state) -> $op {
                let write: fn(&mut Dice, usize, &$state) -> $op = $write;
                write(dice, at, state)
            }
        }
    };
}

theirs!(TheirCounter, GCounter<u8>, crdts::Dot<u8>, |_, at, state| state.inc(at as u8));
theirs!(TheirBalance, PNCounter<u8>, crdts::pncounter::Op<u8>, |dice, at, state| match dice.below(2) {
    0 => state.inc(at as u8),
    _ => state.dec(at as u8),
});
theirs!(TheirSet, GSet<u8>, u8, |dice, _, _| dice.below(9) as u8);
theirs!(TheirRegister, MVReg<u64, u8>, crdts::mvreg::Op<u64, u8>, |dice, at, state| {
    state.write(dice.below(99), state.read_ctx().derive_add_ctx(at as u8))
});
theirs!(TheirOrSet, Orswot<u8, u8>, crdts::orswot::Op<u8, u8>, |dice, at, state| {
    let element = dice.below(3) as u8;
    match dice.below(2) {
        0 => state.add(element, state.read_ctx().derive_add_ctx(at as u8)),
        _ => state.rm(element, state.contains(&element).derive_rm_ctx()),
    }
});

/// Ours, a collection of each policy: what its verb writes and supersedes.
macro_rules! ours {
    ($($name:ident: $policy:expr;)*) => {
        $(struct $name;
        impl Subject for $name {
            type Op = Arc<Commit>;
            type State = State;
            fn write(dice: &mut Dice, at: usize, state: &State) -> Arc<Commit> {
                write(dice, at, state, $policy)
            }
        })*
    };
}

ours! {
    Lww: Policy::Lww;
    Mv: Policy::Mv;
    Copies: Policy::Copies;
    OrSet: Policy::OrSet;
    GrowSet: Policy::GSet;
    TwoPhase: Policy::TwoPhaseSet;
    Counter: Policy::GCounter;
    Balance: Policy::PnCounter;
    Documents: Policy::Map;
}

fn coll(policy: Policy) -> CollId {
    Descriptor::new("things", policy).expect("a name").id()
}

fn key_of(number: u64) -> Vec<u8> {
    key::plain(&[b'a' + number as u8])
}

fn writer(at: usize) -> WriterId {
    WriterId::new(DeviceId::of(&[at as u8; 32]), [at as u8; 7], Class::Normal)
}

fn write(dice: &mut Dice, at: usize, state: &State, policy: Policy) -> Arc<Commit> {
    let tip = state.tip(&writer(at));
    let (dot, hlc) = (Dot::new(writer(at), tip.seq + 1), Hlc(tip.hlc.0 + 1 + dice.below(3)));
    let mutations = match policy {
        Policy::Map => edit(dice, state, hlc, dot),
        _ => vec![mutation(dice, policy, state, hlc, dot)],
    };
    let open = Open { device_key: [at as u8; 32], closes: Vec::new(), reissues: None };
    let header = Header {
        space: SpaceId([1; 32]),
        writer: dot.writer,
        seq: dot.seq,
        prev: tip.id,
        hlc,
        base: 0,
        body_hash: [0; 32],
        open: (dot.seq == 1).then_some(open),
    };
    let body = Body { deps: Vec::new(), mutations };
    Arc::new(Commit::new(header, body).expect("it is valid"))
}

fn put(bytes: Vec<u8>) -> Op {
    Op::Put(Payload::Inline(bytes))
}

fn mutation(dice: &mut Dice, policy: Policy, state: &State, hlc: Hlc, dot: Dot) -> Mutation {
    let (coll, key) = (coll(policy), key_of(dice.below(3)));
    let live = &state.live(&coll, &key)[..];
    let value = put(dice.below(99).to_be_bytes().to_vec());
    let deletes = dice.below(4) == 0;
    let (op, supersedes) = match policy {
        Policy::OrSet if deletes => (Op::Delete, supersedes_delete(live)),
        Policy::OrSet => (put(ADDED.to_vec()), supersedes_delete(live)),
        Policy::GSet => (put(ADDED.to_vec()), Vec::new()),
        Policy::TwoPhaseSet => (put(vec![u8::from(deletes)]), Vec::new()),
        Policy::GCounter | Policy::PnCounter => {
            let own: Vec<Live> = live.iter().filter(|live| live.dot.writer == dot.writer).cloned().collect();
            let before = own.first().and_then(|live| Total::of(&live.payload)).unwrap_or_default();
            let minus = (policy == Policy::PnCounter).then(|| dice.below(5));
            let total = before.plus(&Total { plus: 1 + dice.below(5), minus }).expect("small numbers");
            (put(total.encode()), supersedes_delete(&own))
        }
        _ if deletes => (Op::Delete, supersedes_delete(live)),
        Policy::Mv => (value, Context::of(live).supersedes(live)),
        Policy::Copies => (value, supersedes_put(live, Losers::Keep, hlc, dot)),
        _ => (value, supersedes_put(live, Losers::Replace, hlc, dot)),
    };
    Mutation { coll, key, op, supersedes }
}

/// One of two documents is deleted, or some of its fields are written, and its marker where there is none; all in one commit.
fn edit(dice: &mut Dice, state: &State, hlc: Hlc, dot: Dot) -> Vec<Mutation> {
    const FIELDS: [&[&str]; 5] = [&["a"], &["a", "b"], &["a", "b", "c"], &["d"], &["e", "f"]];
    let coll = coll(Policy::Map);
    let document = Element::Int(dice.below(2) as i64);
    let known = fields(state).into_iter().filter(|(of, _)| *of == document);
    let known: Vec<Vec<u8>> =
        known.map(|(of, path)| map::key_of(&of, &path).expect("a short name")).collect();
    if dice.below(4) == 0 && !known.is_empty() {
        let delete = |key: Vec<u8>| {
            let supersedes = supersedes_delete(&state.live(&coll, &key));
            Mutation { coll, key, op: Op::Delete, supersedes }
        };
        return known.into_iter().map(delete).collect();
    }
    let mut written = vec![(Vec::new(), MARKER.to_vec())];
    let sure = dice.below(5) as usize;
    for (at, path) in FIELDS.into_iter().enumerate() {
        if at == sure || dice.below(4) == 0 {
            let json = [Json::Int(dice.below(99).into()), Json::Object([].into())];
            written.push((path.to_vec(), json[(dice.below(4) / 3) as usize].encode()));
        }
    }
    let write = |(path, bytes): (Vec<&str>, Vec<u8>)| {
        let path: Vec<String> = path.into_iter().map(str::to_owned).collect();
        let key = map::key_of(&document, &path).expect("a short name");
        let live = state.live(&coll, &key);
        let is_needed = !path.is_empty() || live.is_empty();
        let supersedes = supersedes_put(&live, Losers::Replace, hlc, dot);
        is_needed.then_some(Mutation { coll, key, op: put(bytes), supersedes })
    };
    let mut mutations: Vec<Mutation> = written.into_iter().filter_map(write).collect();
    mutations.sort_by(|a, b| a.key.cmp(&b.key));
    mutations
}

/// The fields of all documents at which something is alive.
fn fields(state: &State) -> Vec<(Element, Vec<String>)> {
    let keys = state.keys(&coll(Policy::Map));
    keys.iter().map(|key| map::split(key).expect("the key of a field")).collect()
}

/// A document as it reads.
fn document(state: &State, document: &Element, manner: &Manner) -> Document {
    let mut parts = Parts::default();
    for (_, path) in fields(state).into_iter().filter(|(of, _)| of == document) {
        let live = state.live(&coll(Policy::Map), &map::key_of(document, &path).expect("a short name"));
        let bytes: Vec<Vec<u8>> = live.iter().map(|live| bytes_of(&live.payload)).collect();
        parts.add(path, live, &bytes);
    }
    parts.read(manner)
}

fn bytes_of(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Inline(bytes) => bytes.clone(),
        Payload::Blob(_) => unreachable!("these payloads are short"),
    }
}

#[test]
fn theirs_keep_the_laws() {
    laws::<TheirCounter>("GCounter");
    laws::<TheirBalance>("PNCounter");
    laws::<TheirSet>("GSet");
    laws::<TheirRegister>("MVReg");
}

/// An Orswot that gets a removal before the additions it names keeps it aside; with those, two equal sets are unequal.
#[test]
fn their_set_of_observed_removals_merges_by_the_laws() {
    for seed in 0..HISTORIES {
        let Lived { states, .. } = live::<TheirOrSet>(seed);
        let values = |states: &[&Orswot<u8, u8>]| merged::<TheirOrSet>(states).read().val;
        let [a, b, c] = [&states[0], &states[1], &states[2]];
        assert_eq!(values(&[a, b, c]), values(&[c, b, a]), "history {seed}");
    }
}

#[test]
fn ours_keep_the_laws() {
    laws::<Lww>("lww");
    laws::<Mv>("mv");
    laws::<Copies>("copies");
    laws::<OrSet>("or-set");
    laws::<GrowSet>("g-set");
    laws::<TwoPhase>("2p-set");
    laws::<Counter>("g-counter");
    laws::<Balance>("pn-counter");
    laws::<Documents>("map");
}

#[test]
fn equal_states_show_equal_views() {
    for seed in 0..HISTORIES {
        let states = live::<Balance>(seed).states;
        let all: Vec<&State> = states.iter().collect();
        let backwards: Vec<&State> = states.iter().rev().collect();
        let (one, other) = (merged::<Balance>(&all), merged::<Balance>(&backwards));
        for number in 0..3 {
            let live = |state: &State| state.live(&coll(Policy::PnCounter), &key_of(number));
            let (one, other) = (live(&one), live(&other));
            let shown = |live| match show(&Manner::of(Policy::PnCounter), live) {
                Shown::Count(count) => Some(count),
                _ => None,
            };
            assert_eq!(shown(&one), shown(&other), "history {seed}");
        }
    }
}

#[test]
fn equal_states_show_equal_documents_and_a_delete_hides_or_is_undone() {
    let revive = Manner { deletes: Deletes::Revive, ..Manner::of(Policy::Map) };
    let (mut nested, mut hidden, mut revived) = (0, 0, 0);
    for seed in 0..HISTORIES {
        let states = live::<Documents>(seed).states;
        let all: Vec<&State> = states.iter().collect();
        let backwards: Vec<&State> = states.iter().rev().collect();
        let (one, other) = (merged::<Documents>(&all), merged::<Documents>(&backwards));
        for name in [0, 1].map(Element::Int) {
            let read = |manner: &Manner| document(&one, &name, manner);
            let (hiding, reviving) = (read(&Manner::of(Policy::Map)), read(&revive));
            assert_eq!(hiding, document(&other, &name, &Manner::of(Policy::Map)), "history {seed}");
            assert_eq!(reviving, document(&other, &name, &revive), "history {seed}");
            // One manner shows what the other hides, and both agree where nobody deleted.
            match (&hiding.value, &reviving.value) {
                (Some(_), _) => assert_eq!(hiding, reviving, "history {seed}"),
                (None, Some(_)) => revived += 1,
                (None, None) => assert_eq!(hiding.hidden, Vec::<Vec<String>>::new(), "history {seed}"),
            }
            hidden += usize::from(hiding.value.is_some() && !hiding.hidden.is_empty());
            nested += fields(&one).iter().filter(|(of, path)| *of == name && path.len() > 1).count();
        }
    }
    assert!(nested > 100 && hidden > 100 && revived > 20, "{nested} {hidden} {revived}");
}

#[test]
fn what_came_too_early_is_merged_and_waits_on() {
    let mut author = State::default();
    let commits: Vec<Arc<Commit>> = (0..3)
        .map(|seed| {
            let commit = write(&mut Dice(seed), 0, &author, Policy::Mv);
            author.apply(commit.clone());
            commit
        })
        .collect();
    let (mut early, mut late) = (State::default(), State::default());
    early.apply(commits[1].clone());
    early.apply(commits[2].clone());
    late.merge(early);
    assert_eq!(late.tip(&writer(0)).seq, 0, "it waits for the first");
    late.apply(commits[0].clone());
    assert_eq!(late, author);
}

#[test]
fn keys_are_those_of_one_collection() {
    let mut state = State::default();
    for (at, policy) in [Policy::Lww, Policy::Map, Policy::Copies].into_iter().enumerate() {
        for seed in 0..8 {
            state.apply(write(&mut Dice(seed), at, &state.clone(), policy));
        }
    }
    for policy in Policy::READ {
        let keys = state.keys(&coll(policy));
        let is_own = |key: &Vec<u8>| match policy {
            Policy::Map => map::split(key).is_some_and(|(document, _)| matches!(document, Element::Int(_))),
            _ => (0..3).any(|number| *key == key_of(number)),
        };
        assert!(keys.iter().all(is_own), "{policy}: {keys:?}");
        let is_written = matches!(policy, Policy::Lww | Policy::Map | Policy::Copies);
        assert_eq!(keys.is_empty(), !is_written, "{policy}");
    }
}

#[test]
fn second_commit_of_a_dot_is_refused_and_so_is_a_state_that_holds_it() {
    let commit = |value: u8| {
        let mut dice = Dice(value.into());
        write(&mut dice, 0, &State::default(), Policy::Lww)
    };
    let (one, other) = (commit(1), commit(2));
    assert_ne!(one.id(), other.id());
    let mut states = [State::default(), State::default()];
    states[0].apply(one.clone());
    states[1].apply(other.clone());
    assert!(matches!(states[0].validate_op(&other), Err(crdt::Error::Fork { seq: 1, .. })));
    assert!(states[0].validate_op(&one).is_ok());
    assert!(matches!(states[0].validate_merge(&states[1]), Err(crdt::Error::Fork { seq: 1, .. })));
    assert_eq!(states[0].tip(&writer(1)).id, CommitId::ZERO);
}
