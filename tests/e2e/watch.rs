//! The change feed, transactions over HTTP, the story of a key, and the doctor, as a program and a person meet them.

use super::feed::Watcher;
use super::harness::{Daemon, Place, agree, home, joined};
use super::http::Connection;
use serde_json::{Value, json};

/// `watch` with these arguments, to the end of what is there.
fn told(daemon: &Daemon, arguments: &[&str]) -> Vec<Value> {
    let text = daemon.ok(&[&["watch", "telemetry/readings", "--no-follow", "--json"], arguments].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
}

/// Key and operation of each change, in order.
fn changes(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("text").to_string();
    let all = events.iter().flat_map(|event| event["data"]["changes"].as_array().expect("a list"));
    all.map(|change| (text(&change["key"]), text(&change["op"]))).collect()
}

fn cursor(events: &[Value]) -> &str {
    events.last().expect("an event")["cursor"].as_str().expect("a cursor")
}

#[test]
fn a_cursor_goes_on_after_a_kill_and_after_adoption() {
    let place = Place::new("watch");
    let mut home = home(&place);
    let device = joined(&place, "device", &home);
    home.ok(&["put", "telemetry/readings", "early", "0"]);
    agree(&[&home, &device]);
    let early = told(&home, &["--from", "oldest"]);
    assert_eq!(changes(&early), [("early".into(), "put".into())], "written before anybody followed");
    let start = told_header(&home);
    assert_eq!(told(&home, &[]), Vec::<Value>::new());
    home.ok(&["put", "telemetry/readings", "a", "1"]);
    device.ok(&["put", "telemetry/readings", "b", "2"]);
    agree(&[&home, &device]);
    let first = told(&home, &["--from", &start]);
    assert_eq!(changes(&first), [("a".into(), "put".into()), ("b".into(), "put".into())]);
    let event = &first[0];
    assert_eq!((&event["specversion"], &event["type"]), (&"1.0".into(), &"strandline.commit".into()));
    assert!(event["source"].as_str().expect("text").starts_with("/v1/spaces/"), "{event}");
    assert_eq!(event["data"]["changes"][0]["value"], "1");

    home.ok(&["delete", "telemetry/readings", "a"]);
    home.kill();
    home.start();
    agree(&[&home, &device]);
    let second = told(&home, &["--from", cursor(&first)]);
    assert_eq!(changes(&second), [("a".into(), "delete".into())], "neither lost nor repeated");
    assert_eq!(told(&home, &["--from", cursor(&second)]), Vec::<Value>::new());

    let error = device.fails(3, &["watch", "telemetry", "--no-follow", "--from", cursor(&second)]);
    assert_eq!(error["type"], "cursor-gone", "a cursor is of one replica");
    home.fails(2, &["watch", "telemetry", "--from", "nonsense"]);
}

/// Where a feed begins that nothing was told in yet.
fn told_header(daemon: &Daemon) -> String {
    let mut connection = Connection::open(daemon.data()).expect("a connection");
    let (headers, _) = connection.stream("/v1/spaces/telemetry/changes").expect("an answer");
    header(&headers, "strandline-cursor")
}

fn header(headers: &[String], name: &str) -> String {
    let found = headers.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.unwrap_or_else(|| panic!("no {name} in {headers:?}")).to_string()
}

#[test]
fn who_follows_is_told_at_once_and_told_of_conflicts() {
    let place = Place::new("follow");
    let mut home = home(&place);
    let device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    let start = told_header(&home);
    let watcher = Watcher::new(&home, &start);
    home.ok(&["put", "telemetry/readings", "first", "1"]);
    assert_eq!(watcher.next()["data"]["changes"][0]["key"], "first");
    device.ok(&["put", "telemetry/readings", "from", "afar"]);
    assert_eq!(watcher.next()["data"]["changes"][0]["value"], "afar");

    device.ok(&["peer", "pause", "--all"]);
    home.ok(&["put", "telemetry/readings", "k", "here"]);
    device.ok(&["put", "telemetry/readings", "k", "there"]);
    assert_eq!(watcher.next()["data"]["changes"][0]["conflict"], Value::Null);
    device.ok(&["peer", "resume", "--all"]);
    let conflict = watcher.next()["data"]["changes"][0]["conflict"].clone();
    home.ok(&["discard", conflict.as_str().expect("the write that comes to another one says so")]);
    assert_eq!(watcher.next()["data"]["changes"][0]["op"], "discard");

    let asked = std::time::Instant::now();
    assert_eq!(home.stop().0, Some(0));
    assert!(asked.elapsed().as_secs() < 4, "who follows does not keep a daemon from ending");
}

/// The id and the event of each server-sent event.
fn server_sent(body: &str) -> Vec<(String, Value)> {
    let blocks = body.split("\n\n").filter(|block| !block.is_empty());
    let read = |block: &str| {
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_string);
        let data: Value = serde_json::from_str(&field("data: ").expect("data")).expect("JSON in one line");
        assert_eq!(field("event: ").as_deref(), data["type"].as_str(), "{block}");
        (field("id: ").expect("an id"), data)
    };
    blocks.map(read).collect()
}

#[test]
fn a_browser_is_told_in_its_own_form_and_goes_on_where_it_was() {
    let place = Place::new("server-sent");
    let home = home(&place);
    for value in ["1", "2", "3"] {
        home.ok(&["put", "telemetry/readings", "k", value]);
    }
    let mut connection = Connection::open(home.data()).expect("a connection");
    let mut ask = |headers: &str| {
        let path = "/v1/spaces/telemetry/changes?from=oldest&collection=readings";
        let headers = format!("accept: text/event-stream\r\n{headers}");
        let (headers, body) = connection.stream_with(path, &headers).expect("an answer");
        assert_eq!(header(&headers, "content-type"), "text/event-stream");
        server_sent(&body)
    };
    let all = ask("");
    assert_eq!(
        all.iter().map(|(_, event)| event.clone()).collect::<Vec<_>>(),
        told(&home, &["--from", "oldest"])
    );
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|(id, event)| event["cursor"] == id.as_str()), "{all:?}");
    let again = ask(&format!("last-event-id: {}\r\n", all[0].0));
    assert_eq!(again, all[1..], "the header of who comes back counts more than the address");
}

#[test]
fn a_transaction_counts_only_while_what_it_read_is_so() {
    let place = Place::new("transact");
    let home = home(&place);
    home.ok(&["put", "telemetry/readings", "stock", "3"]);
    let mut connection = Connection::open(home.data()).expect("a connection");
    let keys = "/v1/spaces/telemetry/collections/readings/keys";
    let (headers, _) = connection.stream(&format!("{keys}/stock")).expect("an answer");
    let stock = header(&headers, "strandline-read");
    let (headers, _) = connection.stream(&format!("{keys}/none")).expect("an answer");
    let none = header(&headers, "strandline-read");
    let (_, body) = connection.stream(&format!("{keys}?prefix=s")).expect("an answer");
    let last: Value = serde_json::from_str(body.lines().last().expect("a line")).expect("JSON");
    let range = last["strandline_read"].as_str().expect("a token").to_string();

    let mut post = |body: Value| {
        let text = body.to_string();
        connection.request("POST", "/v1/spaces/telemetry/transactions", text.as_bytes()).expect("an answer")
    };
    let write = |key: &str, value: Value| json!({"collection": "readings", "key": key, "value": value});
    let sale =
        json!({"reads": [stock, none], "writes": [write("stock", "2".into()), write("sold", "1".into())]});
    let answer = post(sale.clone());
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    assert_eq!(home.get("telemetry/readings", "sold").as_deref(), Some("1"));

    let answer = post(sale);
    assert_eq!((answer.status, answer.problem().as_str()), (409, "conflict"));
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(problem["changed"], json!({"index": 0, "collection": "readings", "key": "stock"}));

    // The range has a key more than it had: a phantom.
    let answer = post(json!({"reads": [none, range], "writes": [write("x", "1".into())]}));
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!((answer.status, &problem["changed"]["index"]), (409, &json!(1)));
    assert_eq!(home.get("telemetry/readings", "x"), None, "nothing of it was written");

    assert_eq!(post(json!({"reads": ["abc"], "writes": [write("x", "1".into())]})).status, 400);
    assert_eq!(post(json!({"reads": [none], "writes": []})).status, 400);
    let answer = post(json!({"writes": [write("sold", Value::Null), write("y", "1".into())]}));
    assert_eq!(answer.status, 200);
    assert_eq!(home.get("telemetry/readings", "sold"), None);
}

#[test]
fn a_key_tells_its_story() {
    let place = Place::new("explain");
    let home = home(&place);
    home.ok(&["put", "telemetry/readings", "k", "one"]);
    home.ok(&["put", "telemetry/readings", "k", "two"]);
    let story = home.json(&["explain", "telemetry/readings", "k"]);
    let writes = story["writes"].as_array().expect("a list");
    let states: Vec<(&str, &str)> = writes
        .iter()
        .map(|write| (write["value"].as_str().expect("text"), write["state"].as_str().expect("text")))
        .collect();
    assert_eq!(states, [("one", "superseded"), ("two", "shown")]);
    assert_eq!(writes[0]["superseded_by"][0], writes[1]["dot"]);
    assert!(story["why"].as_str().expect("text").ends_with("is the only live write"), "{story}");
    home.ok(&["delete", "telemetry/readings", "k"]);
    let text = home.ok(&["explain", "telemetry/readings", "k"]);
    assert!(text.contains("nothing is alive") && text.contains("deleted it"), "{text}");
    home.fails(3, &["explain", "telemetry/readings", "never"]);
}

#[test]
fn the_doctor_finds_a_key_that_others_can_read() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("doctor");
    let home = home(&place);
    let findings = |text: String| -> Vec<Value> {
        text.lines().map(|line| serde_json::from_str(line).expect("a finding a line")).collect()
    };
    let sound = findings(home.ok(&["doctor", "--json"]));
    for area in ["clock", "permissions", "disk", "limits", "peer"] {
        assert!(sound.iter().any(|finding| finding["area"] == area), "{area} is not in {sound:?}");
    }
    let key = home.data().join("identity.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("our file");
    let output = super::harness::run(home.data(), &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("text");
    let first = text.lines().next().expect("a line");
    assert!(first.starts_with("error    permissions") && first.contains("-> chmod 600 "), "{first}");
}
