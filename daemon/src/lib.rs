//! The library to embed: the same verbs as the command line, in this process.

pub mod api;
pub mod clock;
pub mod config;
pub mod endpoint;
pub mod identity;
pub mod keytext;
#[cfg(test)]
mod scratch;
