//! Devices and their home: what was written apart is the same everywhere after they met, and nothing is left over.

use crdt::{Class, Descriptor, Policy, Time};

use replica::{KeyRange, Order};

use home::Admission;

use crate::world::{Device, Link, NOW, Owner, assert_converged, meet, request, seed};

#[test]
fn what_was_written_offline_is_anchored_and_the_tails_are_empty() {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    for n in 0..20 {
        device.put(NOW.plus_ms(n), &format!("k{n}"), "v");
    }
    owner.device.put(NOW, "mine", "too");
    assert!(device.tail() >= 20);
    let mut link = Link::new(NOW, &device, &owner.device);
    link.run(NOW, &mut device, &mut owner.device);
    assert!(owner.batch(NOW).is_some());
    link.run(NOW, &mut device, &mut owner.device);
    assert_converged(&device, &owner.device);
    assert_eq!(device.get("mine").as_deref(), Some("too"));
    assert_eq!(owner.device.get("k19").as_deref(), Some("v"));
    assert_eq!(owner.batch(NOW), None, "nothing is left to cover");
}

#[test]
fn two_devices_that_disagree_see_one_winner_and_every_loser() {
    let mut owner = Owner::found();
    let (mut a, mut b) = (owner.join("a"), owner.join("b"));
    a.put(NOW.plus_ms(5), "k", "from a");
    b.put(NOW.plus_ms(9), "k", "from b");
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut b, &mut owner.device);
    owner.batch(NOW);
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut b, &mut owner.device);
    for device in [&a, &b, &owner.device] {
        assert_eq!(device.get("k").as_deref(), Some("from b"), "{}", device.name);
        assert_eq!(device.losers("k"), ["from a"], "{}", device.name);
    }
    assert_converged(&a, &owner.device);
    assert_converged(&b, &owner.device);
}

#[test]
fn a_name_is_pinned_by_the_first_handle_that_covers_it_whatever_a_clock_in_1970_says() {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    let create = |device: &mut crate::world::Device, now, policy| {
        let mut transaction = device.replica.begin();
        let id = transaction.create_collection(&Descriptor::new("notes", policy).unwrap()).unwrap();
        device.replica.commit(now, transaction, Class::Normal).unwrap();
        device.replica.flush().unwrap();
        id
    };
    let first = create(&mut owner.device, NOW, Policy::Lww);
    owner.batch(NOW);
    let second = create(&mut device, Time(5), Policy::Mv);
    meet(NOW, &mut device, &mut owner.device);
    owner.batch(NOW);
    meet(NOW, &mut device, &mut owner.device);
    for device in [&device, &owner.device] {
        let snapshot = device.replica.snapshot();
        assert_eq!(snapshot.collection("notes").unwrap(), Some(first));
        assert!(
            snapshot.collections().unwrap().iter().any(|coll| coll.id == second && coll.name.contains('~'))
        );
    }
    assert_converged(&device, &owner.device);
}

#[test]
fn more_names_than_one_batch_pins_are_pinned_by_those_that_follow() {
    let pinned = |owner: &Owner| {
        let snapshot = owner.device.replica.snapshot();
        snapshot.scan(crdt::system::name(), &KeyRange::all(), Order::Ascending).unwrap().count()
    };
    let mut owner = Owner::found();
    let before = pinned(&owner);
    let mut transaction = owner.device.replica.begin();
    for n in 0..2_500 {
        transaction.create_collection(&Descriptor::new(&format!("notes {n}"), Policy::Lww).unwrap()).unwrap();
    }
    owner.device.replica.commit(NOW, transaction, Class::Normal).unwrap();
    let mut batches = Vec::new();
    let mut now = NOW;
    while let Some(due) = owner.home.due(now, &owner.device.replica) {
        now = due;
        owner.batch(now).expect("it was due");
        batches.push(pinned(&owner) - before);
    }
    assert_eq!(batches, [1000, 2000, 2500]);
    assert_eq!(now, NOW.plus_ms(3_000));
    assert_eq!(owner.batch(now), None, "every name is pinned");
}

#[test]
fn a_handle_is_due_soon_when_somebody_waits_and_a_second_later_otherwise() {
    let mut owner = Owner::found();
    assert_eq!(owner.home.due(NOW, &owner.device.replica), None);
    owner.device.put(NOW, "a", "1");
    assert_eq!(owner.home.due(NOW, &owner.device.replica), Some(NOW.plus_ms(1000)));
    owner.home.wait(NOW.plus_ms(10));
    assert_eq!(owner.home.due(NOW.plus_ms(10), &owner.device.replica), Some(NOW.plus_ms(60)));
    owner.batch(NOW.plus_ms(60));
    assert_eq!(owner.home.due(NOW.plus_ms(60), &owner.device.replica), None);
}

#[test]
fn a_home_that_starts_again_writes_under_another_generation() {
    let mut owner = Owner::found();
    let writers = |owner: &Owner| {
        let snapshot = owner.device.replica.snapshot();
        let rows = snapshot.scan(crdt::system::invite(), &KeyRange::all(), Order::Ascending).unwrap();
        rows.map(|read| read.unwrap().winner.dot.writer).collect::<Vec<_>>()
    };
    owner.invite(1);
    let before = writers(&owner);
    owner = owner.crash();
    owner.invite(2);
    let after = writers(&owner);
    assert!(before[0].is_home() && after[0].is_home());
    assert_ne!(before, after, "seed {:?}", seed("owner"));
}

#[test]
fn what_the_home_decides_reaches_others_only_with_the_handle_that_covers_it() {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    let tickets = |device: &crate::world::Device| {
        let snapshot = device.replica.snapshot();
        let all = KeyRange::all();
        snapshot.scan(crdt::system::invite(), &all, Order::Ascending).unwrap().count()
    };
    owner.try_invite(NOW, "another", 1).unwrap();
    device.put(NOW, "a", "1");
    meet(NOW, &mut device, &mut owner.device);
    assert_eq!((tickets(&device), tickets(&owner.device)), (1, 2));
    owner.batch(NOW);
    meet(NOW, &mut device, &mut owner.device);
    assert_eq!(tickets(&device), 2);
    assert_converged(&device, &owner.device);
}

#[test]
fn what_a_member_relays_for_another_is_anchored_like_its_own() {
    let mut owner = Owner::found();
    let (mut a, mut b) = (owner.join("a"), owner.join("b"));
    meet(NOW, &mut a, &mut owner.device);
    a.put(NOW, "k", "from a");
    meet(NOW, &mut a, &mut b);
    b.put(NOW.plus_ms(1), "k", "from b");
    meet(NOW, &mut b, &mut owner.device);
    owner.batch(NOW);
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut b, &mut owner.device);
    assert_eq!(a.get("k").as_deref(), Some("from b"));
    assert_eq!(a.losers("k"), Vec::<String>::new(), "it was written on sight of the other");
    assert_converged(&a, &owner.device);
    assert_converged(&b, &owner.device);
}

/// What was fetched from the home was all that an older Handle needed too, which somebody else had just offered: that came of
/// it, and the home, which offers each of its Handles once, was heard of no more.
#[test]
fn an_older_handle_that_comes_of_a_fetch_does_not_end_it() {
    let mut owner = Owner::found();
    let mut old = owner.join("old");
    let ticket = owner.invite(1);
    let mut new = Device::stranger("new", &ticket.genesis);
    assert_eq!(owner.ask(NOW, &request(&ticket, &new.key)), Admission::Admitted);
    owner.device.put(NOW, "large", &"x".repeat(3_000));
    while owner.batch(NOW).is_some() {}
    meet(NOW, &mut old, &mut owner.device);
    // The tree is as it was, and the vector is not.
    owner.device.put(NOW, "gone", "1");
    owner.device.remove(NOW, "gone");
    while owner.batch(NOW).is_some() {}
    assert!(owner.device.version() > old.version());

    let (mut near, mut far) = (Link::new(NOW, &new, &owner.device), Link::new(NOW, &new, &old));
    for (link, from) in [(&mut near, &mut owner.device), (&mut far, &mut old)] {
        link.call(NOW, &mut new, from);
        link.answer(NOW, &mut new, from);
    }
    // Both have offered; the home answers first, and is asked for the value.
    near.call(NOW, &mut new, &mut owner.device);
    far.call(NOW, &mut new, &mut old);
    near.answer(NOW, &mut new, &mut owner.device);
    far.answer(NOW, &mut new, &mut old);
    near.run(NOW, &mut new, &mut owner.device);
    assert_eq!(new.version(), old.version(), "of what came together this was whole first");
    near.run(NOW.plus_ms(3_000), &mut new, &mut owner.device);
    assert_converged(&new, &owner.device);
}
