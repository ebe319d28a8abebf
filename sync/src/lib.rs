//! The conversation between two replicas: frames, sessions, backoff; no I/O, no clock.
