//! What the change feed says where commits do not say it all: writes that mean nothing, and keys that changed without a commit.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{SystemTime, UNIX_EPOCH};

use crdt::key::{self, Element};
use crdt::{Class, Op, Payload, Time};
use disk::RealDisk;
use replica::{Limits, Mode, OpenOptions, Replica};
use serde_json::{Value, json};
use strandline::identity::Identity;

use super::harness::{Daemon, PATIENCE, PROGRAM, Place, agree, home, joined, until};
use super::http::Connection;

const CHANGES: &str = "/v1/spaces/telemetry/changes";

/// Every event from the oldest on, or from a cursor.
fn told(daemon: &Daemon, from: &str) -> Vec<Value> {
    let text = daemon.ok(&["watch", "telemetry", "--no-follow", "--json", "--from", from]);
    text.lines().map(|line| serde_json::from_str(line).expect("an event a line")).collect()
}

/// The data of each server-sent event.
fn server_sent(body: &str) -> Vec<Value> {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|line| serde_json::from_str(line).expect("JSON in one line")).collect()
}

/// The stream from a cursor on, as a browser reads it, to the end of what is there.
fn as_browser(daemon: &Daemon, from: &str) -> Vec<Value> {
    let mut connection = Connection::open(daemon.data()).expect("a connection");
    let path = format!("{CHANGES}?from={from}");
    let (_, body) = connection.stream_with(&path, "accept: text/event-stream\r\n").expect("an answer");
    server_sent(&body)
}

fn change_at<'a>(events: &'a [Value], key: &Value) -> &'a Value {
    let mut changes = events.iter().flat_map(|event| event["data"]["changes"].as_array().expect("a list"));
    changes.rfind(|change| change["key"] == *key).unwrap_or_else(|| panic!("no {key} in {events:?}"))
}

/// Writes bytes that are no JSON to a field, as a device would that knows nothing of documents.
fn write_nonsense(data: &Path, folder: &Path, document: &str, field: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let now = Time(u64::try_from(now).expect("a time"));
    let device = Identity::load(data).expect("its key").key();
    let options =
        OpenOptions { device, seed: [9; 32], now, limits: Limits::default(), mode: Mode::ReadWrite };
    let (mut replica, _) = Replica::open(RealDisk::new(folder), options).expect("its folder");
    let tasks = replica.snapshot().collections().expect("a sound folder");
    let tasks = tasks.iter().find(|collection| collection.name == "tasks").expect("it has come").id;
    let key = [document, field].map(|name| Element::Text(name.to_string()));
    let key = key::encode(&key).expect("a short key");
    let mut transaction = replica.begin();
    let payload = Payload::Inline(b"not json".to_vec());
    transaction.write_again(tasks, &key, &Op::Put(payload)).expect("nothing looks at the bytes");
    replica.commit(now, transaction, Class::Normal).expect("an ordinary commit");
    replica.flush().expect("a sound disk");
}

#[test]
fn a_write_of_another_device_that_means_nothing_is_told_as_ignored_and_shown_nowhere() {
    let place = Place::new("ignored");
    let home = home(&place);
    home.ok(&["collection", "create", "telemetry/tasks", "--policy", "map"]);
    home.ok(&["put", "telemetry/tasks", "t", r#"{"title":"paint"}"#]);
    let mut device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    let folder = device.folder("telemetry");
    device.stop();
    write_nonsense(device.data(), &folder, "t", "note");
    device.start();
    agree(&[&home, &device]);
    let reason = "it is no value of a field";
    for daemon in [&home, &device] {
        let document = daemon.json(&["get", "telemetry/tasks", "t"]);
        assert_eq!(document["value"], json!({"title": "paint"}));
        assert_eq!(document["siblings"], 1, "{document}");
        assert_eq!(daemon.ok(&["conflicts", "--json"]), "");
        for events in [told(daemon, "oldest"), as_browser(daemon, "oldest")] {
            let change = change_at(&events, &json!(["t", "note"]));
            assert_eq!((&change["op"], &change["ignored"]), (&json!("put"), &json!(reason)), "{change}");
            assert_eq!(change["value"], "not json", "what it is can be seen: {change}");
        }
        let story = daemon.json(&["explain", "telemetry/tasks", "t"]);
        let writes = story["writes"].as_array().expect("a list");
        let of = |part: &str| writes.iter().find(|write| write["part"] == part).expect("a write there");
        assert_eq!((&of("/note")["state"], &of("/note")["reason"]), (&json!("ignored"), &json!(reason)));
        assert_eq!(of("/title")["state"], "shown");
        let text = daemon.ok(&["explain", "telemetry/tasks", "t"]);
        assert!(text.contains("1 of the live writes count for nothing"), "{text}");
    }
    // The device joined after that, and its feed begins there.
    assert_eq!(change_at(&told(&home, "oldest"), &json!(["t", "title"]))["ignored"], Value::Null);
    home.ok(&["put", "telemetry/tasks", "t", r#"{"title":"paint","note":null}"#]);
    agree(&[&home, &device]);
    let change = told(&device, "oldest");
    let change = change_at(&change, &json!(["t", "note"]));
    assert_eq!(change.get("value"), Some(&Value::Null), "a field that is null says so: {change}");
    let text = device.ok(&["explain", "telemetry/tasks", "t"]);
    let note = text.lines().find(|line| line.starts_with("shown") && line.contains("/note"));
    assert!(note.is_some_and(|line| line.contains(" null ")), "{text}");
}

/// `watch` of a daemon, from a cursor on.
pub(crate) struct Watcher(Child, Receiver<String>);

impl Watcher {
    pub(crate) fn new(daemon: &Daemon, from: &str) -> Watcher {
        let mut child = Command::new(PROGRAM)
            .arg("--data")
            .arg(daemon.data())
            .args(["watch", "telemetry", "--json", "--from", from])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (tell, told) = mpsc::channel();
        // It ends with the child, or once nobody listens any more.
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Watcher(child, told)
    }

    /// The next event; whoever is told nothing fails, and does not wait for ever.
    #[track_caller]
    pub(crate) fn next(&self) -> Value {
        let line = self.1.recv_timeout(PATIENCE).expect("the feed goes on");
        serde_json::from_str(&line).expect("an event")
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.kill().expect("our child can be killed");
        self.0.wait().expect("our child can be waited for");
    }
}

#[test]
fn keys_that_changed_without_a_commit_are_told_to_who_follows_and_the_cursor_goes_on() {
    let place = Place::new("changed");
    let home = home(&place);
    home.ok(&["put", "telemetry/readings", "stays", "0"]);
    home.ok(&["put", "telemetry/readings", "goes", "0"]);
    let mut device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    device.ok(&["put", "telemetry/readings", "mark", "0"]);
    agree(&[&home, &device]);
    let start =
        told(&device, "oldest").last().expect("the mark")["cursor"].as_str().expect("text").to_string();
    let watcher = Watcher::new(&device, &start);
    let data = device.data().to_path_buf();
    let path = format!("{CHANGES}?from={start}&follow=true");
    let browser = std::thread::spawn(move || {
        let mut connection = Connection::open(&data).expect("a connection");
        let (_, body) = connection.stream_with(&path, "accept: text/event-stream\r\n").expect("an answer");
        server_sent(&body)
    });
    device.ok(&["put", "telemetry/readings", "mark", "1"]);
    assert_eq!(watcher.next()["data"]["changes"][0]["value"], "1", "it follows");
    agree(&[&home, &device]);

    // Handles are made that cover what the device has not heard of: it takes the tree, and no commits.
    device.ok(&["peer", "pause", "--all"]);
    home.ok(&["put", "telemetry/readings", "comes", "2", "--wait", "anchored"]);
    home.ok(&["delete", "telemetry/readings", "goes"]);
    home.ok(&["put", "telemetry/readings", "comes", "3", "--wait", "anchored"]);
    device.ok(&["peer", "resume", "--all"]);
    agree(&[&home, &device]);
    let event = watcher.next();
    assert_eq!((&event["specversion"], &event["type"]), (&json!("1.0"), &json!("strandline.changed")));
    assert!(event["data"]["device"].is_null() && event["time"].is_null(), "nobody's commit: {event}");
    let cursor = event["cursor"].as_str().expect("a cursor").to_string();
    assert_eq!(event["id"], format!("{cursor}/0"));
    let changes = event["data"]["changes"].as_array().expect("a list");
    let of = |change: &Value| ["key", "op", "value"].map(|name| change[name].clone());
    let all: Vec<_> = changes.iter().map(of).collect();
    assert_eq!(
        all,
        [[json!("comes"), json!("put"), json!("3")], [json!("goes"), json!("delete"), Value::Null]],
        "what differs, and nothing else"
    );

    // From there on commits tell everything again, over a restart and the next Handle too.
    home.ok(&["put", "telemetry/readings", "later", "4"]);
    let commit = watcher.next();
    assert_eq!(
        (&commit["type"], &commit["data"]["changes"][0]["key"]),
        (&json!("strandline.commit"), &json!("later"))
    );
    agree(&[&home, &device]);
    drop(watcher);
    assert_eq!(device.stop().0, Some(0));
    let seen = browser.join().expect("its stream has ended");
    let kinds: Vec<&Value> = seen.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["strandline.commit", "strandline.changed", "strandline.commit"]);
    assert_eq!(seen[1], event, "a browser is told the same");
    device.start();
    agree(&[&home, &device]);
    assert_eq!(told(&device, &cursor), std::slice::from_ref(&commit));
    assert_eq!(as_browser(&device, &cursor), [commit]);
    // Who did not follow then cannot be told what differs.
    let gone = device.fails(3, &["watch", "telemetry", "--no-follow", "--from", &start]);
    assert_eq!(gone["type"], "cursor-gone");
    assert!(gone["cure"].as_str().expect("text").contains(&cursor), "{gone}");
    let again = until("the cure works", || Some(told(&device, &cursor)));
    assert_eq!(again.len(), 1);
}
