//! What differs between two trees, and only that.

use btree::{Change, Hash, Kind, Nodes, PackRef, diff, write_pack};
use disk::MemoryDisk;
use proptest::prelude::*;

use crate::model::{Batch, Entries, SALT, Tree, any_batch, any_entries, key, value};

fn expected(before: &Entries, after: &Entries) -> Vec<Change> {
    let keys: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changes = keys.into_iter().map(|key| Change {
        key: key.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    });
    changes.filter(|change| change.before != change.after).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_diff_applied_to_the_first_tree_gives_the_second(a in any_entries(300), b in any_entries(300)) {
        let (mut a, b) = (Tree::of(&a), Tree::of(&b));
        let changes = a.diff(&b);
        prop_assert_eq!(&changes, &expected(&a.entries, &b.entries));
        a.apply(&changes.into_iter().map(|change| (change.key, change.after)).collect());
        prop_assert_eq!(a.root, b.root);
    }

    #[test]
    fn a_diff_is_symmetric(entries in any_entries(500), batch in any_batch(10)) {
        let (a, mut b) = (Tree::of(&entries), Tree::of(&entries));
        b.apply(&batch);
        let there = a.diff(&b);
        prop_assert_eq!(&there, &expected(&a.entries, &b.entries));
        let turned: Vec<Change> = b.diff(&a).into_iter()
            .map(|change| Change { key: change.key, before: change.after, after: change.before })
            .collect();
        prop_assert_eq!(there, turned);
    }
}

#[test]
fn a_diff_with_an_empty_tree_is_every_entry() {
    let entries: Entries = (0..3000u32).map(|i| (key(&i.to_be_bytes(), 1, 1), value(1, 20))).collect();
    let (tree, empty) = (Tree::of(&entries), Tree::new());
    assert_eq!(empty.diff(&tree), expected(&empty.entries, &entries));
    assert_eq!(tree.diff(&empty), expected(&entries, &empty.entries));
    assert!(tree.diff(&tree).is_empty());
}

/// A tree in a pack of its own, opened with a cold cache.
fn packed(disk: &MemoryDisk, name: &str, tree: Tree) -> (PackRef, Hash) {
    let pack = write_pack(&Nodes::new(disk.clone(), SALT), name, tree.fresh, b"").expect("a healthy disk");
    (pack, tree.root)
}

#[test]
fn equal_subtrees_are_not_read() {
    let entries: Entries = (0..60_000u32).map(|i| (key(&i.to_be_bytes(), 1, 1), value(1, 20))).collect();
    let mut changed = Tree::of(&entries);
    changed.apply(&Batch::from([(key(&30_000u32.to_be_bytes(), 1, 1), Some(value(2, 20)))]));
    let disk = MemoryDisk::new(1);
    let packs = [packed(&disk, "a", Tree::of(&entries)), packed(&disk, "b", changed)];
    let open =
        || Nodes::open(disk.clone(), SALT, &[packs[0].0.clone(), packs[1].0.clone()]).expect("good packs");
    let nodes = open();
    let before = disk.counters().bytes_read;
    let found: Vec<Change> = diff(&nodes, &packs[0].1, &nodes, &packs[1].1, Kind::Data)
        .and_then(Iterator::collect)
        .expect("good packs");
    let read = disk.counters().bytes_read - before;
    assert_eq!(found.len(), 1);
    assert!(read <= 12 * 8 * 1024, "{read} bytes read for one change");
}
