//! The daemon: a data directory served over the socket, HTTP and QUIC, from `ready` to a clean stop.

mod describe;
mod doctor;
mod listen;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use replica::Mode;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::clock;
use crate::config::{self, Settings};
use crate::conflicts::keep_losers;
use crate::endpoint::{self, Endpoint};
use crate::handover::keep_announcing;
use crate::peer;
use crate::peers::{Peers, Records, keep_dialing};
use crate::spaces::{self, Spaces};
pub use doctor::diagnose;
pub(crate) use listen::stopped;

/// How often delivery records reach the disk.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// How long requests under way may take to finish when the daemon stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Blocking calls at once: each is a turn of one space or one scan.
const BLOCKING_THREADS_MAX: usize = 64;

/// What the command line may say over the configuration.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// The data directory.
    pub data: PathBuf,
    /// Where peers reach it.
    pub listen: Option<String>,
    /// Where HTTP is served beside the socket.
    pub http: Option<String>,
    /// Nothing in the data directory is written.
    pub is_read_only: bool,
    /// No network: neither listening nor dialing, only the socket.
    pub is_isolated: bool,
}

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The data directory.
    #[error(transparent)]
    Spaces(#[from] spaces::Error),
    /// The network.
    #[error(transparent)]
    Endpoint(#[from] endpoint::Error),
    /// An address that is none, or one that may not be used.
    #[error("{what} {address}: {reason}")]
    Address {
        /// Which setting.
        what: &'static str,
        /// What it says.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The system.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried.
        action: String,
        /// What the system answered.
        source: std::io::Error,
    },
}

/// A running daemon.
pub struct Daemon {
    /// Its spaces.
    pub spaces: Spaces,
    /// Its peers.
    pub peers: Peers,
    pub(crate) endpoint: Option<Endpoint>,
    /// Random per start: two copies of one device can tell each other apart.
    pub(crate) instance: [u8; 16],
    /// True from the moment it is asked to stop: streams that would never end do.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Somebody bounded how long losers are kept: it is looked at once more.
    pub(crate) losers_bounded: Notify,
    started: Instant,
    listen: Option<SocketAddr>,
    http: Option<SocketAddr>,
    notices: Vec<String>,
}

/// Serves a data directory until SIGTERM or Ctrl-C. Says `ready` on standard output when it accepts work.
pub fn serve(options: &ServeOptions) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // The work is in the slots, on blocking threads; two are enough to move bytes.
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|source| Error::System { action: "start threads".to_string(), source })?;
    let served = runtime.block_on(run(options));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn run(options: &ServeOptions) -> Result<(), Error> {
    let signals = listen::signals()?;
    let running = Running::start(options).await?;
    running.daemon.say_ready();
    signals.await;
    tracing::info!("stopping");
    running.stop().await;
    Ok(())
}

/// A daemon that accepts work, with the tasks that serve it.
pub(crate) struct Running {
    pub(crate) daemon: Arc<Daemon>,
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
    keepers: JoinSet<()>,
}

impl Running {
    pub(crate) async fn start(options: &ServeOptions) -> Result<Running, Error> {
        let settings = Settings::load(&options.data)?;
        let mut notices = settings.notices();
        let spaces = open_spaces(options, settings.clone()).await?;
        let socket = match listen::socket(&options.data).await {
            Err(error) if options.is_read_only => {
                notices.push(format!("only http is served: {error}"));
                None
            }
            socket => Some(socket?),
        };
        let http = match options.http.as_ref().or(settings.http.as_ref()) {
            Some(address) if !options.is_isolated => Some(listen::http(address, &mut notices).await?),
            _ => None,
        };
        let (endpoint, listen) = listen::endpoint(options, &settings, spaces.identity(), &mut notices)?;
        let records = Records::load(spaces.registry());
        let stop = watch::Sender::new(false);
        let daemon = Arc::new(Daemon {
            stopping: stop.subscribe(),
            peers: Peers::load(&options.data, records),
            spaces,
            endpoint: endpoint.clone(),
            losers_bounded: Notify::new(),
            instance: clock::seed()[..16].try_into().expect("sixteen of 32 bytes"),
            started: Instant::now(),
            listen,
            http: http.as_ref().and_then(|listener| listener.local_addr().ok()),
            notices,
        });
        let mut servers = JoinSet::new();
        if let Some(socket) = socket {
            servers.spawn(listen::serve_socket(socket, daemon.clone(), stop.subscribe()));
        }
        if let Some(listener) = http {
            servers.spawn(listen::serve_http(listener, daemon.clone(), stop.subscribe()));
        }
        let mut keepers = JoinSet::new();
        keepers.spawn(keep_time(daemon.clone()));
        keepers.spawn(keep_records(daemon.clone()));
        keepers.spawn(keep_losers(daemon.clone()));
        if let Some(endpoint) = endpoint {
            keepers.spawn(keep_accepting(daemon.clone(), endpoint.clone()));
            keepers.spawn(keep_dialing(daemon.clone(), endpoint));
            keepers.spawn(keep_announcing(daemon.clone()));
        }
        Ok(Running { daemon, stop, servers, keepers })
    }

    /// Requests under way are finished, everything is durable, peers are told.
    pub(crate) async fn stop(mut self) {
        // Whoever listened has gone already when this fails.
        self.stop.send(true).unwrap_or_default();
        let drained = async { while self.servers.join_next().await.is_some() {} };
        drop(tokio::time::timeout(DRAIN_MAX, drained).await);
        self.servers.shutdown().await;
        self.daemon.close().await;
        self.keepers.shutdown().await;
        listen::remove_socket(self.daemon.spaces.data());
    }
}

async fn open_spaces(options: &ServeOptions, settings: Settings) -> Result<Spaces, Error> {
    let mode = if options.is_read_only { Mode::ReadOnly } else { Mode::ReadWrite };
    let data = options.data.clone();
    let opened = tokio::task::spawn_blocking(move || Spaces::open(&data, settings, mode));
    let opened = opened.await.map_err(|error| Error::System {
        action: "open the spaces".to_string(),
        source: std::io::Error::other(error),
    })?;
    Ok(opened?)
}

impl Daemon {
    /// Everything durable, peers told, in order.
    async fn close(&self) {
        self.refresh_records().await;
        self.spaces.close().await;
        if let Some(endpoint) = &self.endpoint {
            endpoint.close().await;
        }
        self.peers.records.save(self.spaces.registry());
        self.spaces.release();
    }

    fn say_ready(&self) {
        use std::io::Write;
        for notice in &self.notices {
            tracing::warn!("{notice}");
        }
        let shown =
            |address: Option<SocketAddr>| address.map_or("off".to_string(), |address| address.to_string());
        let line = format!(
            "ready device={} socket={} listen={} http={} spaces={}",
            self.spaces.identity().device(),
            self.spaces.data().join(listen::SOCKET).display(),
            shown(self.listen),
            self.http.map_or("off".to_string(), |address| format!("http://{address}")),
            self.spaces.all().len(),
        );
        let mut out = std::io::stdout().lock();
        // Nobody reads it where standard output is closed, and the daemon serves all the same.
        drop(writeln!(out, "{line}").and_then(|()| out.flush()));
    }
}

/// One timer for each space, those that come later included.
async fn keep_time(daemon: Arc<Daemon>) {
    let mut changes = daemon.spaces.changes();
    let mut kept = std::collections::BTreeMap::new();
    loop {
        let spaces = daemon.spaces.all();
        kept.retain(|id, _| spaces.iter().any(|space| space.id == *id));
        for space in spaces {
            let slot = space.slot.clone();
            kept.entry(space.id).or_insert_with(|| tokio::spawn(slot.keep_time()));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn keep_records(daemon: Arc<Daemon>) {
    let mut every = tokio::time::interval(SAVE_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = daemon.peers.records.met() => {}
            _ = every.tick() => {}
        }
        daemon.refresh_records().await;
        let saver = daemon.clone();
        let saved = tokio::task::spawn_blocking(move || saver.peers.records.save(saver.spaces.registry()));
        // A failure was said where it happened.
        drop(saved.await);
    }
}

async fn keep_accepting(daemon: Arc<Daemon>, endpoint: Endpoint) {
    // Connections end with this task.
    let mut connections = JoinSet::new();
    while let Some(accepting) = endpoint.accept().await {
        let daemon = daemon.clone();
        // Those that are over, so that they do not pile up.
        while connections.try_join_next().is_some() {}
        connections.spawn(async move {
            match accepting.finish().await {
                Ok(connection) => {
                    let address = connection.quic.remote_address().to_string();
                    peer::run(daemon, connection, sync::Role::Listener, address).await;
                }
                Err(error) => tracing::info!(%error, "a connection was not made"),
            }
        });
    }
}
