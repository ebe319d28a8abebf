//! One file of a `Disk`, as the database wants to see it.

use std::fmt;
use std::io;

use disk::{Disk, File};
use redb::StorageBackend;

/// The storage of a database.
pub(super) struct Storage<D: Disk> {
    file: D::File,
}

impl<D: Disk> Storage<D> {
    /// Opens the file, or makes an empty one whose name is durable.
    pub(super) fn open(disk: &D, name: &str) -> io::Result<Self> {
        if disk.exists(name)? {
            return disk.open(name).map(|file| Self { file });
        }
        let file = disk.create(name)?;
        disk.flush_dir("")?;
        Ok(Self { file })
    }
}

impl<D: Disk> fmt::Debug for Storage<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Storage")
    }
}

impl<D: Disk> StorageBackend for Storage<D> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.flush()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
