//! A home whose packs have changed at rest opens all the same, and is healed by a member.

use std::collections::BTreeSet;

use crdt::DeviceKey;
use disk::{Disk, MemoryDisk};
use home::{Error, MemoryRegistry, Mishap, Registry};

use crate::world::{Device, Link, NOW, Owner, assert_converged, fingerprint, meet, open_home};

/// A home and a member at one base, and the home's disk after its process ended.
fn pair() -> (Device, MemoryDisk, DeviceKey) {
    let mut owner = Owner::found();
    let mut member = owner.join("device");
    for n in 0..40 {
        owner.device.put(NOW, &format!("k{n}"), &format!("{n}").repeat(60));
    }
    owner.device.put(NOW, "large", &"x".repeat(5_000));
    while owner.batch(NOW.plus_ms(5_000)).is_some() {}
    meet(NOW, &mut owner.device, &mut member);
    assert_converged(&owner.device, &member);
    let Device { disk, key, .. } = owner.device;
    (member, disk, key)
}

#[test]
fn whatever_byte_of_a_pack_changes_the_home_opens_and_is_healed_by_a_member() {
    let (mut member, disk, key) = pair();
    let (mut starts, mut acted, mut looked) = (10, 0, 0);
    for name in disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}")) {
        for offset in (0..disk.files()[&name].len() as u64).step_by(97) {
            // A registry that has forgotten all is raised to what the manifest says.
            let (copy, mut registry) = (disk.copy(), MemoryRegistry::default());
            copy.flip_bit(&name, offset, 3);
            starts += 2;
            let mut device = Device::open("home", copy.clone(), key.clone(), starts);
            let mut home = None;
            if !device.replica.is_unread() {
                let opened = open_home(&mut device, fingerprint("folder"), &mut registry);
                assert!(opened.is_on_duty(), "{name} at {offset}");
                acted += 1;
                home = Some(opened);
            }
            heal(&mut device, &mut member);
            if device.replica.is_stopped() {
                drop((device, home));
                device = Device::open("home", copy, key.clone(), starts + 1);
                heal(&mut device, &mut member);
                home = None;
            }
            assert_eq!(device.replica.verify().unwrap().problems, [""; 0], "{name} at {offset}");
            let folder = fingerprint("folder");
            let mut home = home.unwrap_or_else(|| open_home(&mut device, folder, &mut registry));
            // What could not be looked at when it opened is looked at now, and then nothing is due.
            looked += u64::from(home.due(NOW, &device.replica).is_some());
            assert_eq!(home.batch(&mut device.replica, NOW, &mut registry).unwrap(), None);
            assert_eq!(home.due(NOW, &device.replica), None, "{name} at {offset}");
            let version = device.version();
            device.put(NOW, "new", "1");
            home.batch(&mut device.replica, NOW, &mut registry).unwrap();
            assert_eq!((device.version(), device.tail()), (version + 1, 0), "{name} at {offset}");
        }
    }
    assert!(acted > 10 && looked > 0, "{acted} opened with the role, {looked} looked again");
}

/// A home whose Handle the registry took, which it does not know, a member, and the packs written for that Handle.
fn in_doubt() -> (Owner, Device, Vec<String>) {
    let mut owner = Owner::found();
    let mut member = owner.join("device");
    for n in 0..120 {
        owner.device.put(NOW, &format!("k{n}"), &format!("{n}").repeat(40));
    }
    while owner.batch(NOW).is_some() {}
    meet(NOW, &mut owner.device, &mut member);
    assert_converged(&owner.device, &member);
    let before: BTreeSet<String> = owner.device.disk.list("packs").unwrap().into_iter().collect();
    owner.invite(1);
    for n in [3, 33, 63, 93] {
        member.put(NOW, &format!("k{n}"), "changed");
    }
    owner.device.put(NOW, "alone", "1");
    meet(NOW, &mut member, &mut owner.device);
    owner.registry.plan(Mishap::LostAnswer);
    owner.registry.plan(Mishap::Down);
    let answer = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    assert!(matches!(answer, Err(Error::InDoubt { .. })), "{answer:?}");
    assert_eq!(owner.registered(), owner.device.version() + 1);
    let mut packs = owner.device.disk.list("packs").unwrap();
    packs.retain(|pack| !before.contains(pack));
    assert!(!packs.is_empty());
    (owner, member, packs)
}

/// What comes between the signing of a Handle and the damage: of this device, the home and the member.
fn go_on(owner: &mut Owner, member: &mut Device) {
    owner.device.put(NOW, "k3", "changed again");
    owner.try_invite(NOW, "another secret", 1).unwrap();
    member.put(NOW, "k40", "changed");
    meet(NOW, member, &mut owner.device);
}

/// Heals what a bit in such a pack did, and makes the next Handle after all; whether what the one in doubt covers was found
/// in the log.
fn settle(owner: &mut Owner, member: &mut Device, name: &str) -> bool {
    heal(&mut owner.device, member);
    let signed = owner.registry.get(&owner.device.replica.space()).unwrap().unwrap();
    let is_computed = owner.device.replica.covered_by_own(&signed).unwrap().is_some();
    owner.device.put(NOW, "new", "1");
    let batch = |owner: &mut Owner| owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    while batch(owner).expect(name).is_some() {}
    assert_eq!((owner.device.version(), owner.device.tail()), (signed.version + 1, 0), "{name}");
    assert_eq!(owner.device.replica.verify().unwrap().problems, [""; 0], "{name}");
    meet(NOW, &mut owner.device, member);
    assert_converged(&owner.device, member);
    assert_eq!((member.get("alone").as_deref(), member.get("k93").as_deref()), (Some("1"), Some("changed")));
    is_computed
}

/// Every few bytes of the pack of a Handle in doubt change, each in a life of its own: `damage` flips one, at a place of a file.
fn each_is_settled(damage: impl Fn(Owner, &mut Device, &str, u64) -> Owner) {
    let mut computed = 0;
    for offset in (0..).step_by(149) {
        let (mut owner, mut member, packs) = in_doubt();
        go_on(&mut owner, &mut member);
        let name = format!("packs/{}", packs[0]);
        if offset >= owner.device.disk.files()[&name].len() as u64 {
            break;
        }
        let mut owner = damage(owner, &mut member, &name, offset);
        computed += u64::from(settle(&mut owner, &mut member, &format!("{name} at {offset}")));
    }
    assert!(computed > 5, "{computed} computed");
}

/// Nobody else ever had the nodes of such a Handle, and with what came since none of its roots is that of anything here.
#[test]
fn a_handle_in_doubt_whose_pack_has_changed_is_computed_from_the_log() {
    each_is_settled(|owner, _, name, offset| {
        owner.device.disk.flip_bit(name, offset, 3);
        owner
    });
}

#[test]
fn a_handle_in_doubt_whose_pack_has_changed_is_computed_after_a_restart() {
    each_is_settled(|mut owner, member, name, offset| {
        // It does not answer while the home starts.
        owner.registry.plan(Mishap::Down);
        let mut owner = owner.crash();
        go_on(&mut owner, member);
        owner.device.disk.flip_bit(name, offset, 3);
        owner.registry.plan(Mishap::Down);
        owner.crash()
    });
}

/// A look at what lies there finds what is damaged, and a member brings it.
fn heal(device: &mut Device, member: &mut Device) {
    for _ in 0..3 {
        drop(device.replica.verify());
        if device.replica.is_mend_due() {
            device.replica.mend(NOW).unwrap();
        }
        let mut link = Link::new(NOW, device, member);
        link.run(NOW, device, member);
        if device.replica.is_stopped() {
            return;
        }
    }
}
