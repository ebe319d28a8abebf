//! I15: replicas that are equal exchange a bounded number of frames and then fall silent but for beats.

use super::{Verdict, breach};

/// How long equal replicas are listened to.
pub const LISTEN_MS: u64 = 120_000;

/// Frames of one side of a conversation in that time: what says that it is equal, and beats at 1, 15, 30, 60 seconds.
pub const FRAMES_MAX: u64 = 10;

/// `frames` of one side while nobody wrote anything.
pub fn check(name: &str, peer: usize, frames: u64) -> Verdict {
    if frames <= FRAMES_MAX {
        return Ok(());
    }
    let what = format!("{name} sent m{peer} {frames} frames in {LISTEN_MS} ms, though both were equal");
    Err(breach("I15", what))
}
