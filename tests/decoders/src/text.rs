//! What a person or a program writes: keys, HTTP bodies, settings.

use serde::Serialize;
use serde::de::DeserializeOwned;
use strandline::api::types;
use strandline::config::Settings;
use strandline::keytext::{self, Key};

/// A key as text and as bytes: what is printed reads back as the same key.
pub(crate) fn key(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(key) = Key::parse_json(text) {
            read_back(&key);
        }
        drop(keytext::prefix(text));
        // An offset may lead out of the years that have four digits.
        if let Some((micros, text)) =
            keytext::time::parse(text).and_then(|at| Some((at, keytext::time::format(at)?)))
        {
            assert_eq!(keytext::time::parse(&text), Some(micros), "{text} is another time");
        }
        let _ = strandline::config::parse_span(text);
    }
    if crdt::key::check(bytes).is_ok() {
        read_back(&Key(bytes.to_vec()));
    }
}

fn read_back(key: &Key) {
    let json = serde_json::to_string(key).expect("every key has a JSON");
    assert_eq!(Key::parse_json(&json).as_ref(), Ok(key), "{json} is another key");
    assert_eq!(serde_json::from_str::<Key>(&json).expect("its own JSON"), *key, "{json} is another key");
}

/// The body of a request or an answer: what reads is written so that it reads as the same.
///
/// Text has more than one way to say a thing, so that it is not the bytes that come back: what was written reads, and what
/// that reads as is written as the same bytes.
pub(crate) fn body(bytes: &[u8]) {
    requests(bytes);
    json::<types::Entry>(bytes);
    json::<types::Status>(bytes);
    json::<types::Problem>(bytes);
    if let Ok(value) = serde_json::from_slice::<types::Value>(bytes)
        && let Some(bytes) = value.to_bytes()
    {
        assert_eq!(types::Value::from_bytes(&bytes).to_bytes(), Some(bytes), "a value became another");
    }
}

/// Every body that a request may have, but for patches and plain values.
fn requests(bytes: &[u8]) {
    json::<types::Claim>(bytes);
    json::<types::CreateCollection>(bytes);
    json::<types::CreateSpace>(bytes);
    json::<types::Handover>(bytes);
    json::<types::ImportBatch>(bytes);
    json::<types::Invite>(bytes);
    json::<types::Join>(bytes);
    json::<types::KeyVerb>(bytes);
    json::<types::Leave>(bytes);
    json::<types::PeerAdd>(bytes);
    json::<types::PeerChoice>(bytes);
    json::<types::Resolve>(bytes);
    json::<types::Revoke>(bytes);
    json::<types::SetRetention>(bytes);
    json::<types::SetView>(bytes);
    json::<types::Transact>(bytes);
    if let Ok(types::KeyVerb::Add(element) | types::KeyVerb::Remove(element)) = serde_json::from_slice(bytes)
        && let Ok(key) = Key::parse_json(&element.to_string())
    {
        read_back(&key);
    }
}

/// The two kinds of patches of a document, each made to one that has something to patch: neither takes more memory than
/// stated, and a merge patch that comes twice changes nothing more.
pub(crate) fn patch(bytes: &[u8]) {
    let document = || serde_json::json!({"a": {"b": [1, "x", null], "c": true}, "d": "text"});
    json::<json_patch::Patch>(bytes);
    if let Ok(patch) = serde_json::from_slice::<json_patch::Patch>(bytes) {
        let mut patched = document();
        if strandline::document::patch(&mut patched, &patch).is_ok() {
            let text = serde_json::to_vec(&patched).expect("a document can be written");
            drop(strandline::document::parse(&text));
        }
    }
    if let Ok(patch) = serde_json::from_slice::<serde_json::Value>(bytes) {
        let mut once = document();
        json_patch::merge(&mut once, &patch);
        let mut twice = once.clone();
        json_patch::merge(&mut twice, &patch);
        assert_eq!(once, twice, "a merge patch that comes again changes more");
    }
}

fn json<T: DeserializeOwned + Serialize>(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return };
    let once = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&once).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("the same"), once, "it reads as something else");
}

/// `strandline.yaml`. It is never written by the program, so that it reads the same twice is all there is to ask.
pub(crate) fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match (Settings::parse(text), Settings::parse(text)) {
        (Ok(once), Ok(twice)) => {
            assert_eq!(once, twice);
            drop(once.notices());
        }
        (Err(once), Err(twice)) => assert_eq!(once.to_string(), twice.to_string()),
        _ => panic!("read twice, refused once"),
    }
}
