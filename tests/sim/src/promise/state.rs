//! I1: what a reader sees is written minus superseded of exactly the commits that the replica's vector names.

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
