//! The daemon in words and numbers: `status`, `space show`, peers, health, metrics.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use crdt::{DeviceId, SpaceId};
use sync::Status;

use super::Daemon;
use crate::api::types::{self, ClockState, Conflicts, Disk, Peer};
use crate::clock;
use crate::conflicts;
use crate::metrics::Scrape;
use crate::peers::{Error, Record};
use crate::slot::{Report, Turn};
use crate::space::Space;

/// A clock that shows an earlier time than this was never set: the software is younger.
pub(super) const PLAUSIBLE_MS: u64 = 1_750_000_000_000;

impl Daemon {
    /// Every space.
    pub(crate) async fn describe_spaces(&self) -> Vec<types::Space> {
        let mut spaces = Vec::new();
        for space in self.spaces.all() {
            spaces.push(self.describe_space(&space).await);
        }
        spaces.sort_by(|a, b| a.name.cmp(&b.name));
        spaces
    }

    /// One space; one that is not open says why.
    pub(crate) async fn describe_space(&self, space: &Arc<Space>) -> types::Space {
        self::space(self.spaces.identity().device(), space).await
    }

    /// Every peer in every space, with what is remembered of those that are away.
    pub(crate) async fn describe_peers(&self) -> Vec<Peer> {
        let live = self.live_sessions().await;
        let mut records = self.peers.records.all();
        for (key, status) in &live {
            records.entry(*key).or_default().heard(status);
        }
        let mut peers = Vec::new();
        for space in self.spaces.all() {
            let tail = report(&space).await.map(|report| report.tail).unwrap_or_default();
            for ((peer, id), record) in records.iter_mut().filter(|((_, id), _)| *id == space.id) {
                let live = live.get(&(*peer, *id));
                if live.is_none() {
                    record.lag_commits = record.lag(&tail);
                }
                peers.push(self.describe_peer(&space.name, *peer, record, live));
            }
        }
        peers
    }

    fn describe_peer(&self, space: &str, device: DeviceId, record: &Record, live: Option<&Status>) -> Peer {
        let known = record.is_known.then_some(device);
        let dial_key = known.map_or_else(|| record.address.clone(), |device| device.to_string());
        let is_waiting = record.next_attempt.is_some_and(|next| next > clock::now().0);
        let state = if self.peers.is_paused(known, &record.address) {
            "paused"
        } else if live.is_some() {
            "connected"
        } else if self.peers.is_dialing(&dial_key) || self.peers.is_dialing(&record.address) {
            "connecting"
        } else if is_waiting {
            "backoff"
        } else {
            "offline"
        };
        let is_up = state == "connected";
        Peer {
            id: known.map_or_else(String::new, |device| device.to_string()),
            address: record.address.clone(),
            space: space.to_string(),
            state: state.to_string(),
            acked: record.acked(),
            lag_commits: record.lag_commits,
            attempts: record.attempts,
            attempts_total: record.attempts_total,
            retries: record.retries,
            sent_bytes: record.sent + live.map_or(0, |status| status.sent_len),
            received_bytes: record.received + live.map_or(0, |status| status.received_len),
            last_error: if is_up { None } else { record.last_error.clone() },
            last_attempt: record.last_attempt,
            next_attempt: if is_up { None } else { record.next_attempt },
            version: record.version,
            rtt_micros: self.peers.rtt_micros(device).filter(|_| is_up),
        }
    }

    /// What the sessions know goes into the records, so that a kill loses five seconds of it at most.
    pub(super) async fn refresh_records(&self) {
        for (key, status) in self.live_sessions().await {
            self.peers.records.update(key, |record| record.heard(&status));
        }
    }

    async fn live_sessions(&self) -> BTreeMap<(DeviceId, SpaceId), Status> {
        let mut live = BTreeMap::new();
        for space in self.spaces.all() {
            let Ok(report) = report(&space).await else { continue };
            for (_, status) in report.sessions {
                live.insert((status.peer, space.id), status);
            }
        }
        live
    }

    /// `status`.
    pub(crate) async fn status(&self) -> types::Status {
        let identity = self.spaces.identity();
        let now_ms = clock::now().0;
        types::Status {
            device: identity.device().to_string(),
            name: self.spaces.settings().name.clone().unwrap_or_else(crate::identity::host_name),
            version: env!("CARGO_PKG_VERSION").to_string(),
            listen: self.listen.map(|address| address.to_string()),
            http: self.http.map(|address| address.to_string()),
            uptime_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            spaces: self.describe_spaces().await,
            peers: self.describe_peers().await,
            conflicts: Conflicts { open: self.open_conflicts().await },
            disk: disk(self.spaces.data()),
            clock: ClockState { now_ms, plausible: now_ms > PLAUSIBLE_MS },
            notices: self.notices.clone(),
        }
    }

    /// Conflicts that nobody has settled, over all spaces that are open.
    async fn open_conflicts(&self) -> u64 {
        let mut open = 0;
        for space in self.spaces.all() {
            match conflicts::count(&space).await {
                Ok(count) => open += count,
                // The space's own line says that it is not open, or that its tree cannot be read.
                Err(error) => tracing::warn!(%error, "conflicts cannot be counted"),
            }
        }
        open
    }

    /// What is wrong, one sentence each.
    pub(crate) async fn problems(&self) -> Vec<String> {
        let spaces = self.describe_spaces().await.into_iter();
        spaces.filter_map(|space| Some(format!("space {}: {}", space.name, space.error?))).collect()
    }

    /// One reading of `/metrics`.
    pub(crate) async fn scrape(&self) -> Scrape {
        let mut spaces = Vec::new();
        for space in self.spaces.all() {
            if let Ok(open) = conflicts::count(&space).await {
                space.metrics.conflicts_open.set(i64::try_from(open).unwrap_or(i64::MAX));
            }
            spaces.push((self.describe_space(&space).await, space.metrics.clone()));
        }
        Scrape { spaces, peers: self.describe_peers().await, disk: disk(self.spaces.data()) }
    }

    /// Pauses or resumes a peer, by id or address, under both names it has; how many peers that concerned.
    pub(crate) async fn set_paused(&self, peer: Option<&str>, is_pause: bool) -> Result<u64, Error> {
        let peers = self.describe_peers().await;
        let Some(wanted) = peer else {
            self.peers.set_paused(None, is_pause)?;
            let mut ids: Vec<_> = peers.into_iter().map(|peer| (peer.id, peer.address)).collect();
            ids.sort();
            ids.dedup();
            return Ok(ids.len() as u64);
        };
        let is_it = |peer: &&Peer| {
            peer.id == wanted || peer.address == wanted || (wanted.len() >= 8 && peer.id.starts_with(wanted))
        };
        let mut names: Vec<String> = Vec::new();
        for found in peers.iter().filter(is_it) {
            names.extend([found.id.clone(), found.address.clone()]);
        }
        let is_configured = self.spaces.settings().peers.iter().any(|address| address == wanted)
            || self.peers.added().contains(wanted);
        if is_configured {
            names.push(wanted.to_string());
        }
        names.retain(|name| !name.is_empty());
        if names.is_empty() {
            return Ok(0);
        }
        self.peers.set_paused(Some(&names), is_pause)?;
        Ok(1)
    }

    /// Where other devices can reach this one: what a ticket says.
    pub(crate) fn reachable_addresses(&self) -> Vec<String> {
        let Some(listen) = self.listen else { return Vec::new() };
        if !listen.ip().is_unspecified() {
            return vec![listen.to_string()];
        }
        let mut hosts: Vec<IpAddr> = outbound_ip().into_iter().collect();
        // Last: on the same machine it always works, and from another one it is somebody else, whom the key gives away.
        hosts.push(IpAddr::from([127, 0, 0, 1]));
        hosts.dedup();
        hosts.into_iter().map(|host| SocketAddr::new(host, listen.port()).to_string()).collect()
    }
}

/// One space as `me` sees it; one that is not open says why.
pub(super) async fn space(me: DeviceId, space: &Arc<Space>) -> types::Space {
    let (name, id) = (space.name.clone(), space.id.to_string());
    let home = match space.seat.home() {
        Some(home) if home == me => "here".to_string(),
        Some(home) => home.to_string(),
        None => "unknown".to_string(),
    };
    let membership = space.membership().to_string();
    match report(space).await {
        Ok(report) => {
            let found = report.description;
            let oldest = found.oldest.map(|time| clock::now().0.saturating_sub(time.0) / 1_000);
            types::Space {
                name,
                id,
                home,
                version: found.version,
                data_root: found.data_root.to_string(),
                vv_root: found.vv_root.to_string(),
                tail_commits: found.tail_commits,
                tail_bytes: found.tail_bytes,
                wal_bytes: found.wal_bytes,
                membership,
                members: Vec::new(),
                oldest_seconds: oldest,
                error: report.trouble,
            }
        }
        Err(error) => {
            types::Space { name, id, home, membership, error: Some(error), ..types::Space::default() }
        }
    }
}

async fn report(space: &Arc<Space>) -> Result<Report, String> {
    let report = space.slot.call(0, |owner, _| Turn::Done(owner.report())).await;
    report.map_err(|error| error.to_string())
}

/// The address this machine has towards the world. Nothing is sent: connecting a UDP socket only asks for the route.
fn outbound_ip() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

/// What cannot be measured shows as nothing: figures are no reason to fail a status.
fn disk(data: &Path) -> Disk {
    Disk { used_bytes: used(data), free_bytes: free(data) }
}

/// Bytes that are left on the disk of a directory.
pub(super) fn free(data: &Path) -> u64 {
    rustix::fs::statvfs(data).map_or(0, |found| found.f_bavail * found.f_frsize)
}

fn used(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => used(&entry.path()),
        // Preallocated files count by what they take.
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}
