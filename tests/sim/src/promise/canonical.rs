//! I2: equal sets of commits show equal states, at every replica, after every restart and in every order of arrival.

use super::{Look, Verdict, breach};
use crate::book::Book;

/// The digests of a look: of which commits are held, and of what is shown.
pub struct Digests {
    name: String,
    held: [u8; 32],
    shown: [u8; 32],
}

impl Digests {
    /// Of one look.
    pub fn of(look: &Look<'_>) -> Digests {
        let mut held = blake3::Hasher::new();
        for (writer, seq) in &look.seen {
            held.update(&writer.0).update(&seq.to_le_bytes());
        }
        let mut shown = blake3::Hasher::new();
        for ((coll, key), live) in &look.shown {
            shown.update(&coll.0).update(key);
            live.iter().for_each(|(dot, _)| {
                shown.update(&dot.to_bytes());
            });
        }
        Digests {
            name: look.name.clone(),
            held: *held.finalize().as_bytes(),
            shown: *shown.finalize().as_bytes(),
        }
    }
}

/// Compares with whoever was seen with the same commits before.
pub fn check(book: &mut Book, digests: &Digests) -> Verdict {
    match book.shown.insert(digests.held, digests.shown) {
        Some(before) if before != digests.shown => Err(breach(
            "I2",
            format!("{} shows another state than somebody with the same commits did", digests.name),
        )),
        _ => Ok(()),
    }
}
