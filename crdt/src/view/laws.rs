//! The laws of every view: equal sets of dots read equal in whatever order they came, and dots that say nothing change
//! nothing.
#![cfg(test)]

use proptest::prelude::*;

use super::copies::copies;
use super::counter::Total;
use super::json::Json;
use super::lww::lww;
use super::map::{Document, Parts};
use super::{Deletes, Live, Manner, Shown, Siblings, show};
use crate::clock::Hlc;
use crate::commit::Payload;
use crate::id::{Class, DeviceId, Dot, WriterId};
use crate::key;
use crate::rule::Policy;

/// Payloads that each policy has a use for, and some that none has.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(super::set::ADDED.to_vec()),
        Just(super::set::REMOVED.to_vec()),
        (0u64..300).prop_map(|plus| Total { plus, minus: None }.encode()),
        (0u64..9, 0u64..9).prop_map(|(plus, minus)| Total { plus, minus: Some(minus) }.encode()),
        (0i64..5).prop_map(|int| Json::Int(int.into()).encode()),
        Just(Json::Object([].into()).encode()),
        prop::collection::vec(any::<u8>(), 0..4),
    ]
}

/// Distinct dots, few devices and times, so that many of them meet; the times of one writer rise.
fn live() -> impl Strategy<Value = Vec<Live>> {
    let dot = (0u8..5, 1u64..4);
    prop::collection::btree_map(dot, (0u64..2, payload()), 0..7).prop_map(|dots| {
        let live = |((writer, seq), (hlc, bytes))| Live {
            dot: Dot::new(WriterId::new(DeviceId([writer / 2; 16]), [writer; 7], Class::Normal), seq),
            hlc: Hlc(2 * seq + hlc),
            payload: Payload::Inline(bytes),
        };
        dots.into_iter().map(live).collect()
    })
}

fn shuffled() -> impl Strategy<Value = (Vec<Live>, Vec<Live>)> {
    live().prop_flat_map(|live| (Just(live.clone()), Just(live).prop_shuffle()))
}

fn bytes_of(live: &[Live]) -> Vec<Vec<u8>> {
    let bytes = |live: &Live| match &live.payload {
        Payload::Inline(bytes) => bytes.clone(),
        Payload::Blob(_) => unreachable!("these payloads are short"),
    };
    live.iter().map(bytes).collect()
}

/// A document whose dots are spread over a few fields that lie in each other.
fn document(live: &[Live], manner: &Manner) -> Document {
    let paths: [&[&str]; 5] = [&[], &["a"], &["a", "b"], &["a", "b", "c"], &["d"]];
    let mut parts = Parts::default();
    for (number, path) in paths.iter().enumerate() {
        let here: Vec<Live> =
            live.iter().filter(|live| live.dot.seq as usize % 5 == number % 5).cloned().collect();
        let bytes = bytes_of(&here);
        parts.add(path.iter().map(|name| (*name).to_owned()).collect(), here, &bytes);
    }
    parts.read(manner)
}

fn says_nothing(policy: Policy, live: &Live) -> bool {
    let alone = std::slice::from_ref(live);
    match policy {
        Policy::GCounter | Policy::PnCounter | Policy::TwoPhaseSet => {
            let is_removal = super::set::two_phase(alone) == super::set::Phase::Removed;
            show(&Manner::of(policy), alone) == Shown::Absent
                && !(policy == Policy::TwoPhaseSet && is_removal)
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn order_of_arrival_is_irrelevant((one, other) in shuffled()) {
        for policy in Policy::READ {
            prop_assert_eq!(show(&Manner::of(policy), &one), show(&Manner::of(policy), &other), "{}", policy);
        }
        let key = key::plain(b"k");
        prop_assert_eq!(copies(&key, &one), copies(&key, &other));
        for deletes in [Deletes::Hide, Deletes::Revive] {
            let manner = Manner { policy: Policy::Map, siblings: Siblings::Replace, deletes };
            prop_assert_eq!(document(&one, &manner), document(&other, &manner));
        }
    }

    #[test]
    fn payloads_that_say_nothing_change_nothing(live in live()) {
        for policy in Policy::READ {
            let manner = Manner::of(policy);
            let said: Vec<Live> = live.iter().filter(|live| !says_nothing(policy, live)).cloned().collect();
            prop_assert_eq!(show(&manner, &live), show(&manner, &said), "{}", policy);
        }
    }

    #[test]
    fn register_views_show_every_live_dot_and_only_those(live in live()) {
        let mut dots: Vec<Dot> = live.iter().map(|live| live.dot).collect();
        dots.sort_unstable();
        for policy in [Policy::Lww, Policy::Mv, Policy::Copies] {
            let mut shown: Vec<Dot> = match show(&Manner::of(policy), &live) {
                Shown::One(winner, losers) => losers.iter().chain([&winner]).map(|live| live.dot).collect(),
                Shown::Many(all) => all.iter().map(|live| live.dot).collect(),
                _ => Vec::new(),
            };
            shown.sort_unstable();
            prop_assert_eq!(&shown, &dots);
        }
    }

    #[test]
    fn each_loser_has_a_name_that_no_other_has(live in live()) {
        let key = key::plain(b"k");
        let copies = copies(&key, &live).expect("a short key");
        let mut names: Vec<&[u8]> = copies.iter().map(|copy| copy.key.as_slice()).collect();
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), lww(&live).map_or(0, |reading| reading.losers.len()));
        for copy in &copies {
            prop_assert_eq!(super::copies::original(&copy.key), Some(key.clone()));
        }
    }

    #[test]
    fn every_live_field_is_shown_or_hidden(live in live()) {
        let manner = Manner::of(Policy::Map);
        let Document { value, hidden, .. } = document(&live, &manner);
        let Some(Json::Object(shown)) = value else { return Ok(()) };
        let shown = super::map::flatten(&shown);
        for path in &hidden {
            prop_assert!(!shown.contains_key(path), "{path:?} is shown and hidden");
        }
    }
}
