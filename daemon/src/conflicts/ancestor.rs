//! What all sides of a conflict had seen, as far as log and archive still tell.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{Dot, Op};
use replica::{Contest, ContestKind, KeyRange, Touch};

use crate::slot::{Error, Turn};
use crate::space::Space;

/// The last put that all sides superseded, directly or by way of others.
pub(super) fn ancestor(space: &Space, contest: &Contest) -> Result<Option<Touch>, Error> {
    // The sides of other contests are not writes of one key.
    if contest.kind != ContestKind::Siblings {
        return Ok(None);
    }
    let past =
        space.slot.call_blocking(0, |owner, _| Turn::Done(owner.live().map(|live| live.replica.past())))?;
    let touches = past.touches(contest.place.coll, &KeyRange::key(&contest.place.key))?;
    let by_dot: BTreeMap<Dot, &Touch> = touches.iter().map(|touch| (touch.dot, touch)).collect();
    let seen_by = |side: Dot| {
        let mut seen = BTreeSet::new();
        let mut left = vec![side];
        while let Some(touch) = left.pop().and_then(|dot| by_dot.get(&dot)) {
            left.extend(touch.supersedes.iter().copied().filter(|dot| seen.insert(*dot)));
        }
        seen
    };
    let common = contest.dots().map(seen_by).reduce(|common, seen| &common & &seen).unwrap_or_default();
    let puts = common.iter().filter_map(|dot| by_dot.get(dot)).filter(|touch| matches!(touch.op, Op::Put(_)));
    Ok(puts.max_by_key(|touch| (touch.hlc, touch.dot)).map(|touch| (*touch).clone()))
}
