//! I14: after the faults stop everyone becomes equal within a bound of virtual time and of rounds.

use super::{Breach, Verdict, breach};

/// Virtual milliseconds from the end of the faults to equal roots.
pub const CONVERGE_MAX: u64 = 60_000;

/// Handles made meanwhile: a round is what is held when the home makes one.
pub const ROUNDS_MAX: u64 = 5;

/// Not equal in time.
pub fn too_late(where_is_everyone: &str) -> Breach {
    breach("I14", format!("not equal after {CONVERGE_MAX} ms of calm: {where_is_everyone}"))
}

/// Equal, but how soon? Each space for itself.
pub fn check(space: usize, rounds: u64) -> Verdict {
    if rounds <= ROUNDS_MAX {
        return Ok(());
    }
    Err(breach("I14", format!("it took s{space} {rounds} Handles to become equal, more than {ROUNDS_MAX}")))
}
