//! A row of `sys/acl`: what a device may do, since which version.

use crdt::key::Element;
use crdt::{Decoder, DeviceId, Encoder};

/// May read, and so open a session and fetch.
pub const READ: u64 = 1;
/// May write commits.
pub const WRITE: u64 = 2;
/// May ask the home to change who is a member.
pub const ADMIN: u64 = 4;

/// What the home granted a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The device's public key.
    pub public: [u8; 32],
    /// The sum of what it may do.
    pub capabilities: u64,
    /// Where the device stands, as the home understands it; empty for nowhere in particular.
    pub residency: Vec<u8>,
    /// Writers opened on a base below this stay cut: 0 at the first grant.
    pub since: u64,
}

impl Grant {
    /// The key of a device's row.
    pub fn key(device: &DeviceId) -> Vec<u8> {
        let element = Element::Bytes(device.as_bytes().to_vec());
        crdt::key::encode(&[element]).expect("16 bytes are within every limit of a key")
    }

    /// Its bytes: the payload in `sys/acl`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(4).bytes(&self.public).uint(self.capabilities).bytes(&self.residency).uint(self.since);
        out.finish()
    }

    /// Reads a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, crdt::Error> {
        let mut input = Decoder::new(bytes);
        input.array_of(4)?;
        let public = input.fixed()?;
        let capabilities = input.uint()?;
        let residency = input.bytes()?.to_vec();
        let since = input.uint()?;
        input.finish()?;
        Ok(Self { public, capabilities, residency, since })
    }

    /// Whether it allows all of `capabilities`.
    pub fn allows(&self, capabilities: u64) -> bool {
        self.capabilities & capabilities == capabilities
    }
}
