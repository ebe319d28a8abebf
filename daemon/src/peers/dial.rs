//! Dialing: one task for each peer that is known by address, patient and with jitter, awake when something changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crdt::{DeviceId, SpaceId};
use sync::{Backoff, BackoffConfig};
use tokio::task::{AbortHandle, JoinSet};

use super::record::stand_in;
use crate::clock;
use crate::daemon::Daemon;
use crate::endpoint::{Connection, Endpoint, Error};
use crate::peer::{self, Outcome};
use crate::space::Space;

/// How long the first of several addresses is given before the next is tried beside it.
const STAGGER: Duration = Duration::from_millis(300);

/// Where the home of a space listens when an address names no port.
const PORT_DEFAULT: u16 = 7601;

/// One device, or one address behind which some device is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    expected: Option<DeviceId>,
    addresses: Vec<String>,
}

impl Target {
    /// What the target is called in the list of what is being dialed.
    fn key(&self) -> String {
        match self.expected {
            Some(device) => device.to_string(),
            None => self.addresses.join(","),
        }
    }

    fn record_peer(&self) -> DeviceId {
        self.expected.unwrap_or_else(|| stand_in(&self.key()))
    }
}

/// Keeps one task for each target, as targets come and go.
pub(crate) async fn keep_dialing(daemon: Arc<Daemon>, endpoint: Endpoint) {
    let mut spaces = daemon.spaces.changes();
    let mut nudges = daemon.peers.nudges();
    // Dialing ends with this task.
    let mut running = JoinSet::new();
    let mut tasks: BTreeMap<String, (Target, AbortHandle)> = BTreeMap::new();
    loop {
        let targets = targets(&daemon);
        tasks.retain(|key, (target, task)| {
            let is_wanted = targets.get(key) == Some(target) && !task.is_finished();
            if !is_wanted {
                task.abort();
                daemon.peers.set_dialing(key, false);
            }
            is_wanted
        });
        for (key, target) in targets {
            tasks.entry(key).or_insert_with(|| {
                let task = running.spawn(keep_reaching(daemon.clone(), endpoint.clone(), target.clone()));
                (target, task)
            });
        }
        tokio::select! {
            changed = spaces.changed() => if changed.is_err() { return },
            changed = nudges.changed() => if changed.is_err() { return },
            // Those that were aborted, so that they do not pile up.
            Some(_) = running.join_next() => {}
        }
    }
}

fn targets(daemon: &Daemon) -> BTreeMap<String, Target> {
    let mut targets = BTreeMap::new();
    let configured = daemon.spaces.settings().peers.iter().cloned();
    for address in configured.chain(daemon.peers.added()) {
        let target = Target { expected: None, addresses: vec![address] };
        targets.insert(target.key(), target);
    }
    let me = daemon.spaces.identity().device();
    let mut homes: BTreeMap<DeviceId, BTreeSet<String>> = BTreeMap::new();
    for space in daemon.spaces.all().into_iter().filter(|space| space.membership().syncs()) {
        let mut addresses = space.addresses.read().expect("a list cannot panic").clone();
        for home in [space.seat.home(), space.seat.former()].into_iter().flatten().filter(|home| *home != me)
        {
            addresses.extend(space.seat.addresses());
            homes.entry(home).or_default().extend(addresses.iter().cloned());
        }
    }
    for (home, addresses) in homes.into_iter().filter(|(_, addresses)| !addresses.is_empty()) {
        let target = Target { expected: Some(home), addresses: addresses.into_iter().collect() };
        targets.insert(target.key(), target);
    }
    targets
}

/// Reaches one target again and again.
async fn keep_reaching(daemon: Arc<Daemon>, endpoint: Endpoint, target: Target) {
    let retry = &daemon.spaces.settings().retry;
    let millis = |span: crate::config::Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    let config = BackoffConfig { first_ms: millis(retry.initial), cap_ms: millis(retry.max) };
    let chance = u64::from_le_bytes(clock::seed()[..8].try_into().expect("eight of 32 bytes"));
    let mut backoff = Backoff::new(chance, config);
    let mut nudges = daemon.peers.nudges();
    loop {
        wait_until_wanted(&daemon, &target).await;
        nudges.mark_unchanged();
        let outcome = reach(&daemon, &endpoint, &target).await;
        let now = clock::now();
        let next = match &outcome {
            Ok(outcome) if outcome.was_live => {
                backoff.reset();
                backoff.fail_until(now, outcome.retry_after_ms)
            }
            Ok(outcome) => backoff.fail_until(now, outcome.retry_after_ms),
            Err(_) => backoff.fail(now),
        };
        let was_paused = is_paused(&daemon, &target);
        note(&daemon, &target, |record| record.next_attempt = Some(next.0));
        if was_paused {
            continue;
        }
        // Somebody resumed, or a space came: then waiting on is pointless.
        tokio::select! {
            () = tokio::time::sleep(clock::until(next)) => {}
            () = resumed(&daemon, &target, &mut nudges) => backoff.reset(),
        }
    }
}

fn is_paused(daemon: &Daemon, target: &Target) -> bool {
    target.addresses.iter().any(|address| daemon.peers.is_paused(target.expected, address))
}

/// Until it is neither paused nor connected by the other side's call.
async fn wait_until_wanted(daemon: &Daemon, target: &Target) {
    let mut nudges = daemon.peers.nudges();
    loop {
        nudges.mark_unchanged();
        let is_linked = target.expected.is_some_and(|device| daemon.peers.is_linked(device));
        if !is_paused(daemon, target) && !is_linked {
            return;
        }
        if nudges.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Until somebody paused and resumed it.
async fn resumed(daemon: &Daemon, target: &Target, nudges: &mut tokio::sync::watch::Receiver<u64>) {
    loop {
        if nudges.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        if is_paused(daemon, target) {
            wait_until_wanted(daemon, target).await;
            return;
        }
    }
}

/// One attempt, and the conversation if somebody answers.
async fn reach(daemon: &Arc<Daemon>, endpoint: &Endpoint, target: &Target) -> Result<Outcome, Error> {
    let key = target.key();
    daemon.peers.set_dialing(&key, true);
    note(daemon, target, |record| {
        record.last_attempt = Some(clock::now().0);
        record.next_attempt = None;
        record.attempts_total += 1;
        record.retries += u64::from(record.attempts > 0);
        record.attempts += 1;
    });
    let dialed = dial_any(endpoint, &target.addresses, target.expected).await;
    daemon.peers.set_dialing(&key, false);
    match dialed {
        Ok((connection, address)) => {
            note(daemon, target, |record| {
                record.attempts = 0;
                record.last_error = None;
            });
            if target.expected.is_none() {
                learn(daemon, target, connection.peer);
            }
            Ok(peer::run(daemon.clone(), connection, sync::Role::Dialer, address).await)
        }
        Err(error) => {
            tracing::info!(peer = key, %error, "not reached");
            note(daemon, target, |record| record.last_error = Some(error.to_string()));
            Err(error)
        }
    }
}

/// Which spaces an attempt is about: those of the home, or every one for an address.
fn spaces_of(daemon: &Daemon, target: &Target) -> Vec<SpaceId> {
    let spaces = daemon.spaces.all().into_iter();
    spaces
        .filter(|space| target.expected.is_none_or(|device| is_home(space, device)))
        .map(|space| space.id)
        .collect()
}

fn is_home(space: &Space, device: DeviceId) -> bool {
    [space.seat.home(), space.seat.former()].contains(&Some(device))
}

fn note(daemon: &Daemon, target: &Target, change: impl Fn(&mut super::Record)) {
    for space in spaces_of(daemon, target) {
        daemon.peers.records.update((target.record_peer(), space), |record| {
            record.address = target.addresses.first().cloned().unwrap_or_default();
            record.is_known = target.expected.is_some();
            change(record);
        });
    }
}

/// The device at an address is known now: what was kept under the stand-in is its.
fn learn(daemon: &Daemon, target: &Target, device: DeviceId) {
    let stand_in = target.record_peer();
    let all = daemon.peers.records.all();
    for space in spaces_of(daemon, target) {
        if let Some(old) = all.get(&(stand_in, space)) {
            daemon.peers.records.update((device, space), |record| {
                record.address.clone_from(&old.address);
                record.attempts_total = record.attempts_total.max(old.attempts_total);
                record.retries = record.retries.max(old.retries);
                record.last_attempt = old.last_attempt;
                record.is_known = true;
            });
            daemon.peers.records.forget((stand_in, space));
        }
    }
}

/// The first of several addresses that answers with the right key.
pub(crate) async fn dial_any(
    endpoint: &Endpoint,
    addresses: &[String],
    expected: Option<DeviceId>,
) -> Result<(Connection, String), Error> {
    let mut attempts = JoinSet::new();
    for (place, address) in addresses.iter().cloned().enumerate() {
        let endpoint = endpoint.clone();
        attempts.spawn(async move {
            tokio::time::sleep(STAGGER * u32::try_from(place).unwrap_or(u32::MAX)).await;
            let resolved = resolve(&address).await?;
            Ok((endpoint.dial(resolved, expected).await?, address))
        });
    }
    let mut first_error = None;
    while let Some(attempt) = attempts.join_next().await {
        match attempt {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => first_error = first_error.or(Some(error)),
            Err(_) => {}
        }
    }
    Err(first_error.unwrap_or_else(|| Error::Address {
        address: addresses.join(", "),
        reason: "there is no address to dial".to_string(),
    }))
}

async fn resolve(address: &str) -> Result<SocketAddr, Error> {
    let bad = |reason: String| Error::Address { address: address.to_string(), reason };
    let has_port = address.parse::<SocketAddr>().is_ok()
        || address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let full = if has_port { address.to_string() } else { format!("{address}:{PORT_DEFAULT}") };
    let mut found = tokio::net::lookup_host(full).await.map_err(|error| bad(error.to_string()))?;
    found.next().ok_or_else(|| bad("the name has no address".to_string()))
}
