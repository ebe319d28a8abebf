//! The flat policies beside another implementation of the same types: after any history both read alike.
//!
//! The gate plays some thousands of random histories of each type; the ignored test a hundred thousand.

use std::collections::{BTreeMap, BTreeSet};

use crdt::clock::Hlc;
use crdt::view::counter::Total;
use crdt::view::mv::Context;
use crdt::view::set::{ADDED, Phase, two_phase};
use crdt::view::{Live, Manner, Shown, show};
use crdt::{Dot, Payload, Policy, WriterId};
use crdts::{CmRDT, CvRDT, GCounter, GSet, MVReg, Orswot, PNCounter};

const REPLICAS: usize = 4;
const STEPS: u64 = 24;
const HISTORIES: u64 = 2_000;

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A commit of one write: what it put, if it put anything, and what it supersedes.
#[derive(Clone)]
struct Wrote {
    key: u8,
    put: Option<Live>,
    supersedes: Vec<Dot>,
}

/// A replica of ours: the commits it holds. Its state is what they wrote minus what they superseded.
#[derive(Clone, Default)]
struct Ours(BTreeMap<Dot, Wrote>);

impl Ours {
    fn live(&self, key: u8) -> Vec<Live> {
        let gone: BTreeSet<&Dot> = self.0.values().flat_map(|wrote| &wrote.supersedes).collect();
        let put = self.0.values().filter(|wrote| wrote.key == key).filter_map(|wrote| wrote.put.clone());
        put.filter(|live| !gone.contains(&live.dot)).collect()
    }

    /// Writes as `replica`, with what it supersedes.
    fn write(&mut self, replica: usize, key: u8, payload: Option<Vec<u8>>, supersedes: Vec<Dot>) {
        let writer = WriterId([replica as u8 + 1; 24]);
        let seq = 1 + self.0.keys().filter(|dot| dot.writer == writer).count() as u64;
        let dot = Dot::new(writer, seq);
        let hlc = Hlc(1 + self.0.len() as u64);
        let put = payload.map(|bytes| Live { dot, hlc, payload: Payload::Inline(bytes) });
        self.0.insert(dot, Wrote { key, put, supersedes });
    }

    fn merge(&mut self, other: &Ours) {
        self.0.extend(other.0.iter().map(|(dot, wrote)| (*dot, wrote.clone())));
    }
}

fn dots(live: &[Live]) -> Vec<Dot> {
    live.iter().map(|live| live.dot).collect()
}

fn is_present(policy: Policy, live: &[Live]) -> bool {
    show(&Manner::of(policy), live) == Shown::Present
}

/// Plays histories of writes and merges of two replicas; after each step both sides read alike.
fn play<T: Clone + Default + CvRDT>(
    histories: u64,
    mut write: impl FnMut(&mut Dice, usize, &mut Ours, &mut T),
    alike: impl Fn(&Ours, &T) -> bool,
) {
    for seed in 0..histories {
        let mut dice = Dice(seed);
        let mut replicas = vec![(Ours::default(), T::default()); REPLICAS];
        for step in 0..STEPS {
            let at = dice.below(REPLICAS as u64) as usize;
            let from = dice.below(REPLICAS as u64) as usize;
            if dice.below(3) == 0 && from != at {
                let (ours, theirs) = replicas[from].clone();
                replicas[at].0.merge(&ours);
                replicas[at].1.merge(theirs);
            } else {
                let (ours, theirs) = &mut replicas[at];
                write(&mut dice, at, ours, theirs);
            }
            assert!(alike(&replicas[at].0, &replicas[at].1), "history {seed}, step {step}");
        }
    }
}

fn or_set(histories: u64) {
    play(
        histories,
        |dice, at, ours, theirs: &mut Orswot<u8, u8>| {
            let element = dice.below(3) as u8;
            let live = ours.live(element);
            if dice.below(2) == 0 {
                ours.write(at, element, Some(ADDED.to_vec()), dots(&live));
                let context = theirs.read_ctx().derive_add_ctx(at as u8);
                let op = theirs.add(element, context);
                theirs.apply(op);
            } else {
                ours.write(at, element, None, dots(&live));
                let context = theirs.contains(&element).derive_rm_ctx();
                let op = theirs.rm(element, context);
                theirs.apply(op);
            }
        },
        |ours, theirs| {
            (0..3).all(|element| {
                is_present(Policy::OrSet, &ours.live(element)) == theirs.contains(&element).val
            })
        },
    );
}

fn mv(histories: u64) {
    let mut value = 0u64;
    play(
        histories,
        |_, at, ours, theirs: &mut MVReg<u64, u8>| {
            value += 1;
            let live = ours.live(0);
            ours.write(at, 0, Some(value.to_be_bytes().to_vec()), Context::of(&live).supersedes(&live));
            let context = theirs.read_ctx().derive_add_ctx(at as u8);
            let op = theirs.write(value, context);
            theirs.apply(op);
        },
        |ours, theirs| {
            let live = ours.live(0);
            let shown = match show(&Manner::of(Policy::Mv), &live) {
                Shown::Many(all) => all,
                _ => Vec::new(),
            };
            let value = |live: &&Live| match &live.payload {
                Payload::Inline(bytes) => {
                    u64::from_be_bytes(bytes.as_slice().try_into().expect("eight bytes"))
                }
                Payload::Blob(_) => unreachable!("values are short"),
            };
            let shown: BTreeSet<u64> = shown.iter().map(value).collect();
            shown == theirs.read().val.into_iter().collect()
        },
    );
}

fn g_set(histories: u64) {
    play(
        histories,
        |dice, at, ours, theirs: &mut GSet<u8>| {
            let element = dice.below(6) as u8;
            if two_phase(&ours.live(element)) == Phase::Absent {
                ours.write(at, element, Some(ADDED.to_vec()), Vec::new());
            }
            theirs.insert(element);
        },
        |ours, theirs| {
            (0..6).all(|element| is_present(Policy::GSet, &ours.live(element)) == theirs.contains(&element))
        },
    );
}

/// Counts as a replica does: from the writer's own total, which it supersedes.
fn count(ours: &mut Ours, at: usize, more: Total) {
    let mut own = ours.live(0);
    own.retain(|live| live.dot.writer == WriterId([at as u8 + 1; 24]));
    let before = own.first().and_then(|live| Total::of(&live.payload)).unwrap_or_default();
    let total = before.plus(&more).expect("far from the end of numbers");
    ours.write(at, 0, Some(total.encode()), dots(&own));
}

fn shown_count(policy: Policy, ours: &Ours) -> String {
    match show(&Manner::of(policy), &ours.live(0)) {
        Shown::Count(count) => count.to_string(),
        _ => "0".to_owned(),
    }
}

fn g_counter(histories: u64) {
    play(
        histories,
        |dice, at, ours, theirs: &mut GCounter<u8>| {
            let plus = dice.below(9) + 1;
            count(ours, at, Total { plus, minus: None });
            let op = theirs.inc_many(at as u8, plus);
            theirs.apply(op);
        },
        |ours, theirs| shown_count(Policy::GCounter, ours) == theirs.read().to_string(),
    );
}

fn pn_counter(histories: u64) {
    play(
        histories,
        |dice, at, ours, theirs: &mut PNCounter<u8>| {
            let by = dice.below(9) + 1;
            let op = if dice.below(2) == 0 {
                count(ours, at, Total { plus: by, minus: Some(0) });
                theirs.inc_many(at as u8, by)
            } else {
                count(ours, at, Total { plus: 0, minus: Some(by) });
                theirs.dec_many(at as u8, by)
            };
            theirs.apply(op);
        },
        |ours, theirs| shown_count(Policy::PnCounter, ours) == theirs.read().to_string(),
    );
}

#[test]
fn or_set_reads_as_an_orswot() {
    or_set(HISTORIES);
}

#[test]
fn mv_reads_as_a_multi_value_register() {
    mv(HISTORIES);
}

#[test]
fn g_set_reads_as_a_grow_only_set() {
    g_set(HISTORIES);
}

#[test]
fn g_counter_reads_as_a_grow_only_counter() {
    g_counter(HISTORIES);
}

#[test]
fn pn_counter_reads_as_a_counter() {
    pn_counter(HISTORIES);
}

#[test]
#[ignore = "a hundred thousand histories of each type take minutes"]
fn all_of_them_over_a_hundred_thousand_histories() {
    [or_set, mv, g_set, g_counter, pn_counter].into_iter().for_each(|play| play(100_000));
}
