//! `cp -r` of a running device: both copies write, both sync, nothing is lost.

use std::collections::BTreeSet;

use super::harness::{Daemon, Place, agree, copy, home, joined};

#[test]
fn a_copy_of_a_running_device_is_a_writer_of_its_own() {
    let place = Place::new("copy");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    for number in 0..20 {
        device.ok(&["put", "telemetry/readings", &format!("before-{number}"), "1"]);
    }
    agree(&[&home, &device]);
    device.ok(&["put", "telemetry/readings", "last", "before the copy"]);
    copy(device.data(), &place.path("twin"));
    let mut twin = Daemon::of(place.path("twin"));
    twin.start();
    for number in 0..20 {
        device.ok(&["put", "telemetry/readings", &format!("device-{number}"), "device"]);
        twin.ok(&["put", "telemetry/readings", &format!("twin-{number}"), "twin"]);
    }
    agree(&[&home, &device, &twin]);

    let export = home.ok(&["export", "telemetry/readings"]);
    assert_eq!(export.lines().count(), 61);
    let mut dots = BTreeSet::new();
    for line in export.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("an entry");
        let dot = entry["dot"].as_str().expect("a dot").to_string();
        assert!(dots.insert(dot), "a dot was used twice: {line}");
    }
    for daemon in [&device, &twin] {
        assert!(daemon.ok(&["export", "telemetry/readings"]) == export, "the copies differ");
        daemon.ok(&["verify"]);
    }
}
