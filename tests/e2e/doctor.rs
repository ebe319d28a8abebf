//! The doctor where no daemon runs: why none starts, from what the directory tells, and nothing is written meanwhile.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use serde_json::Value;

use super::harness::{Daemon, PATIENCE, Place, append, fails, home, ok, run};

/// What was found, with the exit code.
fn findings(data: &Path) -> (Option<i32>, Vec<Value>) {
    let output = run(data, &["doctor", "--json"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let findings = text.lines().map(|line| serde_json::from_str(line).expect("a finding a line")).collect();
    (output.status.code(), findings)
}

/// The finding of an area that is no good news; each has its cure.
fn trouble(data: &Path, code: i32, area: &str) -> Value {
    let (exit, found) = findings(data);
    assert_eq!(exit, Some(code), "{found:?}");
    let of_area = |one: &&Value| one["area"] == area && one["level"] != "ok";
    let finding = found.iter().find(of_area).unwrap_or_else(|| panic!("no {area} in {found:?}"));
    assert!(finding["cure"].is_string(), "{finding}");
    finding.clone()
}

fn says(finding: &Value, words: &str) {
    assert!(finding["finding"].as_str().expect("text").contains(words), "{finding}");
}

/// A directory with a space, whose daemon has ended.
fn stopped(place: &Place) -> Daemon {
    let mut home = home(place);
    home.ok(&["put", "telemetry/readings", "k", "v"]);
    home.stop();
    home
}

/// Every file under a directory, with its length and time.
fn files(under: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(under).expect("a directory").map(|entry| entry.expect("an entry")) {
        let about = entry.metadata().expect("a file");
        if about.is_dir() {
            found.extend(files(&entry.path()));
        }
        found.insert(entry.path(), (about.len(), about.modified().expect("a time")));
    }
    found
}

#[test]
fn without_a_daemon_the_doctor_reads_the_directory_and_writes_nothing() {
    let place = Place::new("doctor-offline");
    let home = stopped(&place);
    let before = files(home.data());
    let (exit, found) = findings(home.data());
    assert_eq!(files(home.data()), before);
    assert_eq!(exit, Some(5), "nothing is wrong but that no daemon runs: {found:?}");
    for area in ["daemon", "settings", "permissions", "disk", "limits", "clock", "space"] {
        assert!(found.iter().any(|finding| finding["area"] == area), "{area} is not in {found:?}");
    }
    let space = found.iter().find(|finding| finding["area"] == "space").expect("looked for above");
    says(space, "telemetry opens: version ");
    says(&found[0], "no daemon runs here");
    let serve = format!("strandline --data {} serve", home.data().display());
    assert_eq!(found[0]["cure"], serve.as_str());
    let text = String::from_utf8(run(home.data(), &["doctor"]).stdout).expect("text");
    assert_eq!(
        text.lines().next(),
        Some(format!("error    daemon       no daemon runs here -> {serve}").as_str())
    );
}

#[test]
fn the_doctor_finds_what_keeps_a_daemon_from_starting() {
    let place = Place::new("doctor-start");
    let mut home = stopped(&place);
    let settings = home.data().join("strandline.yaml");
    let sound = std::fs::read_to_string(&settings).expect("the settings");

    append(&settings, "htpp: 127.0.0.1:0\n");
    says(&trouble(home.data(), 1, "settings"), "unknown setting `htpp`, did you mean `http`?");
    for (line, words) in [
        ("http: 0.0.0.0:7600\n", "only loopback"),
        ("listen: nowhere\n", "not an address"),
        ("listen: 192.0.2.1:7601\n", "nothing can listen on 192.0.2.1:7601"),
    ] {
        std::fs::write(&settings, format!("{sound}{line}")).expect("our file");
        says(&trouble(home.data(), 1, "settings"), words);
    }
    std::fs::write(&settings, &sound).expect("our file");

    let key = home.data().join("identity.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("our file");
    says(&trouble(home.data(), 1, "permissions"), "can be read by others (mode 644)");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("our file");

    let lock = File::open(home.data().join("LOCK")).expect("it is there after a first start");
    lock.lock().expect("nobody has it");
    let held = trouble(home.data(), 5, "daemon");
    says(&held, "answers nothing on the socket");
    assert!(held["cure"].as_str().expect("text").contains("fuser "), "{held}");
    drop(lock);

    assert_eq!(findings(home.data()).0, Some(5));
    home.start();
    home.ok(&["doctor"]);
}

#[test]
fn a_socket_that_answers_nothing_is_waited_for_a_while_and_no_longer() {
    let place = Place::new("doctor-silent");
    let home = stopped(&place);
    let data = home.data();
    let lock = File::open(data.join("LOCK")).expect("it is there after a first start");
    lock.lock().expect("nobody has it");
    // Connections wait in the queue of a listener that nobody asks for them.
    let silent = UnixListener::bind(data.join("strandline.sock")).expect("nobody serves");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let held = trouble(data, 5, "daemon");
            says(&held, "answers nothing on the socket");
            assert!(held["cure"].as_str().expect("text").contains("fuser "), "{held}");
        });
        for command in [
            &["status"][..],
            &["put", "telemetry/readings", "k", "v"],
            &["get", "telemetry/readings", "k"],
            &["scan", "telemetry/readings"],
            &["watch", "telemetry"],
            &["conflicts"],
            &["verify"],
            &["space", "list"],
            &["peer", "pause", "--all"],
            &["dev", "up", "telemetry/readings"],
        ] {
            scope.spawn(move || {
                let error = fails(data, 5, command);
                assert!(error["message"].as_str().expect("text").contains("answers nothing"), "{error}");
                assert!(error["cure"].as_str().expect("a cure").ends_with(" doctor"), "{error}");
            });
        }
    });
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn the_doctor_finds_a_directory_without_a_device_and_a_space_that_does_not_open() {
    let place = Place::new("doctor-damage");
    let nowhere = trouble(&place.path("nowhere"), 1, "folder");
    says(&nowhere, "is no directory");
    let init = nowhere["cure"].as_str().expect("text").split(' ').skip(3).collect::<Vec<_>>();
    ok(&place.path("nowhere"), &init);
    assert_eq!(findings(&place.path("nowhere")).0, Some(5), "its cure has cured it");

    let home = stopped(&place);
    let key = home.data().join("identity.key");
    let kept = std::fs::read(&key).expect("the key");
    std::fs::write(&key, "abc\n").expect("our file");
    says(&trouble(home.data(), 1, "folder"), "is damaged");
    std::fs::remove_file(&key).expect("our file");
    says(&trouble(home.data(), 1, "folder"), "does not exist");
    std::fs::write(&key, kept).expect("our file");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).expect("our file");

    let spaces = home.data().join("spaces");
    let id = std::fs::read_dir(&spaces).expect("it has one").next().expect("it has one").expect("it has one");
    for entry in std::fs::read_dir(id.path()).expect("its folder").map(|entry| entry.expect("a file")) {
        if entry.file_name().to_string_lossy().starts_with("manifest") {
            std::fs::write(entry.path(), vec![7; 4096]).expect("our file");
        }
    }
    let broken = trouble(home.data(), 1, "space");
    assert!(broken["cure"].as_str().expect("text").contains(" verify "), "{broken}");
}
