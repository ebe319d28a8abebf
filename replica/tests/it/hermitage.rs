//! The ten anomalies of the Hermitage scenarios, step by step: a transaction here never shows one of them.
//!
//! Each is played twice: with a flush after every commit, and with one flush for all, so that what one transaction
//! wrote is only pending when the next is judged.

use std::collections::BTreeMap;

use crdt::Class;
use disk::MemoryDisk;
use replica::{CommitError, KeyRange, Order, Transaction};

use crate::space::{Local, NOW, Space, coll, contents, key, set};

type Tx = Transaction<MemoryDisk>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    EachCommit,
    AtTheEnd,
}

/// Two rows, 1 with the value 10 and 2 with the value 20, and transactions on them.
struct Table {
    replica: Local,
    flush: Flush,
}

impl Table {
    fn begin(&self) -> Tx {
        self.replica.begin()
    }

    /// Whether the transaction was taken; refused for a conflict otherwise.
    fn commit(&mut self, tx: Tx) -> bool {
        let is_taken = match self.replica.commit(NOW, tx, Class::Normal) {
            Ok(_) => true,
            Err(CommitError::Conflict { .. }) => false,
            Err(error) => panic!("neither taken nor in conflict: {error}"),
        };
        if self.flush == Flush::EachCommit {
            self.replica.flush().unwrap();
        }
        is_taken
    }

    /// Every row in the end.
    fn rows(mut self) -> Vec<(u64, u64)> {
        self.replica.flush().unwrap();
        let rows = contents(&self.replica).into_iter();
        rows.map(|(id, value)| (id.parse().unwrap(), value.parse().unwrap())).collect()
    }
}

fn check(scenario: impl Fn(Table)) {
    for flush in [Flush::EachCommit, Flush::AtTheEnd] {
        let mut replica = Space::new(1).create(0, &MemoryDisk::new(1));
        set(&mut replica, "1", "10");
        set(&mut replica, "2", "20");
        scenario(Table { replica, flush });
    }
}

fn read(tx: &mut Tx, id: u64) -> u64 {
    let value = tx.get(coll(), &key(&id.to_string())).unwrap().expect("the row is there");
    String::from_utf8(value).unwrap().parse().unwrap()
}

fn write(tx: &mut Tx, id: u64, value: u64) {
    tx.put(coll(), &key(&id.to_string()), value.to_string().as_bytes()).unwrap();
}

fn delete(tx: &mut Tx, id: u64) {
    tx.delete(coll(), &key(&id.to_string())).unwrap();
}

/// The rows whose value is as asked: a predicate reads the whole table.
fn rows_where(tx: &mut Tx, predicate: impl Fn(u64) -> bool) -> BTreeMap<u64, u64> {
    let all = tx.scan(coll(), &KeyRange::all(), Order::Ascending, usize::MAX).unwrap();
    let number = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().parse().unwrap();
    let row =
        |(key, value): (Vec<u8>, Vec<u8>)| (number(crdt::key::plain_name(&key).unwrap()), number(value));
    all.into_iter().map(row).filter(|(_, value)| predicate(*value)).collect()
}

/// Write cycle: of two transactions that write both rows, one would win each.
#[test]
fn g0_both_rows_are_of_one_transaction() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        write(&mut one, 1, 11);
        write(&mut two, 1, 12);
        write(&mut one, 2, 21);
        assert!(table.commit(one));
        write(&mut two, 2, 22);
        assert!(table.commit(two));
        assert_eq!(table.rows(), [(1, 12), (2, 22)]);
    });
}

/// Aborted read: what a transaction wrote that then gave up.
#[test]
fn g1a_nobody_reads_what_was_given_up() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        write(&mut one, 1, 101);
        assert_eq!(read(&mut two, 1), 10);
        drop(one);
        assert_eq!(read(&mut two, 1), 10);
        assert!(table.commit(two));
        assert_eq!(table.rows(), [(1, 10), (2, 20)]);
    });
}

/// Intermediate read: a value that its own transaction replaced.
#[test]
fn g1b_nobody_reads_what_was_not_the_last() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        write(&mut one, 1, 101);
        assert_eq!(read(&mut two, 1), 10);
        write(&mut one, 1, 11);
        assert!(table.commit(one));
        assert_eq!(read(&mut two, 1), 10, "it still reads its own moment");
        write(&mut two, 2, 21);
        assert!(!table.commit(two), "what it read is no longer so");
        assert_eq!(table.rows(), [(1, 11), (2, 20)]);
    });
}

/// Circular information flow: each would have to come before the other.
#[test]
fn g1c_two_transactions_do_not_both_come_first() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        write(&mut one, 1, 11);
        write(&mut two, 2, 22);
        assert_eq!(read(&mut one, 2), 20);
        assert_eq!(read(&mut two, 1), 10);
        assert!(table.commit(one));
        assert!(!table.commit(two));
        assert_eq!(table.rows(), [(1, 11), (2, 20)]);
    });
}

/// Observed transaction vanishes: a third one would see the first at one row and the second at the other.
#[test]
fn otv_a_transaction_is_seen_at_all_its_rows_or_at_none() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        write(&mut one, 1, 11);
        write(&mut one, 2, 19);
        write(&mut two, 1, 12);
        assert!(table.commit(one));
        let mut three = table.begin();
        let seen = read(&mut three, 1);
        write(&mut two, 2, 18);
        assert!(table.commit(two));
        let expected = if table.flush == Flush::EachCommit { (11, 19) } else { (10, 20) };
        assert_eq!((seen, read(&mut three, 2)), expected);
        assert_eq!((read(&mut three, 1), read(&mut three, 2)), expected, "and again");
        assert_eq!(table.rows(), [(1, 12), (2, 18)]);
    });
}

/// Predicate with many preceders, reading: a row appears between two looks.
#[test]
fn pmp_a_predicate_gives_the_same_rows_twice() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        assert!(rows_where(&mut one, |value| value == 30).is_empty());
        write(&mut two, 3, 30);
        assert!(table.commit(two));
        assert!(rows_where(&mut one, |value| value % 3 == 0).is_empty());
        write(&mut one, 4, 1);
        assert!(!table.commit(one), "the row is there by now");
        assert_eq!(table.rows(), [(1, 10), (2, 20), (3, 30)]);
    });
}

/// The same, writing: every row grows while another one deletes by value.
#[test]
fn pmp_a_predicate_that_decides_a_delete_still_holds() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        for (id, value) in rows_where(&mut one, |_| true) {
            write(&mut one, id, value + 10);
        }
        for (id, value) in rows_where(&mut two, |value| value == 20) {
            assert_eq!((id, value), (2, 20));
            delete(&mut two, id);
        }
        assert!(table.commit(one));
        assert!(!table.commit(two), "row 2 is 30 by now, and row 1 is 20");
        assert_eq!(table.rows(), [(1, 20), (2, 30)]);
    });
}

/// Lost update: both add to what they read.
#[test]
fn p4_no_update_is_lost() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        let (first, second) = (read(&mut one, 1), read(&mut two, 1));
        write(&mut one, 1, first + 1);
        write(&mut two, 1, second + 1);
        assert!(table.commit(one));
        assert!(!table.commit(two));
        assert_eq!(table.rows(), [(1, 11), (2, 20)]);
    });
}

/// Read skew: one row from before another transaction, one from after it.
#[test]
fn g_single_all_reads_are_of_one_moment() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        assert_eq!(read(&mut one, 1), 10);
        assert_eq!((read(&mut two, 1), read(&mut two, 2)), (10, 20));
        write(&mut two, 1, 12);
        write(&mut two, 2, 18);
        assert!(table.commit(two));
        assert_eq!(read(&mut one, 2), 20);
        assert_eq!(table.rows(), [(1, 12), (2, 18)]);
    });
}

/// The same through predicates: what it looks for by value was there, and is not found anew.
#[test]
fn g_single_predicates_are_of_the_same_moment() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        assert_eq!(rows_where(&mut one, |value| value % 5 == 0), [(1, 10), (2, 20)].into());
        for (id, _) in rows_where(&mut two, |value| value == 10) {
            write(&mut two, id, 12);
        }
        assert!(table.commit(two));
        assert!(rows_where(&mut one, |value| value % 3 == 0).is_empty());
        assert_eq!(table.rows(), [(1, 12), (2, 20)]);
    });
}

/// The same, writing: it deletes by a value that it could only have seen before the other.
#[test]
fn g_single_a_write_rests_on_reads_that_still_hold() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        assert_eq!(read(&mut one, 1), 10);
        assert_eq!((read(&mut two, 1), read(&mut two, 2)), (10, 20));
        write(&mut two, 1, 12);
        write(&mut two, 2, 18);
        assert!(table.commit(two));
        for (id, _) in rows_where(&mut one, |value| value == 20) {
            delete(&mut one, id);
        }
        assert!(!table.commit(one));
        assert_eq!(table.rows(), [(1, 12), (2, 18)]);
    });
}

/// Write skew: both read both rows, and each writes another one.
#[test]
fn g2_item_two_do_not_write_what_the_other_one_read() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        for tx in [&mut one, &mut two] {
            assert_eq!((read(tx, 1), read(tx, 2)), (10, 20));
        }
        write(&mut one, 1, 11);
        write(&mut two, 2, 21);
        assert!(table.commit(one));
        assert!(!table.commit(two));
        assert_eq!(table.rows(), [(1, 11), (2, 20)]);
    });
}

/// Anti-dependency cycle over a predicate: both find nothing, and each adds what the other looked for.
#[test]
fn g2_two_do_not_add_what_the_other_one_looked_for() {
    check(|mut table| {
        let (mut one, mut two) = (table.begin(), table.begin());
        for tx in [&mut one, &mut two] {
            assert!(rows_where(tx, |value| value % 3 == 0).is_empty());
        }
        write(&mut one, 3, 30);
        write(&mut two, 4, 42);
        assert!(table.commit(one));
        assert!(!table.commit(two));
        assert_eq!(table.rows(), [(1, 10), (2, 20), (3, 30)]);
    });
}

/// The same with a third one that only reads: it sees the second and not the first, so the first comes too late.
#[test]
fn g2_a_reader_between_two_writers_settles_their_order() {
    check(|mut table| {
        let mut one = table.begin();
        assert_eq!(rows_where(&mut one, |_| true), [(1, 10), (2, 20)].into());
        let mut two = table.begin();
        let value = read(&mut two, 2);
        write(&mut two, 2, value + 5);
        assert!(table.commit(two));
        let mut three = table.begin();
        let seen = rows_where(&mut three, |_| true);
        assert_eq!(seen[&2], if table.flush == Flush::EachCommit { 25 } else { 20 });
        drop(three);
        write(&mut one, 1, 0);
        assert!(!table.commit(one));
        assert_eq!(table.rows(), [(1, 10), (2, 25)]);
    });
}
