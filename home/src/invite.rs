//! Tickets that are out: the rows of `sys/invite`, and the secrets that only the home keeps.

use crdt::{Decoder, Element, Encoder, Role, Time, key, system};
use disk::Disk;
use replica::{KeyRange, Order, Replica};
use sync::frame::Join;

use crate::error::Error;

/// Most tickets that are out at once: the home tries each of them on a proof, and keeps the secret of each.
pub(crate) const TICKETS_MAX: usize = 1024;

/// After its time a ticket still answers a device that it admitted and that lost the answer.
const GRACE_MS: u64 = 7 * 24 * 60 * 60 * 1000;

/// What a new ticket promises.
#[derive(Clone)]
pub struct Invite {
    /// What a device that joins may do.
    pub role: Role,
    /// How many devices may join.
    pub uses: u64,
    /// Until when, by the home's clock.
    pub not_after: Time,
    /// Fresh chance; whoever knows it may join.
    pub secret: [u8; 32],
    /// Where the home can be reached.
    pub addresses: Vec<String>,
}

/// One row of `sys/invite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) role: Role,
    pub(crate) uses: u64,
    pub(crate) not_after: Time,
    /// When it was made: a device that was removed later needs a newer one.
    pub(crate) made: Time,
}

impl Row {
    /// The key of the row of a ticket.
    pub(crate) fn key(hash: &[u8; 32]) -> Vec<u8> {
        key::encode(&[Element::Bytes(hash.to_vec())]).expect("32 bytes are within every limit of a key")
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        out.array(4).uint(self.role as u64).uint(self.uses).uint(self.not_after.0).uint(self.made.0);
        out.finish()
    }

    /// Whether nobody can have any use for it.
    fn is_over(&self, now: Time) -> bool {
        now > self.not_after.plus_ms(GRACE_MS)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Row, crdt::Error> {
        let mut from = Decoder::new(bytes);
        // A row of three is from before tickets carried the time they were made: older than any removal.
        let at = from.position();
        let fields = from.array()?;
        if fields != 3 && fields != 4 {
            return Err(crdt::Error::Encoding { at, problem: crdt::Problem::Length });
        }
        let at = from.position();
        let role = Role::from_code(from.uint()?);
        let role = role.ok_or(crdt::Error::Encoding { at, problem: crdt::Problem::Range })?;
        let (uses, not_after) = (from.uint()?, Time(from.uint()?));
        let made = if fields == 3 { Time(0) } else { Time(from.uint()?) };
        let row = Row { role, uses, not_after, made };
        from.finish()?;
        Ok(row)
    }
}

/// A ticket that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    pub(crate) hash: [u8; 32],
    pub(crate) row: Row,
}

/// Under which local note the home keeps the secret of a ticket.
///
/// The row that all members hold names only the secret's hash, and a proof is keyed by the secret itself: with the
/// hash alone nobody could check one, and with the secret in the row every member could admit others.
pub(crate) fn note(hash: &[u8; 32]) -> Vec<u8> {
    [b"home/ticket/".as_slice(), hash].concat()
}

/// The ticket whose secret made this proof; none: no such ticket is known here.
pub(crate) fn find<D: Disk>(
    replica: &Replica<D>,
    join: &Join,
    exporter: &[u8],
) -> Result<Option<Issued>, Error> {
    let proves = |hash: &[u8; 32]| {
        let secret = replica.notes(&note(hash)).and_then(|secret| secret.try_into().ok());
        secret.is_some_and(|secret| sync::join::proves(join, &secret, exporter))
    };
    Ok(tickets(replica)?.into_iter().find(|ticket| proves(&ticket.hash)))
}

/// The tickets that are out, and those that nobody can have any use for.
pub(crate) fn sorted_out<D: Disk>(
    replica: &Replica<D>,
    now: Time,
) -> Result<(Vec<Issued>, Vec<Issued>), Error> {
    Ok(tickets(replica)?.into_iter().partition(|ticket| !ticket.row.is_over(now)))
}

fn tickets<D: Disk>(replica: &Replica<D>) -> Result<Vec<Issued>, Error> {
    let snapshot = replica.snapshot();
    let mut tickets = Vec::new();
    for read in snapshot.scan(system::invite(), &KeyRange::all(), Order::Ascending)? {
        let read = read?;
        let Some(hash) = hash_of(&read.key) else { continue };
        let bytes = snapshot.value(&read.winner.payload)?;
        let row = Row::decode(&bytes).map_err(|source| Error::BadRow { coll: "invite", source })?;
        tickets.push(Issued { hash, row });
    }
    Ok(tickets)
}

/// The ticket of a row.
fn hash_of(row_key: &[u8]) -> Option<[u8; 32]> {
    match key::decode(row_key).ok()?.as_slice() {
        [Element::Bytes(hash)] => hash.as_slice().try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crdt::secret_hash;

    use super::*;

    #[test]
    fn a_row_comes_back_as_it_went() {
        let row = Row { role: Role::Tail, uses: 3, not_after: Time(1 << 40), made: Time(1 << 39) };
        assert_eq!(Row::decode(&row.encode()), Ok(row));
    }

    #[test]
    fn a_row_of_another_number_of_fields_is_refused() {
        let bytes = Row { role: Role::Writer, uses: 3, not_after: Time(4), made: Time(5) }.encode();
        for head in [0x82, 0x85] {
            let other = [&[head], &bytes[1..]].concat();
            assert!(Row::decode(&other).is_err(), "one that says it has {} fields", head - 0x80);
        }
        let of_before = [&[0x83], &bytes[1..bytes.len() - 1]].concat();
        assert_eq!(Row::decode(&of_before).expect("from before").made, Time(0));
    }

    #[test]
    fn the_key_of_a_row_names_its_ticket() {
        let hash = secret_hash(&[4; 32]);
        assert_eq!(hash_of(&Row::key(&hash)), Some(hash));
    }
}
