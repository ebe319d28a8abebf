//! A start over damage: what the log rests on is asked of peers first, and nothing of the log is forgotten meanwhile.

use crdt::system;
use disk::{Disk, Fault, Faults, MemoryDisk};
use replica::{Grant, HomeWrite};

use crate::mend::{check_whole, flip, heal, pair};
use crate::space::{
    Local, NOW, Space, contents, deliver_handle, deliver_tail, get, roots, set, try_deliver_handle,
};

/// Damaged at rest, opened, healed: everything is there again.
fn open_and_heal(space: &Space, home: &Local, disk: &MemoryDisk) -> (Local, bool) {
    let mut device = space.open(1, disk, 3);
    let was_unread = device.is_unread();
    if was_unread {
        let read = device.snapshot().get(crate::space::coll(), &crate::space::key("k1"));
        assert!(read.is_err(), "{read:?}");
        assert_ne!(device.verify().unwrap().problems, [""; 0]);
        assert!(heal(home, &mut device) > 0);
        assert!(device.is_stopped(), "it is to be opened again");
        drop(device);
        device = space.open(1, disk, 4);
        assert!(!device.is_unread());
    }
    drop(device.verify());
    heal(home, &mut device);
    (device, was_unread)
}

#[test]
fn whatever_byte_of_a_pack_changes_before_a_start_the_replica_opens_and_is_healed() {
    let (space, home, device, disk) = pair();
    let whole = contents(&device);
    drop(device);
    let mut unread = 0;
    for name in disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}")) {
        for offset in (0..disk.files()[&name].len() as u64).step_by(131) {
            let copy = disk.copy();
            copy.flip_bit(&name, offset, 5);
            let (device, was_unread) = open_and_heal(&space, &home, &copy);
            unread += u64::from(was_unread);
            check_whole((&space, &copy), device, &whole, &format!("{name} at {offset}"));
        }
    }
    assert!(unread > 10, "{unread} opened without their log");
}

#[test]
fn a_start_that_cannot_read_its_log_forgets_nothing_of_it() {
    let (space, mut home, device, disk) = pair();
    let mut whole = contents(&device);
    drop(device);
    // The index of every pack.
    for name in disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}")) {
        disk.flip_bit(&name, disk.files()[&name].len() as u64 - 60, 5);
    }
    let base = home.base().clone();
    let mut device = space.open(1, &disk, 3);
    assert!(device.is_unread() && *device.base() == base);
    device.checkpoint(NOW).expect("there is nothing to do, and nothing went wrong");
    assert!(crate::space::put(&mut device, NOW, "k1", "not now").is_err());
    // Another process ends while it waits.
    drop(device);
    disk.crash();
    let (mut device, was_unread) = open_and_heal(&space, &home, &disk);
    assert!(was_unread);
    assert_eq!(contents(&device), whole, "what no handle covers is in its log");
    set(&mut home, "newer", "1");
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    deliver_tail(NOW, &mut device, &mut home);
    whole.insert("newer".into(), "1".into());
    assert_eq!(contents(&device), whole);
    assert_eq!(roots(&mut device), roots(&mut home));
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
}

/// A manifest that only the cache of the machine has is shown by the next start: what it shows outlasts the power.
#[test]
fn the_base_that_a_start_without_its_log_shows_is_durable() {
    let (space, mut home, device, disk) = pair();
    drop(device);
    set(&mut home, "newer", "1");
    space.anchor(NOW, &mut home);
    let mut newer = 0;
    for n in 0.. {
        let copy = disk.copy();
        let mut device = space.open(1, &copy, 3);
        copy.set_faults(Faults::none().nth_call(n, Fault::Error));
        drop(try_deliver_handle(&mut home, &mut device));
        if copy.faults_fired() == 0 {
            break;
        }
        copy.set_faults(Faults::none());
        // The process ends, and the machine goes on.
        drop(device);
        for name in copy.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}")) {
            copy.flip_bit(&name, copy.files()[&name].len().saturating_sub(60) as u64, 5);
        }
        let shown = space.open(1, &copy, 4);
        let version = shown.base().version;
        newer += u64::from(shown.is_unread() && version == home.base().version);
        drop(shown);
        copy.crash();
        assert!(space.open(1, &copy, 5).base().version >= version, "call {n}");
    }
    assert!(newer > 1, "{newer} starts showed what was not known to be durable");
}

#[test]
fn packs_do_not_pile_up_while_nobody_can_be_asked() {
    let (space, home, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    flip(&disk, "40".repeat(100).as_bytes());
    drop(device.verify());
    device.mend(NOW).unwrap();
    let mut most = 0;
    for n in 0..40 {
        set(&mut device, &format!("z{n}"), &format!("meanwhile {n}"));
        device.checkpoint(NOW.plus_ms(n * 3_600_000)).unwrap();
        most = most.max(disk.list("packs").unwrap().len());
    }
    assert!(device.is_damaged());
    assert!(most < 20, "{most} packs");
    assert!(heal(&home, &mut device) > 0);
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
    assert_eq!(get(&device, "z39").as_deref(), Some("meanwhile 39"));
}

#[test]
fn a_batch_without_its_manifest_stays_one_over_a_start_that_asks_peers_first() {
    let (space, mut home, device, disk) = pair();
    let (old, whole, id) = (device.base().clone(), contents(&device), device.device().id());
    drop(device);
    let peer = space.open(1, &disk.copy(), 9);
    // Nothing that the device wrote counts any more, and nobody writes it again.
    space.write(&mut home, vec![HomeWrite { coll: system::acl(), key: Grant::key(&id), value: None }]);
    space.anchor(NOW, &mut home);
    let mut unread = 0;
    for call in 0.. {
        let copy = disk.copy();
        let mut device = space.open(1, &copy, 3);
        copy.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        drop(try_deliver_handle(&mut home, &mut device));
        let is_dark = copy.faults_fired() > 0;
        copy.set_faults(Faults::none());
        drop(device);
        copy.crash();
        if !is_dark {
            break;
        }
        if *space.open(1, &copy.copy(), 3).base() != old {
            continue;
        }
        let names = copy.list("packs").unwrap().into_iter().filter(|name| name.ends_with(".pack"));
        for name in names.map(|name| format!("packs/{name}")) {
            copy.flip_bit(&name, copy.files()[&name].len() as u64 - 60, 5);
        }
        let (device, was_unread) = open_and_heal(&space, &peer, &copy);
        unread += u64::from(was_unread);
        assert_eq!(contents(&device), whole, "the power went at call {call} of the adoption");
    }
    assert!(unread > 10, "{unread} opened without their log");
}

#[test]
fn a_value_above_the_base_that_went_with_a_pack_is_taken_from_the_log() {
    let (space, mut home, mut device, disk) = pair();
    // All nodes that lead to it are written again, so that nothing but the value lies in the pack of before.
    for name in ["above1", "k71", "k8"] {
        set(&mut device, name, "1");
    }
    device.checkpoint(NOW).unwrap();
    let whole = contents(&device);
    drop(device);
    let value = b"y".repeat(6000);
    let holds = |name: &String| disk.files()[name].windows(value.len()).any(|part| part == value);
    let names = disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}"));
    let held: Vec<_> = names.filter(holds).collect();
    for name in &held {
        disk.flip_bit(name, disk.files()[name].len() as u64 - 60, 5);
    }
    let (mut device, was_unread) = open_and_heal(&space, &home, &disk);
    assert!(was_unread, "its base was in {held:?}");
    assert_eq!(contents(&device), whole);
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
    deliver_tail(NOW, &mut device, &mut home);
    assert_eq!(contents(&home), whole);
}
