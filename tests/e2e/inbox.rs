//! What lost is listed, shown and settled, alike on every device.

use super::harness::{Daemon, Place, agree, home, joined, siblings};
use serde_json::Value;

/// Two devices that wrote the same keys apart and have met since.
fn apart(place: &Place, writes: &[(&str, Option<&str>, &str, &str)]) -> (Daemon, Daemon) {
    let home = home(place);
    let device = joined(place, "device", &home);
    for (key, before, _, _) in writes {
        if let Some(before) = before {
            home.ok(&["put", "telemetry/readings", key, before]);
        }
    }
    agree(&[&home, &device]);
    device.ok(&["peer", "pause", "--all"]);
    for (key, _, here, there) in writes {
        home.ok(&["put", "telemetry/readings", key, here]);
        device.ok(&["put", "telemetry/readings", key, there]);
    }
    device.ok(&["peer", "resume", "--all"]);
    agree(&[&home, &device]);
    (home, device)
}

/// `conflicts --json` with these arguments, a document a line.
fn conflicts(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let text = daemon.ok(&[&["conflicts", "--json"], arguments].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect()
}

fn id(conflict: &Value) -> &str {
    conflict["id"].as_str().expect("an id")
}

fn open(daemon: &Daemon) -> u64 {
    daemon.json(&["status"])["conflicts"]["open"].as_u64().expect("a count")
}

#[test]
fn both_sides_are_shown_and_one_is_picked() {
    let place = Place::new("inbox-pick");
    let (home, device) = apart(
        &place,
        &[
            ("mode", Some("off"), "eco", "sport"),
            ("same", Some("1"), "2", "2"),
            ("note", None, "a\nb\n", "a\nc\n"),
        ],
    );
    for daemon in [&home, &device] {
        let all = conflicts(daemon, &[]);
        let keys: Vec<&str> = all.iter().map(|one| one["key"].as_str().expect("text")).collect();
        assert_eq!(keys, ["mode", "note"], "equal content is no conflict");
        assert_eq!(open(daemon), 2);
    }
    assert_eq!(conflicts(&home, &[]), conflicts(&home, &["telemetry", "--kind", "siblings"]));
    assert_eq!(conflicts(&home, &["--key", "note"]).len(), 1);
    assert_eq!(conflicts(&home, &["--kind", "rejected"]).len(), 0);
    home.ok(&["collection", "create", "telemetry/other"]);
    assert_eq!(conflicts(&home, &["--collection", "other"]).len(), 0);

    let listed = &conflicts(&device, &["--key", "mode"])[0];
    assert_eq!(listed["space"], "telemetry");
    assert_eq!((&listed["collection"], &listed["policy"]), (&"readings".into(), &"lww".into()));
    assert_eq!((&listed["winner"]["value"], &listed["losers"][0]["value"]), (&"sport".into(), &"eco".into()));
    assert_eq!((&listed["winner"]["here"], &listed["losers"][0]["here"]), (&true.into(), &false.into()));
    let same = conflicts(&home, &["--key", "mode"]);
    assert_eq!(id(listed), id(&same[0]), "an id is the same everywhere");

    let shown = device.json(&["conflicts", "show", id(listed)]);
    assert_eq!(shown["ancestor"]["value"], "off");
    assert_eq!(shown["losers"][0]["diff"], "--- shown\n+++ lost\n@@ -1 +1 @@\n-sport\n+eco\n");
    let text = device.ok(&["conflicts", "show", id(listed)]);
    for part in ["where     telemetry/readings mode", "winner  sport", "this one", "before  off", "-sport"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }

    let settled = home.json(&["resolve", id(listed), "--pick", "1"]);
    assert_eq!(settled["outcome"], "picked");
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        assert_eq!(siblings(daemon, "telemetry/readings", "mode"), ["eco"]);
        assert_eq!(open(daemon), 1);
        let error = daemon.fails(4, &["resolve", id(listed), "--pick", "1"]);
        assert_eq!(error["type"], "conflict-settled");
        daemon.fails(3, &["conflicts", "show", id(listed)]);
    }
    assert!(home.ok(&["conflicts"]).contains("note"));
    home.fails(2, &["resolve", id(listed)]);
    home.fails(3, &["discard", "nothing"]);
}

#[test]
fn json_is_merged_against_what_all_had_seen() {
    let place = Place::new("inbox-merge");
    let before = r#"{"title":"a","done":false}"#;
    let (home, device) = apart(
        &place,
        &[
            ("both", Some(before), r#"{"title":"b","done":false}"#, r#"{"title":"a","done":true}"#),
            ("clash", Some(before), r#"{"title":"b","done":false}"#, r#"{"title":"c","done":false}"#),
            ("edit", Some("1"), "2", "3"),
            ("drop", Some("1"), "2", "3"),
        ],
    );
    let at = |key: &str| id(&conflicts(&device, &["--key", key])[0]).to_string();
    let ids = ["both", "clash", "edit", "drop"].map(at);
    assert_eq!(device.json(&["resolve", &ids[0], "--merge"])["outcome"], "merged");
    let error = device.fails(4, &["resolve", &ids[1], "--merge"]);
    assert_eq!(error["type"], "conflict-unsettled");
    assert!(error["message"].as_str().expect("text").contains("/title"), "{error}");
    assert_eq!(device.json(&["resolve", &ids[2], "--value", "23"])["outcome"], "edited");
    assert_eq!(device.json(&["discard", &ids[3]])["outcome"], "discarded");
    agree(&[&home, &device]);
    assert_eq!(siblings(&home, "telemetry/readings", "both"), [r#"{"done":true,"title":"b"}"#]);
    assert_eq!(siblings(&home, "telemetry/readings", "edit"), ["23"]);
    assert_eq!(siblings(&home, "telemetry/readings", "drop"), ["3"]);
    assert_eq!(open(&home), 1, "what could not be merged stays");
}

#[test]
fn two_who_settle_at_once_conflict_again() {
    let place = Place::new("inbox-twice");
    let (home, device) = apart(&place, &[("mode", Some("off"), "eco", "sport")]);
    let first = conflicts(&home, &[]);
    device.ok(&["peer", "pause", "--all"]);
    home.ok(&["resolve", id(&first[0]), "--value", "by home"]);
    device.ok(&["resolve", id(&first[0]), "--value", "by device"]);
    device.ok(&["peer", "resume", "--all"]);
    agree(&[&home, &device]);
    let second = conflicts(&home, &[]);
    assert_eq!(second.len(), 1);
    assert_ne!(id(&first[0]), id(&second[0]), "it is another conflict");
    assert_eq!(second[0]["losers"][0]["value"], "by home");
    home.fails(4, &["discard", id(&first[0])]);
    home.ok(&["discard", id(&second[0])]);
    for scope in [&["conflicts"][..], &["conflicts", "telemetry"]] {
        let error = home.fails(2, &[scope, &["--kind", "sibling"]].concat());
        assert!(error["cure"].as_str().expect("text").contains("siblings, deleted"), "{error}");
        let error = home.fails(3, &[scope, &["--collection", "nowhere"]].concat());
        assert_eq!(error["type"], "collection-missing");
    }
    home.ok(&["space", "create", "other"]);
    home.ok(&["conflicts", "--collection", "readings"]);
    agree(&[&home, &device]);
    assert_eq!(conflicts(&device, &[]).len(), 0);
}
