//! Homes and devices in one thread: joining, meeting, crashing and racing, with in-memory pipes between them.

mod claim;
mod compat;
mod crash;
mod handover;
mod joining;
mod meeting;
mod mend;
mod removal;
mod resting;
mod rivals;
mod twice;
mod world;
