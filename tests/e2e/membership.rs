//! Devices that come and go: revoked, leaving, and back again, between real daemons.

use serde_json::Value;

use super::harness::{Daemon, Place, agree, copy, home, join, joined, until};

fn id(daemon: &Daemon) -> String {
    daemon.ready("device").to_string()
}

/// Until the device knows that it is out.
fn until_membership(device: &Daemon, place: &str) -> Value {
    until(place, || Some(device.space()).filter(|space| space["membership"] == place))
}

#[test]
fn a_revoked_device_is_told_so_keeps_its_copy_and_reaches_nobody() {
    let place = Place::new("revoke");
    let home = home(&place);
    let (device, other) = (joined(&place, "device", &home), joined(&place, "other", &home));
    device.ok(&["put", "telemetry/readings", "before", "1", "--wait", "anchored"]);
    agree(&[&home, &device, &other]);

    let members = home.space()["members"].clone();
    assert_eq!(members.as_array().map(Vec::len), Some(3), "{members}");
    let revoked = home.json(&["space", "revoke", "telemetry", &id(&device)[..8]]);
    assert_eq!(revoked["device"], id(&device));
    assert!(revoked["version"].is_u64(), "{revoked}");

    until_membership(&device, "revoked");
    device.ok(&["put", "telemetry/readings", "after", "1"]);
    assert_eq!(device.get("telemetry/readings", "after").as_deref(), Some("1"));
    let error = device.fails(4, &["put", "telemetry/readings", "more", "1", "--wait", "anchored"]);
    assert_eq!(error["type"], "not-member", "{error}");
    assert!(error["cure"].as_str().is_some_and(|cure| cure.contains("space invite")), "{error}");

    other.ok(&["put", "telemetry/readings", "others", "1", "--wait", "anchored"]);
    agree(&[&home, &other]);
    for daemon in [&home, &other] {
        assert_eq!(daemon.get("telemetry/readings", "before").as_deref(), Some("1"));
        assert_eq!(daemon.get("telemetry/readings", "after"), None);
    }
    assert_eq!(device.get("telemetry/readings", "others"), None);
}

#[test]
fn who_cannot_be_revoked_and_who_cannot_revoke_is_told_why() {
    let place = Place::new("revoke-errors");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    let own = home.fails(4, &["space", "revoke", "telemetry", &id(&home)]);
    assert_eq!(own["type"], "own-home", "{own}");
    let stranger = home.fails(3, &["space", "revoke", "telemetry", &"0".repeat(32)]);
    assert_eq!(stranger["type"], "member-missing", "{stranger}");
    let short = home.fails(3, &["space", "revoke", "telemetry", "ff"]);
    assert_eq!(short["type"], "member-missing", "{short}");
    let not_home = device.fails(4, &["space", "revoke", "telemetry", &id(&home)]);
    assert_eq!(not_home["type"], "not-home", "{not_home}");
    let nowhere = home.fails(3, &["space", "revoke", "nowhere", &id(&device)]);
    assert_eq!(nowhere["type"], "space-missing", "{nowhere}");
    for error in [own, stranger, not_home, nowhere] {
        assert!(error["cure"].is_string(), "{error}");
    }
}

#[test]
fn a_device_leaves_with_everything_it_wrote_anchored_and_says_that_it_left() {
    let place = Place::new("leave");
    let home = home(&place);
    let mut device = joined(&place, "device", &home);
    for n in 0..20 {
        device.ok(&["put", "telemetry/readings", &format!("k{n}"), "v"]);
    }
    let left = device.json(&["space", "leave", "telemetry"]);
    assert_eq!(left["membership"], "left", "{left}");
    assert_eq!(left["tail_commits"], 0, "{left}");
    assert_eq!(home.count("telemetry/readings"), 20);
    assert_eq!(home.space()["members"].as_array().map(Vec::len), Some(1));

    let refused = device.fails(4, &["put", "telemetry/readings", "more", "1"]);
    assert_eq!(refused["type"], "not-member", "{refused}");
    assert_eq!(device.count("telemetry/readings"), 20, "its copy stays");
    home.ok(&["put", "telemetry/readings", "later", "1", "--wait", "anchored"]);
    device.kill();
    device.start();
    assert_eq!(device.space()["membership"], "left", "over a restart");
    assert_eq!(device.get("telemetry/readings", "later"), None);
    assert_eq!(device.json(&["space", "leave", "telemetry"])["membership"], "left", "twice is once");

    join(&device, &home);
    until_membership(&device, "member");
    device.ok(&["put", "telemetry/readings", "back", "1", "--wait", "anchored"]);
    agree(&[&home, &device]);
    assert_eq!(device.get("telemetry/readings", "later").as_deref(), Some("1"));
}

#[test]
fn a_device_out_of_reach_of_its_home_does_not_leave_and_the_home_never_does() {
    let place = Place::new("leave-errors");
    let mut home = home(&place);
    let device = joined(&place, "device", &home);
    let own = home.fails(4, &["space", "leave", "telemetry"]);
    assert_eq!(own["type"], "own-home", "{own}");
    home.kill();
    device.ok(&["put", "telemetry/readings", "a", "1"]);
    let away = device.fails(5, &["space", "leave", "telemetry", "--timeout", "300ms"]);
    assert_eq!(away["type"], "home-unreachable", "{away}");
    assert!(away["cure"].is_string(), "{away}");
    assert_eq!(device.space()["membership"], "member", "as it was");
    device.ok(&["put", "telemetry/readings", "b", "2"]);
    home.start();
    device.ok(&["space", "leave", "telemetry"]);
    assert_eq!(home.count("telemetry/readings"), 2);
}

#[test]
fn a_revoked_device_comes_back_with_a_new_ticket_and_so_does_what_it_wrote_meanwhile() {
    let place = Place::new("regrant");
    let home = home(&place);
    let device = joined(&place, "device", &home);
    device.ok(&["put", "telemetry/readings", "before", "1", "--wait", "anchored"]);
    let old_ticket = home.ok(&["space", "invite", "telemetry", "--uses", "5"]);
    home.ok(&["space", "revoke", "telemetry", &id(&device)]);
    until_membership(&device, "revoked");
    device.ok(&["put", "telemetry/readings", "meanwhile", "1"]);
    let old = device.fails(4, &["space", "join", old_ticket.trim()]);
    assert_eq!(old["type"], "revoked", "{old}");

    join(&device, &home);
    assert_eq!(device.space()["membership"], "member");
    device.ok(&["put", "telemetry/readings", "back", "1", "--wait", "anchored"]);
    agree(&[&home, &device]);
    for key in ["before", "meanwhile", "back"] {
        assert_eq!(home.get("telemetry/readings", key).as_deref(), Some("1"), "{key}");
    }
}

#[test]
fn another_device_becomes_the_home_and_the_first_one_can_be_switched_off() {
    let place = Place::new("handover");
    let mut first = home(&place);
    let (second, third) = (joined(&place, "second", &first), joined(&place, "third", &first));
    second.ok(&["put", "telemetry/readings", "a", "1", "--wait", "anchored"]);
    agree(&[&first, &second, &third]);
    let before = first.space()["version"].as_u64().expect("a version");

    let handed = first.json(&["space", "handover", "telemetry", &id(&second)]);
    assert_eq!(handed["device"], id(&second), "{handed}");
    assert!(handed["from_version"].as_u64().is_some_and(|version| version > before), "{handed}");
    assert_eq!(handed["taken_up"], true, "{handed}");
    assert_eq!(second.space()["home"], "here");
    until("the others know the new home", || {
        [&first, &third].iter().all(|daemon| daemon.space()["home"] == id(&second).as_str()).then_some(())
    });
    agree(&[&first, &second, &third]);
    let error = first.fails(4, &["space", "invite", "telemetry"]);
    assert_eq!(error["type"], "not-home", "{error}");

    first.kill();
    third.ok(&["put", "telemetry/readings", "b", "2", "--wait", "anchored", "--timeout", "50s"]);
    agree(&[&second, &third]);
    let ticket = second.ok(&["space", "invite", "telemetry"]);
    let fourth = Daemon::new(&place, "fourth");
    fourth.ok(&["space", "join", ticket.trim()]);
    assert_eq!(fourth.get("telemetry/readings", "b").as_deref(), Some("2"));

    first.start();
    agree(&[&first, &second, &third]);
    second.json(&["space", "handover", "telemetry", &id(&first)]);
    first.ok(&["put", "telemetry/readings", "c", "3", "--wait", "anchored"]);
    agree(&[&first, &second, &third, &fourth]);
    assert_eq!(first.space()["home"], "here");
}

#[test]
fn whoever_knows_the_new_home_as_one_that_left_joins_it_again() {
    let place = Place::new("handover-unknown");
    let mut first = home(&place);
    let second = joined(&place, "second", &first);
    let (third, mut fourth) = (joined(&place, "third", &first), joined(&place, "fourth", &first));
    second.ok(&["space", "leave", "telemetry"]);
    first.ok(&["put", "telemetry/readings", "a", "1", "--wait", "anchored"]);
    agree(&[&first, &third, &fourth]);

    // One is taken out and one switched off. What happens meanwhile, neither hears of.
    first.ok(&["space", "revoke", "telemetry", &id(&third)]);
    until_membership(&third, "revoked");
    fourth.kill();
    join(&second, &first);
    agree(&[&first, &second]);
    first.ok(&["space", "handover", "telemetry", &id(&second)]);
    second.ok(&["put", "telemetry/readings", "b", "2", "--wait", "anchored"]);
    first.kill();
    fourth.start();

    for device in [&third, &fourth] {
        device.ok(&["put", "telemetry/readings", &id(device), "meanwhile"]);
        join(device, &second);
        device.ok(&["put", "telemetry/readings", "back", "1", "--wait", "anchored"]);
        assert_eq!(second.get("telemetry/readings", &id(device)).as_deref(), Some("meanwhile"));
    }
    agree(&[&second, &third, &fourth]);
    let ticket = second.ok(&["space", "invite", "telemetry"]);
    let again = fourth.fails(4, &["space", "join", ticket.trim()]);
    assert_eq!(again["type"], "already-joined", "{again}");
}

#[test]
fn the_role_goes_to_nobody_who_is_away_or_no_member() {
    let place = Place::new("handover-errors");
    let home = home(&place);
    let mut device = joined(&place, "device", &home);
    let own = home.fails(4, &["space", "handover", "telemetry", &id(&home)]);
    assert_eq!(own["type"], "own-home", "{own}");
    let stranger = home.fails(3, &["space", "handover", "telemetry", &"0".repeat(32)]);
    assert_eq!(stranger["type"], "member-missing", "{stranger}");
    let not_home = device.fails(4, &["space", "handover", "telemetry", &id(&device)]);
    assert_eq!(not_home["type"], "not-home", "{not_home}");
    let ticket = home.ok(&["space", "invite", "telemetry", "--role", "reader"]);
    let reader = Daemon::new(&place, "reader");
    reader.ok(&["space", "join", ticket.trim()]);
    let error = home.fails(4, &["space", "handover", "telemetry", &id(&reader)]);
    assert_eq!(error["type"], "not-writer", "{error}");
    device.kill();
    home.ok(&["put", "telemetry/readings", "a", "1", "--wait", "anchored"]);
    let away = home.fails(5, &["space", "handover", "telemetry", &id(&device), "--timeout", "300ms"]);
    assert_eq!(away["type"], "peer-behind", "{away}");
    for error in [own, stranger, not_home, error, away] {
        assert!(error["cure"].is_string(), "{error}");
    }
    home.ok(&["put", "telemetry/readings", "b", "1", "--wait", "anchored"]);
}

#[test]
fn a_home_whose_folder_was_copied_does_nothing_as_a_home_until_it_is_claimed() {
    let place = Place::new("claim");
    let mut first = home(&place);
    let device = joined(&place, "device", &first);
    device.ok(&["put", "telemetry/readings", "before", "1", "--wait", "anchored"]);
    agree(&[&first, &device]);
    first.stop();
    let data = place.path("moved");
    copy(first.data(), &data);
    let mut moved = Daemon::of(data);
    moved.serve_in_place_of(&first);
    moved.start();

    let version = moved.space()["version"].clone();
    let said = moved.space()["error"].to_string();
    assert!(said.contains("copied or moved"), "{said}");
    assert!(moved.ok(&["status"]).contains("copied or moved"));
    for refused in [
        moved.fails(4, &["put", "telemetry/readings", "meanwhile", "1", "--wait", "anchored"]),
        moved.fails(4, &["space", "invite", "telemetry"]),
    ] {
        assert_eq!(refused["type"], "home-copied", "{refused}");
        assert!(refused["cure"].as_str().is_some_and(|cure| cure.contains("space claim")), "{refused}");
    }
    assert_eq!(
        moved.get("telemetry/readings", "meanwhile").as_deref(),
        Some("1"),
        "it is durable all the same"
    );
    device.ok(&["put", "telemetry/readings", "device", "1", "--wait", "peers:1"]);
    assert_eq!(moved.get("telemetry/readings", "device").as_deref(), Some("1"), "everything else goes on");
    assert_eq!(moved.space()["version"], version, "nothing was signed");

    moved.ok(&["space", "claim", "telemetry"]);
    device.ok(&["put", "telemetry/readings", "after", "1", "--wait", "anchored"]);
    let agreed = agree(&[&moved, &device]);
    assert!(agreed["version"].as_u64() > version.as_u64(), "{agreed}");
    assert_eq!(agreed["error"], Value::Null);
    moved.kill();
    moved.start();
    moved.ok(&["put", "telemetry/readings", "again", "1", "--wait", "anchored"]);
    device.fails(4, &["space", "claim", "telemetry"]);
}

#[test]
fn a_home_restored_from_a_backup_goes_on_from_what_its_members_have() {
    let place = Place::new("restored-home");
    let mut first = home(&place);
    let device = joined(&place, "device", &first);
    device.ok(&["put", "telemetry/readings", "before", "1", "--wait", "anchored"]);
    agree(&[&first, &device]);
    first.stop();
    let backup = place.path("backup");
    copy(first.data(), &backup);
    first.start();
    for n in 0..3 {
        device.ok(&["put", "telemetry/readings", &format!("lost {n}"), "1", "--wait", "anchored"]);
    }
    first.ok(&["put", "telemetry/readings", "by the home", "1", "--wait", "anchored"]);
    let last = agree(&[&first, &device])["version"].as_u64().expect("a version");
    first.kill();

    let mut restored = Daemon::of(backup);
    restored.serve_in_place_of(&first);
    restored.start();
    let said = restored.ok(&["space", "claim", "telemetry"]);
    assert!(said.contains("heard of a member"), "{said}");
    restored.ok(&["put", "telemetry/readings", "after", "1", "--wait", "anchored"]);
    let agreed = agree(&[&restored, &device]);
    assert!(
        agreed["version"].as_u64().is_some_and(|version| version > last),
        "no version has two meanings: {agreed}"
    );
    for daemon in [&restored, &device] {
        assert_eq!(daemon.count("telemetry/readings"), 6, "nothing is lost");
    }
}
