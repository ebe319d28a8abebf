//! Wherever a disk fails in a drop, and whatever else is under way: its author reads the same before and after.

use crdt::system;
use disk::{Fault, Faults, MemoryDisk};
use replica::{Cut, Error, HomeWrite, Mode};
use sync::{Adoption, Store};

use crate::reissue::{count, counted};
use crate::space::{
    Local, NOW, Space, contents, deliver_handle, deliver_tail, fetch_handle, get, next_handle, remove, set,
    try_deliver_handle,
};

type Adopt = fn(&mut Local, &mut Local) -> Result<(), Error>;

/// A home that has a cut to tell, and the author that it cuts, on this disk.
fn before_a_cut(space: &Space, disk: &MemoryDisk) -> (Local, Local) {
    let mut home = space.create(0, &MemoryDisk::new(1));
    let mut author = space.create(1, disk);
    count(&mut author, "n", 3);
    set(&mut author, "k", "1");
    deliver_tail(NOW, &mut author, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut author);
    count(&mut author, "n", 8);
    author.checkpoint(NOW).unwrap();
    set(&mut author, "k", "2");
    set(&mut author, "large", &"x".repeat(3000));
    let writer = author.tail()[0].0;
    space.cut(&mut home, &writer, 2);
    (home, author)
}

fn check_before_or_after(author: &Local, what: &str) {
    assert_eq!((get(author, "k").as_deref(), counted(author, "n")), (Some("2"), 8), "{what}");
    assert_eq!(contents(author).len(), 2, "{what}");
    assert_eq!(author.verify().unwrap().problems, [""; 0], "{what}");
}

/// Adopts a cut while the `n`-th call to the disk goes wrong, and then opens while the `m`-th does. `false` once the
/// adoption has no `n`-th call.
fn survives(adopt: Adopt, n: u64, fault: Fault, again: Option<u64>, seed: u64) -> bool {
    let what = format!("call {n}, {fault:?}, then {again:?}");
    let space = Space::new(2);
    let disk = MemoryDisk::new(seed);
    let (mut home, mut author) = before_a_cut(&space, &disk);
    disk.set_faults(Faults::none().nth_call(n, fault));
    let end = adopt(&mut home, &mut author);
    if disk.faults_fired() == 0 {
        end.expect("without a fault it is adopted");
        return false;
    }
    disk.set_faults(Faults::none());
    drop(author);
    if end.is_err() {
        disk.crash();
    }
    if let Some(m) = again {
        disk.set_faults(Faults::none().nth_call(m, Fault::PowerCut));
        drop(space.try_open(1, &disk, 98, Mode::ReadWrite));
        disk.set_faults(Faults::none());
        disk.crash();
    }
    let mut author = space.open(1, &disk, 99);
    check_before_or_after(&author, &what);
    set(&mut author, "after", "1");
    author.checkpoint(NOW).unwrap();
    drop(author);
    let mut author = space.open(1, &disk, 100);
    remove(&mut author, "after");
    check_before_or_after(&author, &what);
    deliver_handle(NOW, &mut home, &mut author);
    check_before_or_after(&author, &what);
    assert_eq!(author.inbox().unwrap().len(), 1, "{what}");
    deliver_tail(NOW, &mut author, &mut home);
    space.anchor(NOW, &mut home);
    check_before_or_after(&home, &what);
    true
}

#[test]
fn drop_and_what_takes_its_place_are_one_step_wherever_the_disk_fails() {
    for (seed, fault) in [(1, Fault::PowerCut), (2, Fault::PowerCut), (3, Fault::Error), (4, Fault::NoSpace)]
    {
        for adopt in [try_deliver_handle as Adopt, fetch_handle] {
            let calls = (0..).take_while(|n| survives(adopt, *n, fault, None, seed)).count();
            assert!(calls > 8, "an adoption makes many calls, not {calls}");
        }
    }
}

#[test]
fn power_goes_again_while_an_unfinished_drop_is_undone() {
    let adopt = try_deliver_handle;
    for n in (0..).take_while(|n| survives(adopt, *n, Fault::PowerCut, None, 5)) {
        for m in (0..24).step_by(3) {
            survives(adopt, n, Fault::PowerCut, Some(m), 6 + m);
        }
    }
}

#[test]
fn newer_handle_with_a_cut_takes_the_place_of_one_that_is_being_fetched() {
    let space = Space::new(2);
    let (mut home, mut author) = before_a_cut(&space, &MemoryDisk::new(2));
    set(&mut home, "theirs", "1");
    space.anchor(NOW, &mut home);
    let older = home.offer(0);
    assert!(matches!(author.adopt(NOW, older).unwrap(), Adoption::Fetch(_)));
    set(&mut author, "meanwhile", "1");
    set(&mut home, "theirs", "2");
    space.anchor(NOW, &mut home);
    fetch_handle(&mut home, &mut author).unwrap();
    assert_eq!(author.handle(), home.handle());
    assert_eq!((get(&author, "theirs").as_deref(), get(&author, "k").as_deref()), (Some("2"), Some("2")));
    assert_eq!((get(&author, "meanwhile").as_deref(), counted(&author, "n")), (Some("1"), 8));
    assert_eq!(author.verify().unwrap().problems, [""; 0]);
}

#[test]
fn commit_that_came_while_its_cut_was_on_its_way_is_dropped_at_the_home_too() {
    let space = Space::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    set(&mut device, "a", "1");
    deliver_tail(NOW, &mut device, &mut home);
    let writer = device.tail()[0].0;
    let cut = Cut { seq: 1, tip: crdt::CommitId::ZERO, reason: 0 };
    let row = HomeWrite { coll: system::cut(), key: Cut::key(&writer), value: Some(cut.encode()) };
    home.home_commit(NOW, [5; 8], space.home.public(), vec![row]).unwrap();
    let candidate = home.candidate(NOW).unwrap();
    let handle = next_handle(home.base(), candidate, NOW).sign(&space.home);
    set(&mut device, "b", "1");
    deliver_tail(NOW, &mut device, &mut home);
    home.install_handle(NOW, handle).unwrap();
    assert_eq!(contents(&home).len(), 1);
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
    deliver_handle(NOW, &mut home, &mut device);
    deliver_tail(NOW, &mut device, &mut home);
    assert_eq!(contents(&home).len(), 2, "its author writes it again");
}

#[test]
fn failure_in_a_drop_stops_the_replica() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(2);
    let (mut home, mut author) = before_a_cut(&space, &disk);
    disk.set_faults(Faults::none().nth(disk::Operation::Flush, 0, Fault::Error));
    assert!(try_deliver_handle(&mut home, &mut author).is_err());
    assert!(matches!(author.flush(), Err(Error::Stopped)));
}
