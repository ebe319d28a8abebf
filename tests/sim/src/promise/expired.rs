//! I21, of losers that a home lets go: they are old enough or too many, and nothing that a reader is shown goes with them.

use std::collections::{BTreeMap, BTreeSet};

use crdt::key::{self, Element};
use crdt::{CollId, Dot, Hlc, Policy, Time};
use disk::MemoryDisk;
use replica::{Retention, Snapshot, Spent};

use super::{Verdict, breach};
use crate::book::{Book, Vector};
use crate::deeds::{Ask, Deeds, Says, Verb};

/// A loser that is written this long before it comes has its time from when it came, in milliseconds.
const LATE_MS: u64 = 3_600_000;

/// What a home has found is what may go by the bounds that it has set: all that is beyond the count, and else only what is
/// old enough. `came` is when each loser was first seen to be one, since the process began.
pub fn may_go(
    name: &str,
    book: &Book,
    snapshot: &Snapshot<MemoryDisk>,
    spent: &[Spent],
    now: Time,
    came: &mut BTreeMap<Dot, Time>,
) -> Result<Verdict, replica::Error> {
    let seen = seen(book, snapshot)?;
    let mut found: BTreeMap<(CollId, &[u8]), &BTreeSet<Dot>> =
        spent.iter().map(|spent| ((spent.place.coll, &spent.place.key[..]), &spent.dots)).collect();
    let mut there = BTreeSet::new();
    for (coll, _) in book.deeds.colls() {
        let retention = snapshot.retention(coll)?;
        let Some(manner) = snapshot.manner(coll)? else { continue };
        for key in book.deeds.keys(coll) {
            let losers = losers(&book.deeds, coll, manner.policy, key, &seen);
            let dots = found.remove(&(coll, &key[..])).cloned().unwrap_or_default();
            for (at, (dot, hlc)) in losers.iter().enumerate() {
                there.insert(*dot);
                let came = came.entry(*dot).and_modify(|came| *came = now.min(*came)).or_insert(now);
                let written = hlc.time();
                let since = if written.plus_ms(LATE_MS) < *came { *came } else { written };
                let is_old = retention.max_age_ms.is_some_and(|age| since.plus_ms(age) <= now);
                let is_beyond = retention.max_count.is_some_and(|count| at as u64 >= count);
                if dots.contains(dot) && !is_old && !is_beyond || is_beyond && !dots.contains(dot) {
                    return Ok(Err(wrong(name, key, dot, retention, is_beyond)));
                }
            }
            if let Some(dot) = dots.iter().find(|dot| !losers.iter().any(|(loser, _)| loser == *dot)) {
                let key = key::display(key);
                return Ok(Err(breach(
                    "I21",
                    format!("{name} would let {dot} go at {key}, which has not lost"),
                )));
            }
        }
    }
    came.retain(|dot, _| there.contains(dot));
    Ok(match found.keys().next() {
        None => Ok(()),
        Some((_, key)) => Err(breach(
            "I21",
            format!("{name} would let losers go at {}, where nobody wrote", key::display(key)),
        )),
    })
}

/// What a home lets go has lost, in all that its transaction saw.
pub fn are_not_shown(
    name: &str,
    book: &Book,
    read: &Snapshot<MemoryDisk>,
    asks: &[Ask],
) -> Result<Verdict, replica::Error> {
    let seen = seen(book, read)?;
    for Ask { coll, verb, read: manner, .. } in asks {
        let Verb::Discard(key, dots) = verb else { continue };
        let losers = losers(&book.deeds, *coll, manner.policy, key, &seen);
        if let Some(dot) = dots.iter().find(|dot| !losers.iter().any(|(loser, _)| loser == *dot)) {
            let key = key::display(key);
            return Ok(Err(breach(
                "I21",
                format!(
                    "{name} lets {dot} go at {key} of a {} collection, where it has not lost",
                    manner.policy
                ),
            )));
        }
    }
    Ok(Ok(()))
}

/// How far a snapshot holds each writer.
fn seen(book: &Book, snapshot: &Snapshot<MemoryDisk>) -> Result<Vector, replica::Error> {
    let mut seen = Vector::new();
    for writer in book.known().keys() {
        seen.extend(snapshot.tip(writer)?.map(|tip| (*writer, tip.seq)));
    }
    Ok(seen)
}

/// What stands at a key beside another value that is shown in its place, the highest first.
fn losers(deeds: &Deeds, coll: CollId, policy: Policy, key: &[u8], seen: &Vector) -> Vec<(Dot, Hlc)> {
    let is_shown_alone = match policy {
        Policy::Lww | Policy::Copies => true,
        Policy::Map => shows_field(deeds, coll, key, seen),
        _ => false,
    };
    let mut alive = deeds.alive(coll, key, seen).into_iter().filter(|alive| *alive.says != Says::Nothing);
    let Some(shown) = alive.next().filter(|_| is_shown_alone) else { return Vec::new() };
    alive.filter(|alive| alive.says != shown.says).map(|alive| (alive.dot, alive.hlc)).collect()
}

fn shows_field(deeds: &Deeds, coll: CollId, key: &[u8], seen: &Vector) -> bool {
    let Ok(elements) = key::decode(key) else { return false };
    let name = |element: &Element| match element {
        Element::Text(name) => Some(name.clone()),
        _ => None,
    };
    let path: Option<Vec<String>> = elements[1..].iter().map(name).collect();
    path.is_some_and(|path| deeds.document(coll, &elements[0], seen).shows(&path))
}

fn wrong(name: &str, key: &[u8], dot: &Dot, bounds: Retention, is_beyond: bool) -> super::Breach {
    let key = key::display(key);
    let what = match is_beyond {
        true => format!("{name} keeps {dot} at {key}, one loser too many by {bounds:?}"),
        false => format!("{name} would let {dot} go at {key}, which is too young for that by {bounds:?}"),
    };
    breach("I21", what)
}
