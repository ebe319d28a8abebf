//! Why a write counts for nothing where its policy is read: only somebody who lies, or does not know the policy, makes one.

use crate::commit::Payload;
use crate::rule::Policy;
use crate::view::counter::Total;
use crate::view::json::Json;
use crate::view::{map, set};

/// Why what was put at a key is passed over, by every replica alike; none: it counts. `bytes` are those of the payload.
pub fn ignored(policy: Policy, key: &[u8], payload: &Payload, bytes: &[u8]) -> Option<&'static str> {
    match policy {
        Policy::Map => ignored_field(key, bytes),
        Policy::OrSet | Policy::GSet => ignored_element(key),
        Policy::TwoPhaseSet => ignored_element(key).or_else(|| {
            let says = |what: &[u8]| *payload == Payload::Inline(what.to_vec());
            let is_word = says(set::ADDED) || says(set::REMOVED);
            (!is_word).then_some("it says neither that the element was added nor that it was removed")
        }),
        Policy::GCounter => match Total::of(payload) {
            None => Some("it is no total of a counter"),
            Some(total) => total.minus.map(|_| "a counter that only grows has no total that could fall"),
        },
        Policy::PnCounter => match Total::of(payload) {
            None => Some("it is no total of a counter"),
            Some(total) if total.minus.is_none() => Some("it does not say what was taken away"),
            Some(_) => None,
        },
        Policy::Lww | Policy::Mv | Policy::Copies | Policy::Text | Policy::List | Policy::Strong => None,
    }
}

fn ignored_field(key: &[u8], bytes: &[u8]) -> Option<&'static str> {
    let Some((_, path)) = map::split(key) else { return Some("no field has such a key") };
    if path.is_empty() {
        return None;
    }
    match Json::decode(bytes) {
        Err(_) => Some("it is no value of a field"),
        Ok(Json::Object(fields)) if !fields.is_empty() => {
            Some("an object with fields is another spelling of these fields")
        }
        Ok(_) => None,
    }
}

fn ignored_element(key: &[u8]) -> Option<&'static str> {
    set::split(key).is_none().then_some("the key names a set and no element of it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Hlc;
    use crate::id::{Dot, WriterId};
    use crate::key::{self, Element};
    use crate::view::{Live, Manner, Shown, show};

    /// Whether a write alone at a key shows nothing.
    fn is_absent(policy: Policy, key: &[u8], payload: &Payload, bytes: &[u8]) -> bool {
        let live = Live { dot: Dot::new(WriterId([1; 24]), 1), hlc: Hlc(1), payload: payload.clone() };
        match policy {
            Policy::Map => {
                let mut parts = map::Parts::default();
                if let Some((_, path)) = map::split(key) {
                    parts.add(path, vec![live], &[bytes.to_vec()]);
                }
                parts == map::Parts::default()
            }
            Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet if set::split(key).is_none() => true,
            // A removal counts, though it shows nothing.
            Policy::TwoPhaseSet => set::two_phase(&[live]) == set::Phase::Absent,
            policy => show(&Manner::of(policy), &[live]) == Shown::Absent,
        }
    }

    #[test]
    fn what_is_ignored_is_what_no_view_shows() {
        let text = |name: &str| Element::Text(name.to_owned());
        let keys = [
            vec![text("k")],
            vec![text("k"), text("f")],
            vec![text("k"), Element::Int(1)],
            vec![text("k"), text("f"), text("g")],
        ];
        let object = Json::Object([("x".to_owned(), Json::Null)].into());
        let totals = [Total { plus: 3, minus: None }, Total { plus: 3, minus: Some(1) }];
        let mut payloads = vec![set::ADDED.to_vec(), set::REMOVED.to_vec(), b"junk".to_vec(), Vec::new()];
        payloads.extend([object.encode(), Json::Object([].into()).encode(), Json::Int(4).encode()]);
        payloads.extend(totals.map(|total| total.encode()));
        let (mut counted, mut passed) = (0, 0);
        for policy in Policy::READ {
            for key in keys.iter().map(|elements| key::encode(elements).expect("short")) {
                for bytes in &payloads {
                    let payload = Payload::Inline(bytes.clone());
                    let reason = ignored(policy, &key, &payload, bytes);
                    let expected = is_absent(policy, &key, &payload, bytes);
                    assert_eq!(reason.is_some(), expected, "{policy} {key:?} {bytes:?} {reason:?}");
                    *if expected { &mut passed } else { &mut counted } += 1;
                }
            }
        }
        assert!(counted > 50 && passed > 50, "{counted} {passed}");
    }
}
