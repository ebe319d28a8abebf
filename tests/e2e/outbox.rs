//! What waits while the home is away, and how it drains when it is back.

use super::harness::{Place, agree, home, joined, until};
use super::series::Series;

#[test]
fn the_outbox_grows_while_the_home_is_away_and_drains_when_it_is_back() {
    let place = Place::new("outbox");
    let series = Series::generate(&place, 4, 2_500);
    let mut home = home(&place);
    let device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    assert_eq!(home.stop().0, Some(0));

    let summary = device.json(&series.command("telemetry/readings", "file,row"));
    assert_eq!(summary["rows"], series.rows);
    let waiting = until("the peer is dialed in vain", || {
        let status = device.json(&["status"]);
        let peer = &status["peers"][0];
        let is_failing = peer["attempts"].as_u64() > Some(0)
            && peer["last_error"].is_string()
            && peer["last_attempt"].is_u64()
            && peer["next_attempt"].is_u64();
        is_failing.then(|| status["spaces"][0].clone())
    });
    assert!(waiting["tail_commits"].as_u64() >= Some(10), "{waiting}");
    assert!(waiting["tail_bytes"].as_u64() > Some(500_000), "{waiting}");
    let wal_before = waiting["wal_bytes"].as_u64().expect("a number");

    home.start();
    let space = agree(&[&home, &device]);
    assert_ne!(space["data_root"], waiting["data_root"]);
    let exports = [&home, &device].map(|daemon| daemon.ok(&["export", "telemetry/readings"]));
    assert_eq!(exports[0].lines().count(), series.rows);
    assert!(exports[0] == exports[1], "the exports differ");
    let after = until("the device's log holds only what no Handle covers", || {
        let space = device.space();
        (space["wal_bytes"].as_u64() < Some(wal_before / 2)).then_some(space)
    });
    assert_eq!(after["tail_bytes"], 0, "{after}");
    let peers = device.json(&["peer", "list"]);
    assert!(peers[0]["acked"].as_u64() >= Some(10), "what drained was acknowledged: {peers}");
}

#[test]
fn a_paused_peer_gets_nothing_until_it_is_resumed() {
    let place = Place::new("pause");
    let home = home(&place);
    let mut device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    device.ok(&["peer", "pause", "--all"]);
    device.ok(&["put", "telemetry/readings", "a", "1"]);
    until("the peer is paused", || (device.json(&["peer", "list"])[0]["state"] == "paused").then_some(()));
    // A kill forgets neither the pause nor whom it is about, however soon it comes.
    device.kill();
    device.start();
    let peers = device.json(&["peer", "list"]);
    assert_eq!(peers[0]["state"], "paused", "{peers}");
    assert_eq!(peers[0]["lag_commits"], 1, "{peers}");
    assert_eq!(home.get("telemetry/readings", "a"), None);
    device.ok(&["peer", "resume", "--all"]);
    agree(&[&home, &device]);
    assert_eq!(home.get("telemetry/readings", "a").as_deref(), Some("1"));
}
