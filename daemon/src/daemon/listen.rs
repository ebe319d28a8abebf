//! Where the daemon is reached: its Unix socket, HTTP on loopback, QUIC for peers, and signals.

use std::future::Future;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Daemon, Error, ServeOptions};
use crate::api;
use crate::config::{LISTEN_DEFAULT, Settings};
use crate::endpoint::{self, Endpoint};
use crate::identity::Identity;

/// The socket in a data directory.
pub(super) const SOCKET: &str = "strandline.sock";

/// What the system takes as the path of a socket.
const SOCKET_PATH_MAX: usize = 107;

/// The Unix socket, for this user alone. The directory's lock is held, so one that is there is left over.
pub(super) async fn socket(data: &Path) -> Result<UnixListener, Error> {
    let path = data.join(SOCKET);
    let failed = |source| Error::System { action: format!("listen on {}", path.display()), source };
    check_socket_path(data)?;
    remove_socket(data);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Whether the system takes the path of the socket in a directory.
pub(super) fn check_socket_path(data: &Path) -> Result<(), Error> {
    let path = data.join(SOCKET);
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return Ok(());
    }
    Err(Error::Address {
        what: "the socket",
        address: path.display().to_string(),
        reason: format!("a Unix socket's path has at most {SOCKET_PATH_MAX} bytes; use a shorter --data"),
    })
}

pub(super) fn remove_socket(data: &Path) {
    // It is not there after a clean stop.
    drop(std::fs::remove_file(data.join(SOCKET)));
}

/// HTTP over TCP, on loopback only: without a token anybody who reaches it could read and write.
pub(super) async fn http(address: &str, notices: &mut Vec<String>) -> Result<TcpListener, Error> {
    let address = http_address(address)?;
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            notices.push(format!("http {address} is in use, so another port was taken"));
            let free = SocketAddr::new(address.ip(), 0);
            let action = format!("listen on {free}");
            TcpListener::bind(free).await.map_err(|source| Error::System { action, source })
        }
        Err(source) => Err(Error::System { action: format!("listen on {address}"), source }),
    }
}

/// The address of a setting `http`.
pub(super) fn http_address(text: &str) -> Result<SocketAddr, Error> {
    let bad =
        |reason: &str| Error::Address { what: "http", address: text.to_string(), reason: reason.to_string() };
    let address: SocketAddr = text.parse().map_err(|_| bad("not an address such as 127.0.0.1:7600"))?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(bad("only loopback addresses are served in this version, since there is no token")),
    }
}

/// The address of a setting `listen`; none: it is off.
pub(super) fn peer_address(text: &str) -> Result<Option<SocketAddr>, Error> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Error::Address {
        what: "listen",
        address: text.to_string(),
        reason: "not an address such as 0.0.0.0:7601, nor `off`".to_string(),
    })
}

/// The QUIC endpoint, and where it listens if it does. A default port that is taken gives way to a free one.
pub(super) fn endpoint(
    options: &ServeOptions,
    settings: &Settings,
    identity: &Identity,
    notices: &mut Vec<String>,
) -> Result<(Option<Endpoint>, Option<SocketAddr>), Error> {
    if options.is_isolated {
        return Ok((None, None));
    }
    if options.is_read_only {
        notices.push("read-only: peers are neither listened for nor dialed".to_string());
        return Ok((None, None));
    }
    let configured = options.listen.as_ref().or(settings.listen.as_ref());
    let text = configured.map_or(LISTEN_DEFAULT, String::as_str);
    let Some(address) = peer_address(text)? else {
        return Ok((Some(Endpoint::dial_only(identity)?), None));
    };
    let bound = match Endpoint::bind(address, identity) {
        Err(endpoint::Error::Bind { source, .. }) if source.kind() == std::io::ErrorKind::AddrInUse => {
            notices.push(format!("listen {address} is in use, so another port was taken"));
            Endpoint::bind(SocketAddr::new(address.ip(), 0), identity)?
        }
        bound => bound?,
    };
    let address =
        bound.address().map_err(|source| Error::Endpoint(endpoint::Error::Bind { address, source }))?;
    Ok((Some(bound), Some(address)))
}

/// Resolves when the daemon is asked to stop.
pub(super) fn signals() -> Result<impl Future<Output = ()>, Error> {
    let failed = |source| Error::System { action: "listen for signals".to_string(), source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

pub(super) async fn serve_socket(
    listener: UnixListener,
    daemon: Arc<Daemon>,
    stopping: watch::Receiver<bool>,
) {
    let served = axum::serve(listener, api::router(daemon)).with_graceful_shutdown(stopped(stopping));
    if let Err(error) = served.await {
        tracing::error!(%error, "the socket is no longer served");
    }
}

pub(super) async fn serve_http(listener: TcpListener, daemon: Arc<Daemon>, stopping: watch::Receiver<bool>) {
    let router = api::router(daemon).layer(axum::middleware::from_fn(api::only_local));
    let served = axum::serve(listener, router).with_graceful_shutdown(stopped(stopping));
    if let Err(error) = served.await {
        tracing::error!(%error, "http is no longer served");
    }
}

pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    drop(stopping.wait_for(|is_stopping| *is_stopping).await);
}
