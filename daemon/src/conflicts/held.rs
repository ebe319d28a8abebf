//! What this device wrote and counts no more: it is written again, or let go.

use std::collections::BTreeSet;

use crdt::{Class, Dot, Time};
use replica::Item;

use super::settle::{Settle, settled, unsettled};
use crate::api::types::Settled;
use crate::slot::Error;
use crate::space::{DiskOwner, Space};

/// Settles an item that only this device knows of.
pub(super) fn held_here(space: &Space, id: &str, item: Item, how: &Settle) -> Result<Settled, Error> {
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
        transaction.write_again(mutation.coll, &mutation.key, &mutation.op)?;
    }
    let committed = live.replica.commit(now, transaction, Class::Normal)?;
    owner.committed(now, committed.dot);
    owner.live()?.replica.flush()?;
    Ok(committed.dot)
}
