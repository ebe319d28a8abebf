//! A log that remembers what it promised.
