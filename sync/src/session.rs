//! `Session`: one conversation with one peer about one space; `handle_*` in, `poll_*` out.

mod beat;
mod cover;
mod fetch;
mod fork;
mod peer;
mod proposals;
mod receive;
mod send;
mod status;

pub use status::{End, EndedBy, State, Status};

use crdt::{DeviceId, Handle, Time};

use crate::frame::{
    Beat, Bye, ByeCode, FEATURE_FORKS, FEATURE_PIECES, FEATURE_PROPOSALS, FEATURE_STRANDS, FRAME_LEN_MAX,
    Hello, PROTO,
};
use crate::{Error, Frame, FrameReader, Store};

use beat::Pulse;
use cover::Greeting;
use fetch::{Fetch, Serve};
use fork::Forks;
use peer::Peer;
use proposals::Proposals;
use receive::Receiver;
use send::Sender;

/// Who opened the connection. Both roles run the same machine; people like to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// This side called.
    Dialer,
    /// This side was called.
    Listener,
}

/// Who this side is, and whom the connection is authenticated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// This device.
    pub device: DeviceId,
    /// Random per start of the daemon.
    pub instance: [u8; 16],
    /// The device whose key the other end of the connection holds.
    pub peer: DeviceId,
}

/// The numbers of a session that two users would set differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Bytes of commits and blobs sent and not yet acknowledged; one unit may go over it.
    pub window_len: usize,
    /// Bytes of one unit of commits: what a thin link carries before something more urgent can go.
    pub unit_len: usize,
    /// First interval of beats when idle; it doubles up to `beat_max_ms`.
    pub beat_ms: u64,
    /// Longest interval of beats.
    pub beat_max_ms: u64,
    /// How long the peer may be silent beyond a beat that is due.
    pub patience_ms: u64,
    /// How long the peer may take for Hello and all of its Open, however alive it is meanwhile: one page of 16,384
    /// writers takes three minutes at 64 kbit/s.
    pub opening_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            window_len: 4 << 20,
            unit_len: 256 << 10,
            beat_ms: 15_000,
            beat_max_ms: 15 * 60_000,
            patience_ms: 30_000,
            opening_ms: 10 * 60_000,
        }
    }
}

/// One conversation with one peer about one space.
///
/// It queues nothing but the frames of the unit being sent: everything else to send is the difference between
/// what the store shows and what this peer is known to have, worked out when the transport asks for more.
#[derive(Debug)]
pub struct Session {
    config: Config,
    role: Role,
    local: Local,
    reader: FrameReader,
    greeting: Greeting,
    peer: Peer,
    sender: Sender,
    receiver: Receiver,
    fetch: Fetch,
    serve: Serve,
    forks: Forks,
    proposals: Proposals,
    pulse: Pulse,
    /// The version of the base that the peer was last told of.
    told_base: u64,
    sent_len: u64,
    received_len: u64,
    bye: Option<Bye>,
    end: Option<End>,
    last_error: Option<String>,
}

impl Session {
    /// A session about to say hello. Hello is the first frame on each stream, so every stream stands by
    /// itself.
    pub fn new(role: Role, local: Local, now: Time, config: Config) -> Session {
        Session {
            config,
            role,
            local,
            reader: FrameReader::new(),
            greeting: Greeting::new(),
            peer: Peer::new(now),
            sender: Sender::new(),
            receiver: Receiver::new(),
            fetch: Fetch::new(),
            serve: Serve::new(),
            forks: Forks::default(),
            proposals: Proposals::default(),
            pulse: Pulse::new(now, &config),
            told_base: 0,
            sent_len: 0,
            received_len: 0,
            bye: None,
            end: None,
            last_error: None,
        }
    }

    /// Takes bytes from the peer, in any fragments. Flush the store and poll afterwards.
    ///
    /// An error has closed the session; poll once more for the Bye that says so. Bytes after the end are
    /// ignored.
    pub fn handle_bytes(&mut self, now: Time, bytes: &[u8], store: &mut impl Store) -> Result<(), Error> {
        if self.end.is_some() {
            return Ok(());
        }
        self.received_len += bytes.len() as u64;
        self.pulse.heard_bytes(now);
        self.reader.feed(bytes);
        let outcome = self.handle_frames(now, bytes.len(), store);
        if let Err(error) = &outcome {
            self.fail(error);
        }
        outcome
    }

    /// The next frame to send, if there is one now. Poll until `None` after bytes, flushes, adoptions and
    /// timeouts, but only while the transport takes them: nothing is queued here meanwhile.
    pub fn poll_transmit(&mut self, now: Time, store: &mut impl Store) -> Option<Vec<u8>> {
        let frame = match self.end {
            Some(_) => self.last_words()?,
            None => match self.next_frame(now, store) {
                Ok(frame) => frame?,
                Err(error) => {
                    self.fail(&error);
                    self.bye.take().map(Frame::Bye)?
                }
            },
        };
        self.pulse.sent(now, &frame);
        let bytes = frame.encode();
        self.sent_len += bytes.len() as u64;
        Some(bytes)
    }

    /// When to call [`Session::handle_timeout`] if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.end.is_some() {
            return None;
        }
        let timers = [
            Some(self.pulse.timeout(&self.config)),
            self.part_deadline(),
            self.peer.opening_deadline(&self.config),
            self.sender.paused_until(),
            self.fetch.retry_at(),
        ];
        timers.into_iter().flatten().min()
    }

    /// When to call it while the transport takes nothing: what else is due waits until it does.
    pub fn deadline(&self) -> Option<Time> {
        let deadlines = [
            Some(self.pulse.deadline(&self.config)),
            self.part_deadline(),
            self.peer.opening_deadline(&self.config),
        ];
        deadlines.into_iter().flatten().min().filter(|_| self.end.is_none())
    }

    /// Time has passed: closes a session whose peer fell silent, or never comes to the end of its Open or of a frame.
    /// Poll afterwards.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.end.is_some() {
            return;
        }
        let is_over = |deadline: Option<Time>| deadline.is_some_and(|deadline| now >= deadline);
        if now >= self.pulse.deadline(&self.config) {
            self.fail(&Error::Silent { since: self.pulse.heard_at() });
        } else if is_over(self.part_deadline()) {
            self.fail(&Error::EndlessFrame { len: self.reader.held_len() });
        } else if is_over(self.peer.opening_deadline(&self.config)) {
            self.fail(&Error::SlowOpening { max_ms: self.config.opening_ms });
        }
    }

    /// Ends the session in order; `retry_after_ms` asks the peer for patience.
    pub fn close(&mut self, code: ByeCode, retry_after_ms: u64) {
        if self.end.is_none() {
            self.bye = Some(Bye { code, retry_after_ms });
            self.end = Some(End { by: EndedBy::Us, code, retry_after_ms });
        }
    }

    /// The base that the peer opened with, once: where it is newer than ours, a home must not sign that version again.
    /// Nothing of it is verified.
    pub fn poll_heard(&mut self) -> Option<Handle> {
        self.peer.heard.take()
    }

    /// Whether the session is over. A last Bye may still be there to poll.
    pub fn is_closed(&self) -> bool {
        self.end.is_some()
    }

    /// How it ended, once it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// What is still said once the session is over: Bye, and before it what was decided, since that is owed even to a
    /// peer that this very decision put out.
    fn last_words(&mut self) -> Option<Frame> {
        let bye = self.bye.take()?;
        match self.next_decided() {
            Some(answer) => {
                self.bye = Some(bye);
                Some(answer)
            }
            None => Some(Frame::Bye(bye)),
        }
    }

    /// When a frame that does not end is not waited for any longer. An Open has a time of its own.
    fn part_deadline(&self) -> Option<Time> {
        let opening = self.peer.opening_deadline(&self.config);
        self.pulse.part_deadline(&self.config).filter(|_| opening.is_none())
    }

    fn fail(&mut self, error: &Error) {
        self.last_error = Some(error.to_string());
        self.close(error.code(), 0);
    }

    fn handle_frames(&mut self, now: Time, len: usize, store: &mut impl Store) -> Result<(), Error> {
        while self.end.is_none() {
            let Some(frame) = self.reader.pop()? else { break };
            self.pulse.heard_frame(now, &frame);
            self.handle_frame(now, frame, store)?;
        }
        if self.reader.is_within_frame() {
            self.pulse.heard_part(now, len);
        }
        Ok(())
    }

    fn handle_frame(&mut self, now: Time, frame: Frame, store: &mut impl Store) -> Result<(), Error> {
        let number = frame.number();
        match frame {
            Frame::Bye(bye) => self.handle_bye(bye),
            Frame::Hello(hello) if self.peer.hello.is_none() => return self.handle_hello(hello),
            Frame::Open(open) if self.peer.hello.is_some() => return self.handle_open(now, open, store),
            // Until the peer has said which space it means, nothing else has a place.
            _ if !self.peer.is_open() => return Err(self.unexpected(number)),
            Frame::Cover(cover) => return self.handle_cover(now, cover, store),
            Frame::Commits(commits) => return self.handle_commits(now, commits, store),
            Frame::Piece(piece) => return self.handle_piece(now, piece, store),
            Frame::Ack(ack) => return self.handle_ack(ack, store),
            Frame::Nack(nack) => return self.handle_nack(nack),
            Frame::Handle(handle) => return self.handle_offer(now, handle.0, store),
            Frame::Want(want) => return self.serve.handle_want(want),
            Frame::Data(data) => return self.handle_data(now, data, store),
            Frame::Missing(missing) => return self.handle_missing(missing, store),
            Frame::BlobWant(want) => return self.serve.handle_blob_want(want),
            Frame::BlobData(blob) => return self.receiver.handle_blob(blob),
            Frame::Fork(fork) => return self.handle_fork(now, fork, store),
            Frame::Beat(beat) => self.handle_beat(beat),
            Frame::Propose(propose) => return self.handle_propose(propose),
            Frame::Result(decided) => return self.handle_decided(decided),
            Frame::Hello(_) | Frame::Open(_) | Frame::Join(_) | Frame::Joined(_) => {
                return Err(self.unexpected(number));
            }
        }
        Ok(())
    }

    fn handle_hello(&mut self, hello: Hello) -> Result<(), Error> {
        if hello.instance == self.local.instance {
            return Err(Error::Myself);
        }
        if hello.device != self.local.peer {
            return Err(Error::WrongDevice { said: hello.device, authenticated: self.local.peer });
        }
        self.peer.hello = Some(hello);
        Ok(())
    }

    fn handle_bye(&mut self, bye: Bye) {
        self.end = Some(End { by: EndedBy::Peer, code: bye.code, retry_after_ms: bye.retry_after_ms });
    }

    fn handle_beat(&mut self, beat: Beat) {
        self.raise_base(beat.base_version);
        // Compared when polled: commits that came just before it are visible only then.
        self.pulse.peer_beat = Some(beat);
    }

    /// What goes next, by need: what opens the session, what frees the other side, what moves bases, then
    /// data.
    fn next_frame(&mut self, now: Time, store: &mut impl Store) -> Result<Option<Frame>, Error> {
        self.notice_drops(store);
        if let Some(frame) = self.next_greeting(now, store) {
            return Ok(Some(frame));
        }
        if self.peer.is_open()
            && let Some(frame) = self.next_exchange(now, store)?
        {
            return Ok(Some(frame));
        }
        Ok(self.next_beat(now, store))
    }

    fn next_exchange(&mut self, now: Time, store: &mut impl Store) -> Result<Option<Frame>, Error> {
        // The rest of a unit comes before the Handle that may cover it.
        if let Some(frame) = self.sender.next_of_unit() {
            return Ok(Some(frame));
        }
        self.sender.end_pause(now);
        self.retry_adoption(now, store)?;
        // A Nack may follow from a proof, which comes first.
        let control = self
            .next_fork(store)
            .or_else(|| self.receiver.next_nack())
            .or_else(|| self.next_cover(store))
            .or_else(|| self.next_ack(store))
            .or_else(|| self.next_handle(store))
            .or_else(|| self.next_decided())
            .or_else(|| self.next_proposal())
            .or_else(|| self.fetch.next_want())
            .or_else(|| self.fetch.next_lost(store));
        if control.is_some() {
            return Ok(control);
        }
        if let Some(frame) = self.next_unit(store)? {
            return Ok(Some(frame));
        }
        Ok(self.serve.next_data(store))
    }

    fn hello(&self, now: Time) -> Frame {
        Frame::Hello(Hello {
            proto: PROTO,
            device: self.local.device,
            instance: self.local.instance,
            features: FEATURE_FORKS | FEATURE_PROPOSALS | FEATURE_PIECES | FEATURE_STRANDS,
            frame_max: FRAME_LEN_MAX as u64,
            wall: now,
        })
    }

    fn unexpected(&self, frame: u8) -> Error {
        Error::Unexpected { frame, state: self.phase().name() }
    }
}
