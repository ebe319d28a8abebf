//! I10: once a commit is said to be anchored, every later Handle covers it.

use disk::MemoryDisk;
use replica::Replica;
use sync::Store;

use super::{Verdict, breach};
use crate::book::Book;
use crate::machine::chain;

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
    let base = home.snapshot_of_base();
    for (writer, seq) in &book.anchored {
        let covered = match base.tip(writer) {
            Ok(tip) => tip.map_or(0, |tip| tip.seq),
            // Its row is damaged here, and the Handle names the node that it is in: who heals it shows what is there.
            Err(error) if replica::is_damage(&error) => continue,
            Err(error) => {
                return Err(breach("I10", format!("{name} cannot read its vector: {}", chain(&error))));
            }
        };
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
