//! Who is the home of a space and where, as the replica knows it: dialing looks here, and again when it changes.

use std::sync::RwLock;

use crdt::DeviceId;
use tokio::sync::watch;

/// What is known of the home of one space.
pub struct Seat {
    known: RwLock<Known>,
    /// Counts up with every change of any space.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Known {
    home: Option<DeviceId>,
    addresses: Vec<String>,
    former: Option<DeviceId>,
}

impl Default for Seat {
    fn default() -> Seat {
        Seat::new(watch::Sender::new(0))
    }
}

impl Seat {
    /// Nothing is known yet.
    pub(crate) fn new(changes: watch::Sender<u64>) -> Seat {
        Seat { known: RwLock::default(), changes }
    }

    /// The device whose key signs the next version; `None` while the space is not open.
    pub fn home(&self) -> Option<DeviceId> {
        self.known.read().expect("comparing cannot panic").home
    }

    /// Where that device has said that it is; empty for one that never said, as the first home of a space.
    pub fn addresses(&self) -> Vec<String> {
        self.known.read().expect("comparing cannot panic").addresses.clone()
    }

    /// The home before this one, as long as it is needed: for others until they have heard where the new one is, and for
    /// the new one always, since it is the old one that others still call.
    pub(crate) fn former(&self) -> Option<DeviceId> {
        self.known.read().expect("comparing cannot panic").former
    }

    pub(crate) fn know(&self, home: DeviceId, addresses: Vec<String>, former: Option<DeviceId>) {
        let found = Known { home: Some(home), addresses, former };
        let mut known = self.known.write().expect("comparing cannot panic");
        if *known != found {
            *known = found;
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }
}
