//! Keys and payloads that mean nothing to the policy of their collection, at keys that others write to.

use crdt::view::Json;
use crdt::{Element, Policy, key};

/// What says nothing in a collection of this policy, key and payload; empty where every payload is a value.
pub fn nonsense(policy: Policy) -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = |text: &str| Element::Text(text.to_owned());
    let at = |elements: &[Element], payloads: &[&[u8]]| {
        let key = key::encode(elements).expect("short names");
        payloads.iter().map(|payload| (key.clone(), payload.to_vec())).collect::<Vec<_>>()
    };
    let number = Json::Int(7).encode();
    let of_another_kind = [text("document-0"), Element::Int(7)];
    // A tag that is none, an object that would be another spelling of fields, a float that is no number, an empty payload.
    let no_fields: [&[u8]; 4] =
        [&[0x82, 9, 0], &[0x82, 5, 0x82, 0x41, b'b', 0], &[0x82, 2, 0x48, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0], &[]];
    match policy {
        Policy::GCounter => at(&[text("key-0")], &[b"seven", &[0x82, 5, 5], &[0x18, 7], &[]]),
        Policy::PnCounter => at(&[text("key-0")], &[b"seven", &[5], &[0x83, 5, 5, 5], &[0x82, 5, 5, 5]]),
        Policy::TwoPhaseSet => at(&[text("set"), Element::Int(0)], &[&[7], &[0, 0], &[]]),
        Policy::OrSet | Policy::GSet => at(&[text("set")], &[&[0]]),
        Policy::Map => {
            let fields = at(&[text("document-0"), text("a")], &no_fields);
            fields.into_iter().chain(at(&of_another_kind, &[&number])).collect()
        }
        _ => Vec::new(),
    }
}
