//! Devices whose clocks are wrong, with the system's own clock behind a library that lies.

use super::harness::{Daemon, Place, agree, home, join, joined, run, siblings};
use super::liar::{Liar, YEAR};

/// What `doctor` finds about the clock, with its level.
fn diagnosis(daemon: &Daemon) -> (String, String) {
    let text = String::from_utf8(run(daemon.data(), &["doctor", "--json"]).stdout).expect("text");
    let findings = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let clock = findings.into_iter().find(|finding| finding["area"] == "clock").expect("a line on the clock");
    let text = |name: &str| clock[name].as_str().expect("text").to_string();
    (text("level"), text("finding"))
}

#[test]
fn an_overwrite_wins_over_a_clock_a_year_ahead() {
    let place = Place::new("clock");
    let liar = Liar::new(&place);
    let home = home(&place);
    let ahead = liar.daemon(&place, "ahead");
    liar.set("ahead", YEAR);
    join(&ahead, &home);
    let device = joined(&place, "device", &home);
    ahead.ok(&["put", "telemetry/readings", "k", "from the future"]);
    agree(&[&home, &ahead, &device]);
    let future = ahead.json(&["status"])["clock"]["now_ms"].as_u64();
    let now = device.json(&["status"])["clock"]["now_ms"].as_u64();
    assert!(future > now.map(|now| now + 300 * 86_400_000), "the clock did not move: {future:?}, {now:?}");

    device.ok(&["put", "telemetry/readings", "k", "overwritten"]);
    agree(&[&home, &ahead, &device]);
    for daemon in [&home, &ahead, &device] {
        assert_eq!(siblings(daemon, "telemetry/readings", "k")[0], "overwritten");
    }
}

#[test]
fn a_clock_in_1970_loses_nothing_and_the_doctor_says_so() {
    let place = Place::new("no-rtc");
    let liar = Liar::new(&place);
    let home = home(&place);
    let device = liar.daemon(&place, "device");
    liar.date("device", "1970-01-01");
    join(&device, &home);
    agree(&[&home, &device]);
    assert_eq!(diagnosis(&home).0, "ok");
    let (level, finding) = diagnosis(&device);
    assert_eq!(level, "error", "{finding}");

    device.ok(&["peer", "pause", "--all"]);
    home.ok(&["put", "telemetry/readings", "k", "in time"]);
    device.ok(&["put", "telemetry/readings", "k", "out of time"]);
    device.ok(&["peer", "resume", "--all"]);
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        assert_eq!(siblings(daemon, "telemetry/readings", "k"), ["in time", "out of time"]);
    }
    device.ok(&["put", "telemetry/readings", "k", "seen and replaced"]);
    agree(&[&home, &device]);
    assert_eq!(siblings(&home, "telemetry/readings", "k"), ["seen and replaced"]);
}

#[test]
fn a_clock_that_leaps_back_under_a_daemon_keeps_the_order_of_its_writes() {
    let place = Place::new("leap");
    let liar = Liar::new(&place);
    let home = home(&place);
    let device = liar.daemon(&place, "device");
    liar.set("device", YEAR);
    join(&device, &home);
    device.ok(&["put", "telemetry/readings", "k", "first"]);
    device.ok(&["put", "telemetry/readings", "other", "first"]);
    agree(&[&home, &device]);
    let (level, finding) = diagnosis(&home);
    assert_eq!(level, "warning", "{finding}");

    liar.set("device", -YEAR);
    device.ok(&["put", "telemetry/readings", "k", "second"]);
    device.ok(&["delete", "telemetry/readings", "other"]);
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        assert_eq!(siblings(daemon, "telemetry/readings", "k"), ["second"]);
        assert_eq!(daemon.get("telemetry/readings", "other"), None, "a delete does not come back");
    }
}
