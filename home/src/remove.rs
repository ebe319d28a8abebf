//! Who goes out: a device loses its row, and every writer it was known by is cut where it stands.

use crdt::{DeviceId, Time, system};
use disk::Disk;
use replica::{Cut, Grant, HomeWrite, Reason, Removed, Replica};

use crate::admit::grant;
use crate::error::Error;
use crate::home::Home;

/// Cuts of one commit of the home, some 600 KiB: however often a device was started, the commit fits its limits.
const CUTS_MAX: usize = 5_000;

/// What came of taking a device out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    /// Writers of the device that are cut from the next Handle on.
    pub cuts: usize,
}

impl Home {
    /// Takes a device out: from the next Handle on, which is due soon, nobody takes anything more of it.
    ///
    /// What is held of it here is in that Handle still, and stays. The device may be granted anew, for new writers.
    pub fn revoke<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        device: &DeviceId,
    ) -> Result<Removal, Error> {
        self.remove(replica, now, device, Reason::Revoked, Vec::new())
    }

    /// `beside` is written with the device's row, in one commit.
    pub(crate) fn remove<D: Disk>(
        &mut self,
        replica: &mut Replica<D>,
        now: Time,
        device: &DeviceId,
        reason: Reason,
        beside: Vec<HomeWrite>,
    ) -> Result<Removal, Error> {
        self.check_duty()?;
        if self.key.id() == *device {
            return Err(Error::OwnHome);
        }
        if grant(replica, device)?.is_none() {
            return Err(Error::NotMember { device: *device });
        }
        // Pending commits of the device are in the next Handle: its cuts stand above them, not in their midst.
        replica.flush()?;
        let mut cuts = cuts(replica, device, reason)?;
        let count = cuts.len();
        // The device's row goes with the last of them: were it gone first, a crash would leave writers uncut.
        while cuts.len() > CUTS_MAX {
            let rest = cuts.split_off(CUTS_MAX);
            self.write(replica, now, std::mem::replace(&mut cuts, rest))?;
        }
        let removed = Removed { version: replica.base().version + 1, at: now, reason };
        cuts.extend(beside);
        cuts.push(HomeWrite { coll: system::acl(), key: Grant::key(device), value: None });
        cuts.push(HomeWrite {
            coll: system::cut(),
            key: Removed::key(device),
            value: Some(removed.encode()),
        });
        self.write(replica, now, cuts)?;
        self.look_for_others(replica);
        self.wait(now);
        Ok(Removal { cuts: count })
    }
}

/// A cut for each known writer of a device that has none as low.
fn cuts<D: Disk>(replica: &Replica<D>, device: &DeviceId, reason: Reason) -> Result<Vec<HomeWrite>, Error> {
    let snapshot = replica.snapshot();
    let mut cuts = Vec::new();
    for (writer, tip) in snapshot.writers_of(device)? {
        if snapshot.cut(&writer)?.is_some_and(|cut| cut.seq <= tip.seq) {
            continue;
        }
        let cut = Cut { seq: tip.seq, tip: tip.id, reason: reason as u64 };
        cuts.push(HomeWrite { coll: system::cut(), key: Cut::key(&writer), value: Some(cut.encode()) });
    }
    Ok(cuts)
}
