//! Pure readings of the live dots of a key, one module for each policy.

pub mod counter;
pub mod lww;
