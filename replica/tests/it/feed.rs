//! What the feed tells of, from where, and where commits alone do not tell everything.

use crdt::Time;
use disk::{Disk, Fault, Faults, MemoryDisk};
use replica::FeedMark;
use sync::Store;

use crate::space::{Local, NOW, Space, coll, contents, deliver_handle, deliver_tail, fetch_handle, key, set};

/// A device that follows its feed, and a home one Handle ahead of it.
fn behind(space: &Space, disk: &MemoryDisk) -> (Local, Local) {
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, disk));
    set(&mut home, "a", "1");
    deliver_tail(NOW, &mut home, &mut device);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    let mark = device.begin_feed().unwrap();
    assert_eq!(mark, FeedMark { generation: 0, start: 0 }, "the feed of a new folder tells everything");
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

/// The keys that commits from a position on wrote, from the log or else from the archive, a little at a time; and the end.
fn follow(replica: &Local, from: u64) -> (Vec<String>, u64) {
    let (mut keys, mut at) = (Vec::new(), from);
    loop {
        let told = replica.told(at, 300).unwrap();
        let (told, next) = match told {
            Some(told) => told,
            None => replica.past().told(at, 300).unwrap().expect("the archive has it"),
        };
        let mutations = told.iter().flat_map(|told| &told.commit.body().mutations);
        let name = |key: &[u8]| String::from_utf8_lossy(&key[1..key.len() - 2]).into_owned();
        keys.extend(mutations.filter(|mutation| mutation.coll == coll()).map(|m| name(&m.key)));
        if next == at {
            return (keys, at);
        }
        at = next;
    }
}

#[test]
fn what_is_written_here_and_elsewhere_is_told_in_order_from_every_place() {
    let (space, disk) = (Space::new(2), MemoryDisk::new(1));
    let (mut home, mut device) = (space.create(0, &disk), space.create(1, &MemoryDisk::new(2)));
    set(&mut home, "a", "1");
    set(&mut device, "b", "2");
    set(&mut device, "c", "3");
    deliver_tail(NOW, &mut device, &mut home);
    set(&mut home, "d", "4");
    let (all, end) = follow(&home, 0);
    assert_eq!(all, ["a", "b", "c", "d"]);
    assert_eq!(end, home.feed_end());
    let (told, _) = home.told(0, usize::MAX).unwrap().unwrap();
    for (n, one) in told.iter().enumerate() {
        let rest = follow(&home, one.next).0;
        // Both commits of a unit are told until it is over.
        let expected = if n == 1 { &all[3..] } else { &all[n + 1..] };
        assert_eq!(rest, expected, "after {n}");
    }
    drop(home);
    let mut home = space.open(0, &disk, 9);
    set(&mut home, "e", "5");
    assert_eq!(follow(&home, told[2].next).0, ["d", "e"], "a restart changes nothing");
}

#[test]
fn a_unit_that_a_crash_left_half_is_never_told() {
    let (space, disk) = (Space::new(2), MemoryDisk::new(1));
    let (mut home, mut device) = (space.create(0, &disk), space.create(1, &MemoryDisk::new(2)));
    set(&mut home, "kept", "1");
    let start = home.feed_end();
    for n in 0..5 {
        set(&mut device, &format!("k{n}"), &"v".repeat(900));
    }
    deliver_tail(NOW, &mut device, &mut home);
    assert_eq!(follow(&home, start).0.len(), 5);
    let name = format!("wal/{}", disk.list("wal").unwrap()[0]);
    let used = disk.files()[&name].iter().rposition(|byte| *byte != 0).unwrap() as u64;
    drop(home);
    // Its seal is torn off.
    (used - 100..=used).for_each(|at| disk.flip_bit(&name, at, 1));
    let mut home = space.open(0, &disk, 9);
    assert_eq!(contents(&home).len(), 1);
    let (told, end) = follow(&home, start);
    assert!(told.is_empty() && end == home.feed_end(), "{told:?}");
    set(&mut home, "later", "1");
    assert_eq!(follow(&home, start).0, ["later"]);
}

#[test]
fn what_a_cut_took_back_is_told_no_more() {
    let space = Space::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    set(&mut device, "kept", "1");
    deliver_tail(NOW, &mut device, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut device);
    set(&mut device, "cut", "2");
    let writer = device.tail()[0].0;
    space.cut(&mut home, &writer, 1);
    deliver_handle(NOW, &mut home, &mut device);
    assert_eq!(follow(&device, 0).0, ["kept", "cut"], "the second one as it was written again, once");
}

#[test]
fn what_left_the_log_is_told_from_the_archive() {
    let mut space = Space::new(1);
    space.limits.segment_bytes = 4 << 10;
    space.limits.archive_bytes = 1 << 20;
    let disk = MemoryDisk::new(1);
    let mut home = space.create(0, &disk);
    for n in 0..60 {
        set(&mut home, &format!("k{n}"), &"v".repeat(500));
        if n % 5 == 0 {
            let now = Time(NOW.0 + n * 3_600_000);
            space.anchor(now, &mut home);
            home.checkpoint(now).unwrap();
        }
    }
    assert!(home.told(0, 300).unwrap().is_none(), "the log let nothing go");
    let (told, end) = follow(&home, 0);
    assert_eq!((told.len(), end), (60, home.feed_end()));
    drop(home);
    space.limits.archive_bytes = 0;
    let mut home = space.open(0, &disk, 9);
    for n in 60..90 {
        set(&mut home, &format!("k{n}"), &"v".repeat(500));
        let now = Time(NOW.0 + n * 3_600_000);
        space.anchor(now, &mut home);
        home.checkpoint(now).unwrap();
    }
    let oldest = home.past().start();
    assert!(oldest > 0 && home.past().told(0, 300).unwrap().is_none(), "the archive let nothing go");
    let (rest, _) = follow(&home, oldest);
    assert!(rest.last().is_some_and(|last| last == "k89") && rest.len() < 90, "{rest:?}");
}
