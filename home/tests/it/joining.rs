//! Tickets: who comes in by them, and who does not.

use crdt::{DeviceKey, Time};
use home::{Admission, Error, Refused};

use crate::world::{Device, EXPORTER, Link, NOW, Owner, meet, request, seed};

/// A refusal changes nothing: neither the home's state nor what is due.
fn assert_refused(owner: &mut Owner, now: Time, join: &sync::frame::Join, why: Refused) {
    let tail = owner.device.tail();
    assert_eq!(owner.ask(now, join), Admission::Refused(why));
    assert_eq!(owner.device.tail(), tail, "{why:?}");
}

#[test]
fn a_ticket_survives_being_sent_as_text() {
    let mut owner = Owner::found();
    let ticket = owner.invite(1);
    assert_eq!(ticket.to_string().parse(), Ok(ticket));
}

#[test]
fn a_device_with_a_ticket_is_a_member_once_a_handle_covers_it() {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    assert_eq!(device.version(), owner.device.version());
    device.put(NOW, "a", "1");
    meet(NOW, &mut device, &mut owner.device);
    assert_eq!(owner.device.get("a").as_deref(), Some("1"));
}

#[test]
fn asking_again_costs_nothing_even_after_the_last_use_and_the_last_day() {
    let mut owner = Owner::found();
    let ticket = owner.invite(1);
    let (first, second) = (DeviceKey::from_seed(seed("first")), DeviceKey::from_seed(seed("second")));
    assert_eq!(owner.ask(NOW, &request(&ticket, &first)), Admission::Admitted);
    assert_eq!(owner.ask(NOW, &request(&ticket, &first)), Admission::Member);
    assert_refused(&mut owner, NOW, &request(&ticket, &second), Refused::TicketSpent);
    let late = ticket.not_after.plus_ms(1);
    assert_eq!(owner.ask(late, &request(&ticket, &first)), Admission::Member);
}

#[test]
fn a_ticket_admits_as_many_as_it_says_also_over_a_restart() {
    let mut owner = Owner::found();
    let ticket = owner.invite(2);
    for (name, expected) in [
        ("first", Admission::Admitted),
        ("second", Admission::Admitted),
        ("third", Admission::Refused(Refused::TicketSpent)),
    ] {
        let key = DeviceKey::from_seed(seed(name));
        assert_eq!(owner.ask(NOW, &request(&ticket, &key)), expected, "{name}");
        owner = owner.crash();
    }
}

#[test]
fn a_wrong_or_late_ticket_changes_nothing() {
    let mut owner = Owner::found();
    let ticket = owner.invite(1);
    let key = DeviceKey::from_seed(seed("device"));
    let mut guessed = ticket.clone();
    guessed.secret[0] ^= 1;
    assert_refused(&mut owner, NOW, &request(&guessed, &key), Refused::TicketUnknown);
    let mut replayed = request(&ticket, &key);
    replayed.proof = crdt::proof(&ticket.secret, &replayed.space, &key.public(), b"another connection");
    assert_refused(&mut owner, NOW, &replayed, Refused::TicketUnknown);
    let mut stolen = request(&ticket, &key);
    stolen.device_key = DeviceKey::from_seed(seed("thief")).public();
    assert_refused(&mut owner, NOW, &stolen, Refused::TicketUnknown);
    let late = ticket.not_after.plus_ms(1);
    assert_refused(&mut owner, late, &request(&ticket, &key), Refused::TicketExpired);
    assert_eq!(owner.ask(ticket.not_after, &request(&ticket, &key)), Admission::Admitted);
}

#[test]
fn another_space_is_not_at_home_here() {
    let mut owner = Owner::found();
    let ticket = owner.invite(1);
    let mut join = request(&ticket, &DeviceKey::from_seed(seed("device")));
    join.space = crdt::SpaceId([9; 32]);
    assert_refused(&mut owner, NOW, &join, Refused::NotHome);
}

#[test]
fn a_member_who_holds_no_secret_cannot_admit_others() {
    let mut owner = Owner::found();
    let device = owner.join("device");
    let ticket = owner.invite(1);
    owner.batch(NOW);
    // All that members see of a ticket is its hash.
    let hash = crdt::secret_hash(&ticket.secret);
    let thief = DeviceKey::from_seed(seed("thief"));
    let space = device.replica.space();
    let proof = crdt::proof(&hash, &space, &thief.public(), EXPORTER);
    let join = sync::frame::Join { space, device_key: thief.public(), proof };
    assert_refused(&mut owner, NOW, &join, Refused::TicketUnknown);
}

#[test]
fn what_a_device_without_a_grant_writes_is_taken_by_nobody() {
    let mut owner = Owner::found();
    let mut stranger = Device::stranger("stranger", owner.genesis());
    stranger.put(NOW, "a", "1");
    let (tail, version) = (owner.device.tail(), owner.device.version());
    let mut link = Link::new(NOW, &stranger, &owner.device);
    link.run(NOW, &mut stranger, &mut owner.device);
    assert_eq!((owner.device.tail(), owner.device.version()), (tail, version));
    assert_eq!(owner.device.get("a"), None);
}

#[test]
fn tickets_that_are_over_make_room_for_new_ones() {
    let mut owner = Owner::found();
    for n in 0..1024 {
        owner.try_invite(NOW, &n.to_string(), 1).unwrap();
    }
    assert!(matches!(owner.try_invite(NOW, "more", 1), Err(Error::TooManyTickets { max: 1024 })));
    let later = NOW.plus_ms(8 * 24 * 60 * 60 * 1000);
    let ticket = owner.try_invite(later, "later", 1).unwrap();
    let key = DeviceKey::from_seed(seed("device"));
    assert_eq!(owner.ask(later, &request(&ticket, &key)), Admission::Admitted);
}
