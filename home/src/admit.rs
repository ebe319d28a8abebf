//! Who may come in: a ticket is made here, and a stranger who shows one is admitted or refused.

use crdt::{DeviceId, Role, Ticket, Time, secret_hash, system};
use disk::Disk;
use replica::{Grant, HomeWrite, KeyRange, Order, Replica, Snapshot};
use sync::ByeCode;
use sync::frame::Join;

use crate::error::Error;
use crate::home::Home;
use crate::invite::{self, Invite, Issued, Row, TICKETS_MAX};

/// How a request to join ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The device is a member once the next Handle covers it, and one use of the ticket is gone.
    Admitted,
    /// It had been admitted before: perhaps the answer was lost. It cost nothing.
    Member,
    /// It is not, and nothing has changed.
    Refused(Refused),
}

/// Why a device was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No ticket that is out has this secret.
    TicketUnknown,
    /// As many devices as it was for have come.
    TicketSpent,
    /// It was for an earlier time.
    TicketExpired,
    /// The device was taken out after the ticket was made.
    Revoked,
    /// Somebody else decides, or this copy of the home has not been claimed.
    NotHome,
}

impl Refused {
    /// What the stranger is told.
    pub fn code(self) -> ByeCode {
        match self {
            Refused::TicketUnknown => ByeCode::TicketUnknown,
            Refused::TicketSpent => ByeCode::TicketSpent,
            Refused::TicketExpired => ByeCode::TicketExpired,
            Refused::Revoked => ByeCode::Revoked,
            Refused::NotHome => ByeCode::NotHome,
        }
    }
}

impl Home {
    /// Makes a ticket. It holds from when this returns: durable here, and in the next Handle for everybody else.
    pub fn invite<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        invite: Invite,
    ) -> Result<Ticket, Error> {
        self.check_duty()?;
        let Invite { role, uses, not_after, secret, addresses } = invite;
        let hash = secret_hash(&secret);
        let mut writes = self.clear_tickets(replica, now)?;
        writes.push(row_write(&hash, &Row { role, uses, not_after, made: now }));
        // With the commit or before it: a row without its secret admits nobody.
        replica.note(&invite::note(&hash), &secret)?;
        self.write(replica, now, writes)?;
        let (genesis, ring) = (replica.genesis().clone(), replica.ring().records().to_vec());
        Ok(Ticket { genesis, ring, addresses, role, uses, not_after, secret })
    }

    /// Decides on a stranger's request. `exporter` is what its connection, or its bundle, bound the proof to.
    ///
    /// The answer is [`Home::joined`], once a Handle covers the admission: it is due soon.
    pub fn admit_join<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        join: &Join,
        exporter: &[u8],
    ) -> Result<Admission, Error> {
        if !self.is_on_duty() || join.space != replica.space() {
            return Ok(Admission::Refused(Refused::NotHome));
        }
        let Some(shown) = invite::find(replica, join, exporter)? else {
            return Ok(Admission::Refused(Refused::TicketUnknown));
        };
        let device = DeviceId::of(&join.device_key);
        let granted = grant(replica, &device)?;
        let wanted = capabilities(shown.row.role);
        if granted.as_ref().is_some_and(|grant| grant.allows(wanted)) {
            self.wait(now);
            return Ok(Admission::Member);
        }
        let removed = replica.snapshot().removed(&device)?;
        if granted.is_none() && removed.is_some_and(|removed| removed.at >= shown.row.made) {
            return Ok(Admission::Refused(Refused::Revoked));
        }
        if now > shown.row.not_after {
            return Ok(Admission::Refused(Refused::TicketExpired));
        }
        if shown.row.uses == 0 {
            return Ok(Admission::Refused(Refused::TicketSpent));
        }
        let since = removed.map_or(0, |_| replica.base().version + 1);
        let mut grant = granted.unwrap_or_else(|| new_grant(join.device_key, since));
        grant.capabilities |= wanted;
        self.admit(replica, now, &grant, &shown)?;
        Ok(Admission::Admitted)
    }

    /// The frame that tells a device it is a member, once a Handle covers its admission.
    pub fn joined<D: Disk>(replica: &Replica<D>) -> Vec<u8> {
        let ring = replica.ring().records().to_vec();
        sync::join::admit(replica.genesis().clone(), ring, replica.base().clone())
    }

    /// Makes room for one more ticket: takes away those that are over, and refuses where too many are out.
    fn clear_tickets<D: Disk>(&self, replica: &mut Replica<D>, now: Time) -> Result<Vec<HomeWrite>, Error> {
        let (out, over) = invite::sorted_out(replica, now)?;
        if out.len() >= TICKETS_MAX {
            return Err(Error::TooManyTickets { max: TICKETS_MAX });
        }
        for ticket in &over {
            replica.note(&invite::note(&ticket.hash), &[])?;
        }
        let delete =
            |ticket: &Issued| HomeWrite { coll: system::invite(), key: Row::key(&ticket.hash), value: None };
        Ok(over.iter().map(delete).collect())
    }

    /// One commit, so that no crash leaves a member who cost nothing or a use that admitted nobody.
    fn admit<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        grant: &Grant,
        shown: &Issued,
    ) -> Result<(), Error> {
        let device = DeviceId::of(&grant.public);
        let left = Row { uses: shown.row.uses - 1, ..shown.row };
        let admitted =
            HomeWrite { coll: system::acl(), key: Grant::key(&device), value: Some(grant.encode()) };
        self.write(replica, now, vec![admitted, row_write(&shown.hash, &left)])?;
        self.wait(now);
        Ok(())
    }
}

fn row_write(hash: &[u8; 32], row: &Row) -> HomeWrite {
    HomeWrite { coll: system::invite(), key: Row::key(hash), value: Some(row.encode()) }
}

/// `since` is 0 for a device that never was a member: what it wrote before it came counts.
fn new_grant(public: [u8; 32], since: u64) -> Grant {
    Grant { public, capabilities: 0, residency: Vec::new(), since }
}

/// The row of a device, whether or not a Handle covers it yet.
pub fn grant<D: Disk>(replica: &Replica<D>, device: &DeviceId) -> Result<Option<Grant>, Error> {
    let snapshot = if replica.is_unread() { replica.snapshot_of_base() } else { replica.snapshot() };
    let Some(row) = snapshot.get(system::acl(), &Grant::key(device))? else { return Ok(None) };
    Ok(Some(Grant::decode(&row).map_err(|source| Error::BadRow { coll: "acl", source })?))
}

/// Every device with a row, in the order of their ids.
pub fn members<D: Disk>(snapshot: &Snapshot<D>) -> Result<Vec<(DeviceId, Grant)>, Error> {
    let mut members = Vec::new();
    for read in snapshot.scan(system::acl(), &KeyRange::all(), Order::Ascending)? {
        let bytes = snapshot.value(&read?.winner.payload)?;
        let grant = Grant::decode(&bytes).map_err(|source| Error::BadRow { coll: "acl", source })?;
        members.push((DeviceId::of(&grant.public), grant));
    }
    Ok(members)
}

/// What a ticket of this role grants.
fn capabilities(role: Role) -> u64 {
    match role {
        Role::Reader => replica::READ,
        Role::Writer => replica::READ | replica::WRITE,
        Role::Tail => replica::WRITE,
    }
}
