//! A cut ends a writer's history everywhere, and whoever waited for what lies above it waits no more.

use crdt::{CommitId, system};
use disk::MemoryDisk;
use replica::{Cut, Grant, HomeWrite, PruneFloor, READ, WRITE};
use sync::{Accepted, Incoming, NackCode, Refusal, Store};

use crate::space::{Local, NOW, Space, contents, deliver_handle, deliver_tail, get, received, set};

/// Everything a replica would send to somebody who has nothing, as one unit.
fn unit(from: &mut Local) -> Incoming {
    let outgoing = from.next_commits(&Default::default(), 1 << 20).unwrap();
    received(outgoing)
}

fn code(answer: Result<Accepted, Refusal>) -> Result<Accepted, NackCode> {
    answer.map_err(|refusal| refusal.code)
}

#[test]
fn commit_above_its_writers_cut_is_refused_and_one_below_is_not() {
    let space = Space::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    set(&mut device, "a", "1");
    let below = unit(&mut device);
    set(&mut device, "b", "2");
    let writer = device.tail()[0].0;
    assert_eq!(home.cut(&writer).unwrap(), None);
    space.cut(&mut home, &writer, 1);
    assert_eq!(home.cut(&writer).unwrap(), Some(1));
    assert_eq!(code(home.accept(NOW, unit(&mut device))), Err(NackCode::Cut));
    assert_eq!(code(home.accept(NOW, below)), Ok(Accepted::Stored));
}

#[test]
fn commit_that_needs_what_was_cut_is_ready() {
    let space = Space::new(3);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let (mut a, mut b) = (space.create(1, &MemoryDisk::new(2)), space.create(2, &MemoryDisk::new(3)));
    set(&mut a, "k", "a");
    deliver_tail(NOW, &mut a, &mut b);
    set(&mut b, "k", "b");
    let mut only_b = unit(&mut b);
    let writer = a.tail()[0].0;
    only_b.commits.retain(|commit| commit.dot().writer != writer);
    assert_eq!(code(home.accept(NOW, only_b.clone())), Ok(Accepted::NotReady), "it may still come");
    space.cut(&mut home, &writer, 0);
    assert_eq!(code(home.accept(NOW, only_b)), Ok(Accepted::Stored), "it never comes");
    home.flush().unwrap();
    assert_eq!(get(&home, "k").as_deref(), Some("b"));
}

#[test]
fn unknown_writer_of_a_device_without_a_grant_is_cut_at_nothing() {
    let space = Space::new(3);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let (mut a, mut b) = (space.create(1, &MemoryDisk::new(2)), space.create(2, &MemoryDisk::new(3)));
    set(&mut a, "k", "a");
    deliver_tail(NOW, &mut a, &mut b);
    set(&mut b, "k", "b");
    let writer = a.tail()[0].0;
    let mut only_b = unit(&mut b);
    only_b.commits.retain(|commit| commit.dot().writer != writer);
    let row = Grant::key(&a.device().id());
    space.write(&mut home, vec![HomeWrite { coll: system::acl(), key: row, value: None }]);
    assert_eq!(home.cut(&writer).unwrap(), Some(0));
    assert_eq!(code(home.accept(NOW, unit(&mut a))), Err(NackCode::NotAuthorised));
    assert_eq!(code(home.accept(NOW, only_b)), Ok(Accepted::Stored));
}

#[test]
fn writer_opened_before_its_devices_new_grant_stays_out() {
    let space = Space::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    set(&mut device, "old", "1");
    let old = unit(&mut device);
    let grant =
        Grant { public: device.device().public(), capabilities: READ | WRITE, residency: vec![], since: 2 };
    let key = Grant::key(&device.device().id());
    space.write(&mut home, vec![HomeWrite { coll: system::acl(), key, value: Some(grant.encode()) }]);
    assert_eq!(code(home.accept(NOW, old)), Err(NackCode::NotAuthorised));
}

#[test]
fn below_the_floor_an_unknown_writer_is_refused_and_an_unknown_dot_not_waited_for() {
    let space = Space::new(3);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let (mut a, mut b) = (space.create(1, &MemoryDisk::new(2)), space.create(2, &MemoryDisk::new(3)));
    set(&mut b, "seen", "before");
    let mut old_b = unit(&mut b);
    deliver_tail(NOW, &mut b, &mut home);
    set(&mut a, "k", "a");
    deliver_tail(NOW, &mut a, &mut b);
    set(&mut b, "k", "b");
    old_b.commits = unit(&mut b).commits;
    old_b.seals = unit(&mut b).seals;
    let writer = a.tail()[0].0;
    old_b.commits.retain(|commit| commit.dot().writer != writer);
    let floor =
        HomeWrite { coll: system::meta(), key: PruneFloor::key(), value: Some(PruneFloor(2).encode()) };
    space.write(&mut home, vec![floor]);
    assert_eq!(code(home.accept(NOW, unit(&mut a))), Err(NackCode::Cut), "its row may have been pruned");
    assert_eq!(code(home.accept(NOW, old_b)), Ok(Accepted::Stored), "its row may have been pruned");
}

#[test]
fn row_comes_back_as_it_went() {
    let cut = Cut { seq: 7, tip: CommitId([9; 32]), reason: 2 };
    assert_eq!(Cut::decode(&cut.encode()), Ok(cut));
    assert!(Cut::decode(&cut.encode()[1..]).is_err());
    assert_eq!(PruneFloor::decode(&PruneFloor(9).encode()).unwrap().0, 9);
}

#[test]
fn device_hears_of_a_cut_with_the_handle() {
    let space = Space::new(3);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let (mut a, mut b) = (space.create(1, &MemoryDisk::new(2)), space.create(2, &MemoryDisk::new(3)));
    set(&mut a, "k", "a");
    let writer = a.tail()[0].0;
    space.cut(&mut home, &writer, 0);
    deliver_handle(NOW, &mut home, &mut b);
    assert_eq!(code(b.accept(NOW, unit(&mut a))), Err(NackCode::Cut));
    assert!(contents(&b).is_empty());
}
