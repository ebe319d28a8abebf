//! What is known of a peer in a space: kept over restarts, shown while it is away, never needed to be right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use crdt::{DeviceId, SpaceId, WriterId};
use home::{Delivery, RedbRegistry};
use serde::{Deserialize, Serialize};
use sync::Status;
use tokio::sync::Notify;

/// Writers remembered for each peer: what it has of older ones is anchored long since.
const WRITERS_MAX: usize = 64;

/// One peer in one space.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    pub(crate) address: String,
    /// A device that was never reached has no id yet, and is kept under a stand-in.
    pub(crate) is_known: bool,
    acked: BTreeMap<String, u64>,
    pub(crate) version: u64,
    pub(crate) lag_commits: u64,
    pub(crate) attempts: u64,
    pub(crate) attempts_total: u64,
    pub(crate) retries: u64,
    pub(crate) last_error: Option<String>,
    pub(crate) last_attempt: Option<u64>,
    pub(crate) next_attempt: Option<u64>,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// Who and where.
pub(crate) type Key = (DeviceId, SpaceId);

/// All records, and which of them the disk does not have yet.
#[derive(Default)]
pub(crate) struct Records {
    state: Mutex<State>,
    /// Somebody was met for the first time: that is written at once, or a kill soon after would forget them.
    met: Notify,
}

#[derive(Default)]
struct State {
    records: BTreeMap<Key, Record>,
    changed: BTreeSet<Key>,
}

impl Record {
    /// What a session said, while it lasts.
    pub(crate) fn heard(&mut self, status: &Status) {
        self.is_known = true;
        self.version = self.version.max(status.peer_base);
        self.lag_commits = status.lag_commits;
        for (writer, seq) in &status.acked {
            let acked = self.acked.entry(writer.to_string()).or_default();
            *acked = (*acked).max(*seq);
        }
        while self.acked.len() > WRITERS_MAX {
            self.acked.pop_first();
        }
    }

    /// The sum over writers of what the peer has on its disk.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.values().sum()
    }

    /// How many commits of this tail a peer that is away is not known to have.
    pub(crate) fn lag(&self, tail: &[(WriterId, u64, u64)]) -> u64 {
        let behind = |(writer, last, covered): &(WriterId, u64, u64)| {
            let acked = self.acked.get(&writer.to_string()).copied().unwrap_or_default();
            last.saturating_sub(acked.max(*covered))
        };
        tail.iter().map(behind).sum()
    }

    /// How far it has one writer.
    #[cfg(test)]
    fn acked_of(&self, writer: &WriterId) -> Option<u64> {
        self.acked.get(&writer.to_string()).copied()
    }
}

/// What an address is kept under until the device there is known.
pub(crate) fn stand_in(address: &str) -> DeviceId {
    let hash = crdt::derive("peer address", address.as_bytes());
    DeviceId(hash[..16].try_into().expect("sixteen of 32 bytes"))
}

impl Records {
    /// What the registry holds. Losing it costs nothing but the memory of old attempts.
    pub(crate) fn load(registry: &RedbRegistry) -> Records {
        let deliveries = registry.deliveries().unwrap_or_else(|error| {
            tracing::warn!(%error, "the records of peers cannot be read and start anew");
            Vec::new()
        });
        let records = deliveries.into_iter().filter_map(|delivery| {
            // An unreadable record is one of another version: it is written again at the next contact.
            let record = serde_json::from_slice(&delivery.record).ok()?;
            Some(((delivery.peer, delivery.space), record))
        });
        let state = State { records: records.collect(), ..State::default() };
        Records { state: Mutex::new(state), met: Notify::new() }
    }

    /// Writes what changed since last time.
    pub(crate) fn save(&self, registry: &RedbRegistry) {
        let deliveries: Vec<Delivery> = {
            let mut state = self.state();
            let changed = std::mem::take(&mut state.changed);
            changed
                .into_iter()
                .map(|(peer, space)| {
                    let record = state.records.get(&(peer, space));
                    let record = record.map_or_else(Vec::new, |record| {
                        serde_json::to_vec(record).expect("text and numbers are always JSON")
                    });
                    Delivery { peer, space, record }
                })
                .collect()
        };
        if deliveries.is_empty() {
            return;
        }
        if let Err(error) = registry.put_deliveries(&deliveries) {
            tracing::warn!(%error, "the records of peers cannot be written; they are tried again");
            self.state()
                .changed
                .extend(deliveries.into_iter().map(|delivery| (delivery.peer, delivery.space)));
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<Key, Record> {
        self.state().records.clone()
    }

    /// Changes one, made when it is not there.
    pub(crate) fn update(&self, key: Key, change: impl FnOnce(&mut Record)) {
        let mut state = self.state();
        if !state.records.contains_key(&key) {
            self.met.notify_one();
        }
        let record = state.records.entry(key).or_default();
        let before = record.clone();
        change(record);
        if *record != before {
            state.changed.insert(key);
        }
    }

    /// Returns when somebody was met for the first time.
    pub(crate) async fn met(&self) {
        self.met.notified().await;
    }

    /// Forgets one: the device behind a stand-in is known now.
    pub(crate) fn forget(&self, key: Key) {
        let mut state = self.state();
        if state.records.remove(&key).is_some() {
            state.changed.insert(key);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("bookkeeping cannot panic")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::MemoryDisk;

    #[test]
    fn records_survive_a_restart_and_what_is_forgotten_stays_away() {
        let disk = MemoryDisk::new(1);
        let registry = RedbRegistry::open(&disk, &[]).unwrap();
        let (kept, lost) = ((DeviceId([1; 16]), SpaceId([2; 32])), (DeviceId([3; 16]), SpaceId([2; 32])));
        let records = Records::default();
        records.update(kept, |record| record.last_error = Some("no answer".to_string()));
        records.update(lost, |record| record.attempts = 3);
        records.save(&registry);
        records.forget(lost);
        records.save(&registry);
        let again = Records::load(&registry).all();
        assert_eq!(again.len(), 1);
        assert_eq!(again[&kept].last_error.as_deref(), Some("no answer"));
        assert_eq!(again[&kept].acked_of(&WriterId([0; 24])), None);
    }

    #[test]
    fn what_is_written_while_a_peer_is_away_is_its_lag() {
        let writer = |n| WriterId([n; 24]);
        let mut record = Record::default();
        record.acked.insert(writer(1).to_string(), 5);
        // Acked in part, covered by the base in part, and never heard of.
        assert_eq!(record.lag(&[(writer(1), 7, 2), (writer(2), 9, 8), (writer(3), 4, 0)]), 2 + 1 + 4);
    }
}
