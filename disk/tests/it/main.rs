//! The rules of the model, and its agreement with the real disk.

mod agreement;
mod crashes;
mod faults;

use disk::{Disk, File, MemoryDisk};

const SECTOR_LEN: usize = 512;

/// A disk with one durable file of so many bytes.
fn with_file(seed: u64, bytes: &[u8]) -> (MemoryDisk, disk::MemoryFile) {
    let disk = MemoryDisk::new(seed);
    let file = disk.create("file").unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.flush().unwrap();
    disk.flush_dir("").unwrap();
    (disk, file)
}
