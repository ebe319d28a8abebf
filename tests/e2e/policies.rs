//! Every policy on two real devices that write apart, and over HTTP.

use super::harness::{Daemon, Place, agree, apart, home, joined, siblings};
use super::http::Connection;

fn both(place: &str, policy: &str, options: &[&str]) -> (Place, Daemon, Daemon) {
    let place = Place::new(place);
    let home = home(&place);
    let create = ["collection", "create", "telemetry/things", "--policy", policy];
    home.ok(&[&create, options].concat());
    let device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    (place, home, device)
}

#[track_caller]
fn reads(daemons: [&Daemon; 2], key: &str, expected: &str) {
    for daemon in daemons {
        assert_eq!(daemon.get("telemetry/things", key).as_deref(), Some(expected));
    }
}

#[test]
fn counters_and_sets_add_up_and_refuse_other_verbs() {
    let (_place, home, device) = both("policies-count", "pn-counter", &[]);
    let things = "telemetry/things";
    let incr = |by: &'static str| ["incr", things, "k", by];
    apart(&home, &device, &[&incr("5"), &incr("-2")], &[&incr("10")]);
    reads([&home, &device], "k", "13");
    let error = home.fails(2, &["put", things, "k", "7"]);
    assert_eq!((error["type"].as_str(), error["cure"].is_string()), (Some("wrong-verb"), true));
    home.fails(2, &["delete", things, "k"]);
    home.ok(&["collection", "create", "telemetry/tags", "--policy", "or-set"]);
    agree(&[&home, &device]);
    home.ok(&["add", "telemetry/tags", "s", "x"]);
    agree(&[&home, &device]);
    let (add, remove) = (["add", "telemetry/tags", "s", "x"], ["remove", "telemetry/tags", "s", "x"]);
    apart(&home, &device, &[&add], &[&remove]);
    assert_eq!(device.get("telemetry/tags", "s").as_deref(), Some("[\"x\"]"));
    device.ok(&remove);
    assert_eq!(device.get("telemetry/tags", "s"), None);
    let error = home.fails(2, &["delete", things, "never"]);
    assert_eq!(error["type"], "wrong-verb", "before whether anything is there: {error}");
    home.fails(3, &["delete", "telemetry/tags", "never"]);
    device.fails(3, &remove);
}

#[test]
fn registers_show_all_or_keep_copies_and_the_home_switches_between_them() {
    let (_place, home, device) = both("policies-mv", "mv", &[]);
    let things = "telemetry/things";
    apart(&home, &device, &[&["put", things, "k", "here"]], &[&["put", things, "k", "there"]]);
    let shown = device.json(&["get", things, "k"]);
    assert_eq!((shown["siblings"].as_u64(), shown["value"].as_array().map(Vec::len)), (Some(2), Some(2)));
    assert_eq!(home.json(&["get", things, "k"]), shown);
    device.fails(4, &["collection", "set", things, "--view", "copies"]);
    home.ok(&["collection", "set", things, "--view", "copies"]);
    agree(&[&home, &device]);
    let keys = |daemon: &Daemon| daemon.ok(&["scan", things, "--keys-only", "--json"]);
    assert_eq!((keys(&device).lines().count(), keys(&device)), (2, keys(&home)));
    let copy: serde_json::Value =
        serde_json::from_str(keys(&home).lines().nth(1).expect("a copy")).expect("an entry");
    let copy = copy["key"].as_str().expect("text");
    assert!(copy.starts_with("k~conflict~"), "{copy}");
    home.fails(4, &["put", things, copy, "x"]);
    home.ok(&["delete", things, copy]);
    assert_eq!(keys(&home).lines().count(), 1);
    home.fails(2, &["collection", "set", things, "--view", "map"]);
}

#[test]
fn a_context_replaces_what_its_read_saw_and_leaves_what_came_after() {
    let (_place, home, device) = both("policies-context", "mv", &[]);
    let things = "telemetry/things";
    let context = |daemon: &Daemon| {
        let entry = daemon.json(&["get", things, "k"]);
        entry["context"].as_str().expect("a context").to_owned()
    };
    let both_show = |expected: &[&str]| {
        agree(&[&home, &device]);
        for daemon in [&home, &device] {
            let mut shown = siblings(daemon, things, "k");
            shown.sort();
            assert_eq!(shown, expected);
        }
    };
    apart(&home, &device, &[&["put", things, "k", "here"]], &[&["put", things, "k", "there"]]);
    let old = context(&device);
    assert_eq!(context(&home), old, "they see the same");
    let listed = device.ok(&["get", things, "k", "--all"]);
    assert!(listed.ends_with(&format!("\ncontext  {old}\n")), "{listed}");

    // Its writer reads; somebody else writes; then it writes in place of what it has read.
    home.ok(&["put", things, "k", "newer"]);
    agree(&[&home, &device]);
    device.ok(&["put", things, "k", "merged", "--context", &old]);
    both_show(&["merged", "newer"]);
    // What it names is gone, and so it replaces nothing.
    home.ok(&["put", things, "k", "again", "--context", &old]);
    both_show(&["again", "merged", "newer"]);
    // Nor does it take anything away that its reader has not seen.
    let told = |daemon: &Daemon| daemon.ok(&["watch", "telemetry", "--from", "oldest", "--no-follow"]);
    let before = [told(&home), told(&device)];
    let error = home.fails(4, &["delete", things, "k", "--context", &old]);
    assert_eq!((error["type"].as_str(), error["cure"].is_string()), (Some("outdated-context"), true));
    let header = format!("strandline-context: {old}\r\n");
    let mut connection = Connection::open(home.data()).expect("the socket");
    let path = "/v1/spaces/telemetry/collections/things/keys/k";
    let answer = connection.request_with("DELETE", path, &header, b"").expect("an answer");
    assert_eq!((answer.status, answer.problem().as_str()), (409, "outdated-context"));
    both_show(&["again", "merged", "newer"]);
    assert_eq!([told(&home), told(&device)], before, "nothing was written");
    let three = context(&device);
    home.ok(&["put", things, "k", "fourth", "--context", &old]);
    agree(&[&home, &device]);
    let deleted = device.ok(&["delete", things, "k", "--context", &three]);
    assert_eq!(deleted, "deleted what was seen of telemetry/things k\n");
    both_show(&["fourth"]);
    device.ok(&["put", things, "k", "agreed", "--context", &context(&device)]);
    both_show(&["agreed"]);

    // What its writer has not seen, as after a restore of an older folder, is not here either.
    device.ok(&["peer", "pause", "--all"]);
    home.ok(&["put", things, "k", "ahead"]);
    let ahead = device.fails(5, &["put", things, "k", "x", "--context", &context(&home)]);
    assert_eq!((ahead["type"].as_str(), ahead["cure"].is_string()), (Some("stale"), true));
    let ahead = device.fails(5, &["delete", things, "k", "--context", &context(&home)]);
    assert_eq!(ahead["type"], "stale");
    device.ok(&["peer", "resume", "--all"]);

    for malformed in ["", "k", "gYJY", "ünlesbar", &old[1..], &format!("{old}A")] {
        for verb in [&["put", things, "k", "x"][..], &["delete", things, "k"]] {
            let error = home.fails(2, &[verb, &["--context", malformed]].concat());
            assert_eq!(error["type"], "bad-context", "{malformed:?}: {error}");
            let message = error["message"].as_str().expect("text");
            assert!(message.contains("not one that a read returned") && error["cure"].is_string(), "{error}");
        }
    }
    let mut connection = Connection::open(home.data()).expect("the socket");
    for (method, path) in [("PATCH", "keys/k"), ("POST", "keys/k"), ("DELETE", "keys?prefix=k")] {
        let path = format!("/v1/spaces/telemetry/collections/things/{path}");
        let header = format!("strandline-context: {old}\r\n");
        let answer = connection.request_with(method, &path, &header, b"{}").expect("an answer");
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).expect("a problem");
        assert_eq!((answer.status, problem["type"].as_str()), (400, Some("bad-context")), "{method}");
    }
    for (name, policy) in [("tasks", "map"), ("tags", "or-set"), ("stock", "pn-counter")] {
        let target = format!("telemetry/{name}");
        home.ok(&["collection", "create", &target, "--policy", policy]);
        let error = home.fails(2, &["put", &target, "k", "{}", "--context", &old]);
        assert_eq!(error["type"], "wrong-verb");
        assert!(error["message"].as_str().expect("text").ends_with("put with a context"), "{error}");
        let wish =
            if policy == "map" { vec!["put", &target, "k", "{}"] } else { vec!["add", &target, "k", "x"] };
        if policy != "pn-counter" {
            home.ok(&wish);
            let error = home.fails(2, &["delete", &target, "k", "--context", &old]);
            assert_eq!(error["type"], "wrong-verb");
        }
    }
    both_show(&["ahead"]);
}

#[test]
fn documents_merge_by_field_and_are_patched_over_http() {
    let (_place, home, device) = both("policies-map", "map", &[]);
    let things = "telemetry/things";
    let put = |json: &'static str| ["put", things, "t", json];
    home.ok(&put(r#"{"title":"old","done":false}"#));
    agree(&[&home, &device]);
    let (here, there) =
        (put(r#"{"title":"new","done":false}"#), put(r#"{"title":"old","done":true,"at":{"room":7}}"#));
    apart(&home, &device, &[&here], &[&there]);
    reads([&home, &device], "t", r#"{"at":{"room":7},"done":true,"title":"new"}"#);
    assert_eq!(home.fails(2, &put("[1]"))["type"], "not-a-document");

    let mut connection = Connection::open(home.data()).expect("the socket");
    let path = "/v1/spaces/telemetry/collections/things/keys/t";
    let mut patch = |kind: &str, body: &str| {
        let kind = format!("content-type: {kind}\r\n");
        connection.request_with("PATCH", path, &kind, body.as_bytes()).expect("an answer").status
    };
    let (merge, json_patch) = ("application/merge-patch+json", "application/json-patch+json");
    assert_eq!(patch(merge, r#"{"at":null,"tags":["a"]}"#), 200);
    assert_eq!(patch(json_patch, r#"[{"op":"test","path":"/done","value":false}]"#), 409);
    assert_eq!(patch(json_patch, r#"[{"op":"add","path":"/tags/-","value":"b"}]"#), 200);
    assert_eq!(patch("text/plain", "{}"), 415);
    agree(&[&home, &device]);
    reads([&home, &device], "t", r#"{"done":true,"tags":["a","b"],"title":"new"}"#);

    apart(&home, &device, &[&["delete", things, "t"]], &[&["put", things, "t", r#"{"title":"late"}"#]]);
    assert_eq!([home.get(things, "t"), device.get(things, "t")], [None, None]);
    home.ok(&put(r#"{"a":1}"#));
    home.ok(&["rename", things, "t", "u"]);
    agree(&[&home, &device]);
    reads([&home, &device], "u", r#"{"a":1}"#);
    device.fails(3, &["rename", things, "t", "v"]);
}

#[test]
fn a_prefix_is_deleted_in_one_step_and_a_name_moves_in_one() {
    let (_place, home, device) = both("policies-prefix", "lww", &[]);
    let things = "telemetry/things";
    for key in ["a/1", "a/2", "b"] {
        home.ok(&["put", things, key, key]);
    }
    assert_eq!(home.json(&["delete", things, "--prefix", "a/"])["keys"], 2);
    home.ok(&["put", things, "b", "b", "--wait", "anchored"]);
    let nothing = home.json(&["delete", things, "--prefix", "a/"]);
    assert_eq!((&nothing["keys"], nothing["dot"].is_string()), (&0.into(), false), "{nothing}");
    assert_eq!(home.space()["tail_commits"], 0, "nothing was written");
    home.ok(&["rename", things, "b", "c"]);
    home.ok(&["put", things, "d", "x"]);
    assert_eq!(home.fails(4, &["rename", things, "c", "d"])["type"], "key-taken");
    home.ok(&["rename", things, "c", "d", "--force"]);
    agree(&[&home, &device]);
    let left: Vec<_> = ["a/1", "a/2", "b", "c", "d"].map(|key| device.get(things, key)).into();
    assert_eq!(left, [None, None, None, None, Some("b".to_owned())]);
}
