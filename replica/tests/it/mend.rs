//! Damage at rest is healed: what a peer has is fetched by its hash, and what only the log has is made anew.

use std::collections::{BTreeMap, BTreeSet};

use btree::{Hash, Kind, Node};
use crdt::{Op, Payload, system};
use disk::{Disk, Fault, Faults, MemoryDisk, Operation};
use replica::{Grant, HomeWrite};
use sync::{Adoption, Store, StoreError};

use crate::space::{
    Local, NOW, Space, contents, deliver, deliver_handle, deliver_tail, get, offer_handle, remove, roots,
    set, try_deliver_handle,
};

/// A home and a device at one base with some leaves and a large value, and commits of the device above it. All of the
/// device is in packs.
pub(crate) fn pair() -> (Space, Local, Local, MemoryDisk) {
    let (space, disk) = (Space::new(2), MemoryDisk::new(2));
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &disk));
    for n in 0..80 {
        set(&mut device, &format!("k{n}"), &format!("{n}").repeat(100));
    }
    set(&mut device, "large", &"x".repeat(5000));
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    set(&mut device, "above", &"y".repeat(6000));
    remove(&mut device, "k7");
    device.checkpoint(NOW).unwrap();
    (space, home, device, disk)
}

/// Every place of a pack in which something lies, a few bytes apart.
fn places(disk: &MemoryDisk, step: usize) -> Vec<(String, u64)> {
    let names = disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}"));
    names
        .flat_map(|name| {
            let bytes = &disk.files()[&name];
            // The index is behind them, and read once: when the pack is opened.
            let number =
                |at: usize| u64::from_le_bytes(*bytes[bytes.len() - at..].first_chunk().unwrap()) as usize;
            let end = bytes.len() - 48 - number(48) * 45 - number(40);
            (16..end).step_by(step).map(move |offset| (name.clone(), offset as u64))
        })
        .collect()
}

#[test]
fn what_is_dropped_beside_a_piece_of_the_inbox_that_cannot_be_read_goes_into_another() {
    let (space, mut home, device, disk) = pair();
    let id = device.device().id();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    let grant = |home: &Local| home.snapshot().get(system::acl(), &Grant::key(&id)).unwrap();
    let row = grant(&home).expect("it is a member");
    let say = |home: &mut Local, device: &mut Local, value: Option<Vec<u8>>| {
        space.write(home, vec![HomeWrite { coll: system::acl(), key: Grant::key(&id), value }]);
        space.anchor(NOW, home);
        deliver_handle(NOW, home, device);
    };
    let mut flipped = Vec::new();
    for value in ["dropped first", "dropped second"] {
        set(&mut device, "own", value);
        say(&mut home, &mut device, None);
        assert!(!device.is_stopped(), "{value}");
        say(&mut home, &mut device, Some(row.clone()));
        if value == "dropped first" {
            assert!(!device.inbox().unwrap().is_empty());
            flipped = flip(&disk, value.as_bytes());
            assert!(device.inbox().is_err());
        }
    }
    assert_eq!(device.handle(), home.handle());
    // Once the first piece can be read again, both are in the inbox.
    drop(device);
    flipped.iter().for_each(|(name, at)| disk.flip_bit(name, *at, 1));
    let inbox = space.open(1, &disk, 4).inbox().unwrap();
    let holds = |value: &[u8]| {
        let commits = inbox.iter().filter_map(|item| item.commit.as_ref());
        let mutations = commits.flat_map(|commit| &commit.body().mutations);
        let puts = mutations.filter(|mutation| mutation.op == Op::Put(Payload::Inline(value.to_vec())));
        puts.count() == 1
    };
    assert!(holds(b"dropped first") && holds(b"dropped second"), "{inbox:?}");
}

#[test]
fn whatever_call_fails_while_a_handle_is_adopted_over_damage_all_of_it_is_healed_after() {
    let (space, mut home, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    deliver_tail(NOW, &mut device, &mut home);
    set(&mut home, "k3", "newer");
    space.anchor(NOW, &mut home);
    let (whole, older) = (contents(&home), home.base().version - 1);
    drop(device);
    let mut held_back = 0;
    for (n, fault) in (0..).flat_map(|n| [(n, Fault::Error), (n, Fault::PowerCut)]) {
        let copy = disk.copy();
        flip(&copy, "40".repeat(100).as_bytes());
        let mut device = space.open(1, &copy, 4);
        drop(device.verify());
        device.mend(NOW).unwrap();
        copy.set_faults(Faults::none().nth_call(n, fault));
        drop(try_deliver_handle(&mut home, &mut device));
        if copy.faults_fired() == 0 {
            break;
        }
        copy.set_faults(Faults::none());
        if device.is_stopped() || fault == Fault::PowerCut {
            drop(device);
            copy.crash();
            device = space.open(1, &copy, 5);
        }
        held_back += u64::from(device.base().version == older);
        heal(&home, &mut device);
        if device.is_stopped() {
            drop(device);
            device = space.open(1, &copy, 6);
        }
        deliver_handle(NOW, &mut home, &mut device);
        // After a start, damage is not known before it is met.
        drop(device.verify());
        heal(&home, &mut device);
        assert_eq!(contents(&device), whole, "call {n}, {fault:?}");
        assert_eq!(device.verify().unwrap().problems, [""; 0], "call {n}, {fault:?}");
    }
    assert!(held_back > 10, "{held_back} times the base stayed");
}

/// Everything is there and sound, and so it is after the power went and came again.
pub(crate) fn check_whole(
    (space, disk): (&Space, &MemoryDisk),
    device: Local,
    whole: &BTreeMap<String, String>,
    place: &str,
) {
    let check = |device: &Local, when: &str| {
        assert_eq!(device.verify().unwrap().problems, [""; 0], "{place}, {when}");
        assert_eq!(contents(device), *whole, "{place}, {when}");
    };
    check(&device, "healed");
    drop(device);
    disk.crash();
    check(&space.open(1, disk, 5), "after a start");
}

/// Looks after damage, and brings what is asked for from another replica; how many nodes travelled.
pub(crate) fn heal(from: &Local, to: &mut Local) -> usize {
    let mut count = 0;
    loop {
        if to.is_stopped() {
            return count;
        }
        if to.is_mend_due() {
            to.mend(NOW).expect("it can be mended");
        }
        let lost = to.lost(&BTreeSet::new(), 2);
        let nodes: Vec<_> =
            lost.into_iter().filter_map(|(kind, hash)| Some((kind, hash, from.node(kind, &hash)?))).collect();
        if nodes.is_empty() {
            return count;
        }
        count += nodes.len();
        to.store_nodes(NOW, nodes).expect("a true node is taken");
    }
}

#[test]
fn a_flipped_bit_in_any_node_or_value_of_the_base_is_healed_from_a_peer() {
    let (space, home, device, disk) = pair();
    let whole = contents(&device);
    drop(device);
    let mut fetched = 0;
    for (name, offset) in places(&disk, 211) {
        let copy = disk.copy();
        let mut device = space.open(1, &copy, 3);
        copy.flip_bit(&name, offset, 5);
        let found = device.verify().unwrap().problems;
        assert!(
            found
                .iter()
                .any(|problem| problem.contains("does not match") || problem.contains("do not match")),
            "{name} at {offset}: {found:?}"
        );
        assert!(device.is_mend_due());
        fetched += heal(&home, &mut device);
        assert!(!device.is_damaged(), "{name} at {offset}");
        check_whole((&space, &copy), device, &whole, &format!("{name} at {offset}"));
    }
    assert!(fetched > 10, "{fetched} nodes travelled");
}

/// Flips a bit of every copy of something that lies in packs, and says where: once more, and it is as it was.
pub(crate) fn flip(disk: &MemoryDisk, what: &[u8]) -> Vec<(String, u64)> {
    let mut flipped = Vec::new();
    for (name, bytes) in disk.files().into_iter().filter(|(name, _)| name.starts_with("packs/")) {
        for at in bytes.windows(what.len()).enumerate().filter(|(_, part)| *part == what).map(|(at, _)| at) {
            disk.flip_bit(&name, at as u64, 1);
            flipped.push((name.clone(), at as u64));
        }
    }
    assert!(!flipped.is_empty(), "it lies in a pack");
    flipped
}

#[test]
fn what_is_above_the_base_is_made_anew_from_the_log_and_nobody_is_asked() {
    let (space, _, device, disk) = pair();
    let whole = contents(&device);
    drop(device);
    let mut device = space.open(1, &disk, 3);
    flip(&disk, &b"y".repeat(6000));
    assert_eq!(device.verify().unwrap().problems.len(), 1);
    device.mend(NOW).unwrap();
    assert!(!device.is_damaged(), "the log has the value");
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
    assert_eq!(contents(&device), whole);
}

#[test]
fn a_damaged_value_keeps_what_comes_after_it_back_until_it_is_healed_and_ends_no_conversation() {
    let (space, mut home, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    set(&mut device, "after", "1");
    let flipped = flip(&disk, &b"y".repeat(6000));
    let outgoing = device.next_commits(&BTreeMap::new(), 1 << 16).expect("it is no end of the conversation");
    assert!(outgoing.commits.is_empty() && outgoing.more, "{outgoing:?}");
    assert!(!flipped.is_empty() && device.is_mend_due());
    device.mend(NOW).unwrap();
    deliver_tail(NOW, &mut device, &mut home);
    assert_eq!(contents(&device), contents(&home));
    assert_eq!(get(&home, "after").as_deref(), Some("1"));
}

#[test]
fn what_can_be_sent_before_a_damaged_value_goes() {
    let (space, _, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    set(&mut device, "after", "1");
    set(&mut device, "damaged", &"z".repeat(6000));
    device.checkpoint(NOW).unwrap();
    drop(device);
    let device = &mut space.open(1, &disk, 4);
    flip(&disk, &b"z".repeat(6000));
    let outgoing = device.next_commits(&BTreeMap::new(), 1 << 20).expect("it is no end of the conversation");
    assert!(!outgoing.commits.is_empty() && outgoing.more);
    assert_eq!(outgoing.seals.len(), 2, "both writers of the device that wrote before: {:?}", outgoing.seals);
}

#[test]
fn a_read_that_fails_once_is_no_damage() {
    let (space, _, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    disk.set_faults(Faults::none().nth(Operation::Read, 9, Fault::Error));
    let found = device.verify().unwrap().problems;
    assert!(found.len() == 1 && found[0].contains("cannot read pack"), "{found:?}");
    assert!(device.is_mend_due());
    device.mend(NOW).unwrap();
    assert!(!device.is_damaged() && !device.is_mend_due());
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
}

#[test]
fn a_value_whose_read_failed_once_is_shown_at_the_next_before_anybody_looks_after_it() {
    let (space, _, device, disk) = pair();
    drop(device);
    for n in 1..12 {
        let device = space.open(1, &disk, 3);
        disk.set_faults(Faults::none().nth(Operation::Read, n, Fault::Error));
        let failed = device.snapshot().get(crate::space::coll(), &crate::space::key("large"));
        disk.set_faults(Faults::none());
        let shown = get(&device, "large");
        assert_eq!(shown, Some("x".repeat(5000)), "after {failed:?} at read {n}");
    }
}

#[test]
fn a_sector_that_cannot_be_read_is_healed_and_all_else_goes_on_meanwhile() {
    let (space, home, device, disk) = pair();
    let whole = contents(&device);
    drop(device);
    let mut device = space.open(1, &disk, 3);
    let value = "40".repeat(100);
    let (name, at) = disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("packs/"))
        .find_map(|(name, bytes)| {
            Some((name, bytes.windows(value.len()).position(|part| part == value.as_bytes())?))
        })
        .expect("a leaf has the value");
    disk.damage_sector(&name, at as u64);
    drop(device.verify());
    device.mend(NOW).unwrap();
    assert!(device.is_damaged() && !device.is_stopped());
    let read = device.snapshot().get(crate::space::coll(), &crate::space::key("k40"));
    assert!(read.is_err(), "{read:?}");
    assert_eq!(get(&device, "above").as_deref(), whole.get("above").map(String::as_str));
    set(&mut device, "k99", "written meanwhile");
    assert!(heal(&home, &mut device) > 0);
    assert_eq!(get(&device, "k40"), Some(value));
    assert_eq!(get(&device, "k99").as_deref(), Some("written meanwhile"));
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
}

#[test]
fn wrong_bytes_are_their_senders_fault_and_nothing_is_asked_of_nobody() {
    let (space, home, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    flip(&disk, "40".repeat(100).as_bytes());
    drop(device.verify());
    device.mend(NOW).unwrap();
    let lost = device.lost(&BTreeSet::new(), 10);
    let (kind, hash) = lost[0];
    assert_eq!(device.lost(&lost.iter().copied().collect(), 10), [], "what was asked for");
    let refused = device.store_nodes(NOW, vec![(kind, hash, b"nonsense".to_vec())]);
    assert!(matches!(refused, Err(StoreError::Peer { .. })), "{refused:?}");
    assert_eq!(device.lost(&BTreeSet::new(), 10), lost, "it is still asked for");
    assert!(heal(&home, &mut device) > 0);
    assert!(!device.is_damaged());
}

#[test]
fn a_newer_handle_is_adopted_over_a_base_that_is_damaged() {
    let (space, mut home, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    deliver_tail(NOW, &mut device, &mut home);
    set(&mut home, "newer", "1");
    space.anchor(NOW, &mut home);
    flip(&disk, "40".repeat(100).as_bytes());
    drop(device.verify());
    device.mend(NOW).unwrap();
    deliver_handle(NOW, &mut home, &mut device);
    heal(&home, &mut device);
    assert_eq!(device.handle(), home.handle());
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
    assert_eq!(roots(&mut device), roots(&mut home));
}

/// Every node of the vector of a base.
fn vector_nodes(of: &Local) -> Vec<Vec<u8>> {
    let (mut open, mut nodes) = (vec![Hash(of.handle().vv_root)], Vec::new());
    while let Some(hash) = open.pop() {
        let bytes = of.node(Kind::Vector, &hash).expect("it is here");
        let node = Node::decode(Kind::Vector, &bytes).expect("it is whole");
        if !node.is_leaf() {
            open.extend((0..node.len()).map(|row| node.child(row).hash));
        }
        nodes.push(bytes);
    }
    nodes
}

#[test]
fn a_handle_that_cannot_be_held_against_a_damaged_base_is_taken_up_once_that_is_whole() {
    let (space, mut home, mut device, disk) = pair();
    // A vector of some leaves: each start writes under a name of its own.
    for salt in 10..210 {
        drop(device);
        device = space.open(1, &disk, salt);
        set(&mut device, "again", &salt.to_string());
    }
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    device.checkpoint(NOW).unwrap();
    let nodes = vector_nodes(&device);
    drop(device);
    for salt in 211..230 {
        let mut later = space.open(1, &disk.copy(), salt);
        set(&mut later, "later", "1");
        deliver_tail(NOW, &mut later, &mut home);
    }
    space.anchor(NOW, &mut home);
    let mut waited = 0;
    for bytes in nodes {
        let copy = disk.copy();
        let mut device = space.open(1, &copy, 250);
        flip(&copy, &bytes);
        drop(device.verify());
        device.mend(NOW).unwrap();
        let wait = Adoption::Fetch(Vec::new());
        while offer_handle(NOW, &mut home, &mut device).expect("it is nobody's fault").0 == wait {
            waited += 1;
            assert!(heal(&home, &mut device) > 0);
        }
        assert_eq!(device.handle(), home.handle());
        assert_eq!(device.verify().unwrap().problems, [""; 0]);
    }
    assert!(waited > 0);
}

#[test]
fn a_home_is_healed_from_a_device() {
    let (space, disk) = (Space::new(2), MemoryDisk::new(1));
    let (mut home, mut device) = (space.create(0, &disk), space.create(1, &MemoryDisk::new(2)));
    for n in 0..80 {
        set(&mut home, &format!("k{n}"), &format!("{n}").repeat(100));
    }
    space.anchor(NOW, &mut home);
    deliver(NOW, &mut home, &mut device);
    drop(home);
    let mut home = space.open(0, &disk, 3);
    flip(&disk, "40".repeat(100).as_bytes());
    drop(home.verify());
    assert!(heal(&device, &mut home) > 0);
    set(&mut home, "more", "1");
    space.anchor(NOW, &mut home);
    deliver(NOW, &mut home, &mut device);
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
    assert_eq!(roots(&mut device), roots(&mut home));
}

#[test]
fn a_disk_without_room_is_asked_again_once_it_has_some() {
    let (space, home, device, disk) = pair();
    drop(device);
    let mut device = space.open(1, &disk, 3);
    flip(&disk, "40".repeat(100).as_bytes());
    drop(device.verify());
    device.mend(NOW).unwrap();
    disk.set_capacity(Some(disk.used()));
    heal_on_full_disk(&home, &mut device);
    assert!(device.is_damaged() && !device.is_stopped());
    disk.set_capacity(None);
    assert!(device.is_mend_due());
    device.mend(NOW).unwrap();
    assert!(!device.is_damaged());
    assert_eq!(device.verify().unwrap().problems, [""; 0]);
}

fn heal_on_full_disk(from: &Local, to: &mut Local) {
    let nodes = to.lost(&BTreeSet::new(), 10).into_iter();
    let nodes = nodes.map(|(kind, hash)| (kind, hash, from.node(kind, &hash).unwrap())).collect();
    to.store_nodes(NOW, nodes).expect("it is not the peer's fault");
    assert!(to.mend(NOW).is_err_and(|error| error.is_full()));
}
