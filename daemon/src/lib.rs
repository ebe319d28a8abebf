//! The library to embed: the same verbs as the command line, in this process.

pub mod api;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod endpoint;
mod fingerprint;
pub mod identity;
mod join;
pub mod keytext;
pub mod metrics;
mod peer;
pub mod peers;
#[cfg(test)]
mod scratch;
pub mod slot;
pub mod space;
pub mod spaces;
