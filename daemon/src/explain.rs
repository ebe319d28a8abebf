//! The story of a key: what is alive, who replaced what, and why this value is shown.

use std::collections::{BTreeMap, BTreeSet};

use crdt::view::Manner;
use crdt::view::lww::{Live, lww};
use crdt::{CollId, DeviceId, Dot, Hlc, Op, Payload, Policy};
use disk::RealDisk;
use replica::{Place, Snapshot, Touch};

use crate::api::types::{Explained, Key, StoryWrite};
use crate::clock;
use crate::slot::{Error, Turn};
use crate::space::Space;
use crate::told;

/// Longest value that the story tells.
const VALUE_LEN_MAX: u64 = 64 << 10;

/// A write that is so far ahead of this device's clock was made under a wrong one.
const AHEAD_MS: u64 = 5 * 60 * 1_000;

/// What was done at a key, as far as it is known.
struct Write {
    hlc: Hlc,
    payload: Option<Payload>,
    supersedes: Vec<Dot>,
}

/// The story; none: nothing here tells of the key. It reads log and archive, and blocks.
pub(crate) fn explain(space: &Space, collection: &str, place: &Place) -> Result<Option<Explained>, Error> {
    drop(space.slot.snapshot_blocking()?);
    let (here, past, snapshot) = space.slot.call_blocking(0, |owner, _| {
        Turn::Done(
            owner
                .live()
                .map(|live| (live.replica.device().id(), live.replica.past(), live.replica.snapshot())),
        )
    })?;
    let live = snapshot.live(place.coll, &place.key)?;
    let writes = known(&live, past.touches(place)?);
    if writes.is_empty() {
        return Ok(None);
    }
    let policy = policy(&snapshot, place.coll)?;
    let mut replaced: BTreeMap<Dot, Vec<String>> = BTreeMap::new();
    for (dot, write) in &writes {
        for old in &write.supersedes {
            replaced.entry(*old).or_default().push(dot.to_string());
        }
    }
    let alive: BTreeSet<Dot> = live.iter().map(|live| live.dot).collect();
    let shown = lww(&live).map(|read| read.winner.dot);
    let mut ordered: Vec<(&Dot, &Write)> = writes.iter().collect();
    ordered.sort_by_key(|(dot, write)| (write.hlc, **dot));
    let told = ordered.into_iter().map(|(dot, write)| {
        let state = match alive.contains(dot) {
            true if shown == Some(*dot) && is_one_value(policy) => "shown",
            true => "live",
            false => "superseded",
        };
        let superseded_by = replaced.get(dot).cloned().unwrap_or_default();
        tell(&snapshot, here, *dot, write, state, superseded_by)
    });
    Ok(Some(Explained {
        space: space.name.clone(),
        collection: collection.to_string(),
        key: Key(place.key.clone()),
        policy: policy.to_string(),
        why: why(policy, &live, &writes),
        writes: told.collect::<Result<_, _>>()?,
    }))
}

/// What is alive and what is told of, together.
fn known(live: &[Live], touches: Vec<Touch>) -> BTreeMap<Dot, Write> {
    let alive = live.iter().map(|live| {
        let (hlc, payload) = (live.hlc, Some(live.payload.clone()));
        (live.dot, Write { hlc, payload, supersedes: Vec::new() })
    });
    let mut writes: BTreeMap<Dot, Write> = alive.collect();
    for Touch { dot, hlc, op, supersedes } in touches {
        let payload = match op {
            Op::Put(payload) => Some(payload),
            Op::Delete => None,
        };
        writes.insert(dot, Write { hlc, payload, supersedes });
    }
    writes
}

fn policy(snapshot: &Snapshot<RealDisk>, coll: CollId) -> Result<Policy, Error> {
    Ok(snapshot.descriptor(coll)?.map_or(Policy::Lww, |descriptor| descriptor.policy))
}

fn is_one_value(policy: Policy) -> bool {
    matches!(policy, Policy::Lww | Policy::Copies | Policy::Strong)
}

fn why(policy: Policy, live: &[Live], writes: &BTreeMap<Dot, Write>) -> String {
    let Some(read) = lww(live) else {
        let deletes = writes.iter().filter(|(_, write)| write.payload.is_none());
        return match deletes.max_by_key(|(dot, write)| (write.hlc, **dot)) {
            Some((dot, _)) => format!("nothing is alive: {dot} deleted it"),
            None => "nothing is alive".to_string(),
        };
    };
    if !is_one_value(policy) {
        return format!("{policy} reads all {} live writes together", live.len());
    }
    let mut why = match live.len() {
        1 => format!("{} is the only live write", read.winner.dot),
        count => format!(
            "{} is the latest of {count} live writes that had not seen each other, by time, then by name",
            read.winner.dot
        ),
    };
    let ahead = read.winner.hlc.time().0.saturating_sub(clock::now().0);
    if ahead > AHEAD_MS {
        why.push_str(&format!("; its writer's clock was {} s ahead of this one's", ahead / 1_000));
    }
    why
}

fn tell(
    snapshot: &Snapshot<RealDisk>,
    here: DeviceId,
    dot: Dot,
    write: &Write,
    state: &str,
    superseded_by: Vec<String>,
) -> Result<StoryWrite, Error> {
    Ok(StoryWrite {
        dot: dot.to_string(),
        device: told::device(&dot.writer),
        here: dot.writer.device() == here,
        hlc: write.hlc.0,
        op: if write.payload.is_some() { "put" } else { "delete" }.to_string(),
        value: told::value(snapshot, &Manner::default(), &[], write.payload.as_ref(), VALUE_LEN_MAX)?,
        state: state.to_string(),
        supersedes: write.supersedes.iter().map(ToString::to_string).collect(),
        superseded_by,
    })
}
