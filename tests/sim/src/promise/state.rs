//! I1: what a reader sees is written minus superseded of exactly the commits that the replica's vector names.

use crdt::system;
use disk::MemoryDisk;
use replica::{KeyRange, Order, Snapshot};

use super::{Look, Verdict, breach};
use crate::book::Place;

/// Compares what is shown with a function of the set of commits.
pub fn check(look: &Look<'_>) -> Verdict {
    let expected = look.book.state(&look.seen);
    let mut shown = look.shown.iter().peekable();
    for (place, live) in &expected {
        match shown.next() {
            Some((at, dots)) if at == *place => {
                let is_equal = dots.len() == live.len()
                    && dots.iter().zip(live).all(|((a, left), (b, right))| a == b && left == *right);
                if !is_equal {
                    return Err(differ(
                        look,
                        place,
                        dots.iter().map(|(dot, _)| dot),
                        live.iter().map(|(dot, _)| dot),
                    ));
                }
            }
            Some((at, dots)) if at < *place => {
                return Err(differ(look, at, dots.iter().map(|(dot, _)| dot), [].iter()));
            }
            _ => return Err(differ(look, place, [].iter(), live.iter().map(|(dot, _)| dot))),
        }
    }
    match shown.next() {
        Some((at, dots)) => Err(differ(look, at, dots.iter().map(|(dot, _)| dot), [].iter())),
        None => Ok(()),
    }
}

/// What only the home writes shows as the Handle says it, but where this replica is the home and has written since.
pub fn check_rows(look: &Look<'_>) -> Result<Verdict, replica::Error> {
    let (visible, base) = (look.replica.snapshot(), look.replica.snapshot_of_base());
    if has_decided(look) {
        return Ok(Ok(()));
    }
    for coll in [system::acl(), system::cut(), system::meta(), system::name(), system::invite()] {
        let rows = |snapshot: &Snapshot<MemoryDisk>| {
            let rows = snapshot.scan(coll, &KeyRange::all(), Order::Ascending)?;
            rows.map(|row| row.map(|row| (row.key, row.winner.dot))).collect::<Result<Vec<_>, _>>()
        };
        let (shown, said) = (rows(&visible)?, rows(&base)?);
        if shown != said {
            let what =
                format!("{} shows rows of its home as {shown:?}, but its Handle says {said:?}", look.name);
            return Ok(Err(breach("I1", what)));
        }
    }
    Ok(Ok(()))
}

/// Whoever does not act as the home shows nothing of a home's that no Handle covers. What waits for a flush is in no tail.
pub fn check_rests(look: &Look<'_>) -> Verdict {
    match look.replica.is_flushed() && has_decided(look) {
        true => {
            Err(breach("I1", format!("{} does not act as the home, and shows what it decided", look.name)))
        }
        false => Ok(()),
    }
}

/// Whether a home has written here what no Handle covers.
fn has_decided(look: &Look<'_>) -> bool {
    look.replica.backlog().commits > look.tail().count() as u64
}

fn differ<'a>(
    look: &Look<'_>,
    place: &Place,
    shown: impl Iterator<Item = &'a crdt::Dot>,
    alive: impl Iterator<Item = &'a crdt::Dot>,
) -> super::Breach {
    let list = |dots: Vec<String>| if dots.is_empty() { "nothing".to_owned() } else { dots.join(" ") };
    let shown = list(shown.map(ToString::to_string).collect());
    let alive = list(alive.map(ToString::to_string).collect());
    let key = crdt::key::display(&place.1);
    breach("I1", format!("{} at {key} shows [{shown}], but [{alive}] is alive", look.name))
}
