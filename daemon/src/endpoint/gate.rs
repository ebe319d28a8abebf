//! How many connections there may be: in all, from one device, and in the middle of a handshake.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crdt::DeviceId;

/// All connections: at some 40 KiB each when idle, a small home still has room for its data.
pub(super) const OPEN_MAX: usize = 256;

/// Connections with one device: each may have dialed the other, and an old one may not be known dead yet.
pub(super) const PER_PEER_MAX: usize = 4;

/// Handshakes after which strangers must prove their address first.
const HANDSHAKES_BUSY: usize = 8;

#[derive(Default)]
pub(super) struct Gate {
    open: Mutex<BTreeMap<DeviceId, usize>>,
    handshakes: AtomicUsize,
}

/// A place for one connection; given back when dropped.
pub struct Permit {
    gate: Arc<Gate>,
    peer: DeviceId,
}

/// A place for one handshake; given back when dropped.
pub(super) struct Handshake(Arc<Gate>);

impl Gate {
    fn open(&self) -> MutexGuard<'_, BTreeMap<DeviceId, usize>> {
        self.open.lock().expect("counting cannot panic")
    }

    pub(super) fn is_full(&self) -> bool {
        self.open().values().sum::<usize>() >= OPEN_MAX
    }

    pub(super) fn is_busy(&self) -> bool {
        self.handshakes.load(Ordering::Relaxed) >= HANDSHAKES_BUSY
    }

    pub(super) fn handshake(self: &Arc<Gate>) -> Handshake {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        Handshake(self.clone())
    }

    /// A place for one more connection, or how many there are already.
    pub(super) fn enter(self: &Arc<Gate>, peer: DeviceId) -> Result<Permit, usize> {
        let mut open = self.open();
        let total = open.values().sum::<usize>();
        let count = open.entry(peer).or_default();
        if total >= OPEN_MAX || *count >= PER_PEER_MAX {
            return Err(total);
        }
        *count += 1;
        Ok(Permit { gate: self.clone(), peer })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.gate.open();
        if let Some(count) = open.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.peer);
            }
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}
