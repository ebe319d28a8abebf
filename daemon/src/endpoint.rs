//! QUIC between devices: listen, dial, and prove who is at the other end.
//!
//! TLS 1.3 only, both sides by raw public key (RFC 7250): a device is its Ed25519 key, and there is no authority to ask.
//! Whether a device may read or write is not decided here: that is what the space's own rows say.

mod gate;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crdt::DeviceId;
use quinn::{IdleTimeout, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;

use crate::identity::Identity;
use gate::Gate;
pub use gate::Permit;

/// The protocol spoken, as TLS names it.
pub const ALPN: &[u8] = b"sync/1";

/// What one connection may make us buffer: an unread unit of commits on each of a few spaces.
const RECEIVE_WINDOW: u32 = 4 << 20;

/// What one stream may make us buffer; a thin link fills it in seconds, a fast one empties it in milliseconds.
const STREAM_WINDOW: u32 = 1 << 20;

/// What we keep for a peer that acknowledges late.
const SEND_WINDOW: u64 = 4 << 20;

/// One stream for each space shared with a peer. More wait their turn.
const STREAMS_MAX: u32 = 32;

/// Handshakes not yet finished; more are told to come back with a token, which proves their address.
const INCOMING_MAX: usize = 32;

/// What an unfinished handshake may make us buffer, each and in all.
const INCOMING_BUFFER_LEN: u64 = 8 << 10;
const INCOMING_BUFFERS_LEN: u64 = 128 << 10;

/// A peer that cannot finish three round trips in this time has no usable link.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// Silence after which a connection is dead, and how often we make sure that it is not silent.
const IDLE_MAX: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// How a connection ends when nobody is at fault.
const CODE_BYE: u32 = 0;

/// How a connection ends that we have no room for.
const CODE_FULL: u32 = 1;

/// This device on the network.
#[derive(Clone)]
pub struct Endpoint {
    quinn: quinn::Endpoint,
    identity: Identity,
    transport: Arc<TransportConfig>,
    gate: Arc<Gate>,
}

/// An authenticated connection; it counts against the caps until it is dropped.
pub struct Connection {
    /// The connection itself.
    pub quic: quinn::Connection,
    /// The device at the other end: it holds the key of this id.
    pub peer: DeviceId,
    /// That key.
    pub peer_key: [u8; 32],
    _permit: Permit,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Not something to dial.
    #[error("cannot resolve {address}: {reason}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// Nobody answered, or somebody else did.
    #[error("{address}: {reason}")]
    Unreachable {
        /// Who was dialed.
        address: SocketAddr,
        /// How it failed.
        reason: String,
    },
    /// The caps are reached.
    #[error("too many connections: {open} are open")]
    Full {
        /// How many.
        open: usize,
    },
    /// The crypto provider would not take our key.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

impl Endpoint {
    /// Listens and dials on one socket.
    pub fn bind(address: SocketAddr, identity: &Identity) -> Result<Endpoint, Error> {
        let mut server = quinn::ServerConfig::with_crypto(Arc::new(tls::server(identity)?));
        server
            .transport_config(Arc::new(transport()))
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BUFFER_LEN)
            .incoming_buffer_size_total(INCOMING_BUFFERS_LEN);
        Endpoint::open(address, identity, Some(server))
    }

    fn open(
        address: SocketAddr,
        identity: &Identity,
        server: Option<quinn::ServerConfig>,
    ) -> Result<Endpoint, Error> {
        // A daemon that comes back can tell its peers at once that their connections are gone.
        let reset_key = Arc::new(tls::ResetKey::of(identity));
        let mut config = quinn::EndpointConfig::new(reset_key);
        let cid_key = tls::cid_key(identity);
        config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(cid_key)));
        let bind = |source| Error::Bind { address, source };
        let socket = std::net::UdpSocket::bind(address).map_err(bind)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let quinn = quinn::Endpoint::new(config, server, socket, runtime).map_err(bind)?;
        let transport = Arc::new(transport());
        Ok(Endpoint { quinn, identity: identity.clone(), transport, gate: Arc::default() })
    }

    /// Dials and is never dialed.
    pub fn dial_only(identity: &Identity) -> Result<Endpoint, Error> {
        let any = |address: &str| address.parse::<SocketAddr>().expect("a literal address");
        // Either family where the system has both.
        let bound = [any("[::]:0"), any("0.0.0.0:0")].map(|address| Endpoint::open(address, identity, None));
        let [both, v4] = bound;
        both.or(v4)
    }

    /// The address it really has.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.quinn.local_addr()
    }

    /// Dials a device; with `expected`, a device that holds another key is refused during the handshake.
    pub async fn dial(&self, address: SocketAddr, expected: Option<DeviceId>) -> Result<Connection, Error> {
        let unreachable = |reason: String| Error::Unreachable { address, reason };
        let mut config = quinn::ClientConfig::new(Arc::new(tls::client(&self.identity, expected)?));
        config.transport_config(self.transport.clone());
        let connecting = self
            .quinn
            .connect_with(config, address, tls::SERVER_NAME)
            .map_err(|error| unreachable(error.to_string()))?;
        let quic = match tokio::time::timeout(HANDSHAKE_MAX, connecting).await {
            Ok(Ok(quic)) => quic,
            Ok(Err(error)) => return Err(unreachable(reason(&error))),
            Err(_) => return Err(unreachable(format!("no answer in {} s", HANDSHAKE_MAX.as_secs()))),
        };
        self.admit(quic)
    }

    /// The next device that dialed us and proved who it is; `None` when the endpoint is closed.
    ///
    /// Handshakes run beside each other: a slow one does not hold up the next.
    pub async fn accept(&self) -> Option<Accepting> {
        loop {
            let incoming = self.quinn.accept().await?;
            if self.gate.is_full() {
                incoming.refuse();
            } else if self.gate.is_busy() && !incoming.remote_address_validated() {
                // Whoever sends from a borrowed address never sees the token. One that may not retry is ignored.
                drop(incoming.retry());
            } else {
                return Some(Accepting {
                    endpoint: self.clone(),
                    handshake: self.gate.handshake(),
                    incoming,
                });
            }
        }
    }

    /// Says goodbye on every connection and waits until that is sent.
    pub async fn close(&self) {
        self.quinn.close(VarInt::from_u32(CODE_BYE), b"shutting down");
        let sent = tokio::time::timeout(Duration::from_secs(1), self.quinn.wait_idle()).await;
        drop(sent);
    }

    fn admit(&self, quic: quinn::Connection) -> Result<Connection, Error> {
        let peer_key = tls::peer_key(&quic).ok_or_else(|| Error::Unreachable {
            address: quic.remote_address(),
            reason: "the peer has no device key".to_string(),
        })?;
        let peer = DeviceId::of(&peer_key);
        match self.gate.enter(peer) {
            Ok(permit) => Ok(Connection { quic, peer, peer_key, _permit: permit }),
            Err(open) => {
                quic.close(VarInt::from_u32(CODE_FULL), b"too many connections");
                Err(Error::Full { open })
            }
        }
    }
}

/// A handshake under way.
pub struct Accepting {
    endpoint: Endpoint,
    handshake: gate::Handshake,
    incoming: quinn::Incoming,
}

impl Accepting {
    /// Finishes the handshake, within its deadline.
    pub async fn finish(self) -> Result<Connection, Error> {
        let address = self.incoming.remote_address();
        let unreachable = |reason: String| Error::Unreachable { address, reason };
        let connecting = self.incoming.accept().map_err(|error| unreachable(reason(&error)))?;
        let outcome = tokio::time::timeout(HANDSHAKE_MAX, connecting).await;
        drop(self.handshake);
        match outcome {
            Ok(Ok(quic)) => self.endpoint.admit(quic),
            Ok(Err(error)) => Err(unreachable(reason(&error))),
            Err(_) => Err(unreachable("the handshake took too long".to_string())),
        }
    }
}

impl Connection {
    /// Bytes that only the two ends of this connection can know, for a proof bound to it.
    pub fn exporter(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.quic
            .export_keying_material(&mut bytes, b"EXPORTER-strandline-join", b"")
            .expect("32 bytes are far below the limit of the exporter");
        bytes
    }

    /// Ends the connection in order.
    pub fn close(&self, why: &str) {
        self.quic.close(VarInt::from_u32(CODE_BYE), why.as_bytes());
    }
}

/// The limits of every connection, either way.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(
            IdleTimeout::try_from(IDLE_MAX).expect("fifteen seconds fit the field of the protocol"),
        ));
    transport
}

/// Why a connection ended, for a person.
pub fn reason(error: &quinn::ConnectionError) -> String {
    use quinn::ConnectionError as E;
    match error {
        E::TimedOut => "no answer: the peer is down or the network drops UDP".to_string(),
        E::ApplicationClosed(close) if close.reason.is_empty() => "closed by the peer".to_string(),
        E::ApplicationClosed(close) => {
            format!("closed by the peer: {}", String::from_utf8_lossy(&close.reason))
        }
        E::ConnectionClosed(close) => format!("refused by the peer: {close}"),
        E::Reset => "the peer has restarted".to_string(),
        E::LocallyClosed => "closed here".to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn identity(name: &str) -> Identity {
        Identity::create(Scratch::new(name).path()).unwrap()
    }

    fn bind(identity: &Identity) -> (Endpoint, SocketAddr) {
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap(), identity).unwrap();
        let address = endpoint.address().unwrap();
        (endpoint, address)
    }

    #[tokio::test]
    async fn both_ends_know_each_other_by_key_and_share_a_secret() {
        let (alice, bob) = (identity("alice"), identity("bob"));
        let (listener, address) = bind(&alice);
        let (dialer, _) = bind(&bob);
        let accepting = tokio::spawn(async move { listener.accept().await.unwrap().finish().await.unwrap() });
        let dialed = dialer.dial(address, Some(alice.device())).await.unwrap();
        let accepted = accepting.await.unwrap();
        assert_eq!((dialed.peer, accepted.peer), (alice.device(), bob.device()));
        assert_eq!(accepted.peer_key, bob.key().public());
        assert_eq!(dialed.exporter(), accepted.exporter());
    }

    #[tokio::test]
    async fn a_wrong_key_is_refused() {
        let (alice, bob, eve) = (identity("alice"), identity("bob"), identity("eve"));
        let (listener, address) = bind(&eve);
        let (dialer, _) = bind(&bob);
        let accepting = tokio::spawn(async move { listener.accept().await.unwrap().finish().await.is_err() });
        let refused = dialer.dial(address, Some(alice.device())).await.err().expect("refused").to_string();
        assert!(refused.contains(&alice.device().to_string()), "{refused}");
        assert!(accepting.await.unwrap(), "the impostor must not have a connection either");
    }

    #[tokio::test]
    async fn a_device_has_only_so_many_connections() {
        let (alice, bob) = (identity("alice"), identity("bob"));
        let (listener, address) = bind(&alice);
        let (dialer, _) = bind(&bob);
        let accepting = tokio::spawn(async move {
            let mut kept = Vec::new();
            for _ in 0..=gate::PER_PEER_MAX {
                match listener.accept().await.unwrap().finish().await {
                    Ok(connection) => kept.push(connection),
                    Err(error) => return (kept.len(), error.to_string()),
                }
            }
            panic!("all were taken")
        });
        let mut dialed = Vec::new();
        for _ in 0..=gate::PER_PEER_MAX {
            dialed.push(dialer.dial(address, None).await);
        }
        let (kept, error) = accepting.await.unwrap();
        assert_eq!(kept, gate::PER_PEER_MAX);
        assert!(error.contains("too many connections"), "{error}");
    }

    #[tokio::test]
    async fn a_restarted_device_tells_its_peers_at_once() {
        let (alice, bob) = (identity("alice"), identity("bob"));
        let (dialer, _) = bind(&bob);
        // A process of its own, as far as the network can tell: it ends without a word.
        let life =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (listener, address) = {
            let _guard = life.enter();
            bind(&alice)
        };
        let accepting = life.spawn(async move { listener.accept().await.unwrap().finish().await.unwrap() });
        let dialed = dialer.dial(address, Some(alice.device())).await.unwrap();
        let connection = accepting.await.unwrap();
        life.shutdown_background();
        // With its runtime gone it cannot say goodbye any more.
        drop(connection);
        let mut restarted = Endpoint::bind(address, &alice);
        while restarted.is_err() {
            tokio::task::yield_now().await;
            restarted = Endpoint::bind(address, &alice);
        }
        let (mut send, _recv) = dialed.quic.open_bi().await.unwrap();
        send.write_all(&[0; 4_096]).await.unwrap();
        let closed = tokio::time::timeout(Duration::from_secs(4), dialed.quic.closed()).await;
        assert!(matches!(closed, Ok(quinn::ConnectionError::Reset)), "{closed:?}");
        drop(restarted);
    }
}
