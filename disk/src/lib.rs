//! The one seam to files: just the operations a crash can interrupt.
//!
//! Everything above this crate reaches files through [`Disk`] and [`File`]. [`RealDisk`] is a folder of the
//! operating system; [`MemoryDisk`] is a folder in memory whose crash forgets what was not flushed, and which
//! fails when told to.
//!
//! Two rules hold for both, and the code above relies on nothing more:
//!
//! - Bytes written are safe only after [`File::flush`] of that file returned `Ok`. After it returned `Err`
//!   nothing about the unflushed part of the file is known, and asking again proves nothing.
//! - A name made, moved or removed is safe only after [`Disk::flush_dir`] of its folder; [`Disk::create_dir`]
//!   alone makes its folders durable by itself.

use std::io;

use planted::Bug;

mod crash;
mod faults;
mod memory;
mod random;
mod real;

pub use crash::during;
pub use faults::{Fault, Faults, Operation};
pub use memory::{Counters, MemoryDisk, MemoryFile, MemoryLock};
pub use random::Random;
pub use real::{RealDisk, RealFile, RealLock};

/// An open file, read and written at explicit offsets; no cursor, no append mode, no memory map.
pub trait File: Send + Sync {
    /// Reads into `buffer` from `offset` and returns how much there was; 0 only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes a first part of `bytes` at `offset` and returns its length, which may be short.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// The length of the file in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Cuts the file, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes data and length durable. After an error, nothing about what was not durable before is known.
    fn flush(&self) -> io::Result<()>;

    /// True when the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buffer` from `offset`, or fails with `UnexpectedEof`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match self.read_up_to(buffer, offset)? == buffer.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Fills as much of `buffer` as the file has from `offset`, and returns how much that was.
    fn read_up_to(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Writes all of `bytes` at `offset`, however short the single writes are.
    ///
    /// After an error any part of it may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write_at(&bytes[written..], offset + written as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) if planted::is(Bug::IgnoreShortWrite) => break,
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error)
                    if error.kind() == io::ErrorKind::StorageFull && planted::is(Bug::IgnoreNoSpace) =>
                {
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<F: File + ?Sized> File for &F {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        (**self).write_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (**self).set_len(len)
    }

    fn flush(&self) -> io::Result<()> {
        (**self).flush()
    }
}

/// A folder of files and folders, named by relative paths with `/` between the parts.
///
/// A clone is another handle on the same folder.
pub trait Disk: Clone + Send + Sync + 'static {
    /// What opening a file gives.
    type File: File + 'static;
    /// Held for as long as a folder is ours; given back when dropped.
    type Lock: Send + Sync + 'static;

    /// Makes a new empty file for reading and writing; fails with `AlreadyExists` when the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Opens an existing file for reading only.
    fn open_read(&self, name: &str) -> io::Result<Self::File>;

    /// The names of files and folders directly in `dir`, sorted; empty when there is no such folder.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;

    /// Makes `dir` and the folders above it where they are missing, durably.
    fn create_dir(&self, dir: &str) -> io::Result<()>;

    /// Gives a file another name, replacing a file that has it: after a crash one of the two is there, whole.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Whether there is a file or folder of this name.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Makes the names directly in `dir` durable; `""` is the folder itself.
    fn flush_dir(&self, dir: &str) -> io::Result<()>;

    /// Takes the lock of this name, made when missing; fails with `WouldBlock` while another holder has it.
    fn lock(&self, name: &str) -> io::Result<Self::Lock>;

    /// The same disk with all names taken below `dir`.
    fn within(&self, dir: &str) -> Self;

    /// The whole contents of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let file = self.open_read(name)?;
        let len = usize::try_from(file.len()?).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let mut bytes = vec![0; len];
        let filled = file.read_up_to(&mut bytes, 0)?;
        bytes.truncate(filled);
        Ok(bytes)
    }
}
