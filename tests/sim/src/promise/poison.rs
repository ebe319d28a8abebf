//! I17: a commit whose clock stands in 2099 never drags another device's time along.

use crdt::{Commit, Time};

use super::{Verdict, breach};

/// How far a writer's time may run ahead of its own clock: what is clamped, and as much as one burst counts on.
const AHEAD_MAX: u64 = 5 * 60_000 + 1_000;

/// A commit written under a clock that showed no more than `latest` in this run of the process.
pub fn check(name: &str, commit: &Commit, latest: Time) -> Verdict {
    let time = commit.header().hlc.time();
    if time.0 <= latest.0 + AHEAD_MAX {
        return Ok(());
    }
    let dot = commit.dot();
    Err(breach(
        "I17",
        format!("{name} wrote {dot} at {} ms, and its clock never showed more than {}", time.0, latest.0),
    ))
}
