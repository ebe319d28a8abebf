//! The role moves from one device to another: never two homes, never none for good, whatever crashes between.

use disk::{Fault, Faults};
use home::{Duty, Error, Members, MemoryRegistry};
use sync::{Adoption, Store};

use crate::world::{Device, Link, NOW, Owner, assert_converged, fingerprint, meet, open_home};

/// A device as it may become a home: with a registry of its own.
fn seat(mut device: Device) -> Owner {
    let mut registry = MemoryRegistry::new();
    let place = fingerprint(device.name);
    let home = open_home(&mut device, place, &mut registry);
    Owner { device, home, registry }
}

fn reopen(owner: Owner) -> Owner {
    let Owner { device, mut registry, .. } = owner;
    let mut device = device.crash();
    let place = fingerprint(folder(&device));
    let home = open_home(&mut device, place, &mut registry);
    Owner { device, home, registry }
}

fn folder(device: &Device) -> &'static str {
    if device.name == "owner" { "folder" } else { device.name }
}

fn review(owner: &mut Owner) {
    owner.home.review(&mut owner.device.replica, NOW, &mut owner.registry).unwrap();
}

fn hand_over(from: &mut Owner, to: &Owner) -> Result<(), Error> {
    from.home.hand_over(&mut from.device.replica, NOW, &to.device.key.id())
}

/// What a session would bring, without one.
fn tell(from: &Owner, to: &mut Owner) -> Result<Adoption, sync::StoreError> {
    let offer = from.device.replica.offer(to.device.version());
    to.device.replica.adopt(NOW, offer)
}

fn founded() -> (Owner, Owner, Device) {
    let mut owner = Owner::found();
    let mut target = seat(owner.join("target"));
    let device = owner.join("device");
    meet(NOW, &mut target.device, &mut owner.device);
    assert_eq!(owner.batch(NOW), None);
    (owner, target, device)
}

#[test]
fn a_home_hands_the_role_on_only_once_it_has_signed_a_version() {
    let (mut owner, mut target, _) = founded();
    let version = owner.device.version() + 1;
    hand_over(&mut owner, &target).unwrap();
    meet(NOW, &mut target.device, &mut owner.device);
    review(&mut target);
    let at_once = hand_over(&mut target, &owner);
    assert!(matches!(at_once, Err(Error::NotTakenUp { version: first }) if first == version), "{at_once:?}");
    target.device.put(NOW, "key", "1");
    assert_eq!(target.batch(NOW), Some(version));
    meet(NOW, &mut target.device, &mut owner.device);
    hand_over(&mut target, &owner).unwrap();
    assert_eq!(target.home.duty(), Duty::NotHome);
}

#[test]
fn the_role_moves_as_often_as_a_ring_has_records_and_is_refused_by_name_then() {
    let (mut owner, mut target, _) = founded();
    for n in 0..crdt::RING_MAX {
        hand_over(&mut owner, &target).unwrap();
        meet(NOW, &mut target.device, &mut owner.device);
        review(&mut target);
        target.device.put(NOW, "key", &n.to_string());
        target.batch(NOW).expect("the new home signs");
        meet(NOW, &mut target.device, &mut owner.device);
        review(&mut owner);
        std::mem::swap(&mut owner, &mut target);
    }
    let once_more = hand_over(&mut owner, &target);
    assert!(matches!(once_more, Err(Error::RingFull)), "{once_more:?}");
    owner.device.put(NOW, "key", "goes on");
    assert!(owner.batch(NOW).is_some());
}

#[test]
fn the_new_home_signs_the_next_version_and_everybody_follows() {
    let (mut owner, mut target, mut device) = founded();
    let version = owner.device.version();
    hand_over(&mut owner, &target).unwrap();
    assert_eq!((owner.home.duty(), target.home.duty()), (Duty::NotHome, Duty::NotHome));
    let signed = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    assert!(matches!(signed, Err(Error::OffDuty { .. })), "{signed:?}");

    owner.device.put(NOW, "old", "1");
    meet(NOW, &mut target.device, &mut owner.device);
    review(&mut target);
    assert_eq!(target.home.duty(), Duty::On);
    // A device that only meets the old home hears of it there.
    device.put(NOW, "device", "1");
    meet(NOW, &mut device, &mut owner.device);
    meet(NOW, &mut target.device, &mut owner.device);
    assert_eq!(target.batch(NOW), Some(version + 1));
    meet(NOW, &mut target.device, &mut owner.device);
    meet(NOW, &mut device, &mut owner.device);
    assert_converged(&target.device, &owner.device);
    assert_converged(&device, &owner.device);
    assert_eq!(device.replica.base().ring_n, 1);
    device.put(NOW, "direct", "1");
    meet(NOW, &mut device, &mut target.device);
    assert_eq!(target.batch(NOW), Some(version + 2));
    assert_eq!(target.device.get("old").as_deref(), Some("1"));
}

#[test]
fn the_role_comes_back_the_same_way() {
    let (mut owner, mut target, mut device) = founded();
    for round in 0..3 {
        let (from, to) = if round % 2 == 0 { (&mut owner, &mut target) } else { (&mut target, &mut owner) };
        hand_over(from, to).unwrap();
        meet(NOW, &mut to.device, &mut from.device);
        review(to);
        to.device.put(NOW, &format!("k{round}"), "1");
        assert!(to.batch(NOW).is_some(), "round {round}");
        meet(NOW, &mut from.device, &mut to.device);
        review(from);
        assert_eq!((from.home.duty(), to.home.duty()), (Duty::NotHome, Duty::On), "round {round}");
    }
    meet(NOW, &mut device, &mut owner.device);
    meet(NOW, &mut device, &mut target.device);
    assert_converged(&device, &target.device);
    assert_converged(&owner.device, &target.device);
}

#[test]
fn nothing_is_handed_over_that_the_new_home_could_not_finish() {
    let (mut owner, target, _) = founded();
    owner.device.put(NOW, "a", "1");
    let uncovered = hand_over(&mut owner, &target);
    assert!(matches!(uncovered, Err(Error::Uncovered { commits: 1 })), "{uncovered:?}");
    let me = owner.device.key.id();
    let myself = owner.home.hand_over(&mut owner.device.replica, NOW, &me);
    assert!(matches!(myself, Err(Error::OwnHome)), "{myself:?}");
    let stranger = Device::stranger("stranger", owner.genesis());
    let nobody = owner.home.hand_over(&mut owner.device.replica, NOW, &stranger.key.id());
    assert!(matches!(nobody, Err(Error::NotMember { .. })), "{nobody:?}");
    assert!(owner.batch(NOW).is_some(), "it is the home still");
}

#[test]
fn a_crash_at_any_call_of_the_old_home_leaves_it_the_home_or_not_and_never_two() {
    for call in 0.. {
        let (mut owner, mut target, _) = founded();
        owner.device.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let answer = hand_over(&mut owner, &target);
        let is_over = owner.device.disk.faults_fired() == 0;
        owner.device.disk.set_faults(Faults::none());
        let mut owner = reopen(owner);
        if answer.is_ok() {
            assert_eq!(owner.home.duty(), Duty::NotHome, "call {call}: an answer is a promise");
        }
        meet(NOW, &mut target.device, &mut owner.device);
        review(&mut target);
        let duties = [owner.home.is_on_duty(), target.home.is_on_duty()];
        assert!(duties[0] != duties[1], "call {call}: {duties:?}");
        let (acting, other) = if duties[0] { (&mut owner, &mut target) } else { (&mut target, &mut owner) };
        other.device.put(NOW, "k", "1");
        meet(NOW, &mut other.device, &mut acting.device);
        assert!(acting.batch(NOW).is_some(), "call {call}");
        meet(NOW, &mut other.device, &mut acting.device);
        assert_converged(&owner.device, &target.device);
        if is_over {
            assert!(call > 1 && answer.is_ok(), "the crashes fell within the write");
            return;
        }
    }
}

#[test]
fn a_crash_at_any_call_of_the_new_home_is_made_good_by_the_next_meeting() {
    for call in 0.. {
        let (mut owner, mut target, _) = founded();
        hand_over(&mut owner, &target).unwrap();
        target.device.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let first = tell(&owner, &mut target).is_ok()
            && target.home.review(&mut target.device.replica, NOW, &mut target.registry).is_ok()
            && target.home.announce(&mut target.device.replica, NOW, &["192.0.2.7:1".to_owned()]).is_ok()
            && target.home.batch(&mut target.device.replica, NOW, &mut target.registry).is_ok();
        let is_over = target.device.disk.faults_fired() == 0;
        target.device.disk.set_faults(Faults::none());
        assert_eq!(first, is_over, "call {call}");
        let mut target = reopen(target);
        let mut owner = reopen(owner);
        assert_eq!(owner.home.duty(), Duty::NotHome, "call {call}");
        meet(NOW, &mut target.device, &mut owner.device);
        review(&mut target);
        assert_eq!(target.home.duty(), Duty::On, "call {call}");
        owner.device.put(NOW, "k", "1");
        meet(NOW, &mut target.device, &mut owner.device);
        while target.batch(NOW).is_some() {}
        meet(NOW, &mut target.device, &mut owner.device);
        assert_converged(&owner.device, &target.device);
        assert_eq!(target.registered(), target.device.version(), "call {call}");
        if is_over {
            let told = home::addresses(&owner.device.replica.snapshot()).unwrap();
            assert_eq!(told, ["192.0.2.7:1"]);
            assert!(call > 5, "the crashes fell within taking it up");
            return;
        }
    }
}

#[test]
fn an_old_home_that_lost_its_folder_is_no_home_before_it_has_caught_up() {
    let (mut owner, mut target, _) = founded();
    hand_over(&mut owner, &target).unwrap();
    meet(NOW, &mut target.device, &mut owner.device);
    review(&mut target);
    target.device.put(NOW, "k", "1");
    assert!(target.batch(NOW).is_some());

    // With an empty folder and what a ticket of the new home says.
    let ring = target.device.replica.ring().records().to_vec();
    let empty = Device::joined("owner", owner.device.key.clone(), owner.genesis().clone(), ring);
    let mut again = seat(empty);
    assert_eq!(again.home.duty(), Duty::NotHome);
    meet(NOW, &mut again.device, &mut target.device);
    review(&mut again);
    assert_eq!(again.home.duty(), Duty::NotHome);
    assert_converged(&again.device, &target.device);
}

#[test]
fn what_a_copy_of_the_old_home_signs_afterwards_is_believed_by_nobody_who_knows() {
    let (mut owner, mut target, mut device) = founded();
    let copy = Device::open("copy", owner.device.disk.copy(), owner.device.key.clone(), 9);
    let mut copy = seat(copy);
    copy.home.claim(&mut copy.device.replica, NOW, Members::AreNotAhead).unwrap();
    hand_over(&mut owner, &target).unwrap();
    meet(NOW, &mut target.device, &mut owner.device);
    meet(NOW, &mut device, &mut owner.device);
    review(&mut target);
    copy.device.put(NOW, "forged", "1");
    assert!(copy.batch(NOW).is_some(), "it does not know better");
    let mut link = Link::new(NOW, &device, &copy.device);
    link.run(NOW, &mut device, &mut copy.device);
    assert!(device.version() < copy.device.version());
    assert!(!link.errors(&device, &copy.device).is_empty(), "and it is said");
    assert!(target.home.is_on_duty());
}
