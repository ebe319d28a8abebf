//! An open file of the disk in memory.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::contents::SECTOR_LEN;
use super::{State, device_error, lock};
use crate::File;
use crate::faults::{Fault, Operation};

/// A file of a [`MemoryDisk`](crate::MemoryDisk). Every call fails once the disk it was opened on has crashed.
#[derive(Debug)]
pub struct MemoryFile {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) id: u64,
    pub(super) life: u64,
    pub(super) access: Access,
    /// Keeps the bytes of a removed file while it is open.
    #[expect(dead_code, reason = "it counts the open files")]
    pub(super) open: Arc<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    Read,
}

impl MemoryFile {
    /// The disk, once the call is counted and neither the plan nor a crash stands against it.
    fn begin(&self, operation: Operation) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = lock(&self.state);
        if state.life != self.life {
            return Err(io::Error::other("the file was opened before a crash"));
        }
        let writes = matches!(operation, Operation::Write | Operation::SetLen);
        if writes && self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let fault = state.begin(operation)?;
        Ok((state, fault))
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut state, fault) = self.begin(Operation::Read)?;
        let contents = &state.files[&self.id].contents;
        let start = contents.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        let mut count = buffer.len().min(contents.len() - start);
        if fault == Some(Fault::Short) && count > 1 {
            count = count.div_ceil(2);
        }
        if contents.is_unreadable(start, count) {
            return Err(device_error());
        }
        contents.read(&mut buffer[..count], start);
        state.counters.bytes_read += count as u64;
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut guard, fault) = self.begin(Operation::Write)?;
        let state = &mut *guard;
        let mut offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let len_before = state.files[&self.id].contents.len();
        let growth = (offset + bytes.len()).saturating_sub(len_before) as u64;
        let mut count = bytes.len().saturating_sub(growth.saturating_sub(state.room()) as usize);
        let is_full = count < bytes.len() && count == 0;
        if matches!(fault, Some(Fault::Error | Fault::Short | Fault::NoSpace | Fault::PowerCut)) && count > 0
        {
            count = state.random.below(count as u64) as usize;
        }
        match fault {
            Some(Fault::Short) => count = count.max(1).min(bytes.len()),
            Some(Fault::Misdirected) => {
                let sectors = (len_before / SECTOR_LEN).max(1) as u64;
                offset = state.random.below(sectors) as usize * SECTOR_LEN + offset % SECTOR_LEN;
            }
            _ => {}
        }
        let inode = state.files.get_mut(&self.id).expect("an open file keeps its bytes");
        if fault != Some(Fault::Lost) {
            inode.contents.write(&bytes[..count], offset);
        }
        state.counters.writes += 1;
        state.counters.bytes_written += count as u64;
        match fault {
            Some(Fault::Error | Fault::PowerCut) => Err(device_error()),
            Some(Fault::NoSpace) => Err(io::ErrorKind::StorageFull.into()),
            _ if is_full => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(count),
        }
    }

    fn len(&self) -> io::Result<u64> {
        let (state, _) = self.begin(Operation::Read)?;
        Ok(state.files[&self.id].contents.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let (mut state, _) = self.begin(Operation::SetLen)?;
        let len_before = state.files[&self.id].contents.len() as u64;
        if len.saturating_sub(len_before) > state.room() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let inode = state.files.get_mut(&self.id).expect("an open file keeps its bytes");
        inode.contents.resize(len);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let (mut guard, fault) = self.begin(Operation::Flush)?;
        let state = &mut *guard;
        state.counters.flushes += 1;
        let inode = state.files.get_mut(&self.id).expect("an open file keeps its bytes");
        match fault {
            Some(Fault::Error | Fault::NoSpace) => {
                inode.contents.fail_flush(&mut state.random);
                Err(device_error())
            }
            // What a crash makes of unflushed bytes covers a flush cut off on its way.
            Some(Fault::PowerCut) => Err(device_error()),
            _ => {
                inode.contents.flush();
                Ok(())
            }
        }
    }
}
