//! The flat policies beside another implementation of the same types: replicas that write with the verbs of a policy and hear
//! of each other read, after any history, what the types of the crate `crdts` read.
//!
//! The gate plays some hundreds of random histories of each type; the ignored test a hundred thousand.

use std::collections::BTreeSet;

use crdt::view::Manner;
use crdt::{Class, CollId, Descriptor, Element, Policy};
use crdts::{CmRDT, CvRDT, GCounter, GSet, MVReg, Orswot, PNCounter};
use disk::MemoryDisk;
use replica::{Transaction, Value};

use crate::space::{Local, NOW, Space, deliver_tail};

const REPLICAS: usize = 4;
const STEPS: u64 = 24;
const HISTORIES: u64 = 400;

/// Histories that the same replicas live through, each under a name of its own.
const TOGETHER: u64 = 100;

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Replicas that have a collection of a policy.
struct Ours {
    replicas: Vec<Local>,
    coll: CollId,
    policy: Policy,
}

impl Ours {
    fn new(policy: Policy) -> Ours {
        let space = Space::new(REPLICAS as u8);
        let mut replicas: Vec<Local> =
            (0..REPLICAS).map(|at| space.create(at, &MemoryDisk::new(at as u64))).collect();
        let descriptor = Descriptor::new("things", policy).expect("a name");
        let mut transaction = replicas[0].begin();
        let coll = transaction.create_collection(&descriptor).expect("it is new");
        replicas[0].commit(NOW, transaction, Class::Normal).expect("it commits");
        replicas[0].flush().expect("it flushes");
        let mut ours = Ours { replicas, coll, policy };
        (1..REPLICAS).for_each(|at| ours.hear(at, 0));
        ours
    }

    fn write(&mut self, at: usize, write: impl FnOnce(&mut Transaction<MemoryDisk>, CollId)) {
        let mut transaction = self.replicas[at].begin();
        write(&mut transaction, self.coll);
        self.replicas[at].commit(NOW, transaction, Class::Normal).expect("nobody else writes here");
        self.replicas[at].flush().expect("it flushes");
    }

    fn hear(&mut self, at: usize, from: usize) {
        let [from, to] = self.replicas.get_disjoint_mut([from, at]).expect("two of them");
        deliver_tail(NOW, from, to);
    }

    fn read(&self, at: usize, name: &Element) -> Option<Value> {
        let snapshot = self.replicas[at].snapshot();
        let manner = snapshot.manner(self.coll).expect("it reads").expect("it is described");
        assert_eq!(manner, Manner::of(self.policy));
        let entry = snapshot.entry(self.coll, manner, &key(name)).expect("it reads");
        entry.map(|entry| entry.value)
    }

    fn elements(&self, at: usize, name: &Element) -> BTreeSet<i64> {
        let element = |element: Vec<Element>| match element.as_slice() {
            [Element::Int(number)] => *number,
            other => panic!("{other:?} was never added"),
        };
        match self.read(at, name) {
            Some(Value::Set(elements)) => elements.into_iter().map(element).collect(),
            None => BTreeSet::new(),
            other => panic!("a set reads as {other:?}"),
        }
    }

    fn count(&self, at: usize, name: &Element) -> i128 {
        match self.read(at, name) {
            Some(Value::Count(count)) => count,
            None => 0,
            other => panic!("a counter reads as {other:?}"),
        }
    }
}

fn key(name: &Element) -> Vec<u8> {
    crdt::key::encode(std::slice::from_ref(name)).expect("a short name")
}

/// Plays histories of writes and merges of two replicas; after each step both sides read alike.
fn play<T: Clone + Default + CvRDT>(
    policy: Policy,
    histories: u64,
    mut write: impl FnMut(&mut Dice, usize, &Element, &mut Ours, &mut T),
    alike: impl Fn(&Ours, usize, &Element, &T) -> bool,
) {
    let mut ours = Ours::new(policy);
    for seed in 0..histories {
        if seed % TOGETHER == TOGETHER - 1 {
            ours = Ours::new(policy);
        }
        let (mut dice, name) = (Dice(seed), Element::Int(seed as i64));
        let mut theirs = vec![T::default(); REPLICAS];
        for step in 0..STEPS {
            let at = dice.below(REPLICAS as u64) as usize;
            let from = dice.below(REPLICAS as u64) as usize;
            if dice.below(3) == 0 && from != at {
                ours.hear(at, from);
                let other = theirs[from].clone();
                theirs[at].merge(other);
            } else {
                write(&mut dice, at, &name, &mut ours, &mut theirs[at]);
            }
            assert!(alike(&ours, at, &name, &theirs[at]), "{policy}: history {seed}, step {step}");
        }
    }
}

fn or_set(histories: u64) {
    play(
        Policy::OrSet,
        histories,
        |dice, at, name, ours, theirs: &mut Orswot<i64, u8>| {
            let number = dice.below(3) as i64;
            let element = [Element::Int(number)];
            if dice.below(2) == 0 {
                ours.write(at, |transaction, coll| transaction.add(coll, name, &element).expect("an or-set"));
                let op = theirs.add(number, theirs.read_ctx().derive_add_ctx(at as u8));
                theirs.apply(op);
            } else {
                ours.write(at, |transaction, coll| {
                    transaction.remove(coll, name, &element).expect("an or-set");
                });
                let op = theirs.rm(number, theirs.contains(&number).derive_rm_ctx());
                theirs.apply(op);
            }
        },
        |ours, at, name, theirs| ours.elements(at, name) == theirs.read().val.into_iter().collect(),
    );
}

fn mv(histories: u64) {
    let mut value = 0u64;
    play(
        Policy::Mv,
        histories,
        |_, at, name, ours, theirs: &mut MVReg<u64, u8>| {
            value += 1;
            let bytes = value.to_be_bytes();
            ours.write(at, |transaction, coll| transaction.put(coll, &key(name), &bytes).expect("an mv"));
            let op = theirs.write(value, theirs.read_ctx().derive_add_ctx(at as u8));
            theirs.apply(op);
        },
        |ours, at, name, theirs| {
            let number = |bytes: Vec<u8>| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
            let shown: BTreeSet<u64> = match ours.read(at, name) {
                Some(Value::Many(values)) => values.into_iter().map(number).collect(),
                None => BTreeSet::new(),
                other => panic!("an mv reads as {other:?}"),
            };
            shown == theirs.read().val.into_iter().collect()
        },
    );
}

fn g_set(histories: u64) {
    play(
        Policy::GSet,
        histories,
        |dice, at, name, ours, theirs: &mut GSet<i64>| {
            let number = dice.below(6) as i64;
            ours.write(at, |transaction, coll| {
                transaction.add(coll, name, &[Element::Int(number)]).expect("a g-set");
            });
            theirs.insert(number);
        },
        |ours, at, name, theirs| ours.elements(at, name) == theirs.read().into_iter().collect(),
    );
}

fn g_counter(histories: u64) {
    play(
        Policy::GCounter,
        histories,
        |dice, at, name, ours, theirs: &mut GCounter<u8>| {
            let plus = dice.below(9) + 1;
            ours.write(at, |transaction, coll| {
                transaction.count(coll, &key(name), plus, 0).expect("a g-counter");
            });
            let op = theirs.inc_many(at as u8, plus);
            theirs.apply(op);
        },
        |ours, at, name, theirs| ours.count(at, name).to_string() == theirs.read().to_string(),
    );
}

fn pn_counter(histories: u64) {
    play(
        Policy::PnCounter,
        histories,
        |dice, at, name, ours, theirs: &mut PNCounter<u8>| {
            let by = dice.below(9) + 1;
            let (plus, minus) = if dice.below(2) == 0 { (by, 0) } else { (0, by) };
            ours.write(at, |transaction, coll| {
                transaction.count(coll, &key(name), plus, minus).expect("a pn-counter");
            });
            let op = match minus {
                0 => theirs.inc_many(at as u8, by),
                _ => theirs.dec_many(at as u8, by),
            };
            theirs.apply(op);
        },
        |ours, at, name, theirs| ours.count(at, name).to_string() == theirs.read().to_string(),
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
#[ignore = "a hundred thousand histories of each type take 17 minutes of one core"]
fn all_of_them_over_a_hundred_thousand_histories() {
    [or_set, mv, g_set, g_counter, pn_counter].into_iter().for_each(|play| play(100_000));
}
