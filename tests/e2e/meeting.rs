//! Two daemons that meet: tickets, joining, and what both say afterwards.

use super::harness::{Daemon, Place, agree, home, joined};

#[test]
fn a_device_joins_with_a_ticket_and_both_name_the_same_roots() {
    let place = Place::new("meet");
    let home = home(&place);
    home.ok(&["put", "telemetry/readings", "greeting", "hello"]);
    let device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    assert_eq!(device.get("telemetry/readings", "greeting").as_deref(), Some("hello"));
    device.ok(&["put", "telemetry/readings", "answer", "good day"]);
    agree(&[&home, &device]);
    assert_eq!(home.get("telemetry/readings", "answer").as_deref(), Some("good day"));
    let peers = device.json(&["peer", "list"]);
    assert_eq!(peers[0]["state"], "connected", "{peers}");
}

#[test]
fn a_ticket_that_is_wrong_spent_or_expired_opens_nothing() {
    let place = Place::new("tickets");
    let home = home(&place);
    let first = Daemon::new(&place, "first");
    let second = Daemon::new(&place, "second");
    second.fails(2, &["space", "join", "nonsense"]);

    let ticket = home.ok(&["space", "invite", "telemetry"]);
    let ticket = ticket.trim();
    second.fails(2, &["space", "join", &ticket[..ticket.len() / 2]]);
    let mut altered = ticket.to_string();
    let last = altered.pop().expect("a ticket has letters");
    altered.push(if last == 'a' { 'q' } else { 'a' });
    let unknown = second.fails(4, &["space", "join", &altered]);
    assert_eq!(unknown["type"], "ticket-unknown", "{unknown}");

    first.ok(&["space", "join", ticket]);
    let spent = second.fails(4, &["space", "join", ticket]);
    assert_eq!(spent["type"], "ticket-spent", "{spent}");

    let expired = home.ok(&["space", "invite", "telemetry", "--expires", "1ms"]);
    std::thread::sleep(std::time::Duration::from_millis(20));
    let expired = second.fails(4, &["space", "join", expired.trim()]);
    assert_eq!(expired["type"], "ticket-expired", "{expired}");
    assert_eq!(second.json(&["space", "list"]).as_array().map(Vec::len), Some(0));
}

#[test]
fn a_space_that_is_joined_is_renamed_where_its_name_is_taken() {
    let place = Place::new("names");
    let home = home(&place);
    let device = Daemon::new(&place, "device");
    device.ok(&["space", "create", "telemetry"]);
    let ticket = home.ok(&["space", "invite", "telemetry"]);
    assert_eq!(device.json(&["space", "join", ticket.trim()])["name"], "telemetry-2");
}

#[test]
fn a_ticket_for_two_lets_two_in_and_no_third() {
    let place = Place::new("two");
    let home = home(&place);
    let ticket = home.ok(&["space", "invite", "telemetry", "--uses", "2"]);
    let devices = ["a", "b", "c"].map(|name| Daemon::new(&place, name));
    devices[0].ok(&["space", "join", ticket.trim()]);
    devices[1].ok(&["space", "join", ticket.trim()]);
    devices[2].fails(4, &["space", "join", ticket.trim()]);
}
