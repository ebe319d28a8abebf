//! The conversations about one space: bytes in, bytes out through a channel that a thin link holds up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crdt::{DeviceId, Handle, Proposal, Time};
use disk::Disk;
use replica::Replica;
use sync::frame::Outcome;
use sync::{ByeCode, Session, Status};
use tokio::sync::{mpsc, oneshot};

use super::owner::refusal;
use super::{Error, Owner};

/// Frames on their way to a socket: one is being written while the next is ready.
const OUTGOING_MAX: usize = 2;

/// So long a peer that takes nothing may still take the goodbye of a session that has ended.
const GOODBYE_MS: u64 = 10_000;

/// Names one session of one slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(u64);

/// The far end of an attached session.
pub struct Attached {
    /// How to name it.
    pub id: SessionId,
    /// What it says.
    pub outgoing: Outgoing,
    /// How it ended, once it has.
    pub ended: oneshot::Receiver<Status>,
}

/// What a session says, a frame at a time.
pub struct Outgoing {
    frames: mpsc::Receiver<Vec<u8>>,
    is_held_up: Arc<AtomicBool>,
}

impl Outgoing {
    /// The next frame; `None` when the session is over. The flag says that it has more to say now that there is room.
    pub async fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        let frame = self.frames.recv().await?;
        Some((frame, self.is_held_up.swap(false, Ordering::AcqRel)))
    }
}

struct Entry {
    session: Session,
    peer: DeviceId,
    frames: mpsc::Sender<Vec<u8>>,
    is_held_up: Arc<AtomicBool>,
    ended: oneshot::Sender<Status>,
    /// The session has ended, and nobody waits longer than this for room to say so.
    over_at: Option<Time>,
}

#[derive(Default)]
pub(super) struct Sessions {
    entries: BTreeMap<SessionId, Entry>,
    next: u64,
    wake: Option<Time>,
    /// The base for which it was last asked who may talk.
    checked: u64,
}

impl<D: Disk> Owner<D> {
    /// Takes up a conversation with a device that this connection proved.
    pub fn attach(&mut self, peer: DeviceId, session: Session) -> Result<Attached, Error> {
        self.live()?;
        let (frames, outgoing) = mpsc::channel(OUTGOING_MAX);
        let (ended, told) = oneshot::channel();
        let is_held_up = Arc::new(AtomicBool::new(false));
        let id = SessionId(self.sessions.next);
        self.sessions.next += 1;
        let outgoing = Outgoing { frames: outgoing, is_held_up: is_held_up.clone() };
        self.sessions.entries.insert(id, Entry { session, peer, frames, is_held_up, ended, over_at: None });
        Ok(Attached { id, outgoing, ended: told })
    }

    /// Bytes from the peer. They count once the turn has flushed.
    pub fn deliver(&mut self, now: Time, id: SessionId, bytes: &[u8]) -> Result<(), Error> {
        self.live()?;
        let Some((live, sessions, ..)) = self.parts() else { return Err(Error::Closed) };
        let Some(entry) = sessions.entries.get_mut(&id) else { return Err(Error::SessionEnded) };
        if let Err(error) = entry.session.handle_bytes(now, bytes, &mut live.replica) {
            // It has closed itself and says why when polled.
            tracing::info!(peer = %entry.peer, %error, "session closed");
            if let sync::Error::Store(sync::StoreError::Peer { code: ByeCode::HandleConflict, detail }) =
                &error
            {
                // The one thing that must never happen: say it loudly, keep the old base, keep serving.
                tracing::error!(peer = %entry.peer, detail, "a handle contradicts what is held here");
                self.metrics.divergence.inc();
            }
        }
        Ok(())
    }

    /// The connection is gone: the session ends without another word.
    pub fn detach(&mut self, id: SessionId) {
        let Some(mut entry) = self.sessions.entries.remove(&id) else { return };
        entry.session.close(ByeCode::Done, 0);
        if let Ok(live) = self.live() {
            let status = entry.session.status(&live.replica);
            // Nobody listens when the connection's task is gone as well.
            drop(entry.ended.send(status));
        }
    }
}

impl Sessions {
    /// A session with this device that is open.
    pub(super) fn with(&mut self, peer: DeviceId) -> Option<&mut Session> {
        let mut open = self.entries.values_mut().filter(|entry| !entry.session.is_closed());
        open.find(|entry| entry.peer == peer).map(|entry| &mut entry.session)
    }

    /// A session, and whose.
    pub(super) fn by_id(&mut self, id: SessionId) -> Option<(&mut Session, DeviceId)> {
        self.entries.get_mut(&id).map(|entry| (&mut entry.session, entry.peer))
    }

    /// What peers have proposed since the last time.
    pub(super) fn proposals(&mut self) -> Vec<(SessionId, Proposal)> {
        let mut all = Vec::new();
        for (id, entry) in &mut self.entries {
            all.extend(std::iter::from_fn(|| entry.session.poll_proposal()).map(|proposal| (*id, proposal)));
        }
        all
    }

    /// What peers have decided since the last time.
    pub(super) fn decided(&mut self) -> Vec<([u8; 16], Outcome)> {
        let sessions = self.entries.values_mut();
        sessions.flat_map(|entry| std::iter::from_fn(|| entry.session.poll_decided())).collect()
    }

    /// The bases that peers opened with since the last time.
    pub(super) fn heard(&mut self) -> Vec<(DeviceId, Handle)> {
        let entries = self.entries.values_mut();
        entries.filter_map(|entry| Some((entry.peer, entry.session.poll_heard()?))).collect()
    }

    /// Says goodbye on every session.
    pub(super) fn hang_up(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.session.close(ByeCode::Done, 0));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn wake(&self) -> Option<Time> {
        // The last one may have been detached since the times were asked for.
        self.wake.filter(|_| !self.entries.is_empty())
    }

    pub(super) fn report<D: Disk>(&self, replica: &Replica<D>) -> Vec<(SessionId, Status)> {
        self.entries.iter().map(|(id, entry)| (*id, entry.session.status(replica))).collect()
    }

    /// Lets every session send what it can, closes those that fell silent or may no longer talk, removes the ended.
    pub(super) fn poll<D: Disk>(&mut self, now: Time, replica: &mut Replica<D>) {
        let version = replica.base().version;
        let is_moved = self.checked != version;
        self.checked = version;
        let mut over = Vec::new();
        let mut wake = None;
        for (id, entry) in &mut self.entries {
            if is_moved && let Some(code) = refusal(replica, &entry.peer) {
                entry.session.close(code, 0);
            }
            if entry.session.poll_timeout().is_some_and(|at| at <= now) {
                entry.session.handle_timeout(now);
            }
            match entry.send(now, replica) {
                Sent::Over => over.push(*id),
                Sent::Until(next) => wake = [wake, next].into_iter().flatten().min(),
            }
        }
        self.wake = wake;
        for id in over {
            if let Some(entry) = self.entries.remove(&id) {
                let status = entry.session.status(replica);
                drop(entry.ended.send(status));
            }
        }
    }

    /// The disk failed: what the sessions know of the replica may not be so.
    pub(super) fn end_all<D: Disk>(&mut self, replica: Option<&Replica<D>>, reason: &str) {
        for entry in std::mem::take(&mut self.entries).into_values() {
            if let Some(replica) = replica {
                let mut status = entry.session.status(replica);
                status.last_error = Some(reason.to_string());
                drop(entry.ended.send(status));
            }
        }
        self.wake = None;
    }

    /// An orderly stop: every peer hears goodbye.
    pub(super) fn close_all<D: Disk>(&mut self, replica: Option<&mut Replica<D>>, now: Time) {
        if let Some(replica) = replica {
            for entry in self.entries.values_mut() {
                entry.session.close(ByeCode::Done, 0);
            }
            self.poll(now, replica);
        }
        self.entries.clear();
    }
}

/// What is left of a session once it has said what it could.
enum Sent {
    /// Nothing.
    Over,
    /// It wants to be asked again by then, if nothing else happens.
    Until(Option<Time>),
}

impl Entry {
    /// Says what there is room for.
    fn send<D: Disk>(&mut self, now: Time, replica: &mut Replica<D>) -> Sent {
        let is_drained = self.drain(now, replica);
        if self.frames.is_closed() {
            return Sent::Over;
        }
        match (is_drained, self.session.is_closed()) {
            (true, true) => Sent::Over,
            (true, false) => Sent::Until(self.session.poll_timeout()),
            (false, false) => Sent::Until(self.session.deadline()),
            (false, true) => {
                let over_at = *self.over_at.get_or_insert(now.plus_ms(GOODBYE_MS));
                if over_at <= now { Sent::Over } else { Sent::Until(Some(over_at)) }
            }
        }
    }

    /// Whether the session has nothing more to say; `false` when the channel is full.
    fn drain<D: Disk>(&mut self, now: Time, replica: &mut Replica<D>) -> bool {
        loop {
            let Ok(room) = self.frames.try_reserve() else {
                self.is_held_up.store(true, Ordering::Release);
                // Room that came between the question and the flag would otherwise be noticed by nobody.
                if self.frames.capacity() == 0 || self.frames.is_closed() {
                    return false;
                }
                continue;
            };
            match self.session.poll_transmit(now, replica) {
                Some(bytes) => room.send(bytes),
                None => return true,
            }
        }
    }
}
