//! The promises, each a check with a name, over the whole world at once.

use crdt::{CollId, Dot, Payload, WriterId};
use disk::MemoryDisk;
use replica::{KeyRange, Order, Replica};
use sync::{Located, Store};

use crate::book::{Book, State};

/// A broken promise: the invariant's name, and what is wrong.
pub type Broken = (&'static str, String);

/// I1, I2, I5, I6, I8 of one running replica.
pub fn replica(
    name: &str,
    replica: &Replica<MemoryDisk>,
    book: &Book,
    colls: &[CollId],
) -> Result<(), Broken> {
    holds_only_what_was_written(name, replica, book)?;
    is_closed(name, replica, book)?;
    let handle = replica.base();
    if handle.version > 0 && book.handle_of(handle.version).is_some_and(|known| known != handle) {
        return Err(("I8", format!("{name} has another Handle of version {}", handle.version)));
    }
    shows_the_state(name, replica, book, colls)
}

/// I7: what a replica holds of a writer, the author had flushed, so the book has it.
fn holds_only_what_was_written(name: &str, replica: &Replica<MemoryDisk>, book: &Book) -> Result<(), Broken> {
    for (writer, seq, id) in replica.tail() {
        match book.commit(&Dot::new(writer, seq)) {
            None => return Err(("I7", format!("{name} holds {writer}:{seq}, which nobody flushed"))),
            Some(commit) if commit.id() != id => {
                return Err(("I6", format!("{name} holds another commit as {writer}:{seq}")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// I5: whatever a held commit depends on or supersedes is held too.
fn is_closed(name: &str, replica: &Replica<MemoryDisk>, book: &Book) -> Result<(), Broken> {
    for (writer, seq, _) in replica.tail() {
        let Some(commit) = book.commit(&Dot::new(writer, seq)) else { continue };
        let named = commit.body().mutations.iter().flat_map(|mutation| &mutation.supersedes);
        for dot in named.chain(&commit.body().deps) {
            if replica.seen(&dot.writer) < dot.seq {
                let seen = replica.seen(&dot.writer);
                return Err(("I5", format!("{name} holds {writer}:{seq} without {dot}, only {seen}")));
            }
        }
    }
    Ok(())
}

/// I1: what a reader sees is written minus superseded of exactly the commits that the vector names.
fn shows_the_state(
    name: &str,
    replica: &Replica<MemoryDisk>,
    book: &Book,
    colls: &[CollId],
) -> Result<(), Broken> {
    let mut expected = book.state(|writer: &WriterId| replica.seen(writer));
    expected.retain(|(coll, _), _| colls.contains(coll));
    let shown = shown(replica, colls).map_err(|error| ("I1", format!("{name} cannot be read: {error}")))?;
    if shown == expected {
        return Ok(());
    }
    let keys = expected.keys().chain(shown.keys());
    let differs = keys.into_iter().find(|key| expected.get(*key) != shown.get(*key));
    let key = differs.expect("the two differ somewhere");
    let list = |state: &State| match state.get(key) {
        None => "nothing".to_string(),
        Some(dots) => dots.keys().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let text = crdt::key::display(&key.1);
    Err(("I1", format!("{name} at {text} shows [{}], but [{}] is alive", list(&shown), list(&expected))))
}

/// Everything alive that a reader can see, blobs included.
fn shown(replica: &Replica<MemoryDisk>, colls: &[CollId]) -> Result<State, replica::Error> {
    let snapshot = replica.snapshot();
    let mut state = State::new();
    for coll in colls {
        for read in snapshot.scan(*coll, &KeyRange::all(), Order::Ascending)? {
            let read = read?;
            for live in snapshot.live(*coll, &read.key)? {
                if let Payload::Blob(_) = &live.payload {
                    snapshot.value(&live.payload)?;
                }
                state.entry((*coll, read.key.clone())).or_default().insert(live.dot, live.payload);
            }
        }
    }
    Ok(state)
}

/// I8: the base never goes back.
pub fn only_rises(name: &str, version: u64, replica: &Replica<MemoryDisk>) -> Result<(), Broken> {
    let now = replica.base().version;
    if now < version { Err(("I8", format!("{name} went from version {version} to {now}"))) } else { Ok(()) }
}

/// I3 and I9 at a machine that acknowledged a dot: it is held, and in the log unless the newest Handle covers it.
pub fn acknowledged_is_held(
    name: &str,
    replica: &Replica<MemoryDisk>,
    dot: &Dot,
    covered: bool,
) -> Result<(), Broken> {
    if replica.seen(&dot.writer) < dot.seq {
        return Err(("I3", format!("{name} acknowledged {dot} and does not hold it")));
    }
    let located = replica.locate(&dot.writer, dot.seq);
    if !covered && !matches!(located, Located::Id(_)) {
        let anchored = replica.anchored(&dot.writer);
        let version = replica.base().version;
        let what = format!("{name} at version {version}, which covers {anchored}, finds {dot} {located:?}");
        return Err(("I9", what));
    }
    Ok(())
}
