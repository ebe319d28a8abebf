//! What is kept of a writer whose seal went with what was dropped: a strand vouches for it, and others hand it on.

use crdt::{WriterId, system};
use disk::{Fault, Faults, MemoryDisk};
use replica::{Grant, HomeWrite, READ, WRITE};
use sync::{Accepted, Incoming, NackCode, Store};

use crate::space::{
    Local, NOW, Space, deliver, deliver_handle, deliver_tail, get, received, roots, set, try_deliver_handle,
};

/// A home, and a relay that holds three commits of an author who is gone; the last needs what the home cuts.
struct Bereft {
    space: Space,
    home: Local,
    relay: Local,
    disk: MemoryDisk,
    author: WriterId,
}

/// The relay has not heard of the cut.
fn unheard(seed: u64) -> Bereft {
    let space = Space::new(5);
    let disk = MemoryDisk::new(seed);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let (mut cut, mut author) = (space.create(1, &MemoryDisk::new(2)), space.create(2, &MemoryDisk::new(4)));
    let mut relay = space.create(3, &disk);
    set(&mut cut, "shared", "1");
    set(&mut author, "first", "1");
    set(&mut author, "second", "1");
    let author_of = author.tail()[0].0;
    deliver_tail(NOW, &mut cut, &mut author);
    set(&mut author, "shared", "2");
    deliver_tail(NOW, &mut author, &mut relay);
    assert_eq!(relay.seen(&author_of), 3);
    // It was out and is in again: what it wrote before that counts no more, and nobody says that it will never come.
    let (public, device) = (cut.device().public(), cut.device().id());
    let grant = Grant { public, capabilities: READ | WRITE, residency: vec![], since: 2 };
    let row = HomeWrite { coll: system::acl(), key: Grant::key(&device), value: Some(grant.encode()) };
    space.write(&mut home, vec![row]);
    Bereft { space, home, relay, disk, author: author_of }
}

/// It has, and holds two.
fn bereft() -> Bereft {
    let mut bereft = unheard(3);
    deliver_handle(NOW, &mut bereft.home, &mut bereft.relay);
    assert_eq!(bereft.relay.seen(&bereft.author), 2, "the third needs what is cut");
    bereft
}

fn unit(from: &mut Local) -> Incoming {
    received(from.next_commits(&Default::default(), 1 << 20).unwrap())
}

#[test]
fn what_lost_its_seal_to_a_drop_reaches_the_home_without_its_author() {
    let Bereft { space, mut home, mut relay, author, .. } = bereft();
    let sent = unit(&mut relay);
    assert_eq!((sent.seals.len(), sent.strands.len()), (0, 1));
    assert_eq!(sent.strands[0].headers.len(), 2, "from the second commit to the third, which was sealed");
    deliver_tail(NOW, &mut relay, &mut home);
    assert_eq!(home.seen(&author), 2);
    space.anchor(NOW, &mut home);
    deliver(NOW, &mut home, &mut relay);
    assert_eq!(roots(&mut relay), roots(&mut home));
    assert_eq!(get(&home, "second").as_deref(), Some("1"));
    assert_eq!(relay.describe().tail_commits, 0);
}

#[test]
fn a_strand_is_handed_on_and_outlasts_a_restart() {
    let Bereft { space, mut home, relay, disk, author } = bereft();
    drop(relay);
    let mut relay = space.open(3, &disk, 71);
    let far = MemoryDisk::new(7);
    let mut next = space.create(4, &far);
    deliver_handle(NOW, &mut home, &mut next);
    deliver_tail(NOW, &mut relay, &mut next);
    assert_eq!(next.seen(&author), 2);
    drop(next);
    let mut next = space.open(4, &far, 72);
    for replica in [&relay, &next] {
        assert_eq!(replica.verify().unwrap().problems, [""; 0]);
    }
    deliver_tail(NOW, &mut next, &mut home);
    assert_eq!(home.seen(&author), 2);
    assert!(next.strand(&author, 1).is_some_and(|shown| shown.strand.headers.len() == 3), "to the seal");
}

#[test]
fn what_is_cut_again_below_a_strand_has_a_longer_one() {
    let Bereft { space, mut home, mut relay, author, .. } = bereft();
    space.cut(&mut home, &author, 1);
    deliver_handle(NOW, &mut home, &mut relay);
    assert_eq!(relay.seen(&author), 1);
    let sent = unit(&mut relay);
    assert_eq!(sent.strands[0].headers.len(), 3);
    deliver_tail(NOW, &mut relay, &mut home);
    assert_eq!(home.seen(&author), 1);
}

#[test]
fn a_strand_that_leads_nowhere_vouches_for_nothing() {
    let Bereft { mut home, mut relay, .. } = bereft();
    let mut refused = |change: &dyn Fn(&mut Incoming)| {
        let mut sent = unit(&mut relay);
        change(&mut sent);
        let refusal = home.accept(NOW, sent).expect_err("nothing vouches for it");
        assert_eq!(refusal.code, NackCode::BadSeal, "{refusal:?}");
    };
    refused(&|sent| sent.strands.clear());
    refused(&|sent| sent.strands[0].headers[0].seq = 1);
    refused(&|sent| sent.strands[0].headers[1].hlc.0 += 1);
    refused(&|sent| drop(sent.strands[0].headers.pop()));
    refused(&|sent| drop(sent.strands[0].headers.remove(0)));
    refused(&|sent| sent.strands[0].seal.signature[9] ^= 1);
    assert_eq!(home.accept(NOW, unit(&mut relay)), Ok(Accepted::Stored));
}

/// The relay hears of the cut while the `n`-th call to the disk goes wrong; `false` once there is no `n`-th call.
fn survives(n: u64, fault: Fault, seed: u64) -> bool {
    let what = format!("call {n}, {fault:?}");
    let Bereft { space, mut home, mut relay, disk, author } = unheard(seed);
    disk.set_faults(Faults::none().nth_call(n, fault));
    let end = try_deliver_handle(&mut home, &mut relay);
    let has_fired = disk.faults_fired() > 0;
    disk.set_faults(Faults::none());
    drop(relay);
    if end.is_err() {
        disk.crash();
    }
    let mut relay = space.open(3, &disk, 99);
    deliver_handle(NOW, &mut home, &mut relay);
    assert_eq!(relay.seen(&author), 2, "{what}");
    assert_eq!(relay.verify().unwrap().problems, [""; 0], "{what}");
    deliver_tail(NOW, &mut relay, &mut home);
    assert_eq!(home.seen(&author), 2, "{what}");
    has_fired
}

#[test]
fn wherever_a_disk_fails_in_a_drop_what_is_left_of_others_goes_on_its_way() {
    for fault in [Fault::PowerCut, Fault::Error, Fault::NoSpace] {
        let calls = (0..).take_while(|n| survives(*n, fault, 7 + n)).count();
        assert!(calls > 10, "{calls} calls, {fault:?}");
    }
}
