//! What a home decided in a folder that does not act: it counts where it is covered or claimed, and shows nowhere before.

use crdt::view::Manner;
use crdt::{DeviceKey, Policy};
use disk::{Fault, Faults, MemoryDisk};
use home::{Admission, Duty, Members, MemoryRegistry, Refused};
use replica::ItemKind;

use crate::world::{
    Device, NOW, Owner, assert_converged, fingerprint, meet, open_home, request, seed, tasks,
};

/// How a home has the tasks read.
fn shown() -> Manner {
    Manner::of(Policy::Mv)
}

fn is_shown(device: &Device) -> bool {
    device.replica.snapshot().manner(tasks().id()).unwrap() == Some(shown())
}

/// What waits in the inbox, all of it decided by a home and with its content.
fn waiting(device: &Device) -> usize {
    let items = device.replica.inbox().unwrap();
    for item in &items {
        assert_eq!((item.kind, item.dot.writer.is_home()), (ItemKind::Unconfirmed, true), "{item:?}");
        assert!(item.commit.is_some(), "{item:?}");
    }
    items.len()
}

/// A home that has decided something no Handle covers, and its disk from before that.
fn decided() -> (Owner, MemoryDisk) {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    owner.batch(NOW).unwrap();
    let before = owner.device.disk.copy();
    owner.home.set_view(&mut owner.device.replica, NOW, tasks().id(), &shown()).unwrap();
    assert!(is_shown(&owner.device));
    (owner, before)
}

/// The same with another folder.
fn open_at(disk: MemoryDisk, owner: &Owner, place: &'static str) -> Owner {
    let device = Device::open(place, disk, owner.device.key.clone(), 2);
    seat(device, place, owner.registry.clone())
}

fn seat(mut device: Device, place: &'static str, mut registry: MemoryRegistry) -> Owner {
    let home = open_home(&mut device, fingerprint(place), &mut registry);
    Owner { device, home, registry }
}

fn reopen(owner: Owner, place: &'static str) -> Owner {
    seat(owner.device.crash(), place, owner.registry)
}

fn copy_of(owner: &Owner) -> Owner {
    let copy = open_at(owner.device.disk.copy(), owner, "copy");
    assert_eq!(copy.home.duty(), Duty::Copied);
    copy
}

/// It hears of the newest Handle, and its role is looked at, as after each.
fn follow(copy: &mut Owner, home: &mut Owner) {
    meet(NOW, &mut copy.device, &mut home.device);
    copy.home.review(&mut copy.device.replica, NOW, &mut copy.registry).unwrap();
}

fn claim(owner: &mut Owner) {
    owner.home.claim(&mut owner.device.replica, NOW, Members::AreNotAhead).unwrap();
}

/// Nothing of it is lost: it counts and will be covered, or lies in the inbox.
fn check_claimed(mut owner: Owner) {
    assert!(is_shown(&owner.device));
    assert_eq!((waiting(&owner.device), owner.device.replica.backlog().commits), (0, 1));
    assert!(owner.batch(NOW).is_some());
    assert!(is_shown(&owner.device));
    let mut device = Device::stranger("late", owner.genesis());
    meet(NOW, &mut device, &mut owner.device);
    assert!(is_shown(&device));
    assert_converged(&device, &owner.device);
}

#[test]
fn a_copy_reads_what_its_home_decided_once_a_handle_covers_it() {
    let (mut owner, _) = decided();
    let mut copy = copy_of(&owner);
    assert!(!is_shown(&copy.device), "nobody else reads it so yet");
    assert_eq!((waiting(&copy.device), copy.device.replica.backlog().commits), (1, 0));
    assert_eq!(copy.device.replica.verify().unwrap().problems, [""; 0]);

    owner.batch(NOW).unwrap();
    follow(&mut copy, &mut owner);
    assert!(is_shown(&copy.device));
    assert_eq!(waiting(&copy.device), 0, "it counts");
    assert_converged(&copy.device, &owner.device);
    let copy = reopen(copy, "copy");
    assert!(is_shown(&copy.device));
}

#[test]
fn what_the_home_has_lost_shows_at_no_copy_of_it_and_waits_there_for_a_person() {
    let (owner, before) = decided();
    let mut copy = copy_of(&owner);
    let mut home = open_at(before, &owner, "folder");
    for n in 0..2 {
        copy = reopen(copy, "copy");
        assert_eq!((is_shown(&copy.device), waiting(&copy.device)), (false, 1));
        home.device.put(NOW, &format!("b{n}"), "1");
        home.batch(NOW).unwrap();
        follow(&mut copy, &mut home);
        assert_converged(&copy.device, &home.device);
    }
    claim(&mut copy);
    assert_eq!((is_shown(&copy.device), waiting(&copy.device)), (false, 1), "the home went on without it");
}

#[test]
fn what_a_home_decided_holds_where_its_folder_was_moved_and_is_claimed() {
    let mut moved = copy_of(&decided().0);
    claim(&mut moved);
    check_claimed(moved);
    let mut moved = reopen(copy_of(&decided().0), "copy");
    claim(&mut moved);
    check_claimed(reopen(moved, "copy"));
}

#[test]
fn a_ticket_that_was_out_admits_once_the_folder_was_moved_and_claimed() {
    let mut owner = Owner::found();
    let ticket = owner.invite(1);
    let mut moved = copy_of(&owner);
    let join = request(&ticket, &DeviceKey::from_seed(seed("device")));
    assert_eq!(moved.ask(NOW, &join), Admission::Refused(Refused::NotHome));
    claim(&mut moved);
    assert_eq!(moved.ask(NOW, &join), Admission::Admitted);
}

#[test]
fn what_was_decided_while_a_handle_was_on_its_way_holds_after_a_claim() {
    let mut owner = Owner::found();
    owner.device.put(NOW, "a", "1");
    let proposal = owner.home.begin(&mut owner.device.replica, NOW).unwrap().unwrap();
    owner.home.set_view(&mut owner.device.replica, NOW, tasks().id(), &shown()).unwrap();
    let verdict = proposal.run(&mut owner.registry).unwrap();
    owner.home.finish(&mut owner.device.replica, NOW, proposal, verdict).unwrap();
    let mut moved = copy_of(&owner);
    assert!(!is_shown(&moved.device));
    claim(&mut moved);
    check_claimed(moved);
}

#[test]
fn a_copy_of_a_home_that_is_home_no_more_shows_nothing_that_was_not_covered() {
    let (owner, before) = decided();
    let mut device = Device::open("copy", owner.device.disk.copy(), owner.device.key.clone(), 2);
    let mut home = open_at(before, &owner, "folder");
    let mut target = home.join("target");
    meet(NOW, &mut target, &mut home.device);
    while home.batch(NOW).is_some() {}
    home.home.hand_over(&mut home.device.replica, NOW, &target.key.id()).unwrap();
    meet(NOW, &mut target, &mut home.device);
    meet(NOW, &mut device, &mut target);
    assert!(is_shown(&device), "its role was not looked at yet");
    let copy = seat(device, "copy", MemoryRegistry::new());
    assert_eq!(copy.home.duty(), Duty::NotHome);
    assert_eq!((is_shown(&copy.device), waiting(&copy.device)), (false, 1));
}

/// Where the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Rest,
    Claim,
}

#[test]
fn a_crash_at_any_call_of_resting_or_claiming_loses_nothing_that_was_decided() {
    for at in [At::Rest, At::Claim] {
        let mut is_over = false;
        let mut call = 0;
        while !is_over {
            let (owner, _) = decided();
            let mut copy = match at {
                At::Rest => Device::open("copy", owner.device.disk.copy(), owner.device.key.clone(), 2),
                At::Claim => copy_of(&owner).device,
            };
            let (mut registry, disk) = (owner.registry.clone(), copy.disk.clone());
            let mut role =
                (at == At::Claim).then(|| open_home(&mut copy, fingerprint("copy"), &mut registry));
            disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
            match &mut role {
                None => drop(copy.replica.rest_home(NOW)),
                Some(role) => drop(role.claim(&mut copy.replica, NOW, Members::AreNotAhead)),
            }
            is_over = disk.faults_fired() == 0;
            disk.set_faults(Faults::none());
            let mut copy = seat(copy.crash(), "copy", registry);
            let is_claimed = copy.home.is_on_duty();
            assert_eq!(is_shown(&copy.device), is_claimed, "{at:?}, call {call}");
            assert_eq!(waiting(&copy.device), usize::from(!is_claimed), "{at:?}, call {call}");
            if !is_claimed {
                claim(&mut copy);
            }
            check_claimed(copy);
            call += 1;
        }
        assert!(call > 3, "the crashes fell within {at:?}");
    }
}

/// Putting aside what was decided takes room. Until there is some the folder opens, and is read.
#[test]
fn a_copy_on_a_full_disk_opens_and_puts_aside_what_was_decided_once_there_is_room() {
    let (owner, _) = decided();
    let mut late = 0;
    for room in (0..6_000).step_by(150) {
        let disk = owner.device.disk.copy();
        let mut device = Device::open("copy", disk.clone(), owner.device.key.clone(), 2);
        disk.set_capacity(Some(disk.used() + room));
        let mut registry = owner.registry.clone();
        let mut home = open_home(&mut device, fingerprint("copy"), &mut registry);
        assert!(!device.replica.is_stopped(), "{room} bytes are left");
        assert_eq!(device.get("a").as_deref(), Some("1"), "{room} bytes are left");
        late += u64::from(is_shown(&device));
        disk.set_capacity(None);
        home.review(&mut device.replica, NOW, &mut registry).unwrap();
        assert!(!is_shown(&device), "{room} bytes were left");
        assert_eq!(waiting(&device), 1, "{room} bytes were left");
    }
    assert!(late > 2, "{late} had no room");
}
