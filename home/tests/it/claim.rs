//! The role is bound to its folder: a copy does nothing until somebody says that it is the one.

use crdt::view::Manner;
use crdt::{DeviceKey, Policy};
use home::{Admission, Duty, Error, Home, HomeOptions, Members, Refused};
use replica::Retention;

use crate::world::{Device, EXPORTER, NOW, Owner, fingerprint, meet, open_home, request, seed};

#[test]
fn a_copied_home_signs_and_admits_nothing_until_it_is_claimed() {
    let mut owner = Owner::found();
    let ticket = owner.invite(1);
    let mut device = owner.device.restart();
    let mut home = open_home(&mut device, fingerprint("another folder"), &mut owner.registry);
    assert_eq!(home.duty(), Duty::Copied);

    device.put(NOW, "a", "1");
    home.wait(NOW);
    assert_eq!(home.due(NOW, &device.replica), None);
    let refused = home.batch(&mut device.replica, NOW, &mut owner.registry);
    assert!(matches!(refused, Err(Error::OffDuty { duty: Duty::Copied })), "{refused:?}");
    let (tasks, mv) = (crate::world::tasks().id(), Manner::of(Policy::Mv));
    let refused = home.set_view(&mut device.replica, NOW, tasks, &mv);
    assert!(matches!(refused, Err(Error::OffDuty { duty: Duty::Copied })), "{refused:?}");
    let refused = home.set_retention(&mut device.replica, NOW, tasks, &Retention::default());
    assert!(matches!(refused, Err(Error::OffDuty { duty: Duty::Copied })), "{refused:?}");
    let join = request(&ticket, &DeviceKey::from_seed(seed("device")));
    let answer = home.admit_join(&mut device.replica, NOW, &join, EXPORTER).unwrap();
    assert_eq!(answer, Admission::Refused(Refused::NotHome));
    assert_eq!(device.get("a").as_deref(), Some("1"), "everything else goes on");

    home.claim(&mut device.replica, NOW, Members::AreNotAhead).unwrap();
    assert!(home.batch(&mut device.replica, NOW, &mut owner.registry).unwrap().is_some());
    let mut device = device.crash();
    assert_eq!(open_home(&mut device, fingerprint("another folder"), &mut owner.registry).duty(), Duty::On);
}

#[test]
fn a_key_outside_the_ring_is_no_home() {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    let options =
        HomeOptions { key: device.key.clone(), seed: seed("x"), fingerprint: fingerprint("folder") };
    let mut home = Home::open(options, &mut device.replica, NOW, &mut owner.registry).unwrap();
    assert_eq!(home.duty(), Duty::NotHome);
    assert!(home.claim(&mut device.replica, NOW, Members::AreNotAhead).is_err());
    assert!(home.batch(&mut device.replica, NOW, &mut owner.registry).is_err());
}

#[test]
fn a_claimed_backup_signs_nothing_before_a_member_has_said_which_version_it_has() {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    device.put(NOW, "before", "1");
    meet(NOW, &mut device, &mut owner.device);
    owner.batch(NOW).unwrap();
    let mut backup = Device::open("owner", owner.device.disk.copy(), owner.device.key.clone(), 7);
    device.put(NOW, "lost", "1");
    meet(NOW, &mut device, &mut owner.device);
    owner.batch(NOW).unwrap();
    meet(NOW, &mut device, &mut owner.device);
    let newest = device.replica.base().clone();

    let mut registry = home::MemoryRegistry::new();
    let mut home = open_home(&mut backup, fingerprint("restored"), &mut registry);
    home.claim(&mut backup.replica, NOW, Members::MayBeAhead).unwrap();
    backup.put(NOW, "after", "1");
    for _ in 0..2 {
        let refused = home.batch(&mut backup.replica, NOW, &mut registry);
        assert!(matches!(refused, Err(Error::Unheard)), "{refused:?}");
        assert_eq!(home.due(NOW, &backup.replica), None);
        let mut forged = newest.clone();
        forged.data_root[0] ^= 1;
        home.hear(&backup.replica, &device.key.id(), &forged);
        assert!(home.is_unheard(), "anybody can say anything");
        backup = backup.crash();
        home = open_home(&mut backup, fingerprint("restored"), &mut registry);
    }
    home.hear(&backup.replica, &device.key.id(), &newest);
    let behind = home.batch(&mut backup.replica, NOW, &mut registry);
    assert!(matches!(behind, Err(Error::Behind { .. })), "{behind:?}");
    meet(NOW, &mut device, &mut backup);
    let next = home.batch(&mut backup.replica, NOW, &mut registry).unwrap().expect("what came after");
    assert_eq!(next.version, newest.version + 1);
    assert_eq!(backup.get("lost").as_deref(), Some("1"));
    let mut backup = backup.crash();
    assert!(
        !open_home(&mut backup, fingerprint("restored"), &mut registry).is_unheard(),
        "heard once is enough"
    );
}

/// A copy of the owner's folder that somebody says is the one, though members may be ahead of it.
fn claimed_backup(owner: &mut Owner) -> (Device, Home) {
    let mut backup = Device::open("owner", owner.device.disk.copy(), owner.device.key.clone(), 7);
    let mut home = open_home(&mut backup, fingerprint("restored"), &mut owner.registry);
    home.claim(&mut backup.replica, NOW, Members::MayBeAhead).unwrap();
    (backup, home)
}

#[test]
fn a_claimed_backup_waits_for_a_member_that_has_something_unless_all_have_lost_everything() {
    let mut owner = Owner::found();
    let (phone, laptop) = (owner.join("phone"), owner.join("laptop"));
    let (mut backup, mut home) = claimed_backup(&mut owner);
    backup.put(NOW, "after", "1");

    let nothing = Device::stranger("laptop", backup.replica.genesis()).replica.base().clone();
    let somebody = DeviceKey::from_seed(seed("somebody")).id();
    for said_by in [laptop.key.id(), laptop.key.id(), somebody] {
        home.hear(&backup.replica, &said_by, &nothing);
        let refused = home.batch(&mut backup.replica, NOW, &mut owner.registry);
        assert!(matches!(refused, Err(Error::Unheard)), "the phone may be ahead: {refused:?}");
    }
    home.hear(&backup.replica, &phone.key.id(), &nothing);
    assert!(home.batch(&mut backup.replica, NOW, &mut owner.registry).unwrap().is_some());
}

#[test]
fn a_version_that_only_a_lost_folder_had_is_waited_for_until_the_home_is_claimed_again() {
    let mut owner = Owner::found();
    let phone = owner.join("phone");
    let (mut backup, mut home) = claimed_backup(&mut owner);
    let mut registry = home::MemoryRegistry::new();
    owner.device.put(NOW, "lost", "1");
    owner.batch(NOW).unwrap();
    let lost = owner.device.replica.base().clone();
    home.hear(&backup.replica, &phone.key.id(), &lost);
    // The phone's folder is lost, and with it all that anybody had of that version.
    let nothing = Device::stranger("phone", backup.replica.genesis()).replica.base().clone();
    home.hear(&backup.replica, &phone.key.id(), &nothing);
    backup.put(NOW, "after", "1");
    let behind = home.batch(&mut backup.replica, NOW, &mut registry);
    assert!(matches!(behind, Err(Error::Behind { .. })), "{behind:?}");

    home.claim(&mut backup.replica, NOW, Members::MayBeAhead).unwrap();
    let unheard = home.batch(&mut backup.replica, NOW, &mut registry);
    assert!(matches!(unheard, Err(Error::Unheard)), "{unheard:?}");
    home.hear(&backup.replica, &phone.key.id(), &nothing);
    assert!(home.batch(&mut backup.replica, NOW, &mut registry).unwrap().is_some());
}

#[test]
fn a_claimed_backup_waits_for_nobody_once_all_that_it_waited_for_were_taken_out() {
    let mut owner = Owner::found();
    let (phone, laptop) = (owner.join("phone"), owner.join("laptop"));
    let (mut backup, mut home) = claimed_backup(&mut owner);

    home.revoke(&mut backup.replica, NOW, &phone.key.id()).unwrap();
    assert!(home.is_unheard(), "the laptop may be ahead");
    home.revoke(&mut backup.replica, NOW, &laptop.key.id()).unwrap();
    assert!(!home.is_unheard(), "nobody talks with either of them any more");
    let mut backup = backup.crash();
    let mut home = open_home(&mut backup, fingerprint("restored"), &mut owner.registry);
    assert!(home.batch(&mut backup.replica, NOW, &mut owner.registry).unwrap().is_some());
}

#[test]
fn a_home_without_members_has_nobody_to_wait_for() {
    let mut owner = Owner::found();
    let mut device = owner.device.restart();
    let mut home = open_home(&mut device, fingerprint("moved"), &mut owner.registry);
    home.claim(&mut device.replica, NOW, Members::MayBeAhead).unwrap();
    device.put(NOW, "a", "1");
    assert!(home.batch(&mut device.replica, NOW, &mut owner.registry).unwrap().is_some());
}
