//! Real processes on loopback: the daemon and its command line as a user runs them.

mod clocks;
mod conflicts;
mod copies;
mod damage;
mod harness;
mod imports;
mod meeting;
mod outbox;
mod series;
mod serving;
mod tidy;
mod usage;
