//! Losers that were kept long enough go, on every device, and nobody who looks misses it.

use super::harness::{Daemon, Place, agree, home, joined, until};
use super::http::Connection;
use serde_json::{Value, json};

const THINGS: &str = "telemetry/things";

/// The values that lost at a key, the latest first.
fn losers(daemon: &Daemon, key: &str) -> Vec<Value> {
    let told = daemon.json(&["get", THINGS, key, "--all"]);
    told["all"].as_array().expect("all")[1..].iter().map(|side| side["value"].clone()).collect()
}

fn events(daemon: &Daemon, from: &str) -> Vec<Value> {
    let text = daemon.ok(&["watch", THINGS, "--no-follow", "--json", "--from", from]);
    text.lines().map(|line| serde_json::from_str(line).expect("an event")).collect()
}

fn metrics(daemon: &Daemon) -> String {
    let mut connection = Connection::open(daemon.data()).expect("the socket");
    String::from_utf8(connection.request("GET", "/metrics", b"").expect("an answer").body).expect("text")
}

#[test]
fn losers_go_by_number_and_by_age_and_that_is_told() {
    let place = Place::new("retention");
    let home = home(&place);
    home.ok(&["collection", "create", THINGS, "--siblings", "keep"]);
    let devices = [joined(&place, "one", &home), joined(&place, "two", &home)];
    let all = [&home, &devices[0], &devices[1]];
    agree(&all);
    devices.iter().for_each(|device| drop(device.ok(&["peer", "pause", "--all"])));
    home.ok(&["put", THINGS, "k", "home"]);
    devices[0].ok(&["put", THINGS, "k", "one"]);
    devices[1].ok(&["put", THINGS, "k", "two"]);
    devices.iter().for_each(|device| drop(device.ok(&["peer", "resume", "--all"])));
    agree(&all);
    assert_eq!(losers(&home, "k"), [json!("one"), json!("home")]);

    assert_eq!(
        devices[0].fails(4, &["collection", "set", THINGS, "--losers-max-count", "1"])["type"],
        "not-home"
    );
    home.fails(2, &["collection", "set", THINGS]);
    home.fails(2, &["collection", "set", THINGS, "--losers-max-age", "soon"]);
    let before = events(&home, "oldest");
    let cursor = before.last().expect("an event")["cursor"].as_str().expect("a cursor");
    let said = home.ok(&["collection", "set", THINGS, "--losers-max-count", "1"]);
    assert_eq!(said.trim(), "telemetry/things keeps losers at most 1 of a key from now on");
    until("one goes", || (losers(&home, "k").len() == 1).then_some(()));
    agree(&all);
    for daemon in all {
        assert_eq!(losers(daemon, "k"), [json!("one")], "the lowest went");
    }
    let told = events(&home, cursor);
    let change = &told.last().expect("an event")["data"]["changes"][0];
    assert_eq!((&change["op"], &change["value"]), (&json!("discard"), &json!("two")), "{told:?}");
    assert_eq!(change["supersedes"].as_array().map(Vec::len), Some(1));

    home.ok(&["collection", "set", THINGS, "--losers-max-age", "1s"]);
    until("the other goes", || losers(&home, "k").is_empty().then_some(()));
    agree(&all);
    assert_eq!(devices[1].get(THINGS, "k").as_deref(), Some("two"));
    let expired = "strandline_conflicts_total{space=\"telemetry\",policy=\"lww\",outcome=\"expired\"} 2";
    assert!(metrics(&home).contains(expired), "{}", metrics(&home));
    let shown = home.json(&["collection", "show", THINGS]);
    assert_eq!((&shown["losers_max_age"], &shown["losers_max_count"]), (&json!("1s"), &json!(1)));
    home.ok(&["collection", "set", THINGS, "--losers-max-age", "off", "--losers-max-count", "0"]);
    assert_eq!(home.json(&["collection", "show", THINGS])["losers_max_age"], Value::Null);
    home.ok(&["collection", "create", "telemetry/visits", "--policy", "g-counter"]);
    home.fails(2, &["collection", "set", "telemetry/visits", "--losers-max-count", "1"]);
}
