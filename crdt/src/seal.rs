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
        from.format("seal", FORMAT, 5..=5)?;
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

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::id::Class;

    fn key() -> DeviceKey {
        DeviceKey::from_seed([5; 32])
    }

    fn seal() -> Seal {
        let writer = WriterId::new(key().id(), [1; 7], Class::Normal);
        Seal::sign(&key(), SpaceId([1; 32]), writer, 9, CommitId([2; 32]))
    }

    #[test]
    fn seal_verifies_under_the_key_of_its_device() {
        let decoded = Seal::decode(&seal().encode()).expect("it decodes");
        assert_eq!(decoded, seal());
        assert_eq!(decoded.verify(&key().public()), Ok(()));
    }

    #[test]
    fn seal_of_anything_else_does_not_verify() {
        let bad = Err(Error::BadSignature { what: "seal" });
        let changes: [fn(&mut Seal); 5] = [
            |seal| seal.space.0[0] ^= 1,
            |seal| seal.writer.0[20] ^= 1,
            |seal| seal.seq += 1,
            |seal| seal.tip.0[31] ^= 1,
            |seal| seal.signature[0] ^= 1,
        ];
        for change in changes {
            let mut seal = seal();
            change(&mut seal);
            assert_eq!(seal.verify(&key().public()), bad);
        }
        let other = DeviceKey::from_seed([6; 32]);
        assert_eq!(seal().verify(&other.public()), bad);
    }

    #[test]
    fn device_does_not_seal_for_another() {
        let other = DeviceKey::from_seed([6; 32]);
        let Seal { space, writer, seq, tip, .. } = seal();
        let forged = Seal::sign(&other, space, writer, seq, tip);
        assert!(forged.verify(&other.public()).is_err());
        let home = Seal::sign(&other, space, WriterId::home([1; 8]), seq, tip);
        assert_eq!(home.verify(&other.public()), Ok(()));
    }

    #[test]
    fn signature_is_good_in_one_context_only() {
        let signature = key().sign("seal", b"bytes");
        assert!(verify(&key().public(), "seal", b"bytes", &signature));
        assert!(!verify(&key().public(), "handle", b"bytes", &signature));
        assert!(!verify(&key().public(), "seal", b"byte", &signature));
    }

    #[test]
    fn signature_with_the_group_order_added_is_refused() {
        const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        let order = HEXLOWER.decode(ORDER.as_bytes()).expect("hex");
        let mut signature = key().sign("seal", b"bytes");
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = (sum & 0xff) as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0, "it still fits");
        assert!(
            !verify(&key().public(), "seal", b"bytes", &signature),
            "a second signature for the same bytes"
        );
    }

    /// The points of small order in every encoding, 14 for the key by 14 for R, with s = 0. Verifiers are known
    /// to disagree on these 196; the strict one refuses them all.
    #[test]
    fn signatures_of_small_order_are_refused() {
        let halves = [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        let point = |hex: &str, sign: u8| -> [u8; 32] {
            let mut point: [u8; 32] =
                HEXLOWER.decode(hex.as_bytes()).expect("hex").try_into().expect("32 bytes");
            point[31] |= sign;
            point
        };
        let points: Vec<[u8; 32]> = halves.iter().flat_map(|hex| [point(hex, 0), point(hex, 0x80)]).collect();
        assert_eq!(points.len(), 14);
        for public in &points {
            for r in &points {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(r);
                assert!(!verify(public, "seal", b"bytes", &signature));
            }
        }
    }

    #[test]
    fn secret_key_is_not_shown() {
        assert_eq!(format!("{:?}", key()), format!("DeviceKey({:?})", key().id()));
    }
}
