//! What devices ask of their home: each proposal is decided once, and the answer is kept beside what it did.

use crdt::key::Element;
use crdt::{Decoder, DeviceId, Encoder, Op, Proposal, Time, Wish, system};
use disk::Disk;
use replica::{Grant, HomeWrite, KeyRange, Order, Reason, Replica};
use sync::Store;
use sync::frame::{Outcome, Refused};

use crate::admit::grant;
use crate::error::Error;
use crate::home::Home;

/// How long a result is kept for whoever asks again.
const KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// Results that are over and go with one proposal: it stays one small commit.
const SWEPT_MAX: usize = 256;

/// What a home makes of a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The answer; nothing waits for a Handle.
    Answered(Outcome),
    /// Done here, and an answer once the Handle of at least this version covers it: it is due soon.
    Decided(u64),
}

/// A change that a home makes on a device's word.
enum Wanted {
    /// A device is to be taken out.
    Remove(DeviceId),
}

impl Home {
    /// Decides on what a device asks. `from` is the device that its connection proved.
    pub fn decide<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        from: &DeviceId,
        proposal: &Proposal,
    ) -> Result<Decision, Error> {
        let refused = |refused| Ok(Decision::Answered(Outcome::Refused(refused)));
        if !self.is_on_duty() || proposal.space != replica.space() {
            return refused(Refused::NotHome);
        }
        let Some(grant) = grant(replica, from)?.filter(|grant| proposal.is_by(&grant.public)) else {
            return refused(Refused::NotAuthorised);
        };
        if let Some(result) = Recorded::find(replica, &proposal.id)? {
            return Ok(result.decision(replica));
        }
        let Some(wanted) = Wanted::of(proposal) else { return refused(Refused::Unsupported) };
        if !wanted.is_allowed(from, &grant) {
            return refused(Refused::NotAuthorised);
        }
        let is_held = |dot: &crdt::Dot| replica.seen(&dot.writer) >= dot.seq;
        if proposal.base > replica.base().version || !proposal.deps.iter().all(is_held) {
            return Ok(Decision::Answered(Outcome::Retry));
        }
        self.carry_out(replica, now, from, proposal, &wanted)
    }

    fn carry_out<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        from: &DeviceId,
        proposal: &Proposal,
        wanted: &Wanted,
    ) -> Result<Decision, Error> {
        let version = replica.base().version + 1;
        let recorded = Recorded { version, at: now };
        let mut writes = sweep(replica, now)?;
        writes.push(HomeWrite {
            coll: system::prop(),
            key: Recorded::key(&proposal.id),
            value: Some(recorded.encode()),
        });
        let Wanted::Remove(device) = wanted;
        let reason = if device == from { Reason::Left } else { Reason::Revoked };
        // Its result is in the very commit that does it: whatever happens, it is done once.
        match self.remove(replica, now, device, reason, writes) {
            Ok(_) => Ok(Decision::Decided(version)),
            Err(Error::NotMember { .. }) => Ok(Decision::Answered(Outcome::Refused(Refused::Missing))),
            Err(Error::OwnHome) => Ok(Decision::Answered(Outcome::Refused(Refused::Unsupported))),
            Err(error) => Err(error),
        }
    }
}

impl Wanted {
    /// What a proposal is about, if a home knows how to do that.
    fn of(proposal: &Proposal) -> Option<Wanted> {
        let [Wish { coll, key, op: Op::Delete }] = proposal.writes.as_slice() else { return None };
        if *coll != system::acl() || !proposal.reads.is_empty() {
            return None;
        }
        match crdt::key::decode(key).ok()?.as_slice() {
            [Element::Bytes(device)] => Some(Wanted::Remove(DeviceId(device.as_slice().try_into().ok()?))),
            _ => None,
        }
    }

    /// Whether this device may ask for it: of its own row it may dispose, of others' only with the right to.
    fn is_allowed(&self, from: &DeviceId, grant: &Grant) -> bool {
        let Wanted::Remove(device) = self;
        device == from || grant.allows(replica::ADMIN)
    }
}

/// A row of `sys/prop`: a proposal that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The version that was next when it was.
    version: u64,
    /// When, by the home's clock.
    at: Time,
}

impl Recorded {
    fn key(id: &[u8; 16]) -> Vec<u8> {
        crdt::key::encode(&[Element::Bytes(id.to_vec())]).expect("16 bytes are within every limit of a key")
    }

    fn find<D: Disk>(replica: &Replica<D>, id: &[u8; 16]) -> Result<Option<Recorded>, Error> {
        let row = replica.snapshot().get(system::prop(), &Recorded::key(id))?;
        row.map(|row| Recorded::decode(&row)).transpose()
    }

    fn decision<D: Disk>(&self, replica: &Replica<D>) -> Decision {
        match replica.base().version >= self.version {
            true => Decision::Answered(Outcome::Committed(self.version)),
            false => Decision::Decided(self.version),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(2);
        Outcome::Committed(self.version).encode(&mut out);
        out.uint(self.at.0);
        out.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Recorded, Error> {
        let fields = |from: &mut Decoder<'_>| {
            from.array_of(2)?;
            let at = from.position();
            let Outcome::Committed(version) = Outcome::decode(from)? else {
                return Err(crdt::Error::Encoding { at, problem: crdt::Problem::Range });
            };
            Ok(Recorded { version, at: Time(from.uint()?) })
        };
        let mut from = Decoder::new(bytes);
        let recorded = fields(&mut from).and_then(|recorded| from.finish().map(|()| recorded));
        recorded.map_err(|source| Error::BadRow { coll: "prop", source })
    }
}

/// Takes away results that nobody asks for any more.
fn sweep<D: Disk>(replica: &Replica<D>, now: Time) -> Result<Vec<HomeWrite>, Error> {
    let snapshot = replica.snapshot();
    let mut swept = Vec::new();
    for read in snapshot.scan(system::prop(), &KeyRange::all(), Order::Ascending)? {
        let read = read?;
        let recorded = Recorded::decode(&snapshot.value(&read.winner.payload)?)?;
        if now > recorded.at.plus_ms(KEPT_MS) && swept.len() < SWEPT_MAX {
            swept.push(HomeWrite { coll: system::prop(), key: read.key, value: None });
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_comes_back_as_it_went() {
        let recorded = Recorded { version: 7, at: Time(9) };
        assert_eq!(Recorded::decode(&recorded.encode()).unwrap(), recorded);
    }
}
