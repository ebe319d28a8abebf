//! The chain of home keys: who may sign Handles, from which version on.

use super::Genesis;
use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};
use crate::handle::Handle;
use crate::id::{SpaceId, derive};
use crate::seal::{DeviceKey, verify_hash};

/// Most keys of one ring: the processes of a cluster share one, so several are only for a change of keys.
pub const KEYS_MAX: usize = 16;

/// Most records of a chain: a home moves a few times in the life of a space.
pub const RING_MAX: usize = 1024;

/// A change of the home's keys, signed by the keys before it or by the recovery key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingRecord {
    /// The space.
    pub space: SpaceId,
    /// 1 for the first change, then always one more. Ring 0 is the genesis.
    pub n: u64,
    /// [`RingRecord::hash`] of the record before; the space's id for the first.
    pub prev: [u8; 32],
    /// The keys that sign from now on, at least one.
    pub keys: Vec<[u8; 32]>,
    /// The first version they sign.
    pub from_version: u64,
    /// By a key of the ring before, or by the recovery key.
    pub signature: [u8; 64],
}

impl RingRecord {
    /// Signs it, in place of the signature it holds.
    #[must_use]
    pub fn sign(mut self, key: &DeviceKey) -> RingRecord {
        self.signature = key.sign_hash(&self.hash());
        self
    }

    /// Its name: the hash of all but the signature, which is what is signed.
    pub fn hash(&self) -> [u8; 32] {
        let mut out = Encoder::with_capacity(160);
        self.encode_signed(&mut out);
        derive("ring", out.as_slice())
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(224);
        self.encode_into(&mut out);
        out.finish()
    }

    /// Reads a record. What decodes is not verified yet: see [`Ring::new`].
    pub fn decode(bytes: &[u8]) -> Result<RingRecord, Error> {
        let mut from = Decoder::new(bytes);
        let record = RingRecord::decode_from(&mut from)?;
        from.finish()?;
        Ok(record)
    }

    pub(crate) fn encode_into(&self, out: &mut Encoder) {
        out.array(2);
        self.encode_signed(out);
        out.bytes(&self.signature);
    }

    pub(crate) fn decode_from(from: &mut Decoder) -> Result<RingRecord, Error> {
        from.array_of(2)?;
        from.array_of(5)?;
        let space = SpaceId(from.fixed()?);
        let n = from.uint()?;
        let prev = from.fixed()?;
        let keys_at = from.position();
        let count = from.array_up_to(KEYS_MAX, "list of keys")?;
        if count == 0 {
            return Err(Error::encoding(keys_at, Problem::Length));
        }
        let keys = (0..count).map(|_| from.fixed()).collect::<Result<_, Error>>()?;
        let from_version = from.uint()?;
        Ok(RingRecord { space, n, prev, keys, from_version, signature: from.fixed()? })
    }

    fn encode_signed(&self, out: &mut Encoder) {
        out.array(5).bytes(&self.space.0).uint(self.n).bytes(&self.prev).array(self.keys.len());
        for key in &self.keys {
            out.bytes(key);
        }
        out.uint(self.from_version);
    }
}

/// The verified chain of home keys of one space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    space: SpaceId,
    recovery_key: [u8; 32],
    home_keys: [[u8; 32]; 1],
    records: Vec<RingRecord>,
}

impl Ring {
    /// Verifies a chain from the genesis on.
    pub fn new(genesis: &Genesis, records: Vec<RingRecord>) -> Result<Ring, Error> {
        let Genesis { home_key, recovery_key, .. } = *genesis;
        let mut ring =
            Ring { space: genesis.space(), recovery_key, home_keys: [home_key], records: Vec::new() };
        records.into_iter().try_for_each(|record| ring.push(record))?;
        Ok(ring)
    }

    /// Adds the next record, if it belongs there.
    pub fn push(&mut self, record: RingRecord) -> Result<(), Error> {
        let (prev, from_version) = match self.records.last() {
            Some(last) => (last.hash(), last.from_version),
            None => (self.space.0, 0),
        };
        let follows = record.space == self.space
            && record.n == self.n() + 1
            && record.prev == prev
            && record.from_version > from_version
            && !record.keys.is_empty()
            && self.records.len() < RING_MAX;
        if !follows {
            return Err(Error::Ring { what: "ring record", n: record.n });
        }
        let hash = record.hash();
        let signers = self.keys_of(self.n()).iter().chain([&self.recovery_key]);
        if !signers.into_iter().any(|key| verify_hash(key, &hash, &record.signature)) {
            return Err(Error::BadSignature { what: "ring record" });
        }
        self.records.push(record);
        Ok(())
    }

    /// The number of the newest ring.
    pub fn n(&self) -> u64 {
        self.records.len() as u64
    }

    /// The records after the genesis.
    pub fn records(&self) -> &[RingRecord] {
        &self.records
    }

    /// The number of the ring that signs this version.
    pub fn n_for(&self, version: u64) -> u64 {
        self.records.partition_point(|record| record.from_version <= version) as u64
    }

    /// The keys that may sign this version.
    pub fn keys_for(&self, version: u64) -> &[[u8; 32]] {
        self.keys_of(self.n_for(version))
    }

    /// The first of the keys that may sign this version.
    pub fn key_for(&self, version: u64) -> [u8; 32] {
        self.keys_for(version)[0]
    }

    /// Whether a Handle of this space was signed by a key in force at its version.
    pub fn verify(&self, handle: &Handle) -> Result<(), Error> {
        let n = self.n_for(handle.version);
        if handle.space != self.space || handle.version == 0 || handle.ring_n != n {
            return Err(Error::Ring { what: "Handle", n: handle.ring_n });
        }
        let hash = handle.hash();
        if self.keys_of(n).iter().any(|key| verify_hash(key, &hash, &handle.signature)) {
            Ok(())
        } else {
            Err(Error::BadSignature { what: "Handle" })
        }
    }

    fn keys_of(&self, n: u64) -> &[[u8; 32]] {
        match n.checked_sub(1) {
            Some(index) => &self.records[usize::try_from(index).expect("a ring has few records")].keys,
            None => &self.home_keys,
        }
    }
}
