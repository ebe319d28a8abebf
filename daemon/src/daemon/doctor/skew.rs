//! Which clock is wrong: this one, or that of a device whose writes lie ahead of it.

use std::sync::Arc;

use crdt::{DeviceId, Time, Tip};
use disk::RealDisk;
use replica::Snapshot;

use super::{clock_is_set, error, ok, warning};
use crate::api::types::Finding;
use crate::space::Space;

/// A time that is so far ahead of this clock was made under a wrong one, its own or this one.
const SKEW_MS: u64 = 5 * 60 * 1_000;

const DAY_MS: u64 = 86_400_000;

/// What is found about clocks; one finding that all is well where nothing else is.
pub(super) async fn findings(spaces: &[Arc<Space>], this: DeviceId, now: Time) -> Vec<Finding> {
    let set = clock_is_set(now);
    if set.level != "ok" {
        return vec![set];
    }
    let mut findings = Vec::new();
    for space in spaces {
        // A space that is not open has a line of its own.
        let Ok(snapshot) = space.slot.snapshot().await else { continue };
        match ahead(&snapshot, now) {
            Ok(devices) => {
                findings
                    .extend(devices.iter().map(|(device, ms)| finding(space, device, *ms, *device == this)));
            }
            Err(problem) => findings.push(error(
                "space",
                format!("{}: {problem}", space.name),
                &format!("strandline verify {}", space.name),
            )),
        }
    }
    if findings.is_empty() {
        findings.push(ok("clock", "plausible: no device writes ahead of it".to_string()));
    }
    findings
}

/// The members whose last writes are ahead of this clock, and by how many milliseconds.
fn ahead(snapshot: &Snapshot<RealDisk>, now: Time) -> Result<Vec<(DeviceId, u64)>, home::Error> {
    let mut ahead = Vec::new();
    for (device, _) in home::members(snapshot)? {
        let tips = snapshot.writers_of(&device)?;
        let Some(last) = last(tips.iter().map(|(_, tip)| tip)) else { continue };
        let ms = last.hlc.time().0.saturating_sub(now.0);
        if ms > SKEW_MS {
            ahead.push((device, ms));
        }
    }
    Ok(ahead)
}

/// The last write of a device, among the last ones of its runs: a clock that was put right writes on the newest base, and
/// earlier in time than before.
fn last<'a>(tips: impl Iterator<Item = &'a Tip>) -> Option<&'a Tip> {
    tips.max_by_key(|tip| (tip.base, std::cmp::Reverse(tip.hlc)))
}

fn finding(space: &Space, device: &DeviceId, ms: u64, is_this: bool) -> Finding {
    let by = match ms / DAY_MS {
        0 | 1 => format!("{} s", ms / 1_000),
        _ => format!("{} days", (ms + DAY_MS / 2) / DAY_MS),
    };
    match is_this {
        true => warning(
            "clock",
            format!("this device has written {by} ahead of what its clock shows now ({})", space.name),
            "if the clock is right now, nothing: the next write here replaces what it has seen, whatever its time",
        ),
        false => warning(
            "clock",
            format!("device {device} writes {by} ahead of this clock ({})", space.name),
            "compare both clocks: until they agree it wins over what is written apart from it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use crdt::{CommitId, Hlc};

    use super::*;

    #[test]
    fn a_clock_that_was_put_right_is_no_longer_wrong() {
        let tip = |base, ms: u64| Tip { seq: 1, id: CommitId::ZERO, hlc: Hlc(ms << 16), base };
        let (wrong, right) = (tip(3, 9_000), tip(3, 1_000));
        assert_eq!(last([&wrong, &right].into_iter()), Some(&right), "on one base the earlier one is later");
        assert_eq!(last([&tip(2, 1_000), &wrong].into_iter()), Some(&wrong));
        assert_eq!(last([].into_iter()), None);
    }
}
