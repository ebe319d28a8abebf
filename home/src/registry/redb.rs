//! The registry of a device home: Handles and delivery records in one small database file.

use std::sync::Arc;

use crdt::{DeviceId, Handle, SpaceId};
use disk::Disk;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::file::Storage;
use super::{Outcome, Registry, Swap};
use crate::error::Error;

const NAME: &str = "registry.redb";
/// What would not open, kept for a person to look at; the next one replaces it.
const DAMAGED: &str = "registry.redb.damaged";
/// A Handle and some hundred bytes a space and peer: everything fits many times.
const CACHE_LEN: usize = 1 << 20;

const HANDLES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("handles");
const DELIVERIES: TableDefinition<'_, (&[u8; 16], &[u8; 32]), &[u8]> = TableDefinition::new("deliveries");

/// Handles of the spaces homed here, and what is shown of each peer while it is away.
///
/// It never holds the only copy of a fact: a Handle leaves the device only after the registry *and* the manifest of its
/// space hold it, and delivery records are derived again on contact. So a file that will not open is set aside and made
/// anew. A clone shares the database.
#[derive(Debug, Clone)]
pub struct RedbRegistry {
    database: Arc<Database>,
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
        match Self::open_file(disk, known) {
            Err(error) if is_damaged(&error) => {
                disk.rename(NAME, DAMAGED).map_err(|source| Error::Disk {
                    action: "set aside",
                    name: NAME,
                    source,
                })?;
                Self::open_file(disk, known)
            }
            opened => opened,
        }
    }

    /// One that forgets, for a folder on read-only media: nothing there is homed or delivered.
    pub fn in_memory() -> Result<Self, Error> {
        Self::new(InMemoryBackend::new(), &[])
    }

    fn open_file<D: Disk>(disk: &D, known: &[Handle]) -> Result<Self, Error> {
        let storage =
            Storage::open(disk, NAME).map_err(|source| Error::Disk { action: "open", name: NAME, source })?;
        Self::new(storage, known)
    }

    fn new(storage: impl StorageBackend, known: &[Handle]) -> Result<Self, Error> {
        let database = Builder::new()
            .set_cache_size(CACHE_LEN)
            // The file is small, and one altered or copied in use is then refused instead of believed.
            .set_check_integrity_on_open(true)
            .create_with_backend(storage)
            .map_err(failed("open"))?;
        let registry = Self { database: Arc::new(database) };
        registry.raise(known)?;
        Ok(registry)
    }

    /// Keeps what is known of peers, in one step.
    pub fn put_deliveries(&self, deliveries: &[Delivery]) -> Result<(), Error> {
        let transaction = self.database.begin_write().map_err(failed("write"))?;
        {
            let mut table = transaction.open_table(DELIVERIES).map_err(failed("write"))?;
            for Delivery { peer, space, record } in deliveries {
                let key = (peer.as_bytes(), space.as_bytes());
                table.insert(key, record.as_slice()).map_err(failed("write"))?;
            }
        }
        transaction.commit().map_err(failed("write"))
    }

    /// What is known of one peer and space.
    pub fn delivery(&self, peer: &DeviceId, space: &SpaceId) -> Result<Option<Vec<u8>>, Error> {
        let transaction = self.database.begin_read().map_err(failed("read"))?;
        let table = transaction.open_table(DELIVERIES).map_err(failed("read"))?;
        let found = table.get((peer.as_bytes(), space.as_bytes())).map_err(failed("read"))?;
        Ok(found.map(|record| record.value().to_vec()))
    }

    /// All of it, by peer and space.
    pub fn deliveries(&self) -> Result<Vec<Delivery>, Error> {
        let transaction = self.database.begin_read().map_err(failed("read"))?;
        let table = transaction.open_table(DELIVERIES).map_err(failed("read"))?;
        let mut deliveries = Vec::new();
        for row in table.iter().map_err(failed("read"))? {
            let (key, record) = row.map_err(failed("read"))?;
            let (peer, space) = key.value();
            deliveries.push(Delivery {
                peer: DeviceId(*peer),
                space: SpaceId(*space),
                record: record.value().to_vec(),
            });
        }
        Ok(deliveries)
    }

    /// Brings every space up to what its manifest holds; makes the tables of a new file.
    fn raise(&self, known: &[Handle]) -> Result<(), Error> {
        let transaction = self.database.begin_write().map_err(failed("write"))?;
        {
            transaction.open_table(DELIVERIES).map_err(failed("write"))?;
            let mut table = transaction.open_table(HANDLES).map_err(failed("write"))?;
            for handle in known {
                if version(&table, &handle.space)? < handle.version {
                    table
                        .insert(handle.space.as_bytes(), handle.encode().as_slice())
                        .map_err(failed("write"))?;
                }
            }
        }
        transaction.commit().map_err(failed("write"))
    }
}

impl Registry for RedbRegistry {
    fn get(&mut self, space: &SpaceId) -> Result<Option<Handle>, Error> {
        let transaction = self.database.begin_read().map_err(failed("read"))?;
        let table = transaction.open_table(HANDLES).map_err(failed("read"))?;
        read(&table, space)
    }

    fn cas_many(&mut self, swaps: &[Swap]) -> Result<Outcome, Error> {
        let transaction = self.database.begin_write().map_err(failed("write"))?;
        {
            let mut table = transaction.open_table(HANDLES).map_err(failed("write"))?;
            for swap in swaps {
                let current = read(&table, &swap.space)?;
                if current.as_ref().map_or(0, |handle| handle.version) != swap.expect {
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
            // Nobody knows what the disk now holds; the next open reads it.
            Err(_) => Ok(Outcome::Unknown),
        }
    }
}

/// Whether the bytes are at fault, and not the disk's momentary mood.
fn is_damaged(error: &Error) -> bool {
    match error {
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
