//! Reads time and chance from the system, for everyone.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crdt::Time;

/// The time now; before 1970 counts as 1970.
pub fn now() -> Time {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Time(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

/// How long from now until `time`; nothing when it has passed.
pub fn until(time: Time) -> Duration {
    Duration::from_millis(time.0.saturating_sub(now().0))
}

/// Thirty-two bytes nobody can guess.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    // A machine without a source of chance can neither make keys nor talk TLS.
    getrandom::fill(&mut seed).expect("the operating system gives random bytes");
    seed
}
