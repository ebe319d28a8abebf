//! I10: once a commit is said to be anchored, every later Handle covers it.

use disk::MemoryDisk;
use replica::Replica;
use sync::Store;

use super::{Verdict, breach};
use crate::book::Book;

/// Notes what a replica says is anchored.
pub fn note(book: &mut Book, replica: &Replica<MemoryDisk>) {
    let writers: Vec<_> = book.known().keys().copied().collect();
    for writer in writers {
        let seq = replica.anchored(&writer);
        let anchored = book.anchored.entry(writer).or_default();
        *anchored = seq.max(*anchored);
    }
}

/// The home, which has just made a Handle, covers all of it.
pub fn check(book: &Book, name: &str, home: &Replica<MemoryDisk>) -> Verdict {
    for (writer, seq) in &book.anchored {
        let covered = home.anchored(writer);
        if covered < *seq {
            let version = home.base().version;
            return Err(breach(
                "I10",
                format!(
                    "{name} covers {writer} up to {covered} with version {version}, and {seq} was anchored"
                ),
            ));
        }
    }
    Ok(())
}
