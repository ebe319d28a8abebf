//! A folder that was copied: both copies write again what was cut of them, and the home takes it once.

use crdt::{Class, CommitId, WriterId, system};
use replica::{Cut, HomeWrite, ItemKind};
use sync::Store;

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
