//! Signatures: a device's key, and the seal by which it vouches for a writer's history.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::codec::{Decoder, Encoder};
use crate::error::Error;
use crate::id::{CommitId, DeviceId, SpaceId, WriterId, derive};

const FORMAT: u64 = 1;

/// The secret half of a device's or a home's ed25519 key. It is wiped when dropped and never shown.
#[derive(Clone)]
pub struct DeviceKey {
    key: SigningKey,
}

impl DeviceKey {
    /// The key that these 32 secret bytes make.
    pub fn from_seed(seed: [u8; 32]) -> DeviceKey {
        DeviceKey { key: SigningKey::from_bytes(&seed) }
    }

    /// The device it belongs to.
    pub fn id(&self) -> DeviceId {
        DeviceId::of(&self.public())
    }

    /// The half that everybody may know.
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs bytes of one kind; a signature for one context is none for another.
    pub fn sign(&self, context: &str, bytes: &[u8]) -> [u8; 64] {
        self.sign_hash(&derive(context, bytes))
    }

    pub(crate) fn sign_hash(&self, hash: &[u8; 32]) -> [u8; 64] {
        self.key.sign(hash).to_bytes()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({:?})", self.id())
    }
}

/// Whether the holder of `public` signed these bytes in this context.
///
/// One rule everywhere: `verify_strict`, one at a time. Where two replicas judged an odd signature differently
/// they would fold different commits.
pub fn verify(public: &[u8; 32], context: &str, bytes: &[u8], signature: &[u8; 64]) -> bool {
    verify_hash(public, &derive(context, bytes), signature)
}

pub(crate) fn verify_hash(public: &[u8; 32], hash: &[u8; 32], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    VerifyingKey::from_bytes(public).is_ok_and(|key| key.verify_strict(hash, &signature).is_ok())
}

/// A device's word that this commit, and so every earlier one of the writer, is its own.
///
/// Made when commits leave the device, not for each commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The space the writer writes to.
    pub space: SpaceId,
    /// The writer.
    pub writer: WriterId,
    /// The number of the last commit vouched for.
    pub seq: u64,
    /// Its id.
    pub tip: CommitId,
    /// By the device in the writer id, or by the home.
    pub signature: [u8; 64],
}

impl Seal {
    /// Seals a writer's history up to a commit.
    pub fn sign(key: &DeviceKey, space: SpaceId, writer: WriterId, seq: u64, tip: CommitId) -> Seal {
        let mut seal = Seal { space, writer, seq, tip, signature: [0; 64] };
        seal.signature = key.sign("seal", &seal.signed_bytes());
        seal
    }

    /// Whether the holder of `public` made it, and, for a device's writer, whether that is the device.
    pub fn verify(&self, public: &[u8; 32]) -> Result<(), Error> {
        let is_its_own = self.writer.is_home() || DeviceId::of(public) == self.writer.device();
        if is_its_own && verify(public, "seal", &self.signed_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(Error::BadSignature { what: "seal" })
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(192);
        out.array(2);
        self.encode_signed(&mut out);
        out.bytes(&self.signature);
        out.finish()
    }

    /// Reads a seal. What decodes is not verified yet.
    pub fn decode(bytes: &[u8]) -> Result<Seal, Error> {
        let mut from = Decoder::new(bytes);
        from.array_of(2)?;
        from.array_of(5)?;
        let format = from.uint()?;
        if format != FORMAT {
            return Err(Error::UnknownVersion { what: "seal", found: format });
        }
        let seal = Seal {
            space: SpaceId(from.fixed()?),
            writer: WriterId(from.fixed()?),
            seq: from.uint()?,
            tip: CommitId(from.fixed()?),
            signature: from.fixed()?,
        };
        from.finish()?;
        Ok(seal)
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(112);
        self.encode_signed(&mut out);
        out.finish()
    }

    fn encode_signed(&self, out: &mut Encoder) {
        out.array(5)
            .uint(FORMAT)
            .bytes(&self.space.0)
            .bytes(&self.writer.0)
            .uint(self.seq)
            .bytes(&self.tip.0);
    }
}
