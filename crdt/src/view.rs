//! Pure readings of the live dots of a key, one module for each policy.
//!
//! Each is a function of the *set* of dots: no order, clock or arrival enters it, so equal states read equal. A payload
//! that is none for its policy is passed over, everywhere alike; only somebody who lies writes one.

pub mod copies;
pub mod counter;
mod ignored;
pub mod json;
mod laws;
pub mod lww;
pub mod manner;
pub mod map;
pub mod mv;
pub mod set;

pub use ignored::ignored;
pub use json::Json;
pub use lww::Live;
pub use manner::{Deletes, Manner, Siblings};

use crate::rule::Policy;
use planted::Bug;

/// What a key reads as, by the policy of its collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// Nothing is there.
    Absent,
    /// One value, and what it won against, the highest first.
    One(&'a Live, Vec<&'a Live>),
    /// Values that nobody has chosen between, the highest first.
    Many(Vec<&'a Live>),
    /// The element of a set.
    Present,
    /// A counter.
    Count(i128),
}

/// Reads one key. Of a document it is one field ([`map`] puts them together), of a set one element.
pub fn show<'a>(manner: &Manner, live: &'a [Live]) -> Shown<'a> {
    let by_rank = lww::by_rank(live);
    match manner.policy {
        _ if live.is_empty() => Shown::Absent,
        Policy::Mv => Shown::Many(by_rank),
        Policy::Map if manner.siblings == Siblings::Show => Shown::Many(by_rank),
        Policy::GSet if planted::is(Bug::AddedTwice) && live.len() > 1 => Shown::Absent,
        Policy::OrSet | Policy::GSet => Shown::Present,
        Policy::TwoPhaseSet if set::two_phase(live) == set::Phase::Present => Shown::Present,
        Policy::TwoPhaseSet => Shown::Absent,
        Policy::GCounter => counter::grown(live).map_or(Shown::Absent, Shown::Count),
        Policy::PnCounter => counter::balance(live).map_or(Shown::Absent, Shown::Count),
        Policy::Lww | Policy::Copies | Policy::Map | Policy::Text | Policy::List | Policy::Strong => {
            Shown::One(by_rank[0], by_rank[1..].to_vec())
        }
    }
}
