//! I6 and the second half of I7: one commit for each dot, and nobody holds what its author had not flushed.

use crdt::Dot;
use sync::Store;

use super::{Look, Verdict, breach};

/// Compares each writer's last commit with the book.
pub fn check(look: &Look<'_>) -> Verdict {
    for (writer, seq, id) in look.replica.tail() {
        let dot = Dot::new(writer, seq);
        match look.book.commit(&dot) {
            _ if writer.is_home() => {}
            None => {
                return Err(breach(
                    "I7",
                    format!("{} holds {dot}, which its author had not flushed", look.name),
                ));
            }
            Some(commit) if commit.id() != id => {
                return Err(breach("I6", format!("{} holds another commit as {dot}", look.name)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
