//! Devices that are taken out: what they wrote stays, what they write afterwards is taken by nobody.

use crdt::{DeviceKey, Time, WriterId};
use disk::{Fault, Faults};
use home::{Admission, Error, Refused};
use sync::Store;

use crate::world::{Device, Link, NOW, Owner, assert_converged, meet, request, seed};

const LATER: Time = Time(NOW.0 + 10);

/// A conversation of which one side may want nothing.
fn try_to_meet(dialer: &mut Device, listener: &mut Device) {
    let mut link = Link::new(NOW, dialer, listener);
    link.run(NOW, dialer, listener);
    // What follows something refused is sent after a pause.
    link.run(NOW.plus_ms(1_000), dialer, listener);
}

fn revoke(owner: &mut Owner, device: &Device) {
    owner.home.revoke(&mut owner.device.replica, NOW, &device.key.id()).unwrap();
}

#[test]
fn what_a_revoked_device_wrote_stays_and_what_it_writes_is_taken_by_nobody() {
    let mut owner = Owner::found();
    let (mut a, mut b) = (owner.join("a"), owner.join("b"));
    a.put(NOW, "before", "1");
    meet(NOW, &mut a, &mut owner.device);
    revoke(&mut owner, &a);
    owner.batch(NOW).unwrap();
    meet(NOW, &mut b, &mut owner.device);
    a.put(NOW, "after", "1");
    for other in [&mut owner.device, &mut b] {
        try_to_meet(&mut a, other);
        assert_eq!(other.get("before").as_deref(), Some("1"), "{}", other.name);
        assert_eq!(other.get("after"), None, "{}", other.name);
        let snapshot = other.replica.snapshot();
        let writers = snapshot.writers_of(&a.key.id()).unwrap();
        assert!(!writers.is_empty());
        for (writer, tip) in writers {
            let cut = snapshot.cut(&writer).unwrap().expect("each known writer is cut");
            assert_eq!((cut.seq, cut.tip), (tip.seq, tip.id));
        }
    }
    // It has met somebody who told it: what it wrote is no part of the space, and not lost.
    assert_eq!(a.get("after"), None);
    assert_eq!(a.replica.inbox().unwrap().len(), 1);
    assert_eq!(owner.batch(NOW), None);
    assert_converged(&owner.device, &b);
}

#[test]
fn between_the_decision_and_its_handle_nothing_more_of_the_device_comes_in() {
    let mut owner = Owner::found();
    let mut a = owner.join("a");
    a.put(NOW, "before", "1");
    meet(NOW, &mut a, &mut owner.device);
    revoke(&mut owner, &a);
    a.put(NOW, "after", "1");
    try_to_meet(&mut a, &mut owner.device);
    owner.batch(NOW).unwrap();
    assert_eq!(owner.device.get("before").as_deref(), Some("1"));
    assert_eq!(owner.device.get("after"), None);
}

#[test]
fn a_ticket_from_before_does_not_let_a_revoked_device_in_again_and_a_new_one_does() {
    let mut owner = Owner::found();
    let before = owner.try_invite(NOW, "before", 5).unwrap();
    let mut a = owner.join("a");
    revoke(&mut owner, &a);
    owner.batch(NOW).unwrap();
    let refused = owner.ask(LATER, &request(&before, &a.key));
    assert_eq!(refused, Admission::Refused(Refused::Revoked));
    let other = DeviceKey::from_seed(seed("other"));
    assert_eq!(owner.ask(LATER, &request(&before, &other)), Admission::Admitted, "the ticket is good");

    let after = owner.try_invite(LATER, "new", 1).unwrap();
    assert_eq!(owner.ask(LATER, &request(&after, &a.key)), Admission::Admitted);
    let version = owner.batch(LATER).unwrap();
    let grant = home::grant(&owner.device.replica, &a.key.id()).unwrap().unwrap();
    assert_eq!(grant.since, version, "only what it begins under this grant counts");
    a = a.restart();
    meet(LATER, &mut a, &mut owner.device);
    a.put(LATER, "back", "1");
    meet(LATER, &mut a, &mut owner.device);
    owner.batch(LATER).unwrap();
    assert_eq!(owner.device.get("back").as_deref(), Some("1"));
}

#[test]
fn a_first_grant_counts_from_the_beginning() {
    let mut owner = Owner::found();
    let a = owner.join("a");
    let grant = home::grant(&owner.device.replica, &a.key.id()).unwrap().unwrap();
    assert_eq!(grant.since, 0);
}

#[test]
fn what_a_fold_took_as_never_coming_is_cut_in_the_same_handle_and_stays_so() {
    let mut owner = Owner::found();
    let (mut a, mut b) = (owner.join("a"), owner.join("b"));
    meet(NOW, &mut a, &mut owner.device);
    a.put(NOW, "k", "from a");
    meet(NOW, &mut a, &mut b);
    b.put(NOW, "k", "on sight of it");
    revoke(&mut owner, &a);
    owner.batch(NOW).unwrap();
    let writer = a.replica.snapshot().writers_of(&a.key.id()).unwrap()[0].0;
    assert_eq!(owner.device.replica.snapshot().cut(&writer).unwrap(), None, "nobody here has heard of it");

    // Also where the home starts again in between.
    try_to_meet(&mut b, &mut owner.device);
    let mut owner = owner.crash();
    owner.batch(NOW).unwrap();
    assert_eq!(owner.device.get("k").as_deref(), Some("on sight of it"));
    let cut = owner.device.replica.snapshot().cut(&writer).unwrap().expect("it is explicit now");
    assert_eq!(cut.seq, 0);

    let ticket = owner.try_invite(LATER, "new", 1).unwrap();
    assert_eq!(owner.ask(LATER, &request(&ticket, &a.key)), Admission::Admitted);
    owner.batch(LATER).unwrap();
    try_to_meet(&mut a, &mut owner.device);
    assert_eq!(owner.device.replica.snapshot().tip(&writer).unwrap(), None, "the old writer stays cut");
}

/// A home that holds one of two commits of one dot, and who holds the other: the same run twice, as of a machine that was
/// resumed twice, or of a liar.
fn forked() -> (Owner, Device, WriterId) {
    let mut owner = Owner::found();
    let mut a = owner.join("a").restart();
    let mut twin = Device::open("a", a.disk.copy(), a.key.clone(), a.starts);
    a.put(NOW, "k", "one");
    twin.put(NOW, "k", "other");
    let writer = a.replica.snapshot().writers_of(&a.key.id()).unwrap()[0].0;
    meet(NOW, &mut a, &mut owner.device);
    (owner, twin, writer)
}

#[test]
fn a_home_that_holds_proof_of_a_fork_publishes_the_cut_and_covers_nothing_beyond_it() {
    let (mut owner, mut twin, writer) = forked();
    try_to_meet(&mut twin, &mut owner.device);
    assert!(!owner.device.replica.evidence().is_empty(), "it has seen both");

    owner.batch(NOW).unwrap();
    let snapshot = owner.device.replica.snapshot();
    let row = snapshot.cut(&writer).unwrap().expect("whoever has no proof hears of it too");
    assert_eq!(row.seq, 0);
    assert_eq!(snapshot.tip(&writer).unwrap(), None, "nothing of it is covered");
    owner.device.put(NOW, "again", "1");
    owner.batch(NOW).unwrap();
    assert_eq!(owner.device.replica.snapshot().cut(&writer).unwrap(), Some(row), "written once");
}

#[test]
fn a_proof_alone_makes_a_handle_due_and_a_restart_does_not_forget_it() {
    let (mut owner, mut twin, writer) = forked();
    while owner.batch(NOW).is_some() {}
    assert_eq!((owner.device.tail(), owner.home.due(NOW, &owner.device.replica)), (0, None));

    try_to_meet(&mut twin, &mut owner.device);
    assert!(!owner.device.replica.evidence().is_empty() && owner.device.tail() == 0);
    assert!(owner.home.due(NOW, &owner.device.replica).is_some());
    let mut owner = owner.crash();
    assert!(owner.home.due(NOW, &owner.device.replica).is_some(), "nothing else is left to say so");
    owner.batch(NOW).unwrap();
    let anchored = owner.device.replica.anchored(&writer);
    let row = owner.device.replica.snapshot().cut(&writer).unwrap().expect("a row");
    assert_eq!(row.seq, anchored);
    assert_eq!(owner.home.due(NOW, &owner.device.replica), None, "said once");
}

#[test]
fn the_home_takes_out_neither_itself_nor_a_stranger() {
    let mut owner = Owner::found();
    let (me, stranger) = (owner.device.key.id(), DeviceKey::from_seed(seed("stranger")).id());
    let tail = owner.device.tail();
    let mine = owner.home.revoke(&mut owner.device.replica, NOW, &me);
    assert!(matches!(mine, Err(Error::OwnHome)), "{mine:?}");
    let nobodys = owner.home.revoke(&mut owner.device.replica, NOW, &stranger);
    assert!(matches!(nobodys, Err(Error::NotMember { device }) if device == stranger), "{nobodys:?}");
    assert_eq!(owner.device.tail(), tail, "nothing was written");
}

#[test]
fn a_crash_at_any_call_of_a_removal_leaves_all_of_it_or_nothing() {
    for call in 0.. {
        let mut owner = Owner::found();
        let mut a = owner.join("a");
        a.put(NOW, "before", "1");
        meet(NOW, &mut a, &mut owner.device);
        let id = a.key.id();
        owner.device.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let answer = owner.home.revoke(&mut owner.device.replica, NOW, &id);
        let is_over = owner.device.disk.faults_fired() == 0;
        owner.device.disk.set_faults(Faults::none());
        let owner = owner.crash();
        let snapshot = owner.device.replica.snapshot();
        let is_member = home::grant(&owner.device.replica, &id).unwrap().is_some();
        assert!(!is_member || answer.is_err(), "call {call}: an answer is a promise");
        for (writer, _) in snapshot.writers_of(&id).unwrap() {
            assert_eq!(snapshot.cut(&writer).unwrap().is_none(), is_member, "call {call}");
        }
        assert_eq!(snapshot.removed(&id).unwrap().is_none(), is_member, "call {call}");
        if is_over {
            assert!(call > 0 && answer.is_ok());
            return;
        }
    }
}
