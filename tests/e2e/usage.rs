//! Exit codes, forms of output, and what a script may rely on.

use std::io::Write;
use std::process::{Command, Stdio};

use super::harness::{PROGRAM, Place, fails, home, ok, run};

#[test]
fn exit_codes_are_those_of_the_manual() {
    let place = Place::new("codes");
    let home = home(&place);
    assert_eq!(run(home.data(), &["status"]).status.code(), Some(0));
    home.fails(2, &["put", "no-slash", "k", "v"]);
    home.fails(2, &["frobnicate"]);
    home.fails(3, &["get", "telemetry/readings", "nothing"]);
    home.fails(3, &["get", "nowhere/readings", "k"]);
    home.fails(3, &["delete", "telemetry/readings", "nothing"]);
    home.fails(4, &["space", "create", "telemetry"]);
    home.fails(3, &["import", "telemetry/readings", "/nowhere/a.csv", "--key", "t"]);
    let absent = fails(&place.path("absent"), 5, &["status"]);
    assert!(absent["cure"].as_str().expect("a cure").contains("init"), "{absent}");
}

#[test]
fn values_come_from_arguments_files_and_standard_input() {
    let place = Place::new("values");
    let home = home(&place);
    home.ok(&["put", "telemetry/readings", "argument", "-5"]);
    let file = place.file("value", "from a file");
    home.ok(&["put", "telemetry/readings", "file", "--file", file.to_str().expect("text")]);
    let mut child = Command::new(PROGRAM)
        .arg("--data")
        .arg(home.data())
        .args(["put", "telemetry/readings", "input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    child.stdin.take().expect("piped").write_all(b"\xff\x00raw").expect("written");
    assert!(child.wait().expect("our child").success());
    assert_eq!(home.get("telemetry/readings", "argument").as_deref(), Some("-5"));
    assert_eq!(home.get("telemetry/readings", "file").as_deref(), Some("from a file"));
    assert_eq!(run(home.data(), &["get", "telemetry/readings", "input"]).stdout, b"\xff\x00raw");
    let entry = home.json(&["get", "telemetry/readings", "input"]);
    assert_eq!(entry["value"]["base64"], "/wByYXc=", "{entry}");
    for name in ["key", "dot", "writer", "hlc", "siblings"] {
        assert!(!entry[name].is_null(), "no {name} in {entry}");
    }
}

#[test]
fn scans_take_ranges_limits_and_either_direction() {
    let place = Place::new("scans");
    let home = home(&place);
    for key in ["a1", "a2", "b1", "b2", "c1"] {
        home.ok(&["put", "telemetry/readings", key, key]);
    }
    let scan = |arguments: &[&str]| {
        let command = [&["scan", "telemetry/readings", "--keys-only"], arguments].concat();
        home.ok(&command).lines().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(scan(&[]), "a1 a2 b1 b2 c1");
    assert_eq!(scan(&["--prefix", "b"]), "b1 b2");
    assert_eq!(scan(&["--from", "a2", "--to", "b2"]), "a2 b1");
    assert_eq!(scan(&["--reverse", "--limit", "2"]), "c1 b2");
    assert_eq!(home.ok(&["scan", "telemetry/readings", "--limit", "1"]), "a1\ta1\n");
}

#[test]
fn tuple_keys_read_back_as_they_print() {
    let place = Place::new("tuples");
    let home = home(&place);
    let file = place.file("t.csv", "at,v\n2015-01-01 00:00:00,1\n2015-01-01 00:05:00,2\n");
    let path = file.to_str().expect("text");
    home.ok(&["import", "telemetry/readings", path, "--key", "file,at:time,row"]);
    let keys = home.ok(&["scan", "telemetry/readings", "--keys-only"]);
    let first = keys.lines().next().expect("two keys");
    assert_eq!(first, r#"["t.csv",{"time":"2015-01-01T00:00:00Z"},1]"#);
    let value = home.ok(&["get", "telemetry/readings", first, "--tuple"]);
    assert_eq!(value, r#"{"at":"2015-01-01 00:00:00","v":1}"#);
    let scanned = home.ok(&["scan", "telemetry/readings", "--tuple", "--prefix", r#"["t.csv"]"#]);
    assert_eq!(scanned.lines().count(), 2);
}

#[test]
fn json_documents_have_the_fields_of_the_manual() {
    let place = Place::new("json");
    let home = home(&place);
    let space = home.space();
    for name in
        ["name", "id", "home", "version", "data_root", "vv_root", "tail_commits", "tail_bytes", "wal_bytes"]
    {
        assert!(!space[name].is_null(), "no {name} in {space}");
    }
    let status = home.json(&["status"]);
    for name in ["device", "spaces", "peers", "conflicts", "disk"] {
        assert!(!status[name].is_null(), "no {name} in {status}");
    }
    let collections = home.json(&["collection", "list", "telemetry"]);
    assert_eq!(collections[0]["policy"], "lww", "{collections}");
    assert_eq!(home.json(&["collection", "show", "telemetry/readings"])["name"], "readings");
}

#[test]
fn every_shell_gets_its_completions() {
    let place = Place::new("completions");
    for shell in ["bash", "zsh", "fish"] {
        assert!(ok(&place.path("none"), &["completions", shell]).contains("strandline"), "{shell}");
    }
}

#[test]
fn dev_up_makes_everything_a_first_try_needs() {
    let place = Place::new("dev");
    let data = place.path("data");
    std::fs::create_dir_all(&data).expect("a directory");
    std::fs::write(data.join("strandline.yaml"), "listen: 127.0.0.1:0\n").expect("settings");
    let up: serde_json::Value =
        serde_json::from_str(&ok(&data, &["dev", "up", "telemetry/readings", "--json"])).expect("a document");
    ok(&data, &["put", "telemetry/readings", "greeting", "hello"]);
    assert_eq!(ok(&data, &["get", "telemetry/readings", "greeting"]), "hello");
    ok(&data, &["dev", "up", "telemetry/readings"]);
    let pid = up["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours to end");
    super::harness::until("it ends", || run(&data, &["status"]).status.code().filter(|code| *code == 5));
}

#[test]
fn the_demo_holds_every_check_it_prints() {
    let output = run(std::path::Path::new("unused"), &["demo", "--json"]);
    let trace = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{trace}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 8);
}
