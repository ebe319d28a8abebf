//! The chain of home keys: who may sign Handles, from which version on.

use super::Genesis;
use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};
use crate::handle::Handle;
use crate::id::{SpaceId, derive};
use crate::seal::{DeviceKey, verify_hash};

/// Most keys of one ring: the processes of a cluster share one, so several are only for a change of keys.
pub const KEYS_MAX: usize = 16;

/// Most records of a chain: a home moves a few times in the life of a space, and all of them, some 700 bytes each at
/// most, stand in every manifest.
pub const RING_MAX: usize = 64;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hlc;
    use crate::id::DeviceId;

    fn key(seed: u8) -> DeviceKey {
        DeviceKey::from_seed([seed; 32])
    }

    const HOME: u8 = 1;
    const RECOVERY: u8 = 2;

    fn genesis() -> Genesis {
        let (home_key, recovery_key) = (key(HOME).public(), key(RECOVERY).public());
        Genesis {
            salt: [3; 32],
            nonce: [4; 32],
            home_key,
            recovery_key,
            owner: DeviceId([5; 16]),
            params: vec![],
        }
    }

    fn record(ring: &Ring, to: u8, from_version: u64) -> RingRecord {
        let space = genesis().space();
        let prev = ring.records().last().map_or(space.0, RingRecord::hash);
        let keys = vec![key(to).public()];
        RingRecord { space, n: ring.n() + 1, prev, keys, from_version, signature: [0; 64] }
    }

    fn ring(records: &[(u8, u8, u64)]) -> Ring {
        let mut ring = Ring::new(&genesis(), vec![]).expect("no records, no fault");
        for (by, to, from_version) in records {
            ring.push(record(&ring, *to, *from_version).sign(&key(*by))).expect("it follows");
        }
        ring
    }

    fn handle(version: u64, ring_n: u64, by: u8) -> Handle {
        let (prev, data_root, vv_root, batch, signature) = ([0; 32], [0; 32], [0; 32], None, [0; 64]);
        let (space, fold_version, gc_epoch, hlc) = (genesis().space(), 1, 0, Hlc(0));
        let handle = Handle {
            space,
            version,
            prev,
            data_root,
            vv_root,
            fold_version,
            gc_epoch,
            ring_n,
            hlc,
            batch,
            signature,
        };
        handle.sign(&key(by))
    }

    #[test]
    fn genesis_and_records_come_back_as_they_went() {
        assert_eq!(Genesis::decode(&genesis().encode()), Ok(genesis()));
        let chain = ring(&[(HOME, 7, 10), (7, 8, 20)]);
        let through = |record: &RingRecord| RingRecord::decode(&record.encode()).expect("it decodes");
        assert_eq!(Ring::new(&genesis(), chain.records().iter().map(through).collect()), Ok(chain));
    }

    #[test]
    fn handle_is_signed_by_the_ring_in_force_at_its_version() {
        let ring = ring(&[(HOME, 7, 10), (RECOVERY, 8, 20)]);
        assert_eq!(ring.key_for(9), key(HOME).public());
        for (version, n, by) in [(1, 0, HOME), (9, 0, HOME), (10, 1, 7), (19, 1, 7), (20, 2, 8), (99, 2, 8)] {
            assert_eq!(ring.verify(&handle(version, n, by)), Ok(()));
        }
        for (version, n, by) in [(10, 0, HOME), (9, 1, 7), (20, 1, 7), (0, 0, HOME), (20, 3, 8)] {
            assert_eq!(ring.verify(&handle(version, n, by)), Err(Error::Ring { what: "Handle", n }));
        }
        assert_eq!(ring.verify(&handle(10, 1, HOME)), Err(Error::BadSignature { what: "Handle" }));
        let mut elsewhere = handle(1, 0, HOME);
        elsewhere.space.0[0] ^= 1;
        assert!(ring.verify(&elsewhere.sign(&key(HOME))).is_err());
    }

    #[test]
    fn record_that_does_not_follow_is_refused() {
        let changes: [fn(&mut RingRecord); 5] = [
            |record| record.space.0[0] ^= 1,
            |record| record.n += 1,
            |record| record.prev[0] ^= 1,
            |record| record.from_version = 10,
            |record| record.keys.clear(),
        ];
        for change in changes {
            let mut ring = ring(&[(HOME, 7, 10)]);
            let mut next = record(&ring, 8, 20);
            change(&mut next);
            let n = next.n;
            assert_eq!(ring.push(next.sign(&key(7))), Err(Error::Ring { what: "ring record", n }));
        }
    }

    #[test]
    fn record_is_signed_by_the_ring_before_or_the_recovery_key() {
        let bad = Err(Error::BadSignature { what: "ring record" });
        let mut ring = ring(&[(HOME, 7, 10)]);
        let next = record(&ring, 8, 20);
        assert_eq!(ring.push(next.clone().sign(&key(HOME))), bad, "the ring before has no say any more");
        assert_eq!(ring.push(next.clone().sign(&key(8))), bad, "no ring names itself");
        assert_eq!(ring.push(next.sign(&key(RECOVERY))), Ok(()));
    }

    #[test]
    fn space_without_a_recovery_key_is_not_recovered() {
        let genesis = Genesis { recovery_key: [0; 32], ..genesis() };
        let mut ring = Ring::new(&genesis, vec![]).expect("no records, no fault");
        let space = genesis.space();
        let unsigned = RingRecord {
            space,
            n: 1,
            prev: space.0,
            keys: vec![[9; 32]],
            from_version: 5,
            signature: [0; 64],
        };
        assert_eq!(ring.push(unsigned), Err(Error::BadSignature { what: "ring record" }));
    }

    #[test]
    fn record_without_keys_does_not_decode() {
        let mut record = record(&ring(&[]), 7, 10);
        record.keys.clear();
        assert!(RingRecord::decode(&record.encode()).is_err());
    }
}
