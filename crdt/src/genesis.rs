//! Where a space begins, and the chain of keys that may sign for it.

mod ring;

pub use ring::{KEYS_MAX, RING_MAX, Ring, RingRecord};

use crate::codec::{Decoder, Encoder};
use crate::error::Error;
use crate::id::{DeviceId, SpaceId, derive};

const FORMAT: u64 = 1;

/// Longest parameters of a space.
pub const GENESIS_PARAMS_LEN_MAX: usize = 1024;

/// The first fact of a space. Its hash is the space's id; only members ever see it, since it holds the salt.
#[derive(Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Seeds the hashes of nodes and chunks: known to every member, to nobody else.
    pub salt: [u8; 32],
    /// Makes two spaces with equal keys two spaces.
    pub nonce: [u8; 32],
    /// The public key of the first home.
    pub home_key: [u8; 32],
    /// The public key that may name another home when the home's own is lost; zero for none.
    pub recovery_key: [u8; 32],
    /// The device that made the space.
    pub owner: DeviceId,
    /// Parameters, encoded; empty for the defaults.
    pub params: Vec<u8>,
}

impl Genesis {
    /// The id of the space.
    pub fn space(&self) -> SpaceId {
        SpaceId(derive("genesis", &self.encode()))
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(160 + self.params.len());
        out.array(7).uint(FORMAT).bytes(&self.salt).bytes(&self.nonce);
        out.bytes(&self.home_key).bytes(&self.recovery_key).bytes(&self.owner.0).bytes(&self.params);
        out.finish()
    }

    /// Reads a genesis.
    pub fn decode(bytes: &[u8]) -> Result<Genesis, Error> {
        let mut from = Decoder::new(bytes);
        let genesis = Genesis::decode_from(&mut from)?;
        from.finish()?;
        Ok(genesis)
    }

    pub(crate) fn decode_from(from: &mut Decoder) -> Result<Genesis, Error> {
        from.format("genesis", FORMAT, 7..=7)?;
        Ok(Genesis {
            salt: from.fixed()?,
            nonce: from.fixed()?,
            home_key: from.fixed()?,
            recovery_key: from.fixed()?,
            owner: DeviceId(from.fixed()?),
            params: from.bytes_up_to(GENESIS_PARAMS_LEN_MAX, "parameters")?.to_vec(),
        })
    }
}

impl std::fmt::Debug for Genesis {
    /// Without the salt, which must not reach a trace.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Genesis({:?}, owner {:?})", self.space(), self.owner)
    }
}
