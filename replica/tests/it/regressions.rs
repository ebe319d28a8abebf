//! Failures that others published of their own merging, identities and encodings, played here.

use std::collections::BTreeSet;

use crdt::{Class, Dot};
use disk::MemoryDisk;

use crate::space::{
    Local, NOW, Space, coll, contents, deliver, deliver_tail, get, key, put, remove, roots, set,
};
use crate::story::{A, B, C, Story, check, names};

/// The dots and values alive at a name, the winner first.
fn live(replica: &Local, name: &str) -> Vec<(Dot, String)> {
    let snapshot = replica.snapshot();
    let Some(read) = snapshot.read(coll(), &key(name)).unwrap() else { return Vec::new() };
    let all = [read.winner].into_iter().chain(read.losers);
    all.map(|live| (live.dot, String::from_utf8(snapshot.value(&live.payload).unwrap()).unwrap())).collect()
}

fn values(replica: &Local, name: &str) -> BTreeSet<String> {
    live(replica, name).into_iter().map(|(_, value)| value).collect()
}

fn replicas<const N: usize>() -> (Space, [Local; N]) {
    let space = Space::new(N as u8);
    let replicas = std::array::from_fn(|n| space.create(n, &MemoryDisk::new(n as u64)));
    (space, replicas)
}

/// rust-crdt 10: a multi-value register without a causal context cannot tell a value it has seen and replaced from one
/// it never saw, so a copy from before brings back what was resolved or taken away.
#[test]
fn a_value_that_was_replaced_does_not_come_back_with_an_old_copy() {
    let (_, [mut a, mut b, mut old]) = replicas();
    set(&mut a, "k", "from a");
    set(&mut b, "k", "from b");
    deliver_tail(NOW, &mut a, &mut old);
    deliver_tail(NOW, &mut b, &mut old);
    deliver_tail(NOW, &mut b, &mut a);
    assert_eq!(values(&a, "k"), names(&["from a", "from b"]), "nobody saw the other's");
    set(&mut a, "k", "both seen");
    deliver_tail(NOW, &mut old, &mut a);
    assert_eq!(values(&a, "k"), names(&["both seen"]));
    deliver_tail(NOW, &mut a, &mut b);
    remove(&mut b, "k");
    deliver_tail(NOW, &mut old, &mut b);
    assert_eq!(values(&b, "k"), names(&[]));
    deliver_tail(NOW, &mut b, &mut old);
    assert_eq!(values(&old, "k"), names(&[]), "and leaves the old copy");
}

/// rust-crdt 33: one device removes a map's entry while another one adds to it; of the entry there, what was added must
/// be left, and what was removed must not.
#[test]
fn removed_entry_keeps_what_was_added_meanwhile() {
    let story = |story: &mut Story| {
        story.add(A, &["bob/janet"]);
        story.merge(A, B);
        story.add(B, &["bob/erik"]);
        story.remove_field(A, "bob/");
        story.merge(B, A);
        story.merge(A, B);
        assert_eq!(story.value(A), names(&["bob/erik"]));
        assert_eq!(story.value(B), names(&["bob/erik"]));
    };
    check(story, &["bob/erik"]);
}

/// rust-crdt 35: the merge of an entry that both maps have changed the entry's clock and used it again as if it had not;
/// three maps that all have the entry, each with something of its own, then differ with the order of merges.
#[test]
fn entry_that_all_have_is_merged_alike_in_every_order() {
    let story = |story: &mut Story| {
        story.add(A, &["x/common"]);
        story.merge(A, B);
        story.merge(A, C);
        story.add(A, &["x/a"]);
        story.remove(B, &["x/common"]);
        story.add(B, &["x/b"]);
        story.remove_field(C, "x/");
        story.add(C, &["x/c", "x/common"]);
        story.merge(B, C);
        story.remove(C, &["x/b"]);
    };
    check(story, &["x/a", "x/c", "x/common"]);
}

/// cr-sqlite 299: a row deleted and inserted again lost or kept cells by the order in which they arrived, since a cell
/// did not say which life of its row it belongs to.
#[test]
fn row_that_was_inserted_again_has_the_same_cells_in_every_order() {
    let story = |story: &mut Story| {
        story.add(A, &["row/x", "row/y"]);
        story.merge(A, B);
        story.merge(A, C);
        story.remove_field(A, "row/");
        story.add(A, &["row/x"]);
        // One has not heard that the row was deleted; the other deletes it by itself.
        story.add(B, &["row/y"]);
        story.remove_field(C, "row/");
    };
    check(story, &["row/x", "row/y"]);
    let unseen = |story: &mut Story| {
        story.add(A, &["row/x", "row/y"]);
        story.merge(A, B);
        story.remove_field(A, "row/");
        story.add(A, &["row/x"]);
        story.remove_field(B, "row/");
    };
    check(unseen, &["row/x"]);
}

/// cr-sqlite 405: with the whole database's version as a cell's, an agent that is busy elsewhere won every cell it
/// touched without having seen it. Here neither the number of commits nor a late clock beats a write that saw the other.
#[test]
fn busy_writer_does_not_win_a_key_it_never_saw() {
    let (_, [mut busy, mut quiet, mut late]) = replicas();
    for n in 0..100 {
        put(&mut busy, NOW, &format!("other{n}"), "x").unwrap();
    }
    put(&mut busy, NOW, "cell", "busy").unwrap();
    busy.flush().unwrap();
    put(&mut quiet, NOW.plus_ms(1), "cell", "later").unwrap();
    quiet.flush().unwrap();
    deliver_tail(NOW, &mut busy, &mut quiet);
    deliver_tail(NOW, &mut quiet, &mut busy);
    for replica in [&busy, &quiet] {
        assert_eq!(get(replica, "cell").unwrap(), "later");
        assert_eq!(values(replica, "cell"), names(&["busy", "later"]), "and nothing is lost");
    }
    // Its clock is an hour behind, and still it is the later one: it has seen what it replaces.
    deliver_tail(NOW, &mut busy, &mut late);
    put(&mut late, crdt::Time(NOW.0 - 3_600_000), "cell", "saw both").unwrap();
    late.flush().unwrap();
    deliver_tail(NOW, &mut late, &mut busy);
    assert_eq!(values(&busy, "cell"), names(&["saw both"]));
}

/// yjs 491: one document had other bytes from one run to the next, for the order of a map in memory.
#[test]
fn one_state_has_one_encoding_whatever_led_to_it() {
    let mut encodings = BTreeSet::new();
    for run in 0..4 {
        let (space, [mut a, mut b, mut c]) = replicas();
        for name in ["a", "b", "c", "0", "1", "2"] {
            set(&mut a, name, name);
            set(&mut b, name, "theirs");
        }
        let order: [&mut Local; 2] = if run % 2 == 0 { [&mut a, &mut b] } else { [&mut b, &mut a] };
        for from in order {
            deliver_tail(NOW, from, &mut c);
            if run >= 2 {
                c.checkpoint(NOW).unwrap();
            }
        }
        encodings.insert(format!("{:?}", roots(&mut c)));
        // The home's tree, fetched by one who holds nothing, is that of one who computed it.
        space.anchor(NOW, &mut c);
        let mut fresh = space.join(1, &MemoryDisk::new(7));
        deliver(NOW, &mut c, &mut fresh);
        encodings.insert(format!("{:?}", roots(&mut fresh)));
    }
    assert_eq!(encodings.len(), 1, "{encodings:?}");
}

/// automerge-classic 145: a document that was saved and loaded under the same actor forgot the highest element it had
/// named, and gave the name of a deleted element to a new one.
#[test]
fn name_of_a_write_is_not_given_again_after_a_delete_and_a_restart() {
    let (space, [_, mut other]) = replicas();
    let disk = MemoryDisk::new(5);
    let mut a = space.create(0, &disk);
    let mut seen = BTreeSet::new();
    for open in 10..14 {
        set(&mut a, "element", &format!("{open}"));
        let dots = live(&a, "element");
        assert_eq!(dots.len(), 1);
        assert!(seen.insert(dots[0].0), "{} was used before", dots[0].0);
        deliver_tail(NOW, &mut a, &mut other);
        assert_eq!(get(&other, "element"), Some(format!("{open}")));
        remove(&mut a, "element");
        let old = disk.copy();
        deliver_tail(NOW, &mut a, &mut other);
        assert_eq!(get(&other, "element"), None);
        drop(a);
        // Now and then it is an old copy of the folder that is loaded.
        a = space.open(0, if open % 2 == 0 { &disk } else { &old }, open);
        assert!(contents(&a).is_empty());
    }
    let mut transaction = a.begin();
    transaction.put(coll(), &key("element"), b"last").unwrap();
    let committed = a.commit(NOW, transaction, Class::Normal).unwrap();
    assert!(!seen.contains(&committed.dot));
    a.flush().unwrap();
    deliver_tail(NOW, &mut a, &mut other);
    deliver_tail(NOW, &mut other, &mut a);
    assert_eq!(roots(&mut a), roots(&mut other));
}
