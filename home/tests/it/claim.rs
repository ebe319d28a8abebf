//! The role is bound to its folder: a copy does nothing until somebody says that it is the one.

use crdt::DeviceKey;
use home::{Admission, Duty, Error, Home, HomeOptions, Refused};

use crate::world::{EXPORTER, NOW, Owner, fingerprint, open_home, request, seed};

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
    let join = request(&ticket, &DeviceKey::from_seed(seed("device")));
    let answer = home.admit_join(&mut device.replica, NOW, &join, EXPORTER).unwrap();
    assert_eq!(answer, Admission::Refused(Refused::NotHome));
    assert_eq!(device.get("a").as_deref(), Some("1"), "everything else goes on");

    home.claim(&mut device.replica, NOW).unwrap();
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
    assert!(home.claim(&mut device.replica, NOW).is_err());
    assert!(home.batch(&mut device.replica, NOW, &mut owner.registry).is_err());
}
