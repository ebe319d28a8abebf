//! Transactions: what another commit changed in between is found, pending commits included.

use crdt::Class;
use disk::MemoryDisk;
use replica::{CommitError, KeyRange, Order, Transaction};

use crate::space::{Local, NOW, Space, coll, contents, get, key, put, set};

type Tx = Transaction<MemoryDisk>;

fn replica() -> Local {
    let mut replica = Space::new(1).create(0, &MemoryDisk::new(1));
    for name in ["a", "b", "c", "m", "z"] {
        set(&mut replica, name, "0");
    }
    replica
}

/// Two transactions on one snapshot; how the second one ends when the first has committed, without a flush.
fn second(first: impl Fn(&mut Tx), second: impl Fn(&mut Tx)) -> Result<(), CommitError> {
    let mut replica = replica();
    let (mut one, mut two) = (replica.begin(), replica.begin());
    first(&mut one);
    second(&mut two);
    replica.commit(NOW, one, Class::Normal).expect("nothing came before it");
    replica.commit(NOW, two, Class::Normal).map(drop)
}

fn read(tx: &mut Tx, name: &str) {
    tx.get(coll(), &key(name)).unwrap();
}

fn write(tx: &mut Tx, name: &str) {
    tx.put(coll(), &key(name), b"new").unwrap();
}

fn scan(tx: &mut Tx, from: &str, to: &str, order: Order, limit: usize) -> usize {
    let range = KeyRange { from: key(from), to: Some(key(to)) };
    tx.scan(coll(), &range, order, limit).unwrap().len()
}

fn is_conflict(result: Result<(), CommitError>) -> bool {
    match result {
        Ok(()) => false,
        Err(CommitError::Conflict { .. }) => true,
        Err(error) => panic!("neither done nor in conflict: {error}"),
    }
}

#[test]
fn lost_update_is_refused() {
    let increment = |tx: &mut Tx| {
        read(tx, "a");
        write(tx, "a");
    };
    assert!(is_conflict(second(increment, increment)));
}

#[test]
fn write_skew_is_refused() {
    let one = |tx: &mut Tx| {
        read(tx, "a");
        write(tx, "b");
    };
    let two = |tx: &mut Tx| {
        read(tx, "b");
        write(tx, "a");
    };
    assert!(is_conflict(second(one, two)));
}

#[test]
fn phantom_in_a_gap_is_refused() {
    let reader = |tx: &mut Tx| {
        assert_eq!(scan(tx, "d", "l", Order::Ascending, 10), 0);
        write(tx, "z");
    };
    assert!(is_conflict(second(|tx| write(tx, "f"), reader)));
    assert!(!is_conflict(second(|tx| write(tx, "mm"), reader)), "outside the range");
}

#[test]
fn read_of_what_is_absent_is_a_read() {
    let reader = |tx: &mut Tx| {
        read(tx, "nothing");
        write(tx, "z");
    };
    assert!(is_conflict(second(|tx| write(tx, "nothing"), reader)));
}

#[test]
fn limited_scan_has_read_as_far_as_it_returned() {
    let two_from_the_start = |tx: &mut Tx| {
        assert_eq!(scan(tx, "a", "zz", Order::Ascending, 2), 2);
        write(tx, "q");
    };
    assert!(is_conflict(second(|tx| write(tx, "aa"), two_from_the_start)), "between the two");
    assert!(is_conflict(second(|tx| write(tx, "b"), two_from_the_start)), "the last one");
    assert!(!is_conflict(second(|tx| write(tx, "c"), two_from_the_start)), "after them");
    let two_from_the_end = |tx: &mut Tx| {
        assert_eq!(scan(tx, "a", "zz", Order::Descending, 2), 2);
        write(tx, "q");
    };
    assert!(is_conflict(second(|tx| write(tx, "n"), two_from_the_end)), "between the two");
    assert!(!is_conflict(second(|tx| write(tx, "c"), two_from_the_end)), "before them");
}

#[test]
fn delete_is_a_change() {
    let delete = |tx: &mut Tx| tx.delete(coll(), &key("a")).unwrap();
    let reader = |tx: &mut Tx| {
        read(tx, "a");
        write(tx, "z");
    };
    assert!(is_conflict(second(delete, reader)));
}

#[test]
fn blind_writes_do_not_conflict() {
    assert!(!is_conflict(second(|tx| write(tx, "a"), |tx| write(tx, "a"))));
}

#[test]
fn transaction_reads_its_own_writes() {
    let replica = replica();
    let mut tx = replica.begin();
    tx.put(coll(), &key("b"), b"mine").unwrap();
    tx.put(coll(), &key("bb"), b"new").unwrap();
    tx.delete(coll(), &key("c")).unwrap();
    assert_eq!(tx.get(coll(), &key("b")).unwrap().unwrap(), b"mine");
    assert_eq!(tx.get(coll(), &key("c")).unwrap(), None);
    let found = tx.scan(coll(), &KeyRange::all(), Order::Ascending, 3).unwrap();
    let names: Vec<_> = found.iter().map(|(key, _)| crdt::key::plain_name(key).unwrap()).collect();
    assert_eq!(names, [b"a".to_vec(), b"b".to_vec(), b"bb".to_vec()]);
    let found = tx.scan(coll(), &KeyRange::all(), Order::Descending, 3).unwrap();
    let names: Vec<_> = found.iter().map(|(key, _)| crdt::key::plain_name(key).unwrap()).collect();
    assert_eq!(names, [b"z".to_vec(), b"m".to_vec(), b"bb".to_vec()]);
}

#[test]
fn transaction_older_than_what_is_remembered_is_told_to_retry() {
    let mut space = Space::new(1);
    space.limits.changes = 10;
    let mut replica = space.create(0, &MemoryDisk::new(1));
    let mut old = replica.begin();
    read(&mut old, "a");
    write(&mut old, "z");
    for n in 0..11 {
        put(&mut replica, NOW, &format!("other{n}"), "").unwrap();
    }
    assert!(matches!(replica.commit(NOW, old, Class::Normal), Err(CommitError::Retry)));
}

#[test]
fn commit_is_one_step_for_readers() {
    let mut replica = replica();
    let mut tx = replica.begin();
    for name in ["a", "b", "c"] {
        write(&mut tx, name);
    }
    replica.commit(NOW, tx, Class::Normal).unwrap();
    assert!(contents(&replica).values().all(|value| value == "0"));
    replica.flush().unwrap();
    assert_eq!(contents(&replica).values().filter(|value| *value == "new").count(), 3);
}

#[test]
fn what_is_too_large_for_one_commit_is_refused_and_changes_nothing() {
    let mut replica = replica();
    let mut tx = replica.begin();
    for n in 0..17_000 {
        tx.put(coll(), &key(&format!("{n}")), &[7; 1000]).unwrap();
    }
    let error = replica.commit(NOW, tx, Class::Normal).unwrap_err();
    assert!(matches!(error, CommitError::TooLarge { .. }), "{error}");
    let mut tx = replica.begin();
    assert!(matches!(tx.put(coll(), &key("v"), &vec![0; 2 << 20]), Err(CommitError::ValueTooLarge { .. })));
    assert!(matches!(tx.put(coll(), b"no tuple", b""), Err(CommitError::BadKey)));
    assert!(matches!(tx.put(crdt::system::acl(), &key("a"), b""), Err(CommitError::HomeOnly { .. })));
    put(&mut replica, NOW, "a", "fine").unwrap();
    replica.flush().unwrap();
    assert_eq!(get(&replica, "a").as_deref(), Some("fine"));
}
