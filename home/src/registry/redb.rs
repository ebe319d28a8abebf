//! The registry of a device home: Handles and delivery records in one small database file.
#![expect(
    clippy::disallowed_types,
    reason = "every space of a device shares one database, which may have to be opened anew"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use crdt::{DeviceId, Handle, SpaceId};
use disk::Disk;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableHandle,
    WriteTransaction,
};

use super::file::Storage;
use super::{Outcome, Registry, Swap};
use crate::error::Error;

const NAME: &str = "registry.redb";
/// What would not open, kept for a person to look at; the next one replaces it.
const DAMAGED: &str = "registry.redb.damaged";
/// A Handle and some hundred bytes a space and peer: everything fits many times.
const CACHE_LEN: usize = 1 << 20;

/// The version of the tables below, in a table of its own. A file without one is of format 1 too.
const FORMAT: TableDefinition<'_, (), u64> = TableDefinition::new("format");
const KNOWN: u64 = 1;
const HANDLES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("handles");
const DELIVERIES: TableDefinition<'_, (&[u8; 16], &[u8; 32]), &[u8]> = TableDefinition::new("deliveries");

/// Handles of the spaces homed here, and what is shown of each peer while it is away.
///
/// It never holds the only copy of a fact: a Handle leaves the device only after the registry *and* the manifest of its
/// space hold it, and delivery records are derived again on contact. So a file that will not open is set aside and made
/// anew. A clone shares the database.
#[derive(Clone)]
pub struct RedbRegistry {
    shared: Arc<Shared>,
}

struct Shared {
    /// `None` only where opening it anew has failed, too.
    database: RwLock<Option<Database>>,
    /// The disk failed, after which a database answers nothing any more, whatever becomes of the disk.
    has_failed: AtomicBool,
    open: Box<dyn Fn() -> Result<Database, Error> + Send + Sync>,
}

/// What is known of one peer and space: bytes that only their owner understands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The peer.
    pub peer: DeviceId,
    /// The space.
    pub space: SpaceId,
    /// Opaque here.
    pub record: Vec<u8>,
}

impl RedbRegistry {
    /// Opens the database of this folder, or makes one.
    ///
    /// `known` are the Handles that the manifests hold: afterwards none of these spaces is behind its manifest,
    /// whatever became of the file.
    pub fn open<D: Disk>(disk: &D, known: &[Handle]) -> Result<Self, Error> {
        let folder = disk.clone();
        let open = move || open_or_renew(&folder);
        match Self::new(open.clone(), known) {
            Err(error) if is_damaged(&error) => {
                set_aside(disk)?;
                Self::new(open, known)
            }
            opened => opened,
        }
    }

    /// One that forgets, for a folder on read-only media: nothing there is homed or delivered.
    pub fn in_memory() -> Result<Self, Error> {
        Self::new(|| build(InMemoryBackend::new()), &[])
    }

    fn new(
        open: impl Fn() -> Result<Database, Error> + Send + Sync + 'static,
        known: &[Handle],
    ) -> Result<Self, Error> {
        let database = RwLock::new(Some(open()?));
        let shared = Shared { database, has_failed: AtomicBool::new(false), open: Box::new(open) };
        let registry = Self { shared: Arc::new(shared) };
        registry.raise(known)?;
        Ok(registry)
    }

    /// Does something with the database, which is opened anew first if the disk failed it before.
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, Error>) -> Result<T, Error> {
        let Shared { database, has_failed, open } = &*self.shared;
        if has_failed.load(Ordering::Acquire) {
            let mut database = database.write().expect("a failed open is no panic");
            // Another caller may have been here first.
            if has_failed.load(Ordering::Acquire) {
                // The old one goes first: two would write over each other.
                drop(database.take());
                *database = Some(open()?);
                has_failed.store(false, Ordering::Release);
            }
        }
        let database = database.read().expect("a failed open is no panic");
        let Some(database) = &*database else { return Err(Error::Unavailable) };
        let answer = work(database);
        if answer.as_ref().is_err_and(is_of_disk) {
            has_failed.store(true, Ordering::Release);
        }
        answer
    }

    /// Keeps what is known of peers, in one step.
    pub fn put_deliveries(&self, deliveries: &[Delivery]) -> Result<(), Error> {
        self.with(|database| {
            let transaction = database.begin_write().map_err(failed("write"))?;
            {
                let mut table = transaction.open_table(DELIVERIES).map_err(failed("write"))?;
                for Delivery { peer, space, record } in deliveries {
                    let key = (peer.as_bytes(), space.as_bytes());
                    table.insert(key, record.as_slice()).map_err(failed("write"))?;
                }
            }
            transaction.commit().map_err(failed("write"))
        })
    }

    /// What is known of one peer and space.
    pub fn delivery(&self, peer: &DeviceId, space: &SpaceId) -> Result<Option<Vec<u8>>, Error> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(failed("read"))?;
            let table = transaction.open_table(DELIVERIES).map_err(failed("read"))?;
            let found = table.get((peer.as_bytes(), space.as_bytes())).map_err(failed("read"))?;
            Ok(found.map(|record| record.value().to_vec()))
        })
    }

    /// All of it, by peer and space.
    pub fn deliveries(&self) -> Result<Vec<Delivery>, Error> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(failed("read"))?;
            let table = transaction.open_table(DELIVERIES).map_err(failed("read"))?;
            let mut deliveries = Vec::new();
            for row in table.iter().map_err(failed("read"))? {
                let (key, record) = row.map_err(failed("read"))?;
                let (peer, space) = key.value();
                let (peer, space) = (DeviceId(*peer), SpaceId(*space));
                deliveries.push(Delivery { peer, space, record: record.value().to_vec() });
            }
            Ok(deliveries)
        })
    }

    /// Brings every space up to what its manifest holds; makes the tables of a new file.
    fn raise(&self, known: &[Handle]) -> Result<(), Error> {
        self.with(|database| {
            // A full disk may have no room for a transaction that changes nothing.
            if is_raised(database, known)? {
                return Ok(());
            }
            let transaction = database.begin_write().map_err(failed("write"))?;
            check_format(&transaction)?;
            {
                transaction.open_table(DELIVERIES).map_err(failed("write"))?;
                let mut table = transaction.open_table(HANDLES).map_err(failed("write"))?;
                for handle in known {
                    if version(&table, &handle.space)? < handle.version {
                        let bytes = handle.encode();
                        table.insert(handle.space.as_bytes(), bytes.as_slice()).map_err(failed("write"))?;
                    }
                }
            }
            transaction.commit().map_err(failed("write"))
        })
    }

    fn swap(&self, database: &Database, swaps: &[Swap]) -> Result<Outcome, Error> {
        let transaction = database.begin_write().map_err(failed("write"))?;
        {
            let mut table = transaction.open_table(HANDLES).map_err(failed("write"))?;
            for swap in swaps {
                let current = read(&table, &swap.space)?;
                if !swap.is_met_by(current.as_ref()) {
                    return Ok(Outcome::Conflict { space: swap.space, current: current.map(Box::new) });
                }
            }
            for Swap { space, new, .. } in swaps {
                if let Some(new) = new {
                    table.insert(space.as_bytes(), new.encode().as_slice()).map_err(failed("write"))?;
                }
            }
        }
        match transaction.commit() {
            Ok(()) => Ok(Outcome::Swapped),
            // Nobody knows what the disk now holds; opening it anew reads it.
            Err(_) => {
                self.shared.has_failed.store(true, Ordering::Release);
                Ok(Outcome::Unknown)
            }
        }
    }
}

impl Registry for RedbRegistry {
    fn get(&mut self, space: &SpaceId) -> Result<Option<Handle>, Error> {
        self.with(|database| {
            let transaction = database.begin_read().map_err(failed("read"))?;
            let table = transaction.open_table(HANDLES).map_err(failed("read"))?;
            read(&table, space)
        })
    }

    fn cas_many(&mut self, swaps: &[Swap]) -> Result<Outcome, Error> {
        self.with(|database| self.swap(database, swaps))
    }
}

/// Opens the file, or sets it aside and begins another where its bytes are at fault.
fn open_or_renew<D: Disk>(disk: &D) -> Result<Database, Error> {
    match open_file(disk) {
        Err(error) if is_damaged(&error) => {
            set_aside(disk)?;
            open_file(disk)
        }
        opened => opened,
    }
}

fn open_file<D: Disk>(disk: &D) -> Result<Database, Error> {
    let opened = Storage::open(disk, NAME);
    build(opened.map_err(|source| Error::Disk { action: "open", name: NAME, source })?)
}

fn set_aside<D: Disk>(disk: &D) -> Result<(), Error> {
    disk.rename(NAME, DAMAGED).map_err(|source| Error::Disk { action: "set aside", name: NAME, source })
}

fn build(storage: impl StorageBackend) -> Result<Database, Error> {
    Builder::new()
        .set_cache_size(CACHE_LEN)
        // The file is small, and one altered or copied in use is then refused instead of believed.
        .set_check_integrity_on_open(true)
        .create_with_backend(storage)
        .map_err(failed("open"))
}

/// Whether every table is there, of our format, and none of these Handles is newer.
fn is_raised(database: &Database, known: &[Handle]) -> Result<bool, Error> {
    let transaction = database.begin_read().map_err(failed("read"))?;
    let names: Vec<String> =
        transaction.list_tables().map_err(failed("read"))?.map(|table| table.name().to_owned()).collect();
    let is_there = |name: &str| names.iter().any(|found| found == name);
    if ![FORMAT.name(), HANDLES.name(), DELIVERIES.name()].into_iter().all(is_there) {
        return Ok(false);
    }
    let format = transaction.open_table(FORMAT).map_err(failed("read"))?;
    if format.get(()).map_err(failed("read"))?.map(|found| found.value()) != Some(KNOWN) {
        return Ok(false);
    }
    let table = transaction.open_table(HANDLES).map_err(failed("read"))?;
    for handle in known {
        if version(&table, &handle.space)? < handle.version {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Refuses tables of another format, and marks a new file with ours.
fn check_format(transaction: &WriteTransaction) -> Result<(), Error> {
    let mut table = transaction.open_table(FORMAT).map_err(failed("write"))?;
    let found = table.get(()).map_err(failed("read"))?.map(|found| found.value());
    match found {
        Some(KNOWN) => Ok(()),
        Some(found) => Err(Error::UnknownFormat { name: NAME, found, known: KNOWN }),
        None => table.insert((), KNOWN).map(drop).map_err(failed("write")),
    }
}

/// Whether it was the disk that did not do what it was told.
fn is_of_disk(error: &Error) -> bool {
    let Error::Registry { source, .. } = error else { return false };
    matches!(source.as_ref(), redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed)
}

/// Whether the bytes are at fault, and not the disk's momentary mood.
fn is_damaged(error: &Error) -> bool {
    match error {
        // Software of another time wrote it, which is no damage: to set it aside would be a loss.
        Error::BadHandle { source: crdt::Error::UnknownVersion { .. }, .. } => false,
        Error::BadHandle { .. } => true,
        Error::Registry { source, .. } => match source.as_ref() {
            redb::Error::Corrupted(_) | redb::Error::RepairAborted | redb::Error::UpgradeRequired(_) => true,
            redb::Error::Io(error) => {
                matches!(error.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof)
            }
            _ => false,
        },
        _ => false,
    }
}

fn version(
    table: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    space: &SpaceId,
) -> Result<u64, Error> {
    Ok(read(table, space)?.map_or(0, |handle| handle.version))
}

fn read(
    table: &impl ReadableTable<&'static [u8; 32], &'static [u8]>,
    space: &SpaceId,
) -> Result<Option<Handle>, Error> {
    let Some(bytes) = table.get(space.as_bytes()).map_err(failed("read"))? else { return Ok(None) };
    let handle =
        Handle::decode(bytes.value()).map_err(|source| Error::BadHandle { space: *space, source })?;
    Ok(Some(handle))
}

fn failed<E: Into<redb::Error>>(action: &'static str) -> impl Fn(E) -> Error {
    move |source| Error::Registry { action, source: Box::new(source.into()) }
}

#[cfg(test)]
mod tests {
    use disk::MemoryDisk;

    use super::*;

    /// A closed registry after this was done to its tables.
    fn edited(edit: impl FnOnce(&WriteTransaction)) -> MemoryDisk {
        let disk = MemoryDisk::new(1);
        let registry = RedbRegistry::open(&disk, &[]).unwrap();
        let edited = registry.with(|database| {
            let transaction = database.begin_write().map_err(failed("write"))?;
            edit(&transaction);
            transaction.commit().map_err(failed("write"))
        });
        edited.unwrap();
        disk
    }

    #[test]
    fn a_registry_is_written_to_at_a_start_only_where_something_is_missing() {
        let is_raised_of = |disk: &MemoryDisk| {
            let database = build(Storage::open(disk, NAME).unwrap()).unwrap();
            is_raised(&database, &[]).unwrap()
        };
        let disk = MemoryDisk::new(1);
        assert!(!is_raised_of(&disk), "it has no tables");
        drop(RedbRegistry::open(&disk, &[]).unwrap());
        assert!(is_raised_of(&disk));
        let unmarked = edited(|transaction| assert!(transaction.delete_table(FORMAT).unwrap()));
        assert!(!is_raised_of(&unmarked), "its format is written down again");
    }

    #[test]
    fn a_registry_of_another_format_is_refused_by_its_number_and_stays() {
        let disk = edited(|transaction| {
            transaction.open_table(FORMAT).unwrap().insert((), 2).unwrap();
        });
        let error = RedbRegistry::open(&disk, &[]).err().expect("format 2 is not known");
        assert_eq!(error.to_string(), "registry.redb is in format 2, and this software knows format 1");
        assert!(!disk.exists(DAMAGED).unwrap(), "it is not set aside: it is no damage");
    }

    #[test]
    fn a_handle_of_another_format_is_no_reason_to_make_the_registry_anew() {
        let space = SpaceId([3; 32]);
        let disk = edited(|transaction| {
            // [[2], signature]: as much of a Handle as every format has.
            transaction.open_table(HANDLES).unwrap().insert(&space.0, &[0x82, 0x81, 2][..]).unwrap();
        });
        let mut registry = RedbRegistry::open(&disk, &[]).unwrap();
        let error = registry.get(&space).expect_err("format 2 is not known");
        assert!(!is_damaged(&error), "{error}");
        let source = std::error::Error::source(&error).expect("what is wrong").to_string();
        assert_eq!(source, "format 2 of a Handle is not known to this software, which knows format 1");
    }
}
