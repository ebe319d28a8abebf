//! A machine that was copied while it ran: two go on under one name, and the home hears one of them first.

use disk::MemoryDisk;
use replica::ItemKind;
use sync::{Accepted, Incoming, Store};

use crate::reissue::{count, counted};
use crate::space::{Local, NOW, Space, contents, deliver_handle, deliver_tail, set};

/// Two copies of a device that go on under the same writer, of which the home hears the left.
fn clone_of(left_writes: &[&str], right_writes: &[&str]) -> (Local, Local) {
    let space = Space::new(2);
    let disk = MemoryDisk::new(2);
    let mut home = space.create(0, &MemoryDisk::new(1));
    drop(space.create(1, &disk));
    let (mut left, mut right) = (space.open(1, &disk.copy(), 9), space.open(1, &disk, 9));
    left_writes.iter().for_each(|name| set(&mut left, name, "left"));
    right_writes.iter().for_each(|name| set(&mut right, name, "right"));
    deliver_tail(NOW, &mut left, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut right);
    (home, right)
}

fn check_clone(left_writes: &[&str], right_writes: &[&str], unconfirmed: usize) {
    let (mut home, mut right) = clone_of(left_writes, right_writes);
    assert!(contents(&right).values().all(|value| value == "left"), "{:?}", contents(&right));
    let items = right.inbox().unwrap();
    assert_eq!(items.len(), unconfirmed);
    assert!(items.iter().all(|item| item.kind == ItemKind::Unconfirmed && item.commit.is_some()));
    set(&mut right, "next", "left");
    let incoming = right.next_commits(&Default::default(), 1 << 20).unwrap();
    let (commits, blobs, seals) = (incoming.commits, incoming.blobs, incoming.seals);
    let accepted = home
        .accept(NOW, Incoming { commits, blobs, seals, ..Incoming::default() })
        .expect("under a writer of its own");
    assert_eq!(accepted, Accepted::Stored);
    home.flush().unwrap();
    assert_eq!(contents(&home).len(), left_writes.len() + 1);
    assert_eq!(right.verify().unwrap().problems, [""; 0]);
}

#[test]
fn clone_that_finds_another_history_under_its_name_lists_its_own_and_goes_on_under_another() {
    check_clone(&["a"], &["b"], 1);
    check_clone(&["a"], &["b", "c", "d"], 3);
    check_clone(&["a", "b"], &["c"], 1);
    check_clone(&["a", "b"], &[], 0);
}

#[test]
fn suffix_that_another_copy_took_back_is_not_written_a_second_time() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(2);
    let (mut home, mut author) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &disk));
    count(&mut author, "n", 3);
    deliver_tail(NOW, &mut author, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut author);
    count(&mut author, "n", 8);
    let writer = author.tail()[0].0;
    let mut copy = space.open(1, &disk.copy(), 9);
    space.cut(&mut home, &writer, 1);
    deliver_handle(NOW, &mut home, &mut author);
    let proofs: Vec<_> = author.evidence().iter().map(|(_, evidence)| evidence.clone()).collect();
    assert_eq!(proofs.len(), 1);
    copy.accept_evidence(NOW, proofs[0].clone()).unwrap();
    deliver_handle(NOW, &mut home, &mut copy);
    assert_eq!(counted(&copy, "n"), 3, "the other copy's commit is yet to come");
    assert_eq!(copy.inbox().unwrap()[0].kind, ItemKind::Orphaned);
    deliver_tail(NOW, &mut author, &mut copy);
    deliver_tail(NOW, &mut copy, &mut home);
    assert_eq!((counted(&author, "n"), counted(&copy, "n"), counted(&home, "n")), (8, 8, 8));
}

#[test]
fn what_was_built_on_the_branch_that_lost_is_written_again_without_it() {
    let space = Space::new(3);
    let disk = MemoryDisk::new(2);
    let mut home = space.create(0, &MemoryDisk::new(1));
    let mut author = space.create(2, &MemoryDisk::new(3));
    drop(space.create(1, &disk));
    let (mut left, mut right) = (space.open(1, &disk.copy(), 9), space.open(1, &disk, 9));
    set(&mut right, "only there", "right");
    set(&mut right, "k", "right");
    deliver_tail(NOW, &mut right, &mut author);
    set(&mut author, "k", "author");
    set(&mut left, "a", "left");
    deliver_tail(NOW, &mut left, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut author);
    let expected = [("a", "left"), ("k", "author")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(contents(&author), expected.clone().into());
    let items = author.inbox().unwrap();
    assert_eq!((items.len(), items[0].kind), (1, ItemKind::Reissued));
    assert_eq!(author.verify().unwrap().problems, [""; 0]);
    deliver_tail(NOW, &mut author, &mut home);
    assert_eq!(contents(&home), expected.into());
}
