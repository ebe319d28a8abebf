//! The log as its owner sees it, on disks that crash, fail and rot.

mod cases;
mod failures;
mod formats;
mod model;
mod real;
mod rot;

use disk::MemoryDisk;
use wal::{Entry, Error, Log, Options, Position, Recovered};

/// Segments so short that a few entries fill one.
fn options() -> Options {
    Options { from: Position(0), segment_len_first: 1024, segment_len_max: 4096 }
}

fn open(disk: &MemoryDisk, opens: u64) -> Result<(Log<MemoryDisk>, Recovered), Error> {
    Log::open(disk.clone(), options(), opens)
}

fn entries(log: &Log<MemoryDisk>) -> Vec<Entry> {
    log.entries(log.start()).collect::<Result<_, _>>().expect("an open log can be read")
}
