//! Sets: each element is a key of its own, under the name of its set.

use crate::commit::Payload;
use crate::error::KeyProblem;
use crate::key::{self, Element};
use crate::view::lww::Live;
use planted::Bug;

/// The payload of an element that is in a set.
pub const ADDED: &[u8] = &[0];

/// The payload that takes an element out of a two-phase set for good.
pub const REMOVED: &[u8] = &[1];

/// Where an element of a two-phase set stands. It only goes forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was never added.
    Absent,
    /// It is in the set.
    Present,
    /// It was taken out, and stays out.
    Removed,
}

/// The key of an element in a set.
pub fn key_of(set: &Element, element: &[Element]) -> Result<Vec<u8>, KeyProblem> {
    if element.is_empty() {
        return Err(KeyProblem::Count);
    }
    key::encode(&[std::slice::from_ref(set), element].concat())
}

/// The set that a key belongs to, and its element there. A key of one element names a set, and nothing in it.
pub fn split(key: &[u8]) -> Option<(Element, Vec<Element>)> {
    let mut elements = key::decode(key).ok()?;
    let set = elements.remove(0);
    (!elements.is_empty()).then_some((set, elements))
}

/// Where an element of a two-phase set stands: a removal is never superseded, so it counts whenever it was made.
pub fn two_phase(live: &[Live]) -> Phase {
    let says =
        |what: &[u8]| live.iter().any(|live| matches!(&live.payload, Payload::Inline(said) if said == what));
    match (says(ADDED), says(REMOVED)) {
        (true, true) if planted::is(Bug::ForgetRemoval) => Phase::Present,
        (_, true) => Phase::Removed,
        (true, false) => Phase::Present,
        (false, false) => Phase::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hlc;
    use crate::id::{Dot, WriterId};

    fn live(writer: u8, payload: &[u8]) -> Live {
        Live {
            dot: Dot::new(WriterId([writer; 24]), 1),
            hlc: Hlc(1),
            payload: Payload::Inline(payload.to_vec()),
        }
    }

    #[test]
    fn element_that_was_removed_stays_removed_and_other_payloads_say_nothing() {
        let (added, removed, other) = (live(1, ADDED), live(2, REMOVED), live(3, b"x"));
        assert_eq!(two_phase(&[]), Phase::Absent);
        assert_eq!(two_phase(std::slice::from_ref(&other)), Phase::Absent);
        assert_eq!(two_phase(&[added.clone(), other.clone()]), Phase::Present);
        assert_eq!(two_phase(&[removed.clone(), added]), Phase::Removed);
        assert_eq!(two_phase(&[removed, other]), Phase::Removed);
    }

    #[test]
    fn key_of_an_element_says_its_set() {
        let (set, element) = (Element::Text("colours".to_owned()), [Element::Int(3)]);
        let key = key_of(&set, &element).expect("a short key");
        assert_eq!(split(&key), Some((set.clone(), element.to_vec())));
        assert_eq!(split(&key::plain(b"colours")), None);
        assert_eq!(key_of(&set, &[]), Err(KeyProblem::Count));
    }
}
