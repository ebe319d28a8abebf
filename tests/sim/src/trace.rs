//! What happened, as a hash that two runs of a seed must share and, if wanted, as events.

use std::hash::{Hash, Hasher};

use crate::event::Event;

/// What a run leaves behind beside its outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// Only the hash of everything that happened.
    #[default]
    Hash,
    /// Every event, too.
    Events,
}

/// The story of one run.
#[derive(Debug)]
pub struct Trace {
    hasher: blake3::Hasher,
    keep: Keep,
    events: Vec<Event>,
}

impl Trace {
    /// Nothing has happened yet.
    pub fn new(keep: Keep) -> Trace {
        Trace { hasher: blake3::Hasher::new(), keep, events: Vec::new() }
    }

    /// Adds an event.
    pub fn event(&mut self, event: Event) {
        event.hash(&mut Feed(&mut self.hasher));
        self.remark(event);
    }

    /// Adds an event that follows from others, so that it is no part of the hash.
    pub fn remark(&mut self, event: Event) {
        if self.keeps_events() {
            self.events.push(event);
        }
    }

    /// Adds bytes that matter to the hash but would tell a person nothing.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether events are kept, so that it is worth finding out more of them.
    pub fn keeps_events(&self) -> bool {
        self.keep == Keep::Events
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..32].to_string()
    }

    /// The events, if they were kept.
    pub fn into_events(self) -> Vec<Event> {
        self.events
    }
}

/// Lets `derive(Hash)` say what of an event matters.
struct Feed<'a>(&'a mut blake3::Hasher);

impl Hasher for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        unreachable!("the hash is read from the trace")
    }
}
