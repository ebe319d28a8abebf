//! A home whose packs have changed at rest opens all the same, and is healed by a member.

use crdt::DeviceKey;
use disk::{Disk, MemoryDisk};
use home::MemoryRegistry;

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
