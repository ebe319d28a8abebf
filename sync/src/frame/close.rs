//! What keeps a session, ends it, or comes instead of it: Beat, Bye, Join and Joined.

use crdt::genesis::RING_MAX;
use crdt::{Decoder, Encoder, Genesis, Handle, Problem, RingRecord, SpaceId};

use super::{Payload, refuse};

/// Frame 12: I am here, and this is what I hold.
///
/// Equal versions and digests mean equal commit sets: a digest commits to every tip, and a tip to its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The version of my base.
    pub base_version: u64,
    /// The hash of my tail list.
    pub digest: [u8; 32],
}

impl Payload for Beat {
    const NUMBER: u8 = 12;
    const LEN_MAX: usize = 128;

    fn encode(&self, out: &mut Encoder) {
        out.array(2).uint(self.base_version).bytes(&self.digest);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Beat, crdt::Error> {
        input.array_of(2)?;
        Ok(Beat { base_version: input.uint()?, digest: input.fixed()? })
    }
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ByeCode {
    /// Nothing is wrong: a stop, or a space that was closed.
    Done = 0,
    /// A frame that is malformed, unknown or out of place.
    Protocol = 1,
    /// A frame over its limit.
    TooLarge = 2,
    /// More than a session may make the other side remember.
    Flood = 3,
    /// Another protocol version.
    Version = 4,
    /// The peer is the speaker itself.
    Myself = 5,
    /// A space that is not here.
    UnknownSpace = 6,
    /// The device may not talk about this space.
    NotAuthorised = 7,
    /// Two commits with one dot.
    Fork = 8,
    /// Two Handles with one version.
    HandleConflict = 9,
    /// A base was offered whose nodes are not here.
    NodesMissing = 10,
    /// Silence.
    Timeout = 11,
    /// Back-pressure: come again later.
    Busy = 12,
    /// The replica has stopped for now.
    Unavailable = 13,
    /// Nodes, seals or signatures that do not verify.
    Forged = 14,
    /// Join: no such invitation.
    TicketUnknown = 32,
    /// Join: every use of the invitation is spent.
    TicketSpent = 33,
    /// Join: the invitation is past its time, by the home's clock.
    TicketExpired = 34,
    /// Join: the device was removed and needs a new grant.
    Revoked = 35,
    /// Join: this peer is not the home of the space.
    NotHome = 36,
}

impl ByeCode {
    const ALL: [ByeCode; 20] = [
        ByeCode::Done,
        ByeCode::Protocol,
        ByeCode::TooLarge,
        ByeCode::Flood,
        ByeCode::Version,
        ByeCode::Myself,
        ByeCode::UnknownSpace,
        ByeCode::NotAuthorised,
        ByeCode::Fork,
        ByeCode::HandleConflict,
        ByeCode::NodesMissing,
        ByeCode::Timeout,
        ByeCode::Busy,
        ByeCode::Unavailable,
        ByeCode::Forged,
        ByeCode::TicketUnknown,
        ByeCode::TicketSpent,
        ByeCode::TicketExpired,
        ByeCode::Revoked,
        ByeCode::NotHome,
    ];

    /// The code a number stands for, if any.
    pub fn from_number(number: u64) -> Option<ByeCode> {
        ByeCode::ALL.into_iter().find(|code| *code as u64 == number)
    }
}

/// Frame 16: an orderly end; nothing follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bye {
    /// Why.
    pub code: ByeCode,
    /// Do not come back sooner; 0 leaves it to the caller's backoff.
    pub retry_after_ms: u64,
}

impl Payload for Bye {
    const NUMBER: u8 = 16;
    const LEN_MAX: usize = 64;

    fn encode(&self, out: &mut Encoder) {
        out.array(2).uint(self.code as u64).uint(self.retry_after_ms);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Bye, crdt::Error> {
        input.array_of(2)?;
        let code = input.uint()?;
        let code = ByeCode::from_number(code).ok_or_else(|| refuse(input, Problem::Range))?;
        Ok(Bye { code, retry_after_ms: input.uint()? })
    }
}

/// Frame 17: a stranger with a ticket asks to be admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The space of the ticket.
    pub space: SpaceId,
    /// The stranger's ed25519 key, the one its connection is authenticated with.
    pub device_key: [u8; 32],
    /// That it holds the ticket's secret, bound to this connection.
    pub proof: [u8; 32],
}

impl Payload for Join {
    const NUMBER: u8 = 17;
    const LEN_MAX: usize = 1024;

    fn encode(&self, out: &mut Encoder) {
        out.array(3).bytes(&self.space.0).bytes(&self.device_key).bytes(&self.proof);
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Join, crdt::Error> {
        input.array_of(3)?;
        Ok(Join { space: SpaceId(input.fixed()?), device_key: input.fixed()?, proof: input.fixed()? })
    }
}

/// Frame 18: the stranger is a member as of this Handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// What the space is.
    pub genesis: Genesis,
    /// Who may sign its Handles, oldest first.
    pub ring: Vec<RingRecord>,
    /// The Handle that admits the device.
    pub handle: Handle,
}

impl Payload for Joined {
    const NUMBER: u8 = 18;
    const LEN_MAX: usize = 1 << 20;

    fn encode(&self, out: &mut Encoder) {
        out.array(3).bytes(&self.genesis.encode()).array(self.ring.len());
        for record in &self.ring {
            out.bytes(&record.encode());
        }
        out.bytes(&self.handle.encode());
    }

    fn decode(input: &mut Decoder<'_>) -> Result<Joined, crdt::Error> {
        input.array_of(3)?;
        let genesis = Genesis::decode(input.bytes()?)?;
        let count = input.array_up_to(RING_MAX, "ring")?;
        let ring = (0..count).map(|_| RingRecord::decode(input.bytes()?)).collect::<Result<_, _>>()?;
        Ok(Joined { genesis, ring, handle: Handle::decode(input.bytes()?)? })
    }
}
