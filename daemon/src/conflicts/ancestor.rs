//! What all sides of a conflict had seen, as far as log and archive still tell.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{CollId, Dot, Op};
use replica::{Contest, ContestKind, Touch};

use crate::slot::{Error, Turn};
use crate::space::Space;

/// The last put that all sides superseded, directly or by way of others.
pub(super) fn ancestor(space: &Space, contest: &Contest) -> Result<Option<Touch>, Error> {
    Ok(ancestors(space, contest.place.coll, std::slice::from_ref(contest))?.pop().flatten())
}

/// Those of several conflicts of one collection, in their order: what is left of the past is read once for all of them.
pub(super) fn ancestors(
    space: &Space,
    coll: CollId,
    contests: &[Contest],
) -> Result<Vec<Option<Touch>>, Error> {
    // The sides of other contests are not writes of one key.
    let is_of_one_key = |contest: &&Contest| contest.kind == ContestKind::Siblings;
    let keys: BTreeSet<&[u8]> =
        contests.iter().filter(is_of_one_key).map(|contest| contest.place.key.as_slice()).collect();
    if keys.is_empty() {
        return Ok(vec![None; contests.len()]);
    }
    let past =
        space.slot.call_blocking(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.past())))?;
    let mut touches: BTreeMap<Vec<u8>, BTreeMap<Dot, Touch>> = BTreeMap::new();
    for touch in past.touches_of(coll, |key| keys.contains(key))? {
        touches.entry(touch.key.clone()).or_default().insert(touch.dot, touch);
    }
    let found = |contest: &Contest| common(touches.get(&contest.place.key)?, contest.dots());
    Ok(contests.iter().map(|contest| Some(contest).filter(is_of_one_key).and_then(found)).collect())
}

/// The last put at a key that all sides superseded.
fn common(touches: &BTreeMap<Dot, Touch>, sides: impl Iterator<Item = Dot>) -> Option<Touch> {
    let seen_by = |side: Dot| {
        let mut seen = BTreeSet::new();
        let mut left = vec![side];
        while let Some(touch) = left.pop().and_then(|dot| touches.get(&dot)) {
            left.extend(touch.supersedes.iter().copied().filter(|dot| seen.insert(*dot)));
        }
        seen
    };
    let common = sides.map(seen_by).reduce(|common, seen| &common & &seen).unwrap_or_default();
    let puts =
        common.iter().filter_map(|dot| touches.get(dot)).filter(|touch| matches!(touch.op, Op::Put(_)));
    puts.max_by_key(|touch| (touch.hlc, touch.dot)).cloned()
}
