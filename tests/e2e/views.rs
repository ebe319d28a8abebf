//! The inbox through the eyes of each policy: fields as JSON, documents that one deleted, copies under their names.

use super::harness::{Daemon, Place, agree, apart, home, joined};
use serde_json::{Value, json};

const THINGS: &str = "telemetry/things";

/// Two devices with a collection of this policy.
fn both(place: &Place, create: &[&str]) -> (Daemon, Daemon) {
    let home = home(place);
    home.ok(&[&["collection", "create", THINGS, "--policy"], create].concat());
    let device = joined(place, "device", &home);
    agree(&[&home, &device]);
    (home, device)
}

/// The conflicts of both, which are the same.
#[track_caller]
fn conflicts(daemons: [&Daemon; 2]) -> Vec<Value> {
    let [mut one, mut other] = daemons.map(|daemon| {
        let text = daemon.ok(&["conflicts", "telemetry", "--json"]);
        text.lines().map(|line| serde_json::from_str(line).expect("a document")).collect::<Vec<Value>>()
    });
    assert_eq!(daemons[0].json(&["status"])["conflicts"]["open"], one.len());
    for conflict in one.iter_mut().chain(&mut other) {
        // Which of them wrote it is the one thing that differs.
        let sides = ["winner", "losers"].map(|name| conflict[name].take());
        let sides = sides.iter().flat_map(|side| side.as_array().cloned().unwrap_or(vec![side.clone()]));
        let values: Vec<Value> =
            sides.filter(|side| !side.is_null()).map(|side| side["value"].clone()).collect();
        conflict["values"] = values.into();
    }
    assert_eq!(one, other);
    one
}

fn id(conflict: &Value) -> &str {
    conflict["id"].as_str().expect("an id")
}

#[track_caller]
fn reads(daemons: [&Daemon; 2], key: &str, expected: Option<&str>) {
    agree(&daemons);
    for daemon in daemons {
        assert_eq!(daemon.get(THINGS, key).as_deref(), expected);
    }
}

#[test]
fn fields_are_shown_and_settled_as_json() {
    let place = Place::new("views-fields");
    let (home, device) = both(&place, &["map"]);
    let all = [&home, &device];
    let put = |json: &'static str| ["put", THINGS, "t", json];
    home.ok(&put(r#"{"title":"old","n":1,"tags":{"a":1}}"#));
    agree(&all);
    let there = put(r#"{"title":"sport","n":3,"tags":{"a":1,"c":1}}"#);
    apart(&home, &device, &[&put(r#"{"title":"eco","n":2,"tags":{"a":1,"b":1}}"#)], &[&there]);

    let open = conflicts(all);
    let places: Vec<(&Value, &Value)> = open.iter().map(|one| (&one["key"], &one["path"])).collect();
    assert_eq!(places, [(&json!("t"), &json!("/n")), (&json!("t"), &json!("/title"))]);
    assert_eq!((&open[0]["kind"], &open[0]["values"]), (&json!("siblings"), &json!([3, 2])));
    let [n, title] = [id(&open[0]), id(&open[1])];
    let listed = home.ok(&["conflicts", "telemetry", "--key", "t"]);
    assert!(listed.contains("telemetry/things t /title  \"sport\"  \"eco\""), "{listed}");
    let shown = home.json(&["conflicts", "show", title]);
    assert_eq!((&shown["ancestor"]["value"], shown["losers"][0]["diff"].is_string()), (&json!("old"), true));

    assert_eq!(home.fails(2, &["resolve", title, "--value", "both"])["type"], "not-json");
    home.ok(&["resolve", title, "--value", "\"both\""]);
    device.ok(&["resolve", n, "--pick", "1"]);
    reads(all, "t", Some(r#"{"n":2,"tags":{"a":1,"b":1,"c":1},"title":"both"}"#));
    assert_eq!(conflicts(all), Vec::<Value>::new());

    // One makes a value of what the other takes for an object.
    apart(&home, &device, &[&put(r#"{"tags":{"a":7}}"#)], &[&put(r#"{"tags":null}"#)]);
    let open = conflicts(all);
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!((&open[0]["kind"], &open[0]["path"]), (&json!("replaced"), &json!("/tags/a")));
    home.ok(&["resolve", id(&open[0]), "--pick", "1"]);
    reads(all, "t", Some(r#"{"tags":{"a":7}}"#));
    home.fails(4, &["discard", id(&open[0])]);
}

#[test]
fn delete_against_an_edit_is_settled_either_way() {
    let place = Place::new("views-delete");
    let (home, device) = both(&place, &["map"]);
    let all = [&home, &device];
    let (old, new) = (r#"{"n":1,"same":true}"#, r#"{"n":2,"same":true}"#);
    for key in ["restored", "purged", "edited"] {
        home.ok(&["put", THINGS, key, old]);
    }
    agree(&all);
    let keys = ["edited", "purged", "restored"];
    let deletes = keys.map(|key| ["delete", THINGS, key]);
    let edits = keys.map(|key| ["put", THINGS, key, new]);
    let [deletes, edits] =
        [deletes.each_ref().map(|c| &c[..]).to_vec(), edits.each_ref().map(|c| &c[..]).to_vec()];
    apart(&home, &device, &deletes, &edits);
    let open = conflicts(all);
    let kinds: Vec<&Value> = open.iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["deleted"; 3]);
    assert_eq!(open[2]["values"], json!([{ "n": 2 }]));
    let listed = home.ok(&["conflicts"]);
    assert!(listed.contains("telemetry/things restored  (deleted)  {\"n\":2}"), "{listed}");

    // Read in another way nobody touched a key, and what disagrees is another thing.
    for (deletes, kind) in [("revive", "revived"), ("hide", "deleted")] {
        home.ok(&["collection", "set", THINGS, "--view", "map", "--deletes", deletes]);
        agree(&all);
        assert!(conflicts(all).iter().all(|one| one["kind"] == kind), "{deletes}");
    }

    device.ok(&["resolve", id(&open[0]), "--value", r#"{"n":3}"#]);
    home.ok(&["discard", id(&open[1])]);
    home.ok(&["resolve", id(&open[2]), "--pick", "1"]);
    reads(all, "edited", Some(r#"{"n":3}"#));
    reads(all, "purged", None);
    reads(all, "restored", Some(r#"{"n":2}"#));
    assert_eq!(conflicts(all), Vec::<Value>::new());
}

#[test]
fn copies_have_their_names_and_what_merges_by_itself_has_no_conflicts() {
    let place = Place::new("views-copies");
    let (home, device) = both(&place, &["copies"]);
    apart(&home, &device, &[&["put", THINGS, "k", "here"]], &[&["put", THINGS, "k", "there"]]);
    let open = conflicts([&home, &device]);
    let shown = home.json(&["conflicts", "show", id(&open[0])]);
    let copy = shown["losers"][0]["key"].as_str().expect("a name");
    assert!(copy.starts_with("k~conflict~"), "{copy}");
    assert_eq!(home.get(THINGS, copy).as_deref(), Some("here"));
    home.ok(&["resolve", id(&open[0]), "--pick", "1"]);
    reads([&home, &device], "k", Some("here"));
    assert_eq!(home.get(THINGS, copy), None);

    home.ok(&["collection", "create", "telemetry/visits", "--policy", "g-counter"]);
    let error = home.fails(2, &["conflicts", "telemetry", "--collection", "visits"]);
    assert_eq!(error["type"], "wrong-verb");
    assert!(error["message"].as_str().expect("text").contains("g-counter"), "{error}");
}

/// What `explain` tells of each write: its state, its part, its value.
fn story(daemon: &Daemon, target: &str, key: &str) -> (Value, Vec<[Value; 3]>) {
    let told = daemon.json(&["explain", target, key]);
    let writes = told["writes"].as_array().expect("writes").clone();
    let writes = writes.iter().map(|write| ["state", "part", "value"].map(|name| write[name].clone()));
    let mut writes: Vec<[Value; 3]> = writes.collect();
    writes.sort_by_key(|write| format!("{write:?}"));
    (told["value"].clone(), writes)
}

#[test]
fn a_key_is_explained_as_its_policy_reads_it() {
    let place = Place::new("views-explain");
    let (home, device) = both(&place, &["map"]);
    let all = [&home, &device];
    for (name, policy) in [("stock", "pn-counter"), ("tags", "or-set"), ("files", "copies")] {
        home.ok(&["collection", "create", &format!("telemetry/{name}"), "--policy", policy]);
    }
    let [stock, tags, files] = ["telemetry/stock", "telemetry/tags", "telemetry/files"];
    home.ok(&["put", THINGS, "t", r#"{"n":1,"m":1}"#]);
    home.ok(&["add", tags, "s", "x"]);
    agree(&all);
    let (here, there) = (["incr", stock, "k", "10"], ["incr", stock, "k", "-4"]);
    apart(&home, &device, &[&here, &here], &[&there]);
    apart(&home, &device, &[&["remove", tags, "s", "x"]], &[&["add", tags, "s", "x"]]);
    apart(&home, &device, &[&["put", files, "k", "here"]], &[&["put", files, "k", "there"]]);
    let (here, there) = (["put", THINGS, "t", r#"{"n":2,"m":1}"#], ["put", THINGS, "t", r#"{"n":3,"m":1}"#]);
    apart(&home, &device, &[&here], &[&there]);

    for daemon in all {
        let (value, writes) = story(daemon, stock, "k");
        let live: Vec<_> =
            writes.iter().filter(|[state, ..]| state == "shown").map(|[.., value]| value).collect();
        assert_eq!((value, live.len()), (json!(16), 2), "{writes:?}");
        assert!(live.contains(&&json!({ "plus": 20, "minus": 0 })), "{live:?}");

        let (value, writes) = story(daemon, tags, "s");
        assert_eq!(value, json!(["x"]));
        let states: Vec<_> = writes.iter().map(|[state, part, _]| (state.as_str(), part.as_str())).collect();
        let x = Some("x");
        assert_eq!(states, [(Some("shown"), x), (Some("superseded"), x), (Some("superseded"), x)]);

        let (value, writes) = story(daemon, files, "k");
        assert_eq!(value, "there");
        let copy = writes[0][1].as_str().or(writes[1][1].as_str()).expect("the name of a copy").to_owned();
        assert_eq!((daemon.get(files, &copy).as_deref(), writes.len()), (Some("here"), 2));
        assert_eq!(story(daemon, files, &copy).1, writes);

        let (value, writes) = story(daemon, THINGS, "t");
        assert_eq!(value, json!({ "m": 1, "n": 3 }));
        let (n, m) = (json!("/n"), json!("/m"));
        let expected = [
            [json!("live"), n.clone(), json!(2)],
            [json!("shown"), Value::Null, json!(true)],
            [json!("shown"), m, json!(1)],
            [json!("shown"), n.clone(), json!(3)],
            [json!("superseded"), n, json!(1)],
        ];
        assert_eq!(writes, expected);
    }
    let text = home.ok(&["explain", THINGS, "t"]);
    for part in ["reads {\"m\":1,\"n\":3}", "with 2 fields", "/n"] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    home.ok(&["delete", THINGS, "t"]);
    assert!(home.json(&["explain", THINGS, "t"])["why"].as_str().expect("text").contains("deleted it"));
}
