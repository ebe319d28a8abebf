//! I7: no run of a process uses a writer that another run of any copy used.

use crdt::Dot;

use super::{Verdict, breach};
use crate::book::{Book, Run};

/// Notes who wrote a dot, and compares.
pub fn check(book: &mut Book, dot: Dot, run: Run) -> Verdict {
    book.wrote(dot, run).map_err(|what| breach("I7", what))
}
