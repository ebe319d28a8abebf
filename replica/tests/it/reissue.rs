//! What a cut takes from its author is written again by its net effect, once, and everybody agrees on it.

use crdt::view::counter::{Total, balance};
use crdt::{Class, CollId, Descriptor, Policy, system};
use disk::MemoryDisk;
use replica::{CommitError, Grant, HomeWrite, ItemKind, KeyRange, Order, READ, WRITE};
use sync::{Store, TailRow};

use crate::space::{
    Local, NOW, Space, coll, contents, deliver, deliver_handle, deliver_tail, get, key, put, remove, roots,
    set,
};

pub(crate) fn counter() -> CollId {
    Descriptor::new("visits", Policy::PnCounter).expect("a good name").id()
}

fn members() -> CollId {
    Descriptor::new("members", Policy::GSet).expect("a good name").id()
}

/// Sets this run's total of a counter.
pub(crate) fn count(replica: &mut Local, name: &str, plus: u64) {
    let mut transaction = replica.begin();
    let total = Total { plus, minus: Some(0) };
    transaction.put(counter(), &key(name), &total.encode()).unwrap();
    replica.commit(NOW, transaction, Class::Normal).unwrap();
    replica.flush().unwrap();
}

/// The value of a counter.
pub(crate) fn counted(replica: &Local, name: &str) -> i128 {
    let snapshot = replica.snapshot();
    let read = snapshot.read(counter(), &key(name)).unwrap();
    let live = read.map(|read| [vec![read.winner], read.losers].concat());
    balance(&live.unwrap_or_default()).unwrap_or(0)
}

/// A home, a device of which the home has what it wrote so far, and a peer; the last two know the home's base.
struct Three {
    space: Space,
    home: Local,
    author: Local,
    peer: Local,
    disk: MemoryDisk,
}

impl Three {
    fn new(first: impl FnOnce(&mut Local)) -> Self {
        let space = Space::new(3);
        let disk = MemoryDisk::new(2);
        let mut home = space.create(0, &MemoryDisk::new(1));
        let (mut author, mut peer) = (space.create(1, &disk), space.create(2, &MemoryDisk::new(3)));
        first(&mut author);
        deliver_tail(NOW, &mut author, &mut home);
        space.anchor(NOW, &mut home);
        deliver_handle(NOW, &mut home, &mut author);
        deliver_handle(NOW, &mut home, &mut peer);
        Self { space, home, author, peer, disk }
    }

    fn open_row(&self) -> TailRow {
        self.author.tail().into_iter().next().expect("it has written above the base")
    }

    /// Everything that the author's open writer has above the base is cut.
    fn cut(&mut self) {
        let writer = self.open_row().0;
        let anchored = self.home.seen(&writer);
        self.space.cut(&mut self.home, &writer, anchored);
        assert!(self.author.describe().tail_commits > 0);
        deliver_handle(NOW, &mut self.home, &mut self.author);
        assert_eq!(self.author.verify().unwrap().problems, [""; 0]);
    }

    /// Everybody hears of everything.
    fn settle(&mut self) {
        for _ in 0..2 {
            for device in [&mut self.author, &mut self.peer] {
                deliver_handle(NOW, &mut self.home, device);
                deliver_tail(NOW, device, &mut self.home);
            }
            self.space.anchor(NOW, &mut self.home);
            deliver(NOW, &mut self.home, &mut self.author);
            deliver(NOW, &mut self.home, &mut self.peer);
        }
        let expected = roots(&mut self.home);
        assert_eq!(roots(&mut self.author), expected);
        assert_eq!(roots(&mut self.peer), expected);
        for replica in [&self.home, &self.author, &self.peer] {
            assert_eq!(replica.describe().tail_commits, 0);
            assert_eq!(replica.verify().unwrap().problems, [""; 0]);
        }
    }

    fn inbox(&self) -> Vec<ItemKind> {
        self.author.inbox().unwrap().into_iter().map(|item| item.kind).collect()
    }
}

#[test]
fn counters_total_is_not_counted_twice() {
    let mut three = Three::new(|author| count(author, "n", 3));
    count(&mut three.author, "n", 5);
    count(&mut three.author, "n", 8);
    count(&mut three.author, "new", 2);
    three.cut();
    assert_eq!((counted(&three.author, "n"), counted(&three.author, "new")), (8, 2));
    three.settle();
    assert_eq!((counted(&three.home, "n"), counted(&three.home, "new")), (8, 2));
    count(&mut three.author, "n", 1);
    three.settle();
    assert_eq!(counted(&three.peer, "n"), 9, "a new run counts from nothing");
}

#[test]
fn put_that_a_peer_deleted_does_not_come_back() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", "1");
    deliver_tail(NOW, &mut three.author, &mut three.peer);
    remove(&mut three.peer, "k");
    deliver_tail(NOW, &mut three.peer, &mut three.author);
    three.cut();
    assert_eq!(get(&three.author, "k"), None);
    three.settle();
    assert_eq!(get(&three.home, "k"), None);
    assert!(three.inbox().is_empty(), "nothing was left to write again");
}

#[test]
fn old_write_does_not_beat_what_had_beaten_it() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    put(&mut three.author, NOW, "k", "old").unwrap();
    three.author.flush().unwrap();
    put(&mut three.peer, NOW.plus_ms(60_000), "k", "new").unwrap();
    three.peer.flush().unwrap();
    deliver_tail(NOW, &mut three.peer, &mut three.author);
    assert_eq!(get(&three.author, "k").as_deref(), Some("new"));
    three.cut();
    assert_eq!(get(&three.author, "k").as_deref(), Some("new"));
    three.settle();
    let read = three.home.snapshot().read(coll(), &key("k")).unwrap().unwrap();
    assert_eq!((read.winner.payload, read.losers.len()), (crdt::Payload::Inline(b"new".to_vec()), 1));
}

#[test]
fn what_the_author_deleted_and_replaced_stays_so() {
    let mut three = Three::new(|author| {
        set(author, "gone", "1");
        set(author, "replaced", "1");
        set(author, "came and went", "1");
    });
    remove(&mut three.author, "gone");
    set(&mut three.author, "replaced", "2");
    set(&mut three.author, "replaced", "3");
    set(&mut three.author, "came and went", "2");
    remove(&mut three.author, "came and went");
    let before = contents(&three.author);
    assert_eq!(before.len(), 1);
    three.cut();
    assert_eq!(contents(&three.author), before);
    three.settle();
    assert_eq!(contents(&three.home), before);
}

#[test]
fn element_that_nobody_may_take_away_is_put_again() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    let mut transaction = three.author.begin();
    transaction.put(members(), &key("m"), b"").unwrap();
    transaction.put(coll(), &key("large"), &[7; 5000]).unwrap();
    three.author.commit(NOW, transaction, Class::Critical).unwrap();
    three.author.flush().unwrap();
    three.cut();
    let successor = three.open_row().0;
    assert_eq!(successor.class(), Some(Class::Critical));
    three.settle();
    assert_eq!(three.peer.snapshot().get(members(), &key("m")).unwrap(), Some(vec![]));
    assert_eq!(three.peer.snapshot().get(coll(), &key("large")).unwrap(), Some(vec![7; 5000]));
}

#[test]
fn delete_on_sight_of_a_dropped_dot_does_not_reach_what_took_its_place() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", "1");
    deliver_tail(NOW, &mut three.author, &mut three.peer);
    remove(&mut three.peer, "k");
    three.cut();
    deliver_handle(NOW, &mut three.home, &mut three.peer);
    three.settle();
    assert_eq!(get(&three.home, "k").as_deref(), Some("1"));
    assert_eq!(three.inbox(), [ItemKind::Reissued]);
}

#[test]
fn others_drop_what_was_cut_and_keep_what_they_built_on_it() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", "author");
    set(&mut three.author, "only here", "1");
    deliver_tail(NOW, &mut three.author, &mut three.peer);
    set(&mut three.peer, "k", "peer");
    three.cut();
    deliver_handle(NOW, &mut three.home, &mut three.peer);
    assert_eq!(get(&three.peer, "only here"), None);
    assert_eq!(get(&three.peer, "k").as_deref(), Some("peer"));
    assert_eq!(three.peer.verify().unwrap().problems, [""; 0]);
    assert!(three.peer.inbox().unwrap().is_empty(), "its author writes it again");
    three.settle();
    assert_eq!(get(&three.peer, "only here").as_deref(), Some("1"));
}

#[test]
fn device_that_may_not_write_any_more_writes_nothing_again_and_keeps_it_in_its_inbox() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", &"large".repeat(1000));
    let writer = three.open_row().0;
    let revoked =
        HomeWrite { coll: system::acl(), key: Grant::key(&three.author.device().id()), value: None };
    three.space.write(&mut three.home, vec![revoked]);
    three.space.cut(&mut three.home, &writer, 1);
    deliver_handle(NOW, &mut three.home, &mut three.author);
    assert_eq!(get(&three.author, "k"), None);
    assert_eq!(three.author.describe().tail_commits, 0);
    let items = three.author.inbox().unwrap();
    assert_eq!((items.len(), items[0].kind), (1, ItemKind::Rejected));
    drop(three.author);
    three.disk.crash();
    let author = three.space.open(1, &three.disk, 9);
    assert_eq!(author.inbox().unwrap(), items, "it is durable");
    let commit = items[0].commit.clone().expect("with all that it wrote");
    let blob = commit.body().blobs()[0];
    assert_eq!(author.snapshot().value(&crdt::Payload::Blob(blob)).unwrap(), "large".repeat(1000).as_bytes());
    let mut author = author;
    assert_eq!(author.discard(NOW, &[items[0].dot].into()).unwrap(), 1);
    drop(author);
    three.disk.crash();
    assert!(three.space.open(1, &three.disk, 10).inbox().unwrap().is_empty(), "somebody has seen to it");
}

#[test]
fn what_a_device_writes_while_it_is_out_stays_until_it_is_in_again_whatever_it_has_to_make_anew() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    let id = three.author.device().id();
    let grant = |value| HomeWrite { coll: system::acl(), key: Grant::key(&id), value };
    three.space.write(&mut three.home, vec![grant(None)]);
    deliver_handle(NOW, &mut three.home, &mut three.author);
    let items = three.author.inbox().unwrap();
    set(&mut three.author, "meanwhile", "1");
    let base = three.author.base().clone();
    three.author.rebuild(NOW, base).unwrap();
    assert_eq!(get(&three.author, "meanwhile").as_deref(), Some("1"));
    assert_eq!(three.author.inbox().unwrap(), items);
    drop(three.author);
    three.disk.crash();
    three.author = three.space.open(1, &three.disk, 9);
    assert_eq!(get(&three.author, "meanwhile").as_deref(), Some("1"));

    let since = three.home.base().version + 1;
    let public = three.author.device().public();
    let again = Grant { public, capabilities: READ | WRITE, residency: Vec::new(), since };
    three.space.write(&mut three.home, vec![grant(Some(again.encode()))]);
    deliver_handle(NOW, &mut three.home, &mut three.author);
    three.settle();
    assert_eq!(get(&three.home, "meanwhile").as_deref(), Some("1"));
}

#[test]
fn what_was_written_again_and_cut_again_goes_to_the_inbox() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", "1");
    three.cut();
    assert_eq!(get(&three.author, "k").as_deref(), Some("1"));
    three.cut();
    assert_eq!(get(&three.author, "k"), None);
    assert_eq!(three.inbox(), [ItemKind::Reissued, ItemKind::Orphaned]);
    three.settle();
}

#[test]
fn copy_of_a_folder_leaves_it_to_the_other_to_write_again() {
    let mut three = Three::new(|author| author.name_folder([1; 32]).unwrap());
    set(&mut three.author, "k", "1");
    drop(three.author);
    three.author = three.space.open(1, &three.disk.copy(), 9);
    three.author.name_folder([2; 32]).unwrap();
    three.cut();
    assert_eq!(get(&three.author, "k"), None);
    assert_eq!(three.inbox(), [ItemKind::Orphaned]);
}

#[test]
fn writer_that_was_cut_is_closed_and_the_next_commit_opens_another() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", "1");
    let writer = three.open_row().0;
    three.cut();
    let successor = three.open_row().0;
    set(&mut three.author, "k", "2");
    let writers: Vec<_> = three.author.tail().into_iter().map(|row| row.0).collect();
    assert!(!writers.contains(&writer) && writers.len() == 2, "one for the past and one from now on");
    assert!(writers.contains(&successor));
    three.settle();
    assert_eq!(get(&three.home, "k").as_deref(), Some("2"));
}

#[test]
fn successor_says_whose_place_it_takes() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    put(&mut three.author, NOW, "k", "1").unwrap();
    let second = put(&mut three.author, NOW, "l", "1").unwrap();
    three.author.flush().unwrap();
    let (writer, ..) = three.open_row();
    three.space.cut(&mut three.home, &writer, 2);
    deliver_handle(NOW, &mut three.home, &mut three.author);
    let outgoing = three.author.next_commits(&Default::default(), 1 << 20).unwrap();
    let opened = outgoing.commits.iter().find(|commit| commit.dot().writer != writer).unwrap();
    let open = opened.header().open.as_ref().unwrap();
    assert_eq!(open.reissues, Some((second.dot.writer, second.dot.seq, second.id)));
    assert_eq!(opened.header().base, three.home.base().version);
    assert_eq!(three.author.describe().tail_commits, 2, "the first commit is below the cut");
}

#[test]
fn open_transaction_that_read_before_the_drop_is_told_to_retry() {
    let mut three = Three::new(|author| set(author, "other", "1"));
    set(&mut three.author, "k", "1");
    let mut transaction = three.author.begin();
    transaction.get(coll(), &key("k")).unwrap();
    transaction.put(coll(), &key("l"), b"1").unwrap();
    three.cut();
    let answer = three.author.commit(NOW, transaction, Class::Normal);
    assert!(matches!(answer, Err(CommitError::Retry)), "{answer:?}");
}

#[test]
fn all_of_it_outlives_a_crash() {
    let mut three = Three::new(|author| count(author, "n", 3));
    count(&mut three.author, "n", 8);
    set(&mut three.author, "k", "1");
    three.cut();
    set(&mut three.author, "after", "1");
    let (before, tail) = (contents(&three.author), three.author.tail());
    drop(three.author);
    three.disk.crash();
    three.author = three.space.open(1, &three.disk, 9);
    assert_eq!((contents(&three.author), counted(&three.author, "n")), (before, 8));
    assert_eq!(three.author.tail(), tail);
    assert_eq!(three.author.verify().unwrap().problems, [""; 0]);
    three.settle();
    assert_eq!(counted(&three.home, "n"), 8);
}

#[test]
fn scan_shows_each_key_once() {
    let mut three = Three::new(|author| set(author, "k", "0"));
    set(&mut three.author, "k", "1");
    three.cut();
    let snapshot = three.author.snapshot();
    let read = snapshot.scan(coll(), &KeyRange::all(), Order::Ascending).unwrap();
    let read: Vec<_> = read.map(|read| read.unwrap()).collect();
    assert_eq!((read.len(), read[0].losers.len()), (1, 0));
}
