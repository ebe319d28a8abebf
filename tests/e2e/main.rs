//! Real processes on loopback: the daemon and its command line as a user runs them.
