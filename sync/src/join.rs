//! How a stranger with a ticket becomes a member: one question on a stream of its own, one answer.
//!
//! The stranger sends Hello and Join; the home answers Joined or Bye. The proof binds the ticket's secret to
//! the stranger's key and to this very connection, by bytes that TLS exports on both ends.

use crdt::{DeviceId, Genesis, Handle, Ring, RingRecord, Ticket, Time};

use crate::frame::{self, Bye, ByeCode, FRAME_LEN_MAX, Hello, Join, PROTO};
use crate::session::Local;
use crate::{Error, Frame, FrameReader};

/// What a home answers, checked against the ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What the space is; the ticket's.
    pub genesis: Genesis,
    /// Who may sign its Handles; goes on from the ticket's.
    pub ring: Ring,
    /// The Handle that admits this device, signed by the ring in force.
    pub handle: Handle,
}

/// The home's answer to a stranger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one of these exists for each join, for a moment")]
pub enum Answer {
    /// This device is a member.
    Joined(Joined),
    /// It is not, and why.
    Refused(Bye),
}

/// The stranger's side.
#[derive(Debug)]
pub struct Joiner {
    ticket: Ticket,
    unsent: Option<Vec<u8>>,
    reader: FrameReader,
}

impl Joiner {
    /// A stranger with a ticket. `device_key` is the public key that this end of the connection is
    /// authenticated with, and `exporter` what TLS exported for joining on it.
    pub fn new(local: &Local, now: Time, ticket: Ticket, device_key: [u8; 32], exporter: &[u8]) -> Joiner {
        let hello = Hello {
            proto: PROTO,
            device: local.device,
            instance: local.instance,
            features: 0,
            frame_max: FRAME_LEN_MAX as u64,
            wall: now,
        };
        let space = ticket.genesis.space();
        let join =
            Join { space, device_key, proof: crdt::proof(&ticket.secret, &space, &device_key, exporter) };
        let mut unsent = Frame::Hello(hello).encode();
        unsent.extend(Frame::Join(join).encode());
        Joiner { ticket, unsent: Some(unsent), reader: FrameReader::new() }
    }

    /// Everything the stranger says, once.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.unsent.take()
    }

    /// Takes bytes from the home; `Some` once it has answered.
    pub fn handle_bytes(&mut self, bytes: &[u8]) -> Result<Option<Answer>, Error> {
        self.reader.feed(bytes);
        match self.reader.pop()? {
            None => Ok(None),
            Some(Frame::Joined(joined)) => self.check(joined).map(|joined| Some(Answer::Joined(joined))),
            Some(Frame::Bye(bye)) => Ok(Some(Answer::Refused(bye))),
            Some(frame) => Err(Error::Unexpected { frame: frame.number(), state: "joining" }),
        }
    }

    /// The home vouches only for what the ticket says: same genesis, a ring that goes on from the ticket's,
    /// and a Handle that this ring signed.
    fn check(&self, joined: frame::Joined) -> Result<Joined, Error> {
        let (theirs, ours) = (joined.genesis.space(), self.ticket.genesis.space());
        if theirs != ours {
            return Err(Error::WrongSpace { theirs, ours });
        }
        if !joined.ring.starts_with(&self.ticket.ring) {
            let n = joined.ring.len() as u64;
            return Err(Error::Forged { source: crdt::Error::Ring { what: "ring record", n } });
        }
        let forged = |source| Error::Forged { source };
        let ring = Ring::new(&joined.genesis, joined.ring).map_err(forged)?;
        ring.verify(&joined.handle).map_err(forged)?;
        Ok(Joined { genesis: joined.genesis, ring, handle: joined.handle })
    }
}

/// Whether a stranger is who its connection says: its key, its Hello and the connection name one device.
pub fn check_identity(hello: &Hello, join: &Join, authenticated: DeviceId) -> Result<(), Error> {
    for said in [hello.device, DeviceId::of(&join.device_key)] {
        if said != authenticated {
            return Err(Error::WrongDevice { said, authenticated });
        }
    }
    Ok(())
}

/// Whether the stranger holds this secret, on the connection with these exported bytes.
pub fn proves(join: &Join, secret: &[u8; 32], exporter: &[u8]) -> bool {
    crdt::proof(secret, &join.space, &join.device_key, exporter) == join.proof
}

/// The bytes that admit a stranger.
pub fn admit(genesis: Genesis, ring: Vec<RingRecord>, handle: Handle) -> Vec<u8> {
    Frame::Joined(frame::Joined { genesis, ring, handle }).encode()
}

/// The bytes that turn a stranger away.
pub fn refuse(code: ByeCode, retry_after_ms: u64) -> Vec<u8> {
    Frame::Bye(Bye { code, retry_after_ms }).encode()
}
