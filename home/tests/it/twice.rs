//! A folder that was copied: both copies write again what was cut of them, and the home takes it once.

use crdt::{CommitId, system};
use replica::{Cut, HomeWrite, ItemKind};
use sync::Store;

use crate::world::{Device, NOW, Owner, assert_converged, meet};

#[test]
fn suffix_that_two_copies_took_back_counts_once() {
    let mut owner = Owner::found();
    let mut a = owner.join("a");
    a.put(NOW, "before", "1");
    meet(NOW, &mut a, &mut owner.device);
    owner.batch(NOW).unwrap();
    meet(NOW, &mut a, &mut owner.device);
    a.put(NOW, "k", "once");
    let mut copy = Device::open("copy", a.disk.copy(), a.key.clone(), 1);
    let (writer, seq, _) = a.replica.tail()[0];
    let cut = Cut { seq: seq - 1, tip: CommitId::ZERO, reason: 0 };
    let row = HomeWrite { coll: system::cut(), key: Cut::key(&writer), value: Some(cut.encode()) };
    let home_key = owner.device.key.public();
    owner.device.replica.home_commit(NOW, [9; 8], home_key, vec![row]).unwrap();
    owner.batch(NOW).unwrap();
    // It hears of the cut, and of nothing else.
    let offer = owner.device.replica.offer(copy.version());
    copy.replica.adopt(NOW, offer).unwrap();
    assert_eq!(copy.get("k").as_deref(), Some("once"));
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut copy, &mut owner.device);
    owner.batch(NOW).unwrap();
    assert_eq!((owner.device.get("k").as_deref(), owner.device.losers("k").len()), (Some("once"), 0));
    meet(NOW, &mut copy, &mut owner.device);
    meet(NOW, &mut a, &mut owner.device);
    meet(NOW, &mut copy, &mut owner.device);
    let kinds: Vec<_> = copy.replica.inbox().unwrap().into_iter().map(|item| item.kind).collect();
    assert_eq!(kinds, [ItemKind::Reissued, ItemKind::Orphaned]);
    assert_converged(&owner.device, &a);
    assert_converged(&owner.device, &copy);
}
