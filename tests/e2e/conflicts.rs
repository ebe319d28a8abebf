//! Devices that write the same keys apart, and what all of them say after they have met.

use super::harness::{Place, agree, home, joined, siblings};

#[test]
fn two_devices_apart_end_with_one_winner_and_every_loser_listed() {
    let place = Place::new("conflict");
    let home = home(&place);
    let devices = ["a", "b"].map(|name| joined(&place, name, &home));
    home.ok(&["put", "telemetry/readings", "gone", "soon"]);
    let [a, b] = &devices;
    agree(&[&home, a, b]);

    for device in &devices {
        device.ok(&["peer", "pause", "--all"]);
    }
    for key in ["x", "y", "z"] {
        a.ok(&["put", "telemetry/readings", key, "from a"]);
        b.ok(&["put", "telemetry/readings", key, "from b"]);
    }
    a.ok(&["delete", "telemetry/readings", "gone"]);
    b.ok(&["put", "telemetry/readings", "only b", "1"]);
    for device in &devices {
        device.ok(&["peer", "resume", "--all"]);
    }
    agree(&[&home, a, b]);

    for key in ["x", "y", "z"] {
        let all = [&home, a, b].map(|daemon| siblings(daemon, "telemetry/readings", key));
        assert_eq!(all[0], all[1]);
        assert_eq!(all[0], all[2]);
        let mut values = all[0].clone();
        values.sort();
        assert_eq!(values, ["from a", "from b"], "winner and loser of {key}");
    }
    for daemon in [&home, a, b] {
        assert_eq!(daemon.json(&["status"])["conflicts"]["open"], 3, "status counts what get --all lists");
    }
    for daemon in [&home, a, b] {
        assert_eq!(daemon.get("telemetry/readings", "gone"), None, "a delete does not come back");
    }

    // A write that has seen both replaces both.
    a.ok(&["put", "telemetry/readings", "x", "decided"]);
    agree(&[&home, a, b]);
    let decided = siblings(b, "telemetry/readings", "x");
    assert_eq!(decided.first().map(String::as_str), Some("decided"));
}

#[test]
fn a_write_that_is_newer_than_a_delete_survives_it() {
    let place = Place::new("revive");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    home.ok(&["put", "telemetry/readings", "k", "old"]);
    agree(&[&home, &device]);
    device.ok(&["peer", "pause", "--all"]);
    home.ok(&["delete", "telemetry/readings", "k"]);
    device.ok(&["put", "telemetry/readings", "k", "new"]);
    device.ok(&["peer", "resume", "--all"]);
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        assert_eq!(daemon.get("telemetry/readings", "k").as_deref(), Some("new"));
    }
}
