//! The ways to settle a conflict. Those of concurrent writes are ordinary commits, which replicate and conflict like any other.

use std::collections::BTreeSet;

use crdt::view::lww::Live;
use crdt::{Class, Dot, Op, Time};
use replica::{Contest, Item};

use super::{Found, ancestor, each, id_of_siblings, merge};
use crate::api::types::Settled;
use crate::slot::Error;
use crate::space::{DiskOwner, Space, transact};

/// What becomes of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// This side stands for all: `winner`, the number of a loser from 1 on, or a dot. What a home did not take is
    /// written again.
    Pick(String),
    /// This value does.
    Value(Vec<u8>),
    /// What the JSON objects of all sides changed, together.
    Merge,
    /// What lost goes.
    Discard,
}

/// Settles the conflict of this id. One that is not open any more is [`Error::Settled`].
pub fn settle(space: &Space, id: &str, how: &Settle) -> Result<Settled, Error> {
    let mut found = None;
    each(space, |view, candidate| {
        if view.id(candidate) == id {
            found = Some(match candidate {
                Found::Siblings(contest) => Found::Siblings(contest.clone()),
                Found::Item(item) => Found::Item(item.clone()),
                Found::Name(name, names) => Found::Name(name.clone(), names.clone()),
            });
        }
        Ok(found.is_none())
    })?;
    match found {
        None => Err(Error::Settled { id: id.to_string() }),
        Some(Found::Siblings(contest)) => siblings(space, id, contest, how),
        Some(Found::Item(item)) => held_here(space, id, *item, how),
        Some(Found::Name(..)) => Err(unsettled(
            id,
            "two collections bear one name; move what is to stay from one to the other, key by key",
        )),
    }
}

fn siblings(space: &Space, id: &str, contest: Contest, how: &Settle) -> Result<Settled, Error> {
    let (value, outcome) = match how {
        Settle::Pick(pick) => (Some(value_of(space, chosen(id, &contest, pick)?)?), "picked"),
        Settle::Value(value) => (Some(value.clone()), "edited"),
        Settle::Merge => (Some(merged(space, id, &contest)?), "merged"),
        Settle::Discard => (None, "discarded"),
    };
    let policy = contest.policy.to_string();
    let (asked, named) = (id.to_string(), space.id);
    let len = value.as_ref().map_or(0, Vec::len);
    let place = contest.place;
    let losers: BTreeSet<Dot> = contest.losers.iter().map(|loser| loser.dot).collect();
    let committed = space.slot.call_blocking(len, move |owner: &mut DiskOwner, now: Time| {
        transact(owner, now, |tx| {
            // Whoever writes there meanwhile makes it another conflict, which nobody has looked at.
            tx.read(place.coll, &place.key)?;
            let now = tx.snapshot().contest(&place)?;
            if now.is_none_or(|now| id_of_siblings(&named, &now) != asked) {
                return Err(Error::Settled { id: asked.clone() });
            }
            match &value {
                Some(value) => tx.resolve(place.coll, &place.key, value)?,
                None => tx.discard(place.coll, &place.key, losers.clone())?,
            }
            Ok(())
        })
        .into()
    })?;
    space.metrics.settled(&policy, outcome);
    Ok(settled(id, outcome, Some(committed.dot)))
}

/// What only this device knows of: it is written again, or let go.
fn held_here(space: &Space, id: &str, item: Item, how: &Settle) -> Result<Settled, Error> {
    let outcome = match how {
        Settle::Discard => "discarded",
        Settle::Pick(_) if item.commit.is_some() => "rewritten",
        Settle::Pick(_) => return Err(unsettled(id, "its effect lives on under another name: discard it")),
        Settle::Value(_) | Settle::Merge => {
            return Err(unsettled(id, "it is written again as it was (--pick 1), or discarded"));
        }
    };
    let committed = space.slot.call_blocking(0, move |owner: &mut DiskOwner, now: Time| {
        let mut work = || {
            let committed = match outcome {
                "rewritten" => Some(rewrite(owner, now, &item)?),
                _ => None,
            };
            // After it: a crash between the two leaves the item, and nothing is lost.
            owner.live()?.replica.discard(now, &BTreeSet::from([item.dot]))?;
            Ok(committed)
        };
        work().into()
    })?;
    space.metrics.settled("none", outcome);
    Ok(settled(id, outcome, committed))
}

fn rewrite(owner: &mut DiskOwner, now: Time, item: &Item) -> Result<Dot, Error> {
    let live = owner.live_to_write()?;
    let mut transaction = live.replica.begin();
    for mutation in item.commit.iter().flat_map(|commit| &commit.body().mutations) {
        match &mutation.op {
            Op::Put(payload) => {
                let value = transaction.snapshot().value(payload)?;
                transaction.put(mutation.coll, &mutation.key, &value)?;
            }
            Op::Delete => transaction.delete(mutation.coll, &mutation.key)?,
        }
    }
    let committed = live.replica.commit(now, transaction, Class::Normal)?;
    owner.committed(now, committed.dot);
    owner.live()?.replica.flush()?;
    Ok(committed.dot)
}

fn chosen<'a>(id: &str, contest: &'a Contest, pick: &str) -> Result<&'a Live, Error> {
    if pick == "winner" || pick == "0" {
        return Ok(&contest.winner);
    }
    let by_number = pick.parse().ok().and_then(|number: usize| contest.losers.get(number.checked_sub(1)?));
    let by_dot = || {
        let dot: Dot = pick.parse().ok()?;
        [&contest.winner].into_iter().chain(&contest.losers).find(|live| live.dot == dot)
    };
    by_number.or_else(by_dot).ok_or_else(|| {
        let count = contest.losers.len();
        unsettled(id, &format!("{pick:?} is none of its sides: `winner`, 1 to {count}, or a dot"))
    })
}

fn value_of(space: &Space, live: &Live) -> Result<Vec<u8>, Error> {
    Ok(space.slot.snapshot_blocking()?.value(&live.payload)?)
}

fn merged(space: &Space, id: &str, contest: &Contest) -> Result<Vec<u8>, Error> {
    let no_ancestor = || unsettled(id, "neither log nor archive has the write that all sides had seen");
    let touch = ancestor(space, contest)?.ok_or_else(no_ancestor)?;
    let Op::Put(payload) = &touch.op else { return Err(no_ancestor()) };
    let snapshot = space.slot.snapshot_blocking()?;
    let document = |payload: &crdt::Payload| {
        let bytes = snapshot.value(payload)?;
        serde_json::from_slice(&bytes).map_err(|_| unsettled(id, "not every side is JSON"))
    };
    let ancestor: serde_json::Value = match snapshot.value(payload) {
        Err(replica::Error::NotLocal { .. }) => return Err(no_ancestor()),
        _ => document(payload)?,
    };
    let sides = [&contest.winner].into_iter().chain(&contest.losers).map(|live| document(&live.payload));
    let sides: Vec<serde_json::Value> = sides.collect::<Result<_, _>>()?;
    let merged = merge::merge(&ancestor, &sides)
        .map_err(|paths| unsettled(id, &format!("two sides changed {} differently", paths.join(", "))))?;
    Ok(merged.to_string().into_bytes())
}

fn unsettled(id: &str, reason: &str) -> Error {
    Error::Unsettled { id: id.to_string(), reason: reason.to_string() }
}

fn settled(id: &str, outcome: &str, dot: Option<Dot>) -> Settled {
    Settled { id: id.to_string(), outcome: outcome.to_string(), dot: dot.map(|dot| dot.to_string()) }
}
