//! How the role moves: the old home stops for good in one manifest write, and only then does the new one hear of it.

use crdt::{Decoder, DeviceId, Encoder, RING_MAX, RingRecord, Time, system};
use disk::Disk;
use replica::{Grant, HomeWrite, READ, Replica, Snapshot, WRITE};

use crate::admit::grant;
use crate::error::Error;
use crate::home::{Duty, Home, duty};
use crate::registry::Registry;

/// Most addresses that a home announces, and the longest of them: they are one small row.
const ADDRESSES_MAX: usize = 8;
const ADDRESS_LEN_MAX: usize = 100;

impl Home {
    /// Hands the role to a member that holds the base, as its owner has made sure. From when this returns, this replica
    /// signs nothing any more, also after a crash; the record leaves with the next frame to any peer.
    ///
    /// Everything here must be covered: what the old home has only begun, the new one could not finish.
    pub fn hand_over<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        to: &DeviceId,
    ) -> Result<(), Error> {
        let grant = self.check_successor(replica, to)?;
        replica.flush()?;
        let uncovered = self.outstanding(replica).commits;
        if uncovered > 0 || self.in_doubt.is_some() {
            return Err(Error::Uncovered { commits: uncovered });
        }
        if replica.ring().records().len() == RING_MAX {
            return Err(Error::RingFull);
        }
        let first = replica.ring().records().last().map_or(0, |record| record.from_version);
        if first > replica.base().version {
            return Err(Error::NotTakenUp { version: first });
        }
        let record = RingRecord {
            space: replica.space(),
            n: replica.ring().n() + 1,
            prev: replica.ring().records().last().map_or(replica.space().0, RingRecord::hash),
            keys: vec![grant.public],
            from_version: replica.base().version + 1,
            signature: [0; 64],
        };
        // Before anybody can hear of it: two homes would sign one version.
        replica.change_ring(now, record.sign(&self.key))?;
        self.duty = Duty::NotHome;
        Ok(())
    }

    /// Whether this device could be the home; its grant.
    pub fn check_successor<D: Disk>(&self, replica: &Replica<D>, to: &DeviceId) -> Result<Grant, Error> {
        self.check_duty()?;
        if self.key.id() == *to {
            return Err(Error::OwnHome);
        }
        let grant = grant(replica, to)?.ok_or(Error::NotMember { device: *to })?;
        if grant.allows(READ | WRITE) { Ok(grant) } else { Err(Error::NotWriter { device: *to }) }
    }

    /// Takes up or lays down the role where the ring has changed, or the base has come to where a change counts. To be asked
    /// when either has; it costs nothing otherwise.
    pub fn review<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        registry: &mut impl Registry,
    ) -> Result<(), Error> {
        let found = duty(replica, &self.key, self.fingerprint)?;
        // A copy that was told to act does so until it is closed.
        if self.duty == Duty::On && matches!(found, Duty::On | Duty::Copied) {
            return Ok(());
        }
        if found == self.duty {
            return Ok(replica.rest_home(now)?);
        }
        self.duty = found;
        self.in_doubt = None;
        self.is_level = false;
        match found {
            Duty::On => self.begin_duty(replica, now, registry),
            Duty::NotHome | Duty::Copied => Ok(replica.rest_home(now)?),
        }
    }

    /// Says where this home is, in the next Handle, if that is not known yet.
    ///
    /// Devices that joined by another home's ticket would not find this one once that is gone.
    pub fn announce<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        addresses: &[String],
    ) -> Result<(), Error> {
        self.check_duty()?;
        let fits = |address: &&String| address.len() <= ADDRESS_LEN_MAX;
        let addresses: Vec<&String> = addresses.iter().filter(fits).take(ADDRESSES_MAX).collect();
        let row = encode(&addresses);
        if addresses.is_empty() || replica.snapshot().get(system::meta(), &key())?.as_ref() == Some(&row) {
            return Ok(());
        }
        self.write(replica, now, vec![HomeWrite { coll: system::meta(), key: key(), value: Some(row) }])?;
        self.wait(now);
        Ok(())
    }
}

/// Where the home has said that it is; empty for one that never moved.
pub fn addresses<D: Disk>(snapshot: &Snapshot<D>) -> Result<Vec<String>, Error> {
    let Some(row) = snapshot.get(system::meta(), &key())? else { return Ok(Vec::new()) };
    decode(&row).map_err(|source| Error::BadRow { coll: "meta", source })
}

fn key() -> Vec<u8> {
    crdt::key::plain(b"home")
}

pub(crate) fn encode(addresses: &[&String]) -> Vec<u8> {
    let mut out = Encoder::new();
    out.array(addresses.len());
    for address in addresses {
        out.bytes(address.as_bytes());
    }
    out.finish()
}

pub(crate) fn decode(row: &[u8]) -> Result<Vec<String>, crdt::Error> {
    let mut from = Decoder::new(row);
    let count = from.array_up_to(ADDRESSES_MAX, "addresses of a home")?;
    let addresses = (0..count).map(|_| Ok(from.text()?.to_owned())).collect::<Result<_, crdt::Error>>()?;
    from.finish()?;
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        let addresses = ["192.0.2.1:7601".to_owned(), "depot.example:7601".to_owned()];
        assert_eq!(decode(&encode(&addresses.iter().collect::<Vec<_>>())), Ok(addresses.to_vec()));
    }
}
