//! A home that stops between any two steps opens again and goes on: no Handle twice, no admission lost or paid twice.

use disk::{Disk, Fault, Faults, MemoryDisk, Operation};
use home::{Admission, Error, MemoryRegistry, Mishap, RedbRegistry, Registry, Verdict};

use crate::world::{Device, NOW, Owner, assert_converged, fingerprint, meet, open_home, request, seed};

/// Where the home stops.
#[derive(Debug, Clone, Copy)]
enum Stop {
    BeforeNodes,
    AfterNodes,
    AfterRegistry,
    AfterManifest,
}

#[test]
fn a_crash_between_any_two_steps_is_continued_from() {
    for stop in [Stop::BeforeNodes, Stop::AfterNodes, Stop::AfterRegistry, Stop::AfterManifest] {
        let mut owner = Owner::found();
        owner.device.put(NOW, "a", "1");
        let ticket = owner.invite(1);
        if !matches!(stop, Stop::BeforeNodes) {
            let proposal = owner.home.begin(&mut owner.device.replica, NOW).unwrap().unwrap();
            if !matches!(stop, Stop::AfterNodes) {
                assert_eq!(proposal.run(&mut owner.registry).unwrap(), Verdict::Ours);
                if matches!(stop, Stop::AfterManifest) {
                    owner.home.finish(&mut owner.device.replica, NOW, proposal, Verdict::Ours).unwrap();
                }
            }
        }
        let mut owner = owner.crash();
        let expected = if matches!(stop, Stop::AfterRegistry | Stop::AfterManifest) { 2 } else { 1 };
        assert_eq!(owner.device.version(), expected, "{stop:?}: a Handle in the registry is adopted first");
        assert_eq!(owner.device.get("a").as_deref(), Some("1"), "{stop:?}");
        let key = crdt::DeviceKey::from_seed(seed("device"));
        assert_eq!(owner.ask(NOW, &request(&ticket, &key)), Admission::Admitted, "{stop:?}");
        owner.batch(NOW);
        assert_eq!((owner.registered(), owner.device.tail()), (owner.device.version(), 0), "{stop:?}");

        // What others hear afterwards is one history.
        let mut device = Device::stranger("device", owner.genesis());
        meet(NOW, &mut device, &mut owner.device);
        assert_eq!(device.get("a").as_deref(), Some("1"), "{stop:?}");
    }
}

#[test]
fn a_crash_at_any_call_to_the_disk_leaves_a_home_that_goes_on() {
    for call in 0.. {
        let mut owner = Owner::found();
        owner.device.put(NOW, "a", "1");
        owner.device.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let answer = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
        let is_over = owner.device.disk.faults_fired() == 0;
        owner.device.disk.set_faults(Faults::none());
        assert_eq!(answer.is_ok(), is_over, "call {call}: {answer:?}");
        let mut owner = owner.crash();
        assert_eq!(owner.device.get("a").as_deref(), Some("1"), "call {call}");
        assert_eq!(owner.device.version(), owner.registered(), "call {call}");
        owner.device.put(NOW, "b", "2");
        owner.batch(NOW);
        assert_eq!((owner.registered(), owner.device.tail()), (owner.device.version(), 0), "call {call}");
        if is_over {
            assert!(call > 5, "the crashes fell within the batch");
            return;
        }
    }
}

#[test]
fn a_power_cut_that_takes_manifest_and_registry_at_once_leaves_them_level() {
    for call in 0.. {
        let owner = Owner::found();
        let mut device = owner.device;
        device.disk.create_dir("registry").unwrap();
        let folder = device.disk.within("registry");
        let mut registry = RedbRegistry::open(&folder, &[device.replica.base().clone()]).unwrap();
        let mut home = open_home(&mut device, fingerprint("folder"), &mut registry);
        device.put(NOW, "a", "1");
        device.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let answer = home.batch(&mut device.replica, NOW, &mut registry);
        let is_over = device.disk.faults_fired() == 0;
        device.disk.set_faults(Faults::none());
        drop(registry);
        let mut device = device.crash();
        let mut registry = RedbRegistry::open(&folder, &[device.replica.base().clone()]).unwrap();
        let mut home = open_home(&mut device, fingerprint("folder"), &mut registry);
        let space = device.replica.space();
        assert_eq!(
            registry.get(&space).unwrap().as_ref(),
            Some(device.replica.base()),
            "call {call}: {answer:?}"
        );
        device.put(NOW, "b", "2");
        assert!(home.batch(&mut device.replica, NOW, &mut registry).unwrap().is_some(), "call {call}");
        assert_eq!((device.get("a").as_deref(), device.tail()), (Some("1"), 0), "call {call}");
        if is_over {
            assert!(call > 10, "the cuts fell within manifest and registry");
            return;
        }
    }
}

#[test]
fn a_crash_at_any_call_of_an_admission_costs_one_use_or_none() {
    for call in 0.. {
        let mut owner = Owner::found();
        let ticket = owner.invite(1);
        let request = |name: &str| request(&ticket, &crdt::DeviceKey::from_seed(seed(name)));
        owner.device.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let first = request("first");
        let answer = owner.home.admit_join(&mut owner.device.replica, NOW, &first, crate::world::EXPORTER);
        let is_over = owner.device.disk.faults_fired() == 0;
        owner.device.disk.set_faults(Faults::none());
        let mut owner = owner.crash();
        let again = owner.ask(NOW, &first);
        if answer.is_ok() {
            assert_eq!(again, Admission::Member, "call {call}: an answer is a promise");
        }
        assert!(matches!(again, Admission::Member | Admission::Admitted), "call {call}");
        assert!(
            matches!(owner.ask(NOW, &request("second")), Admission::Refused(_)),
            "call {call}: paid once"
        );
        if is_over {
            assert!(call > 0);
            return;
        }
    }
}

#[test]
fn a_registry_that_was_lost_is_made_anew_from_the_manifest() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.batch(NOW);
    let mut device = owner.device.restart();
    let disk = MemoryDisk::new(5);
    let known = [device.replica.base().clone()];
    let mut registry = RedbRegistry::open(&disk, &known).unwrap();
    let mut home = open_home(&mut device, fingerprint("folder"), &mut registry);
    device.put(NOW, "b", "2");
    let handle = home.batch(&mut device.replica, NOW, &mut registry).unwrap().unwrap();
    assert_eq!(handle.version, 3);
    assert_eq!(registry.get(&handle.space).unwrap(), Some(handle));
}

#[test]
fn a_registry_that_is_away_at_the_start_is_asked_again_later() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    let proposal = owner.home.begin(&mut owner.device.replica, NOW).unwrap().unwrap();
    proposal.run(&mut owner.registry).unwrap();
    owner.registry.plan(Mishap::Down);
    let mut owner = owner.crash();
    assert_eq!(owner.device.version(), 1, "not known yet");
    owner.device.put(NOW, "b", "2");
    while owner.batch(NOW).is_some() {}
    assert_eq!((owner.device.tail(), owner.registered()), (0, owner.device.version()));
}

/// An owner restored from a backup taken before its last two Handles, and a device that has them.
fn restored(registry: impl FnOnce(MemoryRegistry) -> MemoryRegistry) -> (Owner, Device) {
    let mut owner = Owner::found();
    let mut device = owner.join("device");
    let backup = owner.device.disk.copy();
    for key in ["a", "b"] {
        owner.device.put(NOW, key, "1");
        owner.batch(NOW);
    }
    meet(NOW, &mut device, &mut owner.device);
    let mut registry = registry(owner.registry);
    let mut restored = Device::open("restored", backup, owner.device.key, 1);
    let home = open_home(&mut restored, fingerprint("folder"), &mut registry);
    assert_eq!(restored.version() + 2, device.version());
    (Owner { device: restored, home, registry }, device)
}

#[test]
fn a_restored_home_signs_nothing_until_it_has_met_what_the_registry_holds() {
    let (mut owner, mut device) = restored(|registry| registry);
    owner.device.put(NOW, "c", "1");
    let behind = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    assert!(matches!(behind, Err(Error::Behind { .. })), "{behind:?}");
    meet(NOW, &mut owner.device, &mut device);
    assert_eq!(owner.batch(NOW), Some(device.version() + 1));
    meet(NOW, &mut owner.device, &mut device);
    assert_converged(&owner.device, &device);
    assert_eq!(owner.device.get("b").as_deref(), Some("1"));
    assert_eq!(device.get("c").as_deref(), Some("1"));
}

#[test]
fn a_restored_home_that_hears_of_a_newer_handle_of_its_own_signs_nothing_before_it_has_it() {
    let (mut owner, mut device) = restored(fallen_back);
    owner.device.put(NOW, "c", "1");
    let mut forged = device.replica.base().clone();
    forged.version += 5;
    owner.home.hear(&owner.device.replica, &device.key.id(), &forged);
    let heard = device.replica.base().clone();
    owner.home.hear(&owner.device.replica, &device.key.id(), &heard);
    let behind = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
    assert!(matches!(&behind, Err(Error::Behind { handle }) if **handle == heard), "{behind:?}");
    meet(NOW, &mut owner.device, &mut device);
    assert_eq!(owner.batch(NOW), Some(device.version() + 1));
    meet(NOW, &mut owner.device, &mut device);
    assert_converged(&owner.device, &device);
}

/// A registry that was restored from the same backup as the home.
fn fallen_back(mut registry: MemoryRegistry) -> MemoryRegistry {
    for _ in 0..2 {
        registry.plan(Mishap::Regress);
        registry.get(&crdt::SpaceId([0; 32])).unwrap();
    }
    registry
}

#[test]
fn a_home_restored_with_its_registry_goes_on_from_what_a_device_brings() {
    let (mut owner, mut device) = restored(fallen_back);
    meet(NOW, &mut owner.device, &mut device);
    owner.device.put(NOW, "c", "1");
    assert_eq!(owner.batch(NOW), Some(device.version() + 1));
    assert_eq!(owner.registered(), owner.device.version());
    meet(NOW, &mut owner.device, &mut device);
    assert_converged(&owner.device, &device);
}

/// The registry answers nothing, and takes the Handle later: until then nothing else needs its nodes.
#[test]
fn a_handle_in_doubt_keeps_its_nodes_however_much_is_written_and_collected_meanwhile() {
    for is_restarted in [false, true] {
        let mut owner = Owner::found().with_little_room();
        owner.device.put(NOW, "a", "1");
        owner.registry.plan(Mishap::Late(1));
        let space = owner.device.replica.space();
        let answer = owner.home.batch(&mut owner.device.replica, NOW, &mut owner.registry);
        assert!(matches!(answer, Err(Error::InDoubt { version: 2 })), "{answer:?}");
        if is_restarted {
            // Nor does it answer while the home starts, twice.
            owner.registry.plan(Mishap::Down);
            owner.registry.plan(Mishap::Down);
            owner = owner.crash().with_little_room();
        }
        for round in 0..40 {
            owner.device.put(NOW, "b", &format!("{round} {}", "b".repeat(600)));
            owner.device.replica.checkpoint(NOW).unwrap();
        }
        while owner.registry.get(&space).unwrap().is_none_or(|handle| handle.version < 2) {}
        for _ in 0..2 {
            owner.batch(NOW.plus_ms(5_000));
        }
        assert_eq!((owner.registered(), owner.device.tail()), (owner.device.version(), 0), "{is_restarted}");
        assert_eq!(owner.device.get("a").as_deref(), Some("1"));
    }
}

/// The power goes between registry and manifest, and then the disk is full: taking up the Handle needs room.
#[test]
fn a_home_on_a_full_disk_opens_and_takes_up_its_handle_when_there_is_room() {
    let mut failed = 0;
    for write in 0..12 {
        let mut owner = Owner::found();
        owner.device.put(NOW, "a", &"v".repeat(2_000));
        let proposal = owner.home.begin(&mut owner.device.replica, NOW).unwrap().expect("something to cover");
        proposal.run(&mut owner.registry).unwrap();
        // So that the trees of the Handle are not those that are here.
        owner.device.put(NOW, "b", &"w".repeat(2_000));
        owner.device.replica.flush().unwrap();
        let Owner { device, mut registry, .. } = owner;
        let mut device = device.crash();
        device.disk.set_faults(Faults::none().nth(Operation::Write, write, Fault::NoSpace));
        let mut home = open_home(&mut device, fingerprint("folder"), &mut registry);
        failed += device.disk.faults_fired();
        device.disk.set_faults(Faults::none());
        assert_eq!(device.get("a").map(|value| value.len()), Some(2_000), "it can be read, {write}");
        while home.batch(&mut device.replica, NOW, &mut registry).unwrap().is_some() {}
        assert_eq!(device.tail(), 0, "{write}");
        assert_eq!(registry.get(&device.replica.space()).unwrap().unwrap().version, device.version());
    }
    assert!(failed > 0);
}
