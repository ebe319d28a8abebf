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
pub(crate) fn body(bytes: &[u8]) {
    json::<types::ImportBatch>(bytes);
    json::<types::Entry>(bytes);
    json::<types::CreateSpace>(bytes);
    json::<types::CreateCollection>(bytes);
    json::<types::Invite>(bytes);
    json::<types::Join>(bytes);
    json::<types::PeerChoice>(bytes);
    json::<types::PeerAdd>(bytes);
    json::<types::Status>(bytes);
    json::<types::Problem>(bytes);
    if let Ok(value) = serde_json::from_slice::<types::Value>(bytes)
        && let Some(bytes) = value.to_bytes()
    {
        assert_eq!(types::Value::from_bytes(&bytes).to_bytes(), Some(bytes), "a value became another");
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
