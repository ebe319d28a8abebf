//! Conversations of two sessions over model stores, without sockets; and every frame, byte by byte.

mod backoff;
mod conversations;
mod faults;
mod forks;
mod frames;
mod golden;
mod hostile;
mod join;
mod mend;
mod model;
mod pair;
mod samples;
