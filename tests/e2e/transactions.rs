//! Every verb in a transaction over HTTP: all of it on both devices in one commit, or none of it and a refusal that names the write.

use super::harness::{Daemon, Place, agree, apart, home, joined, siblings};
use super::http::{Answer, Connection};
use serde_json::{Value, json};

const COLLECTIONS: [(&str, &str); 6] = [
    ("modes", "mv"),
    ("tasks", "map"),
    ("stock", "pn-counter"),
    ("visits", "g-counter"),
    ("tags", "or-set"),
    ("gone", "2p-set"),
];

fn post(daemon: &Daemon, writes: &[Value]) -> Answer {
    let mut connection = Connection::open(daemon.data()).expect("the socket");
    let body = json!({ "writes": writes }).to_string();
    connection.request("POST", "/v1/spaces/telemetry/transactions", body.as_bytes()).expect("an answer")
}

/// The status, the type, and the detail of a refusal.
fn refusal(daemon: &Daemon, writes: &[Value]) -> (u16, String, String) {
    let answer = post(daemon, writes);
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
    (answer.status, answer.problem(), problem["detail"].as_str().expect("text").to_string())
}

fn write(collection: &str, key: &str, verb: &str, what: impl Into<Value>) -> Value {
    json!({ "collection": collection, "key": key, verb: what.into() })
}

fn both(place: &Place) -> (Daemon, Daemon) {
    let home = home(place);
    for (name, policy) in COLLECTIONS {
        home.ok(&["collection", "create", &format!("telemetry/{name}"), "--policy", policy]);
    }
    let device = joined(place, "device", &home);
    agree(&[&home, &device]);
    (home, device)
}

#[test]
fn every_verb_lands_together_on_every_device() {
    let place = Place::new("transactions-verbs");
    let (home, device) = both(&place);
    let modes = "telemetry/modes";
    home.ok(&["put", "telemetry/tasks", "t", r#"{"title":"a","done":false}"#]);
    home.ok(&["put", "telemetry/tasks", "u", r#"{"list":["a"]}"#]);
    home.ok(&["add", "telemetry/tags", "s", "old"]);
    agree(&[&home, &device]);
    apart(&home, &device, &[&["put", modes, "k", "here"]], &[&["put", modes, "k", "there"]]);
    let context = home.json(&["get", modes, "k"])["context"].as_str().expect("a context").to_string();
    device.ok(&["put", modes, "k", "later", "--context", "gA"]);
    agree(&[&home, &device]);

    let seen = json!({ "collection": "modes", "key": "k", "value": "merged", "context": context });
    let before = told(&home);
    let answer = post(
        &home,
        &[
            seen,
            write("tasks", "t", "patch", json!({ "done": true })),
            write("tasks", "u", "patch", json!([{ "op": "add", "path": "/list/-", "value": "b" }])),
            write("stock", "apples", "increment", -3),
            write("visits", "door", "increment", 2),
            write("tags", "s", "add", "new"),
            write("tags", "s", "remove", "old"),
            write("gone", "s", "add", json!(["x", 7])),
            write("readings", "plain", "value", "1"),
        ],
    );
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(told(&home), before + 1, "one commit");
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        let get = |collection: &str, key: &str| daemon.get(&format!("telemetry/{collection}"), key);
        let shown =
            ["tasks t", "tasks u", "stock apples", "visits door", "tags s", "readings plain"].map(|at| {
                at.split_once(' ').and_then(|(collection, key)| get(collection, key)).unwrap_or_default()
            });
        let expected =
            [r#"{"done":true,"title":"a"}"#, r#"{"list":["a","b"]}"#, "-3", "2", r#"["new"]"#, "1"];
        assert_eq!(shown, expected);
        assert_eq!(get("gone", "s").as_deref(), Some(r#"[["x",7]]"#));
        let mut modes = siblings(daemon, modes, "k");
        modes.sort();
        assert_eq!(modes, ["later", "merged"], "what the context had not seen stays");
    }
}

#[test]
fn one_write_that_cannot_be_refuses_all_and_is_named() {
    let place = Place::new("transactions-refused");
    let (home, _device) = both(&place);
    let modes = "telemetry/modes";
    home.ok(&["put", modes, "k", "old"]);
    let context = home.json(&["get", modes, "k"])["context"].as_str().expect("a context").to_string();
    home.ok(&["put", modes, "k", "new"]);
    home.ok(&["add", "telemetry/gone", "s", "x"]);
    home.ok(&["remove", "telemetry/gone", "s", "x"]);
    let fine = write("readings", "fine", "value", "1");
    let seen = |collection: &str, key: &str, value: Value| json!({ "collection": collection, "key": key, "value": value, "context": context });
    let mut far = seen("modes", "k", "x".into());
    far["context"] = home.json(&["get", "telemetry/modes", "k"])["context"].clone();
    let unknown = json!({ "collection": "modes", "key": "k" });
    let twice = json!({ "collection": "stock", "key": "k", "increment": 1, "value": "1" });
    let adorned = json!({ "collection": "stock", "key": "k", "increment": 1, "context": context });
    let before = told(&home);
    for (refused, status, kind) in [
        (write("stock", "k", "value", "7"), 422, "wrong-verb"),
        (write("stock", "k", "value", Value::Null), 422, "wrong-verb"),
        (write("visits", "k", "increment", -1), 422, "wrong-verb"),
        (write("modes", "k", "increment", 1), 422, "wrong-verb"),
        (write("modes", "k", "add", "x"), 422, "wrong-verb"),
        (write("modes", "k", "patch", json!({})), 422, "wrong-verb"),
        (write("readings", "k", "remove", "x"), 422, "wrong-verb"),
        (seen("tasks", "t", json!({})), 422, "wrong-verb"),
        (write("tasks", "t", "value", "[1]"), 422, "not-a-document"),
        (
            write("tasks", "t", "patch", json!([{ "op": "test", "path": "/a", "value": 1 }])),
            409,
            "patch-failed",
        ),
        (write("tags", "s", "remove", "never"), 404, "key-missing"),
        (write("tags", "s", "add", json!({ "no": "element" })), 400, "bad-element"),
        (write("tasks", "t", "patch", json!([{ "op": "fly" }])), 400, "usage"),
        (seen("modes", "k", Value::Null), 409, "outdated-context"),
        (adorned, 400, "bad-context"),
        (unknown, 400, "usage"),
        (twice, 400, "usage"),
    ] {
        let (is, of, detail) = refusal(&home, &[fine.clone(), refused.clone()]);
        assert_eq!((is, of.as_str()), (status, kind), "{refused}: {detail}");
        assert!(detail.starts_with("writes[1]: "), "{refused}: {detail}");
    }
    let (status, kind, _) = refusal(&home, &[fine.clone(), write("gone", "s", "add", "x")]);
    assert_eq!((status, kind.as_str()), (409, "stays-removed"));
    let (add, remove) = (write("tags", "s", "add", "x"), write("tags", "s", "remove", "x"));
    for twice in [[add, remove], [fine.clone(), fine]] {
        assert!(refusal(&home, &twice).2.ends_with("is written twice"));
    }
    assert_eq!((told(&home), home.get("telemetry/readings", "fine")), (before, None), "nothing was written");
    assert_eq!(post(&home, &[far]).status, 200, "the one that it is now");
    assert_eq!(post(&home, &[seen("modes", "nowhere", Value::Null)]).status, 200, "it is as it is to be");
}

/// How many commits the feed tells of.
fn told(daemon: &Daemon) -> usize {
    daemon.ok(&["watch", "telemetry", "--from", "oldest", "--no-follow", "--json"]).lines().count()
}
