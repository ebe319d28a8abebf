//! Two homes of one space, and a registry that loses answers: one Handle per version, and no commit lost.

use home::{Error, MemoryRegistry, Mishap, Verdict};

use crate::world::{Device, NOW, Owner, assert_converged, fingerprint, meet, open_home};

/// A second home of the same space: the first one's folder, copied while it ran, and claimed.
fn rival(owner: &Owner) -> Owner {
    let mut device = Device::open("rival", owner.device.disk.copy(), owner.device.key.clone(), 1);
    let mut registry = owner.registry.clone();
    let mut home = open_home(&mut device, fingerprint("rival"), &mut registry);
    home.claim(&mut device.replica, NOW).unwrap();
    Owner { device, home, registry }
}

/// Each version in the registry follows the one before.
fn assert_one_history(registry: &MemoryRegistry, owner: &Owner) {
    let history = registry.history(&owner.device.replica.space());
    for (before, after) in history.iter().zip(&history[1..]) {
        assert_eq!(after.version, before.version + 1);
        assert_eq!(after.prev, before.hash());
    }
}

#[test]
fn of_two_homes_one_wins_each_version_and_no_commit_is_lost() {
    let mut ours = Owner::found();
    let mut theirs = rival(&ours);
    for round in 0..6 {
        ours.device.put(NOW, &format!("ours {round}"), "1");
        theirs.device.put(NOW, &format!("theirs {round}"), "1");
        let (first, second) = match round % 2 {
            0 => (&mut ours, &mut theirs),
            _ => (&mut theirs, &mut ours),
        };
        assert!(first.batch(NOW).is_some());
        // Both made the next version, and one of them was first.
        let lost = second.home.batch(&mut second.device.replica, NOW, &mut second.registry);
        assert!(matches!(lost, Err(Error::Behind { .. })), "{lost:?}");
        meet(NOW, &mut second.device, &mut first.device);
        assert!(second.batch(NOW).is_some(), "what lost is covered by the next one");
        meet(NOW, &mut second.device, &mut first.device);
        assert_converged(&ours.device, &theirs.device);
    }
    for round in 0..6 {
        assert_eq!(ours.device.get(&format!("theirs {round}")).as_deref(), Some("1"));
        assert_eq!(theirs.device.get(&format!("ours {round}")).as_deref(), Some("1"));
    }
    assert_one_history(&ours.registry, &ours);
}

#[test]
fn a_lost_answer_is_read_back() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.registry.plan(Mishap::LostAnswer);
    assert_eq!(owner.batch(NOW), Some(2));
    assert_eq!((owner.device.version(), owner.device.tail()), (2, 0));
}

#[test]
fn a_swap_in_doubt_is_asked_for_again_with_the_same_handle() {
    for mishap in [Mishap::LostRequest, Mishap::Late(1), Mishap::Late(2), Mishap::Down] {
        let mut owner = Owner::found();
        owner.device.put(NOW, "a", "1");
        owner.registry.plan(mishap);
        let doubt = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
        assert!(matches!(doubt, Err(Error::InDoubt { .. } | Error::Unavailable)), "{mishap:?}: {doubt:?}");
        assert_eq!(owner.device.version(), 1, "nothing is published that may not be");
        assert_eq!(owner.home.due(NOW, &owner.device.replica), Some(NOW.plus_ms(1000)), "{mishap:?}");
        owner.device.put(NOW, "b", "2");
        owner.device.replica.checkpoint(NOW).unwrap();
        let later = NOW.plus_ms(1000);
        while owner.batch(later).is_some() {}
        assert_eq!((owner.device.tail(), owner.registered()), (0, owner.device.version()), "{mishap:?}");
        assert_one_history(&owner.registry, &owner);
    }
}

#[test]
fn a_handle_in_doubt_is_proposed_again_byte_by_byte() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.registry.plan(Mishap::LostRequest);
    let first = owner.home.begin(&mut owner.device.replica, NOW).unwrap().unwrap();
    assert_eq!(first.run(&mut owner.registry).unwrap(), Verdict::InDoubt);
    owner.device.put(NOW, "b", "2");
    let second = owner.home.begin(&mut owner.device.replica, NOW.plus_ms(9)).unwrap().unwrap();
    assert_eq!(first.handle(), second.handle());
}

#[test]
fn an_answer_lost_while_the_registry_is_down_is_found_later() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.registry.plan(Mishap::LostAnswer);
    owner.registry.plan(Mishap::Down);
    let doubt = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    assert!(matches!(doubt, Err(Error::InDoubt { version: 2 })), "{doubt:?}");
    assert_eq!(owner.batch(NOW), Some(2));
    assert_eq!(owner.registered(), 2);
}

#[test]
fn a_registry_that_fell_back_gets_its_handle_again() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.batch(NOW);
    owner.device.put(NOW, "b", "2");
    owner.registry.plan(Mishap::Regress);
    assert_eq!(owner.batch(NOW), Some(3));
    assert_eq!(owner.registered(), 3);
    assert_one_history(&owner.registry, &owner);
}
