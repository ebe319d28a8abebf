//! I21: what a reader sees by the policy of a collection is what was asked for, in exactly the commits that the replica's
//! vector names: no write counts twice, none is lost, and what means nothing shows nowhere.

use std::collections::{BTreeMap, BTreeSet};

use crdt::key::{self, Element};
use crdt::view::copies::copies;
use crdt::view::{Live, Manner};
use crdt::{CollId, Dot, Hlc, Policy};
use disk::MemoryDisk;
use replica::{KeyRange, Order, Replica, Value};

use super::{Breach, Look, Verdict, breach};
use crate::deeds::{Alive, Deeds, Says};

/// What is read at a key, and how many values it has that are not shown alone.
type Read = (Value, usize);

/// Every collection with a policy of its own shows what was asked for; the error is one that a reader gets.
pub fn check(look: &Look<'_>) -> Result<Verdict, replica::Error> {
    for (coll, made) in look.book.deeds.colls() {
        let shown = check_one(look, coll, made)?;
        if shown.is_err() {
            return Ok(shown);
        }
    }
    Ok(Ok(()))
}

/// In the end everyone reads every collection in the manner of the home.
pub fn alike(look: &Look<'_>, home: &Replica<MemoryDisk>) -> Verdict {
    let (here, there) = (look.replica.snapshot(), home.snapshot());
    for (coll, made) in look.book.deeds.colls() {
        let manners = [here.manner(coll), there.manner(coll)].map(|manner| manner.ok().flatten());
        if manners[0] != manners[1] || manners[0].is_none() {
            let what = format!(
                "{} reads a {} collection as {:?}, and the home as {:?}",
                look.name, made.policy, manners[0], manners[1]
            );
            return Err(breach("I21", what));
        }
    }
    Ok(())
}

fn check_one(look: &Look<'_>, coll: CollId, made: Manner) -> Result<Verdict, replica::Error> {
    let snapshot = look.replica.snapshot();
    // One that was made before it was joined is there with the first base.
    let Some(manner) = snapshot.manner(coll)? else { return Ok(Ok(())) };
    if !look.book.deeds.is_known(coll, manner) {
        let what =
            format!("{} reads a {} collection as {manner:?}, which nobody said", look.name, made.policy);
        return Ok(Err(breach("I21", what)));
    }
    let expected = expected(look, coll, &manner);
    let mut shown = BTreeMap::new();
    let entries = snapshot.entries(coll, manner, &KeyRange::all(), Order::Ascending);
    for entry in entries? {
        let entry = entry?;
        shown.insert(entry.key, (entry.value, entry.disputed));
    }
    for key in expected.keys().chain(shown.keys()).collect::<BTreeSet<_>>() {
        let alone = snapshot.entry(coll, manner, key)?;
        let alone = alone.map(|entry| (entry.value, entry.disputed));
        for read in [shown.get(key), alone.as_ref()] {
            if read != expected.get(key) {
                return Ok(Err(differ(look, &manner, key, read, expected.get(key))));
            }
        }
        if manner.policy == Policy::Copies {
            let live = snapshot.live(coll, key)?;
            let named = check_copies(look, coll, key, &live);
            if named.is_err() {
                return Ok(named);
            }
        }
    }
    Ok(Ok(()))
}

/// Each that lost has its name beside the key.
fn check_copies(look: &Look<'_>, coll: CollId, key: &[u8], live: &[Live]) -> Verdict {
    let alive = look.book.deeds.alive(coll, key, &look.seen);
    let losers: Vec<(Dot, Hlc)> = alive.iter().skip(1).map(|alive| (alive.dot, alive.hlc)).collect();
    let shown = copies(key, live).unwrap_or_default();
    let shown: Vec<(Vec<u8>, Dot)> = shown.into_iter().map(|copy| (copy.key, copy.live.dot)).collect();
    if shown == copy_names(key, &losers) {
        return Ok(());
    }
    let key = key::display(key);
    Err(breach("I21", format!("{} names the copies of {key} otherwise than they are called", look.name)))
}

/// What those that lost are called, the highest first.
pub fn copy_names(key: &[u8], losers: &[(Dot, Hlc)]) -> Vec<(Vec<u8>, Dot)> {
    let Some(plain) = key::plain_name(key) else { return Vec::new() };
    let plain = String::from_utf8_lossy(&plain).into_owned();
    let digits = |dot: &Dot| dot.writer.0.map(|byte| format!("{byte:02x}")).concat();
    let short = |(dot, hlc): &(Dot, Hlc)| format!("{plain}~conflict~{}~{}", &digits(dot)[..8], hlc.0);
    let name = |loser: &(Dot, Hlc)| {
        let alike = losers.iter().filter(|other| short(other) == short(loser)).count();
        let name = match alike {
            1 => short(loser),
            _ => format!("{plain}~conflict~{}~{}", digits(&loser.0), loser.1.0),
        };
        (key::plain(name.as_bytes()), loser.0)
    };
    losers.iter().map(name).collect()
}

/// What was asked for, by key: of a document or a set by its name.
fn expected(look: &Look<'_>, coll: CollId, manner: &Manner) -> BTreeMap<Vec<u8>, Read> {
    let deeds = &look.book.deeds;
    let read = |key: &Vec<u8>| {
        let alive = deeds.alive(coll, key, &look.seen);
        let read = match manner.policy {
            Policy::GCounter | Policy::PnCounter => (Value::Count(deeds.count(coll, key, &look.seen)?), 0),
            Policy::Mv => {
                let values: Vec<Vec<u8>> = alive.iter().map(bytes).collect();
                let disputed = values.len().checked_sub(1)?;
                (Value::Many(values), disputed)
            }
            _ => (Value::Bytes(bytes(alive.first()?)), alive.len() - 1),
        };
        Some((key.clone(), read))
    };
    match manner.policy {
        Policy::Map => documents(deeds, look, coll, manner),
        Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet => sets(deeds, look, coll),
        _ => deeds.keys(coll).filter_map(read).collect(),
    }
}

fn bytes(alive: &Alive<'_>) -> Vec<u8> {
    match alive.says {
        Says::Value(bytes) => bytes.clone(),
        other => unreachable!("a register says a value, not {other:?}"),
    }
}

fn documents(deeds: &Deeds, look: &Look<'_>, coll: CollId, manner: &Manner) -> BTreeMap<Vec<u8>, Read> {
    let name = |key: &Vec<u8>| key::decode(key).map(|mut elements| elements.swap_remove(0));
    let names: Vec<Element> = deeds.keys(coll).flat_map(name).collect();
    let read = |name: Element| {
        let (fields, disputed) = deeds.document(coll, &name, &look.seen).read(manner)?;
        Some((key::encode(&[name]).ok()?, (Value::Document(fields), disputed)))
    };
    names.into_iter().filter_map(read).collect()
}

fn sets(deeds: &Deeds, look: &Look<'_>, coll: CollId) -> BTreeMap<Vec<u8>, Read> {
    let mut sets: BTreeMap<Vec<u8>, Vec<Vec<Element>>> = BTreeMap::new();
    for key in deeds.keys(coll) {
        let alive = deeds.alive(coll, key, &look.seen);
        let is_out = alive.iter().any(|alive| *alive.says == Says::Removed);
        let is_in = alive.iter().any(|alive| *alive.says == Says::Added);
        let elements = key::decode(key).unwrap_or_default();
        if let (true, false, [name, element @ ..]) = (is_in, is_out, elements.as_slice())
            && !element.is_empty()
        {
            let name = key::encode(std::slice::from_ref(name)).expect("part of a key");
            sets.entry(name).or_default().push(element.to_vec());
        }
    }
    sets.into_iter().map(|(name, elements)| (name, (Value::Set(elements), 0))).collect()
}

fn differ(
    look: &Look<'_>,
    manner: &Manner,
    key: &[u8],
    shown: Option<&Read>,
    expected: Option<&Read>,
) -> Breach {
    let key = key::display(key);
    let what = format!(
        "{} shows {shown:?} at {key} of a {} collection, and {expected:?} was asked for",
        look.name, manner.policy
    );
    breach("I21", what)
}
