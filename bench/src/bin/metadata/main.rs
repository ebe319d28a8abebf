//! Bytes beside the data itself that a live key costs, for each policy here and in automerge, yrs and loro holding the same
//! data where they have a type for it.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin metadata -- [KEYS [POLICY...]]`: every key is updated in each
//! of 100 transactions, then half of the keys are deleted in one, where there is such a thing. What counts is the state that
//! a replica has to keep: here the nodes of both trees once all is folded and the log is done with, there the document as
//! the library saves it (loro's snapshot without its history, too). The names and values of the live keys are taken off, but
//! for counters, whose value is part of what they keep.

mod ours;
mod theirs;

use anyhow::{Context, Result};
use crdt::Policy;

const UPDATES: usize = 100;
const VALUE_LEN: usize = 16;

/// The field of each document.
const FIELD: &str = "text";

/// What a store holds under each of its keys.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    /// Bytes.
    Value,
    /// An object with one field.
    Document,
    /// The key itself is in a set or is not; added again, it says so again or is passed over.
    Element { says_again: bool },
    /// A number that is counted up, or up and down.
    Count { falls: bool },
}

/// Some keys and what is under them.
trait Store {
    fn name(&self) -> &'static str;
    /// Updates all these keys in one transaction.
    fn update(&mut self, keys: &[String], update: usize) -> Result<()>;
    /// Takes all these keys away in one transaction.
    fn delete(&mut self, keys: &[String]) -> Result<()>;
    /// Bytes of all it has to keep.
    fn len(&mut self) -> Result<u64>;
}

/// Other bytes for each key and update, as little to squeeze out of as real data of that length: none.
fn value(key: &str, update: usize) -> Vec<u8> {
    blake3::derive_key("metadata bench", format!("{key} {update}").as_bytes())[..VALUE_LEN].to_vec()
}

/// The same as characters, none of which JSON has another spelling for.
fn text(key: &str, update: usize) -> String {
    value(key, update).into_iter().map(|byte| char::from(b'#' + byte % 57)).collect()
}

/// What an update counts: other numbers for each key and update, and every second one falls where that can be.
fn step(falls: bool, key: &str, update: usize) -> i64 {
    let by = 1 + i64::from(value(key, update)[0]);
    if falls && update % 2 == 1 { -by } else { by }
}

fn shape(policy: Policy) -> Shape {
    match policy {
        Policy::Map => Shape::Document,
        Policy::OrSet => Shape::Element { says_again: true },
        Policy::GSet | Policy::TwoPhaseSet => Shape::Element { says_again: false },
        Policy::GCounter => Shape::Count { falls: false },
        Policy::PnCounter => Shape::Count { falls: true },
        _ => Shape::Value,
    }
}

/// What can be taken away again.
fn has_deletes(policy: Policy) -> bool {
    !matches!(policy, Policy::GSet | Policy::GCounter | Policy::PnCounter)
}

impl Shape {
    fn data_len(self, key: &str) -> usize {
        key.len()
            + match self {
                Shape::Value => VALUE_LEN,
                Shape::Document => FIELD.len() + VALUE_LEN,
                Shape::Element { .. } | Shape::Count { .. } => 0,
            }
    }

    /// Bytes a live key beside its name and its value.
    fn beside(self, total: u64, live: &[String]) -> f64 {
        let data: usize = live.iter().map(|key| self.data_len(key)).sum();
        (total as f64 - data as f64) / live.len() as f64
    }
}

/// Names of keys: numbered ones, of which a store can share what they begin with; and such that share nothing.
fn names(count: usize) -> [Vec<String>; 2] {
    let odd = |n: usize| text(&format!("key {n}"), 0)[..10].to_owned();
    [(0..count).map(|n| format!("key-{n:06}")).collect(), (0..count).map(odd).collect()]
}

/// Bytes a live key after all updates, and after half of the keys were deleted.
fn figures(policy: Policy, mut store: Box<dyn Store>, keys: &[String]) -> Result<[String; 2]> {
    let shape = shape(policy);
    let (deleted, kept): (Vec<_>, Vec<_>) = keys.iter().cloned().enumerate().partition(|(n, _)| n % 2 == 0);
    let names = |keys: Vec<(usize, String)>| keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    let (deleted, kept) = (names(deleted), names(kept));
    for update in 0..UPDATES {
        store.update(keys, update)?;
    }
    let full = format!("{:.1}", shape.beside(store.len()?, keys));
    if !has_deletes(policy) {
        return Ok([full, "-".to_owned()]);
    }
    store.delete(&deleted)?;
    Ok([full, format!("{:.1}", shape.beside(store.len()?, &kept))])
}

fn stores(policy: Policy) -> Result<Vec<Box<dyn Store>>> {
    let mut stores: Vec<Box<dyn Store>> = vec![Box::new(ours::Strandline::new(policy)?)];
    stores.extend(theirs::all(policy, shape(policy)));
    Ok(stores)
}

fn measure(policy: Policy, names: &[Vec<String>; 2]) -> Result<()> {
    let [numbered, odd] = names;
    for (one, other) in stores(policy)?.into_iter().zip(stores(policy)?) {
        let name = one.name();
        let [full, half] = figures(policy, one, numbered)?;
        let [odd_full, odd_half] = figures(policy, other, odd)?;
        println!("{policy:11} {name:14} {full:>8} {half:>8} {odd_full:>14} {odd_half:>8}");
    }
    Ok(())
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(1_000), |text| text.parse()).context("KEYS")?;
    let asked: Vec<Policy> =
        arguments.map(|text| text.parse()).collect::<Result<_, _>>().context("POLICY")?;
    let policies = if asked.is_empty() { Policy::READ.to_vec() } else { asked };
    let names = names(count);
    println!("{count} keys, one writer, {VALUE_LEN} bytes a value: bytes a live key beside name and value");
    println!("{:26} {:>17} {:>23}", "", "numbered names", "odd names");
    println!("{:26} {:>8} {:>8} {:>14} {:>8}", "", "updated", "halved", "updated", "halved");
    policies.into_iter().try_for_each(|policy| measure(policy, &names))
}
