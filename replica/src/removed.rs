//! Devices that were members once: the other rows of `sys/cut`, beside those of writers.

use std::ops::Bound;

use btree::{Direction, Hash, Kind};
use crdt::key::Element;
use crdt::{Decoder, DeviceId, Encoder, Hlc, Problem, Time, Tip, WriterId, system};
use disk::Disk;

use crate::cuts::Cut;
use crate::error::Error;
use crate::snapshot::Snapshot;

/// Why a writer was cut, or a device removed; for people, never for a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its device was revoked.
    Revoked = 1,
    /// Its device left.
    Left = 2,
    /// A fold took it as never coming.
    Absent = 3,
    /// Two commits have one of its dots.
    Fork = 4,
    /// Its author took the rest back.
    TakenBack = 5,
}

impl Reason {
    const ALL: [Reason; 5] = [Reason::Revoked, Reason::Left, Reason::Absent, Reason::Fork, Reason::TakenBack];

    fn decode(input: &mut Decoder<'_>) -> Result<Reason, crdt::Error> {
        let at = input.position();
        let code = input.uint()?;
        let found = Reason::ALL.into_iter().find(|reason| *reason as u64 == code);
        found.ok_or(crdt::Error::Encoding { at, problem: Problem::Range })
    }
}

/// The row of a device that was a member once: its next grant is not its first.
///
/// It stays when the device comes back, since the writers of its earlier time stay cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The version that took it out.
    pub version: u64,
    /// When, by the home's clock: tickets made before do not let it in again.
    pub at: Time,
    /// Why.
    pub reason: Reason,
}

impl Removed {
    /// The key of a device's row: 16 bytes, where a writer's has 24.
    pub fn key(device: &DeviceId) -> Vec<u8> {
        let element = Element::Bytes(device.as_bytes().to_vec());
        crdt::key::encode(&[element]).expect("16 bytes are within every limit of a key")
    }

    /// Its bytes: the payload in `sys/cut`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(3).uint(self.version).uint(self.at.0).uint(self.reason as u64);
        out.finish()
    }

    /// Reads a row.
    pub fn decode(bytes: &[u8]) -> Result<Self, crdt::Error> {
        let mut input = Decoder::new(bytes);
        input.array_of(3)?;
        let removed =
            Self { version: input.uint()?, at: Time(input.uint()?), reason: Reason::decode(&mut input)? };
        input.finish()?;
        Ok(removed)
    }
}

impl<D: Disk> Snapshot<D> {
    /// The row of a writer in `sys/cut`, whether or not a Handle covers it yet.
    pub fn cut(&self, writer: &WriterId) -> Result<Option<Cut>, Error> {
        let row = self.get(system::cut(), &Cut::key(writer))?;
        Ok(row.map(|row| Cut::decode(&row)).transpose()?)
    }

    /// What is known of a device that was taken out, whether or not a Handle covers it yet.
    pub fn removed(&self, device: &DeviceId) -> Result<Option<Removed>, Error> {
        let row = self.get(system::cut(), &Removed::key(device))?;
        Ok(row.map(|row| Removed::decode(&row)).transpose()?)
    }

    /// Every writer of a device that was ever seen, and where it stands.
    pub fn writers_of(&self, device: &DeviceId) -> Result<Vec<(WriterId, Tip)>, Error> {
        let (first, last) = (of_device(device, 0), of_device(device, u8::MAX));
        let (lo, hi) = (crdt::vector::Row::key(&first), crdt::vector::Row::key(&last));
        let (lo, hi) = (Bound::Included(lo.as_slice()), Bound::Included(hi.as_slice()));
        let root: Hash = self.0.local.vector;
        let mut writers = std::collections::BTreeMap::new();
        for row in btree::range(&self.0.nodes, Kind::Vector, &root, lo, hi, Direction::Forward)? {
            let (key, value) = row?;
            let (writer, tip) = crdt::vector::Row::decode(&key, Hlc(value.hlc), &value.payload)?;
            writers.insert(writer, tip);
        }
        let later = self.0.overlay.vector.range(first..=last).map(|(writer, tip)| (*writer, *tip));
        writers.extend(later);
        Ok(writers.into_iter().collect())
    }
}

/// The first or last writer that a device can have.
fn of_device(device: &DeviceId, fill: u8) -> WriterId {
    let mut writer = [fill; WriterId::LEN];
    writer[..DeviceId::LEN].copy_from_slice(device.as_bytes());
    WriterId(writer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_went() {
        let removed = Removed { version: 4, at: Time(5), reason: Reason::Left };
        assert_eq!(Removed::decode(&removed.encode()), Ok(removed));
        let mut unknown = removed.encode();
        *unknown.last_mut().expect("a reason") = 0;
        assert!(Removed::decode(&unknown).is_err(), "a reason that nobody gave");
    }
}
