//! One space on this device: its slot, its local name, and the verbs on its keys.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, RwLock};

use crdt::{Class, CollId, CommitId, Descriptor, Dot, SpaceId, Time};
use disk::RealDisk;
use replica::{Committed, Snapshot, Transaction};

use crate::conflicts;
use crate::membership::Membership;
use crate::metrics::SpaceMetrics;
use crate::seat::Seat;
use crate::slot::{Error, Level, Owner, Slot, Turn};

/// The local note that holds the space's name on this device.
pub(crate) const NAME_NOTE: &[u8] = b"local/name";

/// The local note that holds where the home was last known to be, one address a line.
pub(crate) const ADDRESSES_NOTE: &[u8] = b"local/addresses";

/// Longest name of a space or collection: it is a directory in a path and a column in a table.
pub const NAME_LEN_MAX: usize = 64;

/// The disk of a daemon.
pub(crate) type DiskOwner = Owner<RealDisk>;

/// One space.
pub struct Space {
    /// Its id, the same everywhere.
    pub id: SpaceId,
    /// Its name on this device.
    pub name: String,
    /// Who is its home.
    pub seat: Arc<Seat>,
    /// Where its home was last known to be.
    pub addresses: RwLock<Vec<String>>,
    /// Whoever holds the replica.
    pub slot: Arc<Slot<RealDisk>>,
    /// What is counted.
    pub metrics: Arc<SpaceMetrics>,
    membership: RwLock<Membership>,
    names: Mutex<Names>,
    pub(crate) open_conflicts: Mutex<conflicts::Index>,
    pub(crate) losers_seen: Mutex<replica::Sweeper>,
}

/// What names of collections mean, as of one version of the base.
#[derive(Default)]
struct Names {
    version: u64,
    ids: BTreeMap<String, CollId>,
}

/// What must be at a key for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Anything.
    #[default]
    None,
    /// This write, as the winner.
    Match(Dot),
    /// Something.
    Exists,
    /// Nothing.
    Absent,
}

impl Space {
    pub(crate) fn new(
        id: SpaceId,
        name: String,
        seat: Arc<Seat>,
        addresses: Vec<String>,
        membership: Membership,
        slot: Arc<Slot<RealDisk>>,
        metrics: Arc<SpaceMetrics>,
    ) -> Space {
        let (addresses, membership) = (RwLock::new(addresses), RwLock::new(membership));
        Space {
            id,
            name,
            seat,
            addresses,
            slot,
            metrics,
            membership,
            names: Mutex::default(),
            open_conflicts: Mutex::default(),
            losers_seen: Mutex::default(),
        }
    }

    /// This device's place in it, as its home last said.
    pub fn membership(&self) -> Membership {
        *self.membership.read().expect("a word cannot panic")
    }

    /// Remembers this device's place, over restarts.
    pub(crate) async fn set_membership(&self, place: Membership) -> Result<(), Error> {
        if self.membership() == place {
            return Ok(());
        }
        self.slot.call(0, move |owner, _| Turn::Done(owner.set_place(place))).await?;
        *self.membership.write().expect("a word cannot panic") = place;
        Ok(())
    }

    /// Remembers where the home is, over restarts.
    pub(crate) async fn set_addresses(&self, addresses: Vec<String>) -> Result<(), Error> {
        let note = addresses.join("\n");
        self.slot
            .call(0, move |owner, _| {
                let noted =
                    owner.live().and_then(|live| Ok(live.replica.note(ADDRESSES_NOTE, note.as_bytes())?));
                Turn::Done(noted)
            })
            .await?;
        *self.addresses.write().expect("a list cannot panic") = addresses;
        Ok(())
    }

    /// The collection of this name in a state of this space.
    pub fn collection(
        &self,
        snapshot: &Snapshot<RealDisk>,
        name: &str,
    ) -> Result<Option<CollId>, replica::Error> {
        let version = snapshot.handle().version;
        {
            let mut names = self.names.lock().expect("looking up a name cannot panic");
            if names.version != version {
                *names = Names { version, ids: BTreeMap::new() };
            }
            if let Some(id) = names.ids.get(name) {
                return Ok(Some(*id));
            }
        }
        let found = snapshot.collection(name)?;
        if let Some(id) = found {
            let mut names = self.names.lock().expect("looking up a name cannot panic");
            names.ids.insert(name.to_string(), id);
        }
        Ok(found)
    }

    /// A collection was made here: names may mean something else now.
    pub fn forget_names(&self) {
        *self.names.lock().expect("looking up a name cannot panic") = Names::default();
    }

    /// Waits until a commit has gone as far as `level`, at most `timeout`; whether it has.
    pub async fn reach(&self, dot: Dot, level: Level, timeout: std::time::Duration) -> Result<bool, Error> {
        if level == Level::Local {
            return Ok(true);
        }
        let place = self.membership();
        if place != Membership::Member {
            return Err(Error::NotMember { place });
        }
        match tokio::time::timeout(timeout, self.slot.wait(dot, level)).await {
            Ok(reached) => reached.map(|()| true),
            Err(_) => Ok(false),
        }
    }
}

/// What answers a write: the commit that was made for it, or the one that has made it so before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Its name.
    pub dot: Dot,
    /// Its id, where it was made now.
    pub id: Option<CommitId>,
}

impl From<Committed> for Done {
    fn from(committed: Committed) -> Done {
        Done { dot: committed.dot, id: Some(committed.id) }
    }
}

/// One transaction on the owner's turn, unless all of it is so already: then the write that made it so answers, which `by`
/// finds where it is one.
pub(crate) fn transact_unless_so(
    owner: &mut DiskOwner,
    now: Time,
    body: impl FnOnce(&mut Transaction<RealDisk>) -> Result<(), Error>,
    by: impl FnOnce(&Snapshot<RealDisk>) -> Result<Option<Dot>, Error>,
) -> Result<Done, Error> {
    let live = owner.live_to_write()?;
    let mut transaction = live.replica.begin();
    body(&mut transaction)?;
    if live.replica.is_so(&transaction)?
        && let Some(dot) = by(transaction.snapshot())?
    {
        return Ok(Done { dot, id: None });
    }
    commit(owner, now, transaction).map(Done::from)
}

/// One transaction on the owner's turn.
pub(crate) fn transact(
    owner: &mut DiskOwner,
    now: Time,
    body: impl FnOnce(&mut Transaction<RealDisk>) -> Result<(), Error>,
) -> Result<Committed, Error> {
    let live = owner.live_to_write()?;
    let mut transaction = live.replica.begin();
    body(&mut transaction)?;
    commit(owner, now, transaction)
}

/// Makes a commit of a transaction on the owner's turn.
pub(crate) fn commit(
    owner: &mut DiskOwner,
    now: Time,
    transaction: Transaction<RealDisk>,
) -> Result<Committed, Error> {
    let committed = owner.live_to_write()?.replica.commit(now, transaction, Class::Normal)?;
    owner.committed(now, committed.dot);
    Ok(committed)
}

/// The command that makes a collection, or finds that it is there.
pub(crate) fn create_collection(
    descriptor: Descriptor,
) -> impl FnMut(&mut DiskOwner, Time) -> Turn<CollId> + Send + 'static {
    move |owner, now| {
        let make = |owner: &mut DiskOwner| {
            let live = owner.live_to_write()?;
            let id = descriptor.id();
            let mut transaction = live.replica.begin();
            if transaction.snapshot().descriptor(id)?.is_none() {
                transaction.create_collection(&descriptor)?;
                live.replica.commit(now, transaction, Class::Normal)?;
            }
            Ok(id)
        };
        make(owner).into()
    }
}

impl Condition {
    pub(crate) fn check(self, found: Option<Dot>) -> Result<(), Error> {
        let is_met = match self {
            Condition::None => true,
            Condition::Match(dot) => found == Some(dot),
            Condition::Exists => found.is_some(),
            Condition::Absent => found.is_none(),
        };
        if is_met {
            return Ok(());
        }
        let wanted = match self {
            Condition::Match(dot) => dot.to_string(),
            Condition::Exists => "any value".to_string(),
            Condition::None | Condition::Absent => "no value".to_string(),
        };
        let found = found.map_or_else(|| "no value".to_string(), |dot| dot.to_string());
        Err(Error::Precondition { found, wanted })
    }
}

/// Why a name is none, if it is none.
pub fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~');
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.chars().all(allowed) || name.starts_with('.') {
        return Err(format!(
            "{name:?} is not a name: letters, digits, `-`, `_`, `.` and `~`, at most {NAME_LEN_MAX} bytes, \
             not starting with `.`"
        ));
    }
    if name.parse::<SpaceId>().is_ok() {
        return Err(format!("{name} reads as an id, so it cannot be a name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_a_path_can_hold() {
        for name in ["telemetry", "a-b_c.d", "Ünit4"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a b", &"x".repeat(65), &"0".repeat(64)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
