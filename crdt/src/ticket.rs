//! An invitation to a space, as text that a person can send.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::clock::Time;
use crate::codec::{Decoder, Encoder};
use crate::error::{Error, Problem};
use crate::genesis::{Genesis, RING_MAX, RingRecord};
use crate::id::{SpaceId, derive};

const FORMAT: u64 = 1;

/// Most addresses of a home in a ticket.
pub const ADDRESSES_MAX: usize = 16;

/// Longest address: a host name of full length and a port.
pub const ADDRESS_LEN_MAX: usize = 262;

/// What a device that joins may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads.
    Reader = 0,
    /// Reads and writes.
    Writer = 1,
    /// Writes and never reads: a sensor.
    Tail = 2,
}

impl Role {
    const ALL: [(Role, &str); 3] = [(Role::Reader, "reader"), (Role::Writer, "writer"), (Role::Tail, "tail")];

    /// The role a code stands for, if any.
    pub fn from_code(code: u64) -> Option<Role> {
        Role::ALL.iter().map(|(role, _)| *role).find(|role| *role as u64 == code)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, name) = Role::ALL[*self as usize];
        f.pad(name)
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Role, Error> {
        let found = Role::ALL.iter().find(|(_, name)| *name == text);
        found.map(|(role, _)| *role).ok_or(Error::Text { what: "role" })
    }
}

/// What a device needs to join a space. Whoever holds it may: it is a secret.
///
/// Its text is lower-case base32; reading takes either case and passes over white space.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The space.
    pub genesis: Genesis,
    /// The home keys since.
    pub ring: Vec<RingRecord>,
    /// Where the home can be reached.
    pub addresses: Vec<String>,
    /// What the device may do.
    pub role: Role,
    /// How many devices may join by it.
    pub uses: u64,
    /// Until when, by the home's clock.
    pub not_after: Time,
    /// Proves to the home that the device holds it.
    pub secret: [u8; 32],
}

impl Ticket {
    /// Its bytes, of which the text is made.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::with_capacity(512);
        out.array(8).uint(FORMAT).raw(&self.genesis.encode());
        out.array(self.ring.len());
        for record in &self.ring {
            record.encode_into(&mut out);
        }
        out.array(self.addresses.len());
        for address in &self.addresses {
            out.bytes(address.as_bytes());
        }
        out.uint(self.role as u64).uint(self.uses).uint(self.not_after.0).bytes(&self.secret);
        out.finish()
    }

    /// Reads the bytes of a ticket.
    pub fn decode(bytes: &[u8]) -> Result<Ticket, Error> {
        let mut from = Decoder::new(bytes);
        from.format("ticket", FORMAT, 8..=8)?;
        let ticket = Ticket {
            genesis: Genesis::decode_from(&mut from)?,
            ring: decode_ring(&mut from)?,
            addresses: decode_addresses(&mut from)?,
            role: decode_role(&mut from)?,
            uses: from.uint()?,
            not_after: Time(from.uint()?),
            secret: from.fixed()?,
        };
        from.finish()?;
        Ok(ticket)
    }
}

fn decode_ring(from: &mut Decoder) -> Result<Vec<RingRecord>, Error> {
    let count = from.array_up_to(RING_MAX, "ring")?;
    (0..count).map(|_| RingRecord::decode_from(from)).collect()
}

fn decode_addresses(from: &mut Decoder) -> Result<Vec<String>, Error> {
    let count = from.array_up_to(ADDRESSES_MAX, "list of addresses")?;
    (0..count).map(|_| decode_address(from)).collect()
}

fn decode_address(from: &mut Decoder) -> Result<String, Error> {
    let start = from.position();
    let bytes = from.bytes_up_to(ADDRESS_LEN_MAX, "address")?;
    let address = std::str::from_utf8(bytes).map_err(|_| Error::encoding(start, Problem::Utf8))?;
    Ok(address.to_owned())
}

fn decode_role(from: &mut Decoder) -> Result<Role, Error> {
    let start = from.position();
    Role::from_code(from.uint()?).ok_or(Error::encoding(start, Problem::Range))
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.encode()).to_ascii_lowercase())
    }
}

impl fmt::Debug for Ticket {
    /// Without the secret, which must not reach a trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?}, {}, {} uses)", self.genesis, self.role, self.uses)
    }
}

impl FromStr for Ticket {
    type Err = Error;

    fn from_str(text: &str) -> Result<Ticket, Error> {
        let compact: String = text.split_ascii_whitespace().collect();
        let bytes = BASE32_NOPAD.decode(compact.to_ascii_uppercase().as_bytes());
        Ticket::decode(&bytes.map_err(|_| Error::Text { what: "ticket" })?)
    }
}

/// What a device sends to show that it holds a ticket's secret, good for this device on this connection only.
///
/// `exporter` is bound to the TLS connection; offline it is the hash of the bundle.
pub fn proof(secret: &[u8; 32], space: &SpaceId, device_key: &[u8; 32], exporter: &[u8]) -> [u8; 32] {
    *proof_hash(secret, space, device_key, exporter).as_bytes()
}

/// Whether a device sent the right [`proof`], in a time that does not tell how much of it was right.
pub fn verify_proof(
    found: &[u8; 32],
    secret: &[u8; 32],
    space: &SpaceId,
    device_key: &[u8; 32],
    exporter: &[u8],
) -> bool {
    // Hashes compare in constant time, arrays do not.
    proof_hash(secret, space, device_key, exporter) == blake3::Hash::from_bytes(*found)
}

fn proof_hash(secret: &[u8; 32], space: &SpaceId, device_key: &[u8; 32], exporter: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&space.0).update(device_key).update(exporter);
    hasher.finalize()
}

/// Under which name the home keeps a ticket that is out: it need not keep the secret.
pub fn secret_hash(secret: &[u8; 32]) -> [u8; 32] {
    derive("invite", secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DeviceId;
    use crate::seal::DeviceKey;

    fn ticket() -> Ticket {
        let home = DeviceKey::from_seed([1; 32]);
        let (salt, nonce, recovery_key, params) = ([3; 32], [4; 32], [0; 32], vec![]);
        let genesis =
            Genesis { salt, nonce, home_key: home.public(), recovery_key, owner: DeviceId([5; 16]), params };
        let space = genesis.space();
        let keys = vec![[6; 32]];
        let record = RingRecord { space, n: 1, prev: space.0, keys, from_version: 2, signature: [0; 64] };
        let addresses = vec!["192.0.2.7:4410".to_owned(), "home.example:4410".to_owned()];
        let ring = vec![record.sign(&home)];
        let (role, uses, not_after, secret) = (Role::Writer, 3, Time(1_800_000_000_000), [9; 32]);
        Ticket { genesis, ring, addresses, role, uses, not_after, secret }
    }

    #[test]
    fn ticket_comes_back_from_its_text() {
        let text = ticket().to_string();
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(ticket()));
        let (start, end) = text.split_at(70);
        assert_eq!(format!(" {start}\r\n  {end}\n").parse(), Ok(ticket()), "mail programs break lines");
    }

    #[test]
    fn ticket_cut_short_is_refused() {
        let text = ticket().to_string();
        for len in 0..text.len() {
            assert!(text[..len].parse::<Ticket>().is_err());
        }
        assert!(format!("{text}aa").parse::<Ticket>().is_err());
    }

    #[test]
    fn text_that_is_no_ticket_is_refused() {
        for text in ["", "hello", "0189", "aaaaaaaa", "\u{e9}"] {
            assert!(text.parse::<Ticket>().is_err(), "{text}");
        }
    }

    #[test]
    fn damaged_ticket_is_refused_or_is_another_ticket() {
        let bytes = ticket().encode();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x11;
            if let Ok(other) = Ticket::decode(&damaged) {
                assert_eq!(other.encode(), damaged);
            }
        }
    }

    #[test]
    fn roles_of_no_meaning_are_refused() {
        assert_eq!(Role::from_code(3), None);
        for (role, name) in Role::ALL {
            assert_eq!((name.parse(), Role::from_code(role as u64)), (Ok(role), Some(role)));
        }
    }

    #[test]
    fn proof_is_good_for_one_space_device_and_connection() {
        let (secret, space, device, exporter) = ([1; 32], SpaceId([2; 32]), [3; 32], [4; 32]);
        let good = proof(&secret, &space, &device, &exporter);
        assert!(verify_proof(&good, &secret, &space, &device, &exporter));
        assert!(!verify_proof(&good, &secret, &space, &device, &[9; 32]));
        assert_ne!(good, proof(&[9; 32], &space, &device, &exporter));
        assert_ne!(good, proof(&secret, &SpaceId([9; 32]), &device, &exporter));
        assert_ne!(good, proof(&secret, &space, &[9; 32], &exporter));
        assert_ne!(good, proof(&secret, &space, &device, &[9; 32]));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", ticket());
        assert!(!shown.contains("09090909") && !shown.contains("03030303"), "{shown}");
    }
}
