//! What the feed tells of, from where, and where commits alone do not tell everything.

use disk::{Fault, Faults, MemoryDisk};
use replica::FeedMark;

use crate::space::{Local, NOW, Space, deliver_handle, deliver_tail, fetch_handle, key, set};

/// A device that follows its feed, and a home one Handle ahead of it.
fn behind(space: &Space, disk: &MemoryDisk) -> (Local, Local) {
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, disk));
    set(&mut home, "a", "1");
    deliver_tail(NOW, &mut home, &mut device);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    let mark = device.begin_feed().unwrap();
    assert_eq!(mark, FeedMark { generation: 0, start: device.feed_end() });
    device.flush().unwrap();
    set(&mut home, "b", "2");
    space.anchor(NOW, &mut home);
    (home, device)
}

fn generation(replica: &Local) -> u64 {
    replica.feed_mark().expect("somebody follows").generation
}

#[test]
fn handle_without_its_commits_begins_a_generation_exactly_when_it_is_adopted() {
    for n in 0.. {
        let (space, disk) = (Space::new(2), MemoryDisk::new(3 + n));
        let (mut home, mut device) = behind(&space, &disk);
        let before = device.snapshot();
        disk.set_faults(Faults::none().nth_call(n, Fault::PowerCut));
        let fetched = fetch_handle(&mut home, &mut device);
        let is_over = disk.faults_fired() == 0;
        disk.set_faults(Faults::none());
        if is_over {
            fetched.unwrap();
            let mut differing = Vec::new();
            before.differing(&device.snapshot(), |place| differing.push(place.key)).unwrap();
            assert_eq!(differing, [key("b")]);
        }
        drop(device);
        disk.crash();
        let device = space.open(1, &disk, 99);
        let is_adopted = device.base().version == home.base().version;
        assert_eq!(generation(&device), u64::from(is_adopted), "call {n}");
        if is_over {
            assert!(is_adopted && n > 4, "an adoption makes more than {n} calls");
            return;
        }
    }
}
