//! The anchor of a space: a signed version and the roots of everything it covers.

use crate::clock::Hlc;
use crate::codec::{Decoder, Encoder};
use crate::error::Error;
use crate::id::{SpaceId, derive};
use crate::seal::{DeviceKey, verify_hash};

const FORMAT: u64 = 1;

/// What the home signs when it has folded commits: the state of the space at one version.
///
/// Roots are believed only here: a tree by itself cannot prove that something is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The space.
    pub space: SpaceId,
    /// 1 for the first, then always one more.
    pub version: u64,
    /// [`Handle::hash`] of the version before; zero for the first.
    pub prev: [u8; 32],
    /// Root of the live dots.
    pub data_root: [u8; 32],
    /// Root of the vector of everything folded.
    pub vv_root: [u8; 32],
    /// The rules of folding it was made by; a replica that does not know them does not fold.
    pub fold_version: u64,
    /// Moves when a collection of objects begins.
    pub gc_epoch: u64,
    /// The ring whose key signed it.
    pub ring_n: u64,
    /// When it was made.
    pub hlc: Hlc,
    /// The object with the commits folded since `prev`, for homes that keep objects.
    pub batch: Option<[u8; 32]>,
    /// By a key of the ring.
    pub signature: [u8; 64],
}

impl Handle {
    /// Signs it with the home's key, in place of the signature it holds.
    #[must_use]
    pub fn sign(mut self, key: &DeviceKey) -> Handle {
        self.signature = key.sign_hash(&self.hash());
        self
    }

    /// Whether the holder of `public` signed it. Whether that key is in force says [`crate::Ring::verify`].
    pub fn verify(&self, public: &[u8; 32]) -> Result<(), Error> {
        if verify_hash(public, &self.hash(), &self.signature) {
            Ok(())
        } else {
            Err(Error::BadSignature { what: "Handle" })
        }
    }

    /// Its name: the hash of all but the signature, which is what is signed.
    pub fn hash(&self) -> [u8; 32] {
        let mut out = Encoder::with_capacity(224);
        self.encode_signed(&mut out);
        derive("handle", out.as_slice())
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(288);
        out.array(2);
        self.encode_signed(&mut out);
        out.bytes(&self.signature);
        out.finish()
    }

    /// Reads a Handle. What decodes is not verified yet.
    pub fn decode(bytes: &[u8]) -> Result<Handle, Error> {
        let mut from = Decoder::new(bytes);
        from.array_of(2)?;
        let count = from.format("Handle", FORMAT, 10..=11)?;
        let handle = Handle {
            space: SpaceId(from.fixed()?),
            version: from.uint()?,
            prev: from.fixed()?,
            data_root: from.fixed()?,
            vv_root: from.fixed()?,
            fold_version: from.uint()?,
            gc_epoch: from.uint()?,
            ring_n: from.uint()?,
            hlc: Hlc(from.uint()?),
            batch: if count == 11 { Some(from.fixed()?) } else { None },
            signature: from.fixed()?,
        };
        from.finish()?;
        Ok(handle)
    }

    fn encode_signed(&self, out: &mut Encoder) {
        out.array(if self.batch.is_some() { 11 } else { 10 }).uint(FORMAT);
        out.bytes(&self.space.0).uint(self.version).bytes(&self.prev);
        out.bytes(&self.data_root).bytes(&self.vv_root);
        out.uint(self.fold_version).uint(self.gc_epoch).uint(self.ring_n).uint(self.hlc.0);
        if let Some(batch) = &self.batch {
            out.bytes(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(batch: Option<[u8; 32]>) -> Handle {
        let (space, prev, data_root, vv_root) = (SpaceId([1; 32]), [2; 32], [3; 32], [4; 32]);
        let (version, fold_version, gc_epoch, ring_n, hlc) = (9, 1, 0, 0, Hlc(77));
        let signature = [0; 64];
        Handle {
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
        }
    }

    #[test]
    fn handle_verifies_under_the_key_that_signed_it() {
        let key = DeviceKey::from_seed([5; 32]);
        for batch in [None, Some([6; 32])] {
            let handle = handle(batch).sign(&key);
            let decoded = Handle::decode(&handle.encode()).expect("it decodes");
            assert_eq!(decoded, handle);
            assert_eq!(decoded.verify(&key.public()), Ok(()));
            assert!(decoded.verify(&DeviceKey::from_seed([6; 32]).public()).is_err());
        }
    }

    #[test]
    fn handle_that_was_changed_does_not_verify() {
        let key = DeviceKey::from_seed([5; 32]);
        let changes: [fn(&mut Handle); 9] = [
            |handle| handle.space.0[0] ^= 1,
            |handle| handle.version += 1,
            |handle| handle.prev[0] ^= 1,
            |handle| handle.data_root[0] ^= 1,
            |handle| handle.vv_root[0] ^= 1,
            |handle| handle.fold_version += 1,
            |handle| handle.ring_n += 1,
            |handle| handle.batch = Some([0; 32]),
            |handle| handle.signature[63] ^= 1,
        ];
        for change in changes {
            let mut handle = handle(None).sign(&key);
            change(&mut handle);
            assert!(handle.verify(&key.public()).is_err());
        }
    }

    #[test]
    fn every_changed_byte_is_refused_or_is_another_handle() {
        let bytes = handle(Some([6; 32])).encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            if let Ok(handle) = Handle::decode(&damaged) {
                assert_eq!(handle.encode(), damaged);
            }
            assert!(Handle::decode(&bytes[..at]).is_err());
        }
    }
}
