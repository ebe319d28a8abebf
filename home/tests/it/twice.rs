//! A folder that was copied: both copies write again what was cut of them, and the home takes it once.

use crdt::{
    Body, Class, Commit, CommitId, Evidence, Header, Hlc, Open, Seal, Strand, TakenBack, WriterId, system,
};
use replica::{Cut, HomeWrite, ItemKind};
use sync::{Accepted, Incoming, Store};

use crate::world::{Device, NOW, Owner, assert_converged, meet};

#[test]
fn suffix_that_two_copies_took_back_counts_once() {
    take_back_twice(&[("k", Class::Normal)]);
}

/// One unit brings them all, and no more than one Handle may go by before it is taken: else whoever makes many keeps what
/// honest ones send with them waiting.
#[test]
fn suffixes_that_two_copies_took_back_are_decided_together() {
    take_back_twice(&[("k", Class::Normal), ("l", Class::Bulk), ("m", Class::Critical)]);
}

/// Each key is written by a writer of its own, all of which are cut; two copies of the device write it again.
fn take_back_twice(keys: &[(&str, Class)]) {
    let mut owner = Owner::found();
    let mut a = owner.join("a");
    a.put(NOW, "before", "1");
    meet(NOW, &mut a, &mut owner.device);
    owner.batch(NOW).unwrap();
    meet(NOW, &mut a, &mut owner.device);
    for (key, class) in keys {
        a.put_as(NOW, *class, key, "once");
    }
    let mut copy = Device::open("copy", a.disk.copy(), a.key.clone(), 1);
    let row = |(writer, seq, _): &(WriterId, u64, CommitId)| {
        let cut = Cut { seq: seq - 1, tip: CommitId::ZERO, reason: 0 };
        HomeWrite { coll: system::cut(), key: Cut::key(writer), value: Some(cut.encode()) }
    };
    let rows: Vec<HomeWrite> = a.replica.tail().iter().map(row).collect();
    assert_eq!(rows.len(), keys.len());
    let home_key = owner.device.key.public();
    owner.device.replica.home_commit(NOW, [9; 8], home_key, rows).unwrap();
    owner.batch(NOW).unwrap();
    // It hears of the cut, and of nothing else.
    let offer = owner.device.replica.offer(copy.version());
    copy.replica.adopt(NOW, offer).unwrap();
    assert_eq!(copy.get("k").as_deref(), Some("once"));
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut copy, &mut owner.device);
    owner.batch(NOW).unwrap();
    for (key, _) in keys {
        assert_eq!((owner.device.get(key).as_deref(), owner.device.losers(key).len()), (Some("once"), 0));
    }
    meet(NOW, &mut copy, &mut owner.device);
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut copy, &mut owner.device);
    let mut kinds: Vec<_> = copy.replica.inbox().unwrap().into_iter().map(|item| item.kind).collect();
    kinds.sort_by_key(|kind| *kind == ItemKind::Orphaned);
    assert_eq!(kinds, [vec![ItemKind::Reissued; keys.len()], vec![ItemKind::Orphaned; keys.len()]].concat());
    assert_converged(&owner.device, &a);
    assert_converged(&owner.device, &copy);
}

/// The proof of a copy that took back more goes ahead of what it wrote again: it may not take the place of what the home has
/// decided, or both would be let write the rest again.
#[test]
fn a_copy_that_took_back_more_does_not_undo_what_is_decided() {
    let mut owner = Owner::found();
    let mut a = owner.join("a");
    for key in ["k", "l"] {
        a.put(NOW, key, "once");
    }
    let (writer, ..) = a.replica.tail()[0];
    let cut = Cut { seq: 1, tip: CommitId::ZERO, reason: 0 };
    let row = HomeWrite { coll: system::cut(), key: Cut::key(&writer), value: Some(cut.encode()) };
    let home_key = owner.device.key.public();
    owner.device.replica.home_commit(NOW, [9; 8], home_key, vec![row]).unwrap();
    owner.batch(NOW).unwrap();
    meet(NOW, &mut a, &mut owner.device);
    let home = &mut owner.device.replica;
    let decided = home.evidence().iter().next().expect("what a wrote again proves it").1.clone();
    assert_eq!(decided.claim().map(|claim| (claim.writer, claim.seq)), Some((writer, 2)));

    let first = again(&a, &writer, 1);
    let (space, by, tip) = (home.space(), first.dot().writer, first.id());
    let strand =
        Strand { headers: vec![first.header().clone()], seal: Seal::sign(&a.key, space, by, 1, tip) };
    let proof = TakenBack::find(a.key.public(), strand.clone()).expect("it names what it takes back");
    home.accept_evidence(NOW, Evidence::TakenBack(proof).into()).unwrap();
    assert_eq!(home.evidence().against(&writer), Some(2));
    let unit = Incoming { commits: vec![first.into()], seals: vec![strand.seal], ..Incoming::default() };
    assert_eq!(home.accept(NOW, unit), Ok(Accepted::NotReady));
    owner.batch(NOW).unwrap();
    assert_eq!(owner.device.replica.cut(&by).unwrap(), Some(0), "the home has said so");
    meet(NOW, &mut a, &mut owner.device);
    assert_converged(&owner.device, &a);
    assert_eq!((a.get("k").as_deref(), a.get("l").as_deref()), (Some("once"), Some("once")));
}

/// The first commit of a writer of this device that takes another back from a commit on.
fn again(device: &Device, of: &WriterId, seq: u64) -> Commit {
    let body = Body { deps: Vec::new(), mutations: Vec::new() };
    let open = Open {
        device_key: device.key.public(),
        closes: Vec::new(),
        reissues: Some((*of, seq, CommitId([1; 32]))),
    };
    let header = Header {
        space: device.replica.space(),
        writer: WriterId::new(device.key.id(), [7; 7], Class::Normal),
        seq: 1,
        prev: CommitId::ZERO,
        hlc: Hlc::from_time(NOW),
        base: device.version(),
        body_hash: [0; 32],
        open: Some(open),
    };
    Commit::new(header, body).expect("it is small")
}
