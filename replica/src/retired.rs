//! Files that nothing needs any more, kept until nobody can still be copying them.

use std::collections::VecDeque;

use crdt::Time;
use wal::Position;

/// A copy of the running folder that began before the last two moves must still find its files: so long do they stay.
const KEPT_MS: u64 = 15 * 60 * 1000;
/// As many manifests as there are slots: then no slot names the file.
const KEPT_MANIFESTS: u64 = 2;

/// What may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// A pack, by name.
    Pack(String),
    /// Segments of the log that lie wholly before a position.
    Log(Position),
}

/// What leaves, oldest first, each since which manifest and when.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    leaving: VecDeque<(u64, Time, Leaving)>,
}

impl Retired {
    /// Something the manifest of this `sequence` does not need any more.
    pub(crate) fn push(&mut self, sequence: u64, now: Time, leaving: Leaving) {
        self.leaving.push_back((sequence, now, leaving));
    }

    /// The next thing that may go now.
    pub(crate) fn pop(&mut self, sequence: u64, now: Time) -> Option<Leaving> {
        let (since, at, _) = self.leaving.front()?;
        let is_free = sequence >= since + KEPT_MANIFESTS - 1 && now.since(*at) >= KEPT_MS;
        if is_free { self.leaving.pop_front().map(|(_, _, leaving)| leaving) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_goes_after_two_manifests_and_a_quarter_of_an_hour() {
        let mut retired = Retired::default();
        let log = Leaving::Log(Position(7));
        retired.push(5, Time(0), log.clone());
        assert_eq!(retired.pop(9, Time(KEPT_MS - 1)), None);
        assert_eq!(retired.pop(5, Time(KEPT_MS)), None);
        assert_eq!(retired.pop(6, Time(KEPT_MS)), Some(log));
        assert_eq!(retired.pop(6, Time(KEPT_MS)), None);
    }
}
