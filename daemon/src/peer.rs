//! One connection: a stream for each space, bytes to the session in the slot and back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crdt::SpaceId;
use quinn::{RecvStream, SendStream};
use sync::{Arrival, ByeCode, EndedBy, Local, Reception, Role, Session, Status};
use tokio::task::JoinSet;

use crate::clock;
use crate::daemon::Daemon;
use crate::endpoint::{Connection, reason};
use crate::join;
use crate::membership::Membership;
use crate::slot::{Error, Turn, refusal};
use crate::space::Space;

/// What is read at once: a unit of commits, so that it is handled in one turn and one flush.
const READ_LEN_MAX: usize = 256 << 10;

/// The side that was called opens streams of its own only for what the caller leaves out.
const COURTESY: Duration = Duration::from_secs(1);

/// How long a space that a peer would not talk about is left alone on this connection.
const REFUSED_FOR: Duration = Duration::from_secs(20);

/// How often spaces without a session are looked at again: a grant may have come with a Handle.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A stranger says what it wants in this time, or its stream is closed.
const RECEPTION_MAX: Duration = Duration::from_secs(10);

/// A peer that takes nothing gets no more time than this for what was said to it last.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Streams of one connection that may be waiting at the reception.
const RECEPTIONS_MAX: usize = 8;

/// How a connection went, for whoever dialed it.
pub(crate) struct Outcome {
    /// It lasted long enough not to be a failure in disguise.
    pub(crate) was_live: bool,
    /// The peer's wish not to be called sooner.
    pub(crate) retry_after_ms: u64,
}

/// Runs a connection until it ends.
pub(crate) async fn run(daemon: Arc<Daemon>, connection: Connection, role: Role, address: String) -> Outcome {
    let started = Instant::now();
    if daemon.peers.is_paused(Some(connection.peer), &address) {
        connection.close("paused");
        return Outcome { was_live: false, retry_after_ms: 0 };
    }
    let connection = Arc::new(connection);
    let linked = daemon.peers.link(&connection, &address);
    let link = Link { daemon: daemon.clone(), connection: connection.clone(), role, address };
    let retry_after_ms = link.run().await;
    drop(linked);
    let lived = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Outcome { was_live: lived >= sync::backoff::LIVE_BEFORE_RESET_MS, retry_after_ms }
}

#[derive(Clone)]
struct Link {
    daemon: Arc<Daemon>,
    connection: Arc<Connection>,
    role: Role,
    address: String,
}

/// How one session ended, or why there was none.
struct Ended {
    space: SpaceId,
    status: Option<Status>,
}

impl Link {
    async fn run(&self) -> u64 {
        let mut sessions: JoinSet<Option<Ended>> = JoinSet::new();
        let mut refused: BTreeMap<SpaceId, Instant> = BTreeMap::new();
        let mut spaces = self.daemon.spaces.changes();
        let mut retry_after_ms = 0;
        let mut look = tokio::time::interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        if self.role == Role::Listener {
            look.reset_after(COURTESY);
        }
        loop {
            tokio::select! {
                closed = self.connection.quic.closed() => {
                    self.note_error(&reason(&closed));
                    break;
                }
                stream = self.connection.quic.accept_bi(), if sessions.len() < RECEPTIONS_MAX + refused.len() + 64 => {
                    let Ok((send, recv)) = stream else { continue };
                    let link = self.clone();
                    sessions.spawn(async move { link.receive(send, recv).await });
                }
                Some(ended) = sessions.join_next() => {
                    if let Ok(Some(Ended { space, status })) = ended {
                        refused.insert(space, Instant::now());
                        if let Some(end) = status.as_ref().and_then(|status| status.end) {
                            retry_after_ms = retry_after_ms.max(end.retry_after_ms);
                        }
                        self.note_removal(space, status.as_ref()).await;
                        self.note_ended(space, status);
                    }
                }
                _ = look.tick() => {
                    refused.retain(|_, since| since.elapsed() < REFUSED_FOR);
                    self.open_missing(&mut sessions, &refused).await;
                }
                changed = spaces.changed() => {
                    if changed.is_err() { break }
                    refused.clear();
                    self.open_missing(&mut sessions, &refused).await;
                }
            }
        }
        // Streams end with their connection; what the sessions knew is noted as they do.
        while let Some(ended) = sessions.join_next().await {
            if let Ok(Some(Ended { space, status })) = ended {
                self.note_removal(space, status.as_ref()).await;
                self.note_ended(space, status);
            }
        }
        retry_after_ms
    }

    /// Opens a stream for each space that this peer may talk about and has no session for.
    async fn open_missing(
        &self,
        sessions: &mut JoinSet<Option<Ended>>,
        refused: &BTreeMap<SpaceId, Instant>,
    ) {
        for space in self.daemon.spaces.all() {
            if refused.contains_key(&space.id) || self.refusal(&space).await.is_some() {
                continue;
            }
            let link = self.clone();
            sessions.spawn(async move { link.open(space).await });
        }
    }

    /// Why this peer and this device may not talk about a space; none: they may.
    async fn refusal(&self, space: &Space) -> Option<ByeCode> {
        if !space.membership().syncs() {
            return Some(ByeCode::UnknownSpace);
        }
        let peer = self.connection.peer;
        let answer = space
            .slot
            .call(0, move |owner, _| Turn::Done(owner.live().map(|live| refusal(&live.replica, &peer))));
        // A space that is not open has nothing to say.
        answer.await.unwrap_or(Some(ByeCode::NotAuthorised))
    }

    async fn open(&self, space: Arc<Space>) -> Option<Ended> {
        let active = self.daemon.peers.begin_session(self.connection.peer, space.id, true)?;
        let (send, recv) = self.connection.quic.open_bi().await.ok()?;
        let session = Session::new(self.role, self.local(), clock::now(), sync::Config::default());
        let ended = self.converse(&space, session, Vec::new(), send, recv).await;
        drop(active);
        Some(ended)
    }

    /// A stream that the peer opened: first what it is about.
    async fn receive(&self, mut send: SendStream, mut recv: RecvStream) -> Option<Ended> {
        let mut reception = Reception::new();
        let arrival = tokio::time::timeout(RECEPTION_MAX, arrive(&mut reception, &mut recv)).await;
        match arrival {
            Ok(Some(Arrival::Space { space, .. })) => {
                let found = self.daemon.spaces.by_id(&space);
                let Some(space) = found else {
                    refuse(&mut send, ByeCode::UnknownSpace).await;
                    return None;
                };
                if let Some(code) = self.refusal(&space).await {
                    refuse(&mut send, code).await;
                    return None;
                }
                let active = self.daemon.peers.begin_session(self.connection.peer, space.id, false);
                let session =
                    Session::new(Role::Listener, self.local(), clock::now(), sync::Config::default());
                let ended = self.converse(&space, session, reception.into_bytes(), send, recv).await;
                drop(active);
                Some(ended)
            }
            Ok(Some(Arrival::Join { hello, join })) => {
                join::admit(&self.daemon, &self.connection, &hello, join, &mut send).await;
                None
            }
            Ok(None) | Err(_) => {
                refuse(&mut send, ByeCode::Protocol).await;
                None
            }
        }
    }

    /// One session from its first byte to its last.
    async fn converse(
        &self,
        space: &Arc<Space>,
        session: Session,
        first: Vec<u8>,
        mut send: SendStream,
        mut recv: RecvStream,
    ) -> Ended {
        let peer = self.connection.peer;
        let mut session = Some(session);
        let attached = space
            .slot
            .call(0, move |owner, _| {
                Turn::Done(match session.take() {
                    Some(session) => owner.attach(peer, session),
                    None => Err(Error::SessionEnded),
                })
            })
            .await;
        let Ok(attached) = attached else {
            refuse(&mut send, ByeCode::Unavailable).await;
            return Ended { space: space.id, status: None };
        };
        let (id, mut outgoing) = (attached.id, attached.outgoing);
        let slot = space.slot.clone();
        let write = async {
            while let Some((frame, is_held_up)) = outgoing.next().await {
                if is_held_up {
                    slot.poke();
                }
                send.write_all(&frame).await?;
            }
            // The peer may be gone already; then there is nobody to tell.
            drop(send.finish());
            Ok::<(), quinn::WriteError>(())
        };
        let read = async {
            if !first.is_empty() && !deliver(space, id, first).await {
                return;
            }
            while let Ok(Some(chunk)) = recv.read_chunk(READ_LEN_MAX, true).await {
                if !deliver(space, id, chunk.bytes.to_vec()).await {
                    return;
                }
            }
        };
        tokio::pin!(write);
        tokio::pin!(read);
        let mut ended = attached.ended;
        // What the session still has to say, if it is its goodbye, goes out first.
        let status = tokio::select! {
            _ = &mut write => None,
            () = &mut read => {
                detach(space, id).await;
                drop(tokio::time::timeout(LAST_WORDS, &mut write).await);
                None
            }
            status = &mut ended => {
                drop(tokio::time::timeout(LAST_WORDS, &mut write).await);
                Some(status.ok())
            }
        };
        detach(space, id).await;
        let status = match status {
            Some(status) => status,
            None => ended.await.ok(),
        };
        Ended { space: space.id, status }
    }

    fn local(&self) -> Local {
        Local {
            device: self.daemon.spaces.identity().device(),
            instance: self.daemon.instance,
            peer: self.connection.peer,
        }
    }

    fn note_error(&self, error: &str) {
        for space in self.daemon.spaces.all() {
            let key = (self.connection.peer, space.id);
            if self.daemon.peers.records.all().contains_key(&key) {
                self.daemon.peers.records.update(key, |record| record.last_error = Some(error.to_string()));
            }
        }
    }

    /// The home may have said that this device is no member any more. Another peer's word for it is not believed.
    async fn note_removal(&self, id: SpaceId, status: Option<&Status>) {
        let Some(end) = status.and_then(|status| status.end) else { return };
        let Some(space) = self.daemon.spaces.by_id(&id) else { return };
        let is_told = end.by == EndedBy::Peer && end.code == ByeCode::Revoked;
        if !is_told || space.seat.home() != Some(self.connection.peer) {
            return;
        }
        let place = match space.membership() {
            // The answer to its own wish was lost.
            Membership::Leaving(_) | Membership::Left => Membership::Left,
            Membership::Member | Membership::Revoked => Membership::Revoked,
        };
        if space.membership() != place {
            tracing::warn!(space = space.name, "the home has taken this device out: {}", place.cure());
        }
        if let Err(error) = space.set_membership(place).await {
            tracing::warn!(%error, "that this device was taken out could not be noted");
        }
    }

    fn note_ended(&self, space: SpaceId, status: Option<Status>) {
        let Some(status) = status else { return };
        self.daemon.peers.records.update((self.connection.peer, space), |record| {
            record.heard(&status);
            record.sent += status.sent_len;
            record.received += status.received_len;
            if self.role == Role::Dialer {
                record.address.clone_from(&self.address);
            }
            if let Some(error) = end_text(&status) {
                record.last_error = Some(error);
            }
        });
    }
}

fn end_text(status: &Status) -> Option<String> {
    if let Some(error) = &status.last_error {
        return Some(error.clone());
    }
    let end = status.end.filter(|end| end.code != ByeCode::Done)?;
    Some(format!("the session was ended: {:?}", end.code))
}

async fn arrive(reception: &mut Reception, recv: &mut RecvStream) -> Option<Arrival> {
    while let Ok(Some(chunk)) = recv.read_chunk(READ_LEN_MAX, true).await {
        match reception.handle_bytes(&chunk.bytes) {
            Ok(Some(arrival)) => return Some(arrival),
            Ok(None) => {}
            Err(error) => {
                tracing::info!(%error, "a stream that makes no sense");
                return None;
            }
        }
    }
    None
}

/// Whether the session goes on.
async fn deliver(space: &Arc<Space>, id: crate::slot::SessionId, bytes: Vec<u8>) -> bool {
    let len = bytes.len();
    let delivered = space.slot.call(len, move |owner, now| Turn::Done(owner.deliver(now, id, &bytes)));
    delivered.await.is_ok()
}

async fn detach(space: &Arc<Space>, id: crate::slot::SessionId) {
    // The owner that is gone has no session either.
    let detached = space.slot.call(0, move |owner, _| {
        owner.detach(id);
        Turn::Done(Ok(()))
    });
    drop(detached.await);
}

pub(crate) async fn refuse(send: &mut SendStream, code: ByeCode) {
    // Whoever is refused may have hung up.
    drop(send.write_all(&sync::join::refuse(code, 0)).await);
    drop(send.finish());
}
