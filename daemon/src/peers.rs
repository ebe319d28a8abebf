//! Who is talked to: peers configured, added or brought by tickets, and what is known of each while it is away.

mod dial;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crdt::{DeviceId, SpaceId};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use dial::{dial_any, keep_dialing};
pub(crate) use record::{Record, Records};

use crate::endpoint::Connection;

/// What people decided about peers while the daemon ran; beside the configuration, which is theirs to write.
const FILE_NAME: &str = "peers.json";

/// Most addresses that can be added.
const ADDED_MAX: usize = 1_024;

/// All that is known of peers.
pub struct Peers {
    file: PathBuf,
    state: Mutex<State>,
    /// What is known of each peer and space.
    pub(crate) records: Records,
    /// Counts up whenever dialing should look again.
    nudges: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    choices: Choices,
    links: BTreeMap<u64, Link>,
    next_link: u64,
    /// Sessions under way, by peer and space.
    active: BTreeMap<(DeviceId, SpaceId), usize>,
    /// Peers or addresses that are being dialed just now.
    dialing: BTreeSet<String>,
}

/// A connection that is open.
struct Link {
    peer: DeviceId,
    address: String,
    quic: quinn::Connection,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct Choices {
    added: BTreeSet<String>,
    paused: BTreeSet<String>,
    is_all_paused: bool,
}

/// Why a choice was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not something to dial.
    #[error("{address} is not an address; write host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// No more.
    #[error("there are {ADDED_MAX} added peers already")]
    TooMany,
    /// It could not be kept.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which file.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
}

/// A place in the list of sessions; given back when dropped.
pub(crate) struct Active<'a> {
    peers: &'a Peers,
    key: (DeviceId, SpaceId),
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        let mut state = self.peers.state();
        if let Some(count) = state.active.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.active.remove(&self.key);
            }
        }
    }
}

/// A place in the list of connections; given back when dropped.
pub(crate) struct Linked<'a> {
    peers: &'a Peers,
    id: u64,
}

impl Drop for Linked<'_> {
    fn drop(&mut self) {
        self.peers.state().links.remove(&self.id);
        self.peers.nudge();
    }
}

impl Peers {
    /// What was chosen and recorded in a data directory.
    pub(crate) fn load(data: &Path, records: Records) -> Peers {
        let file = data.join(FILE_NAME);
        let choices = match std::fs::read(&file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "unreadable, so no peer is added or paused");
                Choices::default()
            }),
            Err(_) => Choices::default(),
        };
        let state = Mutex::new(State { choices, ..State::default() });
        Peers { file, state, records, nudges: watch::Sender::new(0) }
    }

    /// Adds an address to dial.
    pub fn add(&self, address: &str) -> Result<(), Error> {
        let bad = || Error::Address { address: address.to_string() };
        let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
        if host.is_empty() || port.parse::<u16>().is_err() {
            return Err(bad());
        }
        self.choose(|choices| {
            if choices.added.len() >= ADDED_MAX {
                return Err(Error::TooMany);
            }
            choices.added.insert(address.to_string());
            Ok(())
        })
    }

    /// Removes an added address; how many there were.
    pub fn remove(&self, address: &str) -> Result<u64, Error> {
        let mut count = 0;
        self.choose(|choices| {
            count = u64::from(choices.added.remove(address));
            choices.paused.remove(address);
            Ok(())
        })?;
        Ok(count)
    }

    /// Stops or starts talking to one peer, by address or id, or to all of them.
    pub(crate) fn set_paused(&self, peers: Option<&[String]>, is_pause: bool) -> Result<(), Error> {
        self.choose(|choices| {
            match (peers, is_pause) {
                (None, true) => choices.is_all_paused = true,
                (None, false) => {
                    choices.is_all_paused = false;
                    choices.paused.clear();
                }
                (Some(peers), true) => choices.paused.extend(peers.iter().cloned()),
                (Some(peers), false) => {
                    choices.paused.retain(|paused| !peers.contains(paused));
                }
            }
            Ok(())
        })?;
        // Taken before the links: one lock holds both.
        let choices = self.choices();
        for link in self.state().links.values() {
            if self.is_paused_in(&choices, Some(link.peer), &link.address) {
                link.quic.close(0u32.into(), b"paused");
            }
        }
        Ok(())
    }

    /// Whether this peer is not to be talked to.
    pub(crate) fn is_paused(&self, peer: Option<DeviceId>, address: &str) -> bool {
        self.is_paused_in(&self.choices(), peer, address)
    }

    fn is_paused_in(&self, choices: &Choices, peer: Option<DeviceId>, address: &str) -> bool {
        choices.is_all_paused
            || choices.paused.contains(address)
            || peer.is_some_and(|peer| choices.paused.contains(&peer.to_string()))
    }

    /// Addresses added while the daemon ran.
    pub(crate) fn added(&self) -> BTreeSet<String> {
        self.state().choices.added.clone()
    }

    /// Whether a connection with this device is open.
    pub(crate) fn is_linked(&self, peer: DeviceId) -> bool {
        self.state().links.values().any(|link| link.peer == peer)
    }

    /// The round trip of an open connection with this device.
    pub(crate) fn rtt_micros(&self, peer: DeviceId) -> Option<u64> {
        let state = self.state();
        let link = state.links.values().find(|link| link.peer == peer)?;
        u64::try_from(link.quic.rtt().as_micros()).ok()
    }

    /// Whether this peer or address is being dialed just now.
    pub(crate) fn is_dialing(&self, key: &str) -> bool {
        self.state().dialing.contains(key)
    }

    pub(crate) fn set_dialing(&self, key: &str, is_dialing: bool) {
        let mut state = self.state();
        if is_dialing {
            state.dialing.insert(key.to_string());
        } else {
            state.dialing.remove(key);
        }
    }

    pub(crate) fn link(&self, connection: &Connection, address: &str) -> Linked<'_> {
        let mut state = self.state();
        let id = state.next_link;
        state.next_link += 1;
        let quic = connection.quic.clone();
        state.links.insert(id, Link { peer: connection.peer, address: address.to_string(), quic });
        Linked { peers: self, id }
    }

    /// Takes the place of a session with this peer; `only_first` leaves it to another one that is under way.
    pub(crate) fn begin_session(
        &self,
        peer: DeviceId,
        space: SpaceId,
        only_first: bool,
    ) -> Option<Active<'_>> {
        let key = (peer, space);
        let mut state = self.state();
        let count = state.active.entry(key).or_default();
        if only_first && *count > 0 {
            return None;
        }
        *count += 1;
        Some(Active { peers: self, key })
    }

    /// Counts up whenever dialing should look again.
    pub(crate) fn nudges(&self) -> watch::Receiver<u64> {
        self.nudges.subscribe()
    }

    pub(crate) fn nudge(&self) {
        self.nudges.send_modify(|count| *count += 1);
    }

    fn choices(&self) -> Choices {
        self.state().choices.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("bookkeeping cannot panic")
    }

    fn choose(&self, change: impl FnOnce(&mut Choices) -> Result<(), Error>) -> Result<(), Error> {
        let mut choices = self.choices();
        change(&mut choices)?;
        let text = serde_json::to_vec_pretty(&choices).expect("strings and a flag are always JSON");
        write_whole(&self.file, &text)
            .map_err(|source| Error::Write { path: self.file.display().to_string(), source })?;
        self.state().choices = choices;
        self.nudge();
        Ok(())
    }
}

/// Replaces a file in one step: after a crash it is the old one or the new one.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let aside = path.with_extension("new");
    let mut file = std::fs::File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    match path.parent() {
        Some(dir) => std::fs::File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn choices_survive_a_restart() {
        let data = Scratch::new("peers");
        let peers = Peers::load(data.path(), Records::default());
        peers.add("depot.example:7601").unwrap();
        peers.set_paused(Some(&["depot.example:7601".to_string()]), true).unwrap();
        drop(peers);
        let peers = Peers::load(data.path(), Records::default());
        assert!(peers.added().contains("depot.example:7601"));
        assert!(peers.is_paused(None, "depot.example:7601"));
        peers.set_paused(None, false).unwrap();
        assert!(!peers.is_paused(None, "depot.example:7601"));
        assert_eq!(peers.remove("depot.example:7601").unwrap(), 1);
        assert_eq!(peers.remove("depot.example:7601").unwrap(), 0);
    }

    #[test]
    fn an_address_has_a_port() {
        let data = Scratch::new("peers");
        let peers = Peers::load(data.path(), Records::default());
        for address in ["depot", "depot:", ":7601", "depot:x"] {
            assert!(peers.add(address).is_err(), "{address}");
        }
    }
}
