//! Limits, strangers, and bytes that somebody changed: a clear error, nothing lost, no panic.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use super::harness::{Daemon, Place, agree, copy, fails, home, joined, ok, run, until};

#[test]
fn long_keys_are_refused_and_long_values_are_kept() {
    let place = Place::new("limits");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    let key = "k".repeat(1_100);
    let error = device.fails(2, &["put", "telemetry/readings", &key, "v"]);
    assert!(error["message"].as_str().expect("a message").contains("1024"), "{error}");

    let value: Vec<u8> =
        (0..300_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let file = place.path("value");
    std::fs::write(&file, &value).expect("a file");
    device.ok(&["put", "telemetry/readings", "large", "--file", file.to_str().expect("text")]);
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        let output = run(daemon.data(), &["get", "telemetry/readings", "large"]);
        assert!(output.stdout == value, "the value came back as {} bytes", output.stdout.len());
        daemon.ok(&["verify"]);
    }
    let json = home.json(&["get", "telemetry/readings", "large"]);
    assert!(json["value"]["base64"].is_string(), "{json}");
}

#[test]
fn a_device_that_never_joined_gets_nothing() {
    let place = Place::new("foreign");
    let home = home(&place);
    home.ok(&["put", "telemetry/readings", "secret", "1"]);
    let mut device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    device.stop();
    // The same folder under another key: it knows the space and where the home is, and is nobody to it.
    copy(device.data(), &place.path("foreign"));
    std::fs::remove_file(place.path("foreign/identity.key")).expect("the key of the device");
    ok(&place.path("foreign"), &["init"]);
    home.ok(&["put", "telemetry/readings", "later", "2"]);
    let mut foreign = Daemon::of(place.path("foreign"));
    foreign.start();
    foreign.ok(&["put", "telemetry/readings", "intruder", "1"]);
    let refused = until("the home refuses", || {
        let peers = foreign.json(&["peer", "list"]);
        peers[0]["last_error"].as_str().map(str::to_string)
    });
    assert!(!refused.is_empty());
    assert_eq!(foreign.get("telemetry/readings", "later"), None);
    assert_eq!(home.get("telemetry/readings", "intruder"), None);
}

#[test]
fn noise_on_the_port_of_a_home_changes_nothing() {
    let place = Place::new("noise");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let mut noise = 1_u64;
    for len in (1..1_400).step_by(7) {
        let bytes: Vec<u8> = (0..len)
            .map(|_| {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (noise >> 56) as u8
            })
            .collect();
        socket.send_to(&bytes, home.ready("listen")).expect("sent");
    }
    device.ok(&["put", "telemetry/readings", "after", "noise"]);
    agree(&[&home, &device]);
    assert_eq!(home.get("telemetry/readings", "after").as_deref(), Some("noise"));
}

/// Every file below a directory, the longest first.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry")) {
        if entry.file_type().expect("a type").is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).expect("a file").len()));
    found
}

/// Flips one bit in the middle of the part of a file that is not empty.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let written = bytes.iter().rposition(|byte| *byte != 0).expect("it is not empty");
    bytes[written / 2] ^= 0x10;
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn altered_files_are_named_and_nothing_panics() {
    let place = Place::new("altered");
    let mut home = home(&place);
    for number in 0..50 {
        home.ok(&["put", "telemetry/readings", &format!("key-{number}"), &"value ".repeat(100)]);
    }
    home.stop();
    for part in ["wal", "packs", "manifest"] {
        let data = place.path(&format!("altered-{part}"));
        copy(home.data(), &data);
        let spaces = std::fs::read_dir(data.join("spaces")).expect("spaces");
        let space = spaces.map(|entry| entry.expect("an entry").path()).next().expect("one space");
        let target = match part {
            "manifest" => space.join("manifest"),
            part => {
                files(&space.join(part)).into_iter().next().unwrap_or_else(|| panic!("no file in {part}"))
            }
        };
        flip(&target);
        let mut daemon = Daemon::of(data.clone());
        if let Err(refused) = daemon.try_start() {
            assert!(!refused.contains("panicked"), "{part}: {refused}");
            continue;
        }
        let output = run(&data, &["verify", "--json"]);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!said.contains("panicked"), "{part}: {said}");
        if output.status.success() {
            // What rots in one copy of a manifest is read from the other: then everything must be there.
            assert_eq!(daemon.count("telemetry/readings"), 50, "{part}: {said}");
        } else {
            assert_eq!(output.status.code(), Some(1), "{part}: {said}");
            let name = target.file_name().expect("a name").to_string_lossy();
            assert!(said.contains(&*name) || said.contains(part), "{part}: the place is not named: {said}");
        }
        let (code, trace) = daemon.stop();
        assert!(code == Some(0) && !trace.contains("panicked"), "{part}: {code:?} {trace}");
    }
    // The untouched directory is as it was.
    home.start();
    assert_eq!(home.count("telemetry/readings"), 50);
    home.ok(&["verify"]);
}

/// Flips a bit in each copy of some bytes that lie in the packs of the one space below a directory.
fn flip_in_packs(data: &Path, what: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for path in files(&data.join("spaces")) {
        if path.extension().is_none_or(|extension| extension != "pack") {
            continue;
        }
        let mut bytes = std::fs::read(&path).expect("a pack");
        let places: Vec<usize> = bytes
            .windows(what.len())
            .enumerate()
            .filter(|(_, part)| *part == what)
            .map(|(at, _)| at)
            .collect();
        if !places.is_empty() {
            places.into_iter().for_each(|at| bytes[at] ^= 0x10);
            std::fs::write(&path, bytes).expect("written");
            names.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    assert!(!names.is_empty(), "no pack has it");
    names
}

#[test]
fn a_pack_with_flipped_bytes_is_healed_from_the_home_while_the_device_goes_on() {
    let place = Place::new("healed");
    let home = home(&place);
    let mut device = joined(&place, "device", &home);
    for number in 0..50 {
        device.ok(&[
            "put",
            "telemetry/readings",
            &format!("key-{number}"),
            &format!("<{number}>").repeat(30),
        ]);
    }
    let large = "a large value ".repeat(3_000);
    device.ok(&["put", "telemetry/readings", "large", &large]);
    agree(&[&home, &device]);
    device.stop();
    let mut packs = flip_in_packs(device.data(), "<17>".repeat(30).as_bytes());
    packs.extend(flip_in_packs(device.data(), "a large value ".repeat(100).as_bytes()));
    let said = run(device.data(), &["verify"]);
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    device.start();
    // It reads everything, and so meets what is damaged, if nothing else has.
    run(device.data(), &["verify"]);
    until("the device is whole again", || run(device.data(), &["verify"]).status.success().then_some(()));
    assert_eq!(device.get("telemetry/readings", "key-17").as_deref(), Some("<17>".repeat(30).as_str()));
    assert_eq!(device.get("telemetry/readings", "large").as_deref(), Some(large.as_str()));
    device.ok(&["put", "telemetry/readings", "after", "1"]);
    agree(&[&home, &device]);
    let (code, trace) = device.stop();
    assert!(code == Some(0) && trace.contains("it is asked of peers"), "{code:?} {trace}");
    ok(device.data(), &["verify"]);
    device.start();
    assert_eq!(device.count("telemetry/readings"), 52);
}

#[test]
fn a_home_with_flipped_bytes_opens_and_is_healed_from_a_device() {
    let place = Place::new("healed-home");
    let mut home = home(&place);
    let device = joined(&place, "device", &home);
    for number in 0..50 {
        home.ok(&["put", "telemetry/readings", &format!("key-{number}"), &format!("<{number}>").repeat(30)]);
    }
    agree(&[&home, &device]);
    home.stop();
    flip_in_packs(home.data(), "<17>".repeat(30).as_bytes());
    home.start();
    // It goes on as the home meanwhile.
    device.ok(&["put", "telemetry/readings", "after", "1", "--wait", "anchored"]);
    run(home.data(), &["verify"]);
    until("the home is whole again", || run(home.data(), &["verify"]).status.success().then_some(()));
    assert_eq!(home.get("telemetry/readings", "key-17").as_deref(), Some("<17>".repeat(30).as_str()));
    agree(&[&home, &device]);
    assert_eq!(home.count("telemetry/readings"), 51);
}

#[test]
fn a_missing_collection_comes_with_the_command_that_makes_it() {
    let place = Place::new("missing");
    let home = home(&place);
    let error = home.fails(3, &["put", "telemetry/nothing", "k", "v"]);
    let cure = error["cure"].as_str().expect("a cure").to_string();
    let arguments: Vec<&str> = cure.split_whitespace().skip(1).collect();
    let made =
        std::process::Command::new(super::harness::PROGRAM).args(&arguments).status().expect("it runs");
    assert!(made.success(), "{cure}");
    home.ok(&["put", "telemetry/nothing", "k", "v"]);
    let error = fails(home.data(), 3, &["get", "telemetry/nothing", "other"]);
    assert_eq!(error["type"], "key-missing", "{error}");
}
