//! Real processes on loopback: the daemon and its command line as a user runs them.

mod clocks;
mod conflicts;
mod copies;
mod damage;
mod doctor;
mod full_disk;
mod harness;
mod http;
mod imports;
mod inbox;
mod kills;
mod ledger;
mod liar;
mod manual;
mod meeting;
mod membership;
mod outbox;
mod policies;
mod retention;
mod series;
mod serving;
mod syscalls;
mod tidy;
mod usage;
mod views;
mod watch;
