//! The same entries give the same root, whatever happened before.

use btree::{Kind, verify};
use proptest::prelude::*;

use crate::model::{Batch, Entries, Tree, any_batch, any_entries, key, name, value};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_root_depends_on_the_entries_alone(batches in prop::collection::vec(any_batch(100), 1..8)) {
        let mut tree = Tree::new();
        for batch in &batches {
            tree.apply(batch);
            prop_assert_eq!(tree.root, Tree::of(&tree.entries).root);
        }
    }

    #[test]
    fn small_changes_to_a_large_tree_give_the_root_of_their_result(
        entries in any_entries(900),
        batches in prop::collection::vec(any_batch(4), 1..10),
    ) {
        let mut tree = Tree::of(&entries);
        for batch in &batches {
            tree.apply(batch);
            prop_assert_eq!(tree.root, Tree::of(&tree.entries).root);
        }
    }

    #[test]
    fn one_batch_is_as_good_as_one_for_each_key(entries in any_entries(150), order in any::<u64>()) {
        let mut shuffled: Vec<_> = entries.iter().collect();
        shuffled.sort_by_key(|(key, _)| SHUFFLE.hash(Kind::Chunk, &[&order.to_le_bytes(), key.as_slice()].concat()));
        let mut tree = Tree::new();
        for (key, value) in shuffled {
            tree.apply(&Batch::from([(key.clone(), Some(value.clone()))]));
        }
        prop_assert_eq!(tree.root, Tree::of(&entries).root);
    }

    #[test]
    fn what_is_put_and_taken_away_leaves_no_trace(entries in any_entries(400), batch in any_batch(60)) {
        let mut tree = Tree::of(&entries);
        let root = tree.root;
        let undo: Batch = batch.keys().map(|key| (key.clone(), entries.get(key).cloned())).collect();
        tree.apply(&batch);
        tree.apply(&undo);
        prop_assert_eq!(tree.root, root);
    }
}

const SHUFFLE: btree::Salt = btree::Salt([3; 32]);

fn rows(count: u32) -> Entries {
    (0..count).map(|i| (key(&i.to_be_bytes(), 1, u64::from(i)), value(u64::from(i), 30))).collect()
}

#[test]
fn removing_everything_gives_the_empty_root() {
    let mut tree = Tree::of(&rows(3000));
    let all: Batch = tree.entries.keys().map(|key| (key.clone(), None)).collect();
    tree.apply(&all);
    assert_eq!(tree.root, btree::empty_root(Kind::Data));
}

#[test]
fn removing_absent_keys_changes_nothing() {
    let mut tree = Tree::of(&rows(3000));
    let root = tree.root;
    let count = tree.fresh.count();
    tree.apply(&(0..50u32).map(|i| (key(&(i * 60).to_be_bytes(), 2, 0), None)).collect());
    assert_eq!(tree.root, root);
    assert_eq!(tree.fresh.count(), count, "nothing new to write");
}

#[test]
fn a_hot_key_with_thousands_of_siblings_keeps_its_shape() {
    // The caps part the siblings; a sibling added or removed at either end may move a cut beside the group.
    let siblings = (0..3000u64).map(|seq| (key(b"hot", 1, 2 * seq), value(seq, 4)));
    let around = (0..400usize).map(|i| (key(&name(i), 3, 0), value(1, 200)));
    let mut tree = Tree::of(&siblings.chain(around).collect());
    for seq in [0, 1, 2999, 5998, 5999, 7000, 777] {
        let change = (seq % 2 == 1).then(|| value(seq, 4));
        tree.apply(&Batch::from([(key(b"hot", 1, seq), change)]));
        assert_eq!(tree.root, Tree::of(&tree.entries).root, "sibling {seq}");
    }
    verify(tree.source(), Kind::Data, &tree.root).expect("a good tree");
}

#[test]
fn a_batch_costs_what_it_touches_and_not_the_tree() {
    let mut tree = Tree::of(&rows(60_000));
    let before = tree.fresh.count();
    tree.apply(&Batch::from([(key(&30_000u32.to_be_bytes(), 1, 30_000), Some(value(9, 31)))]));
    assert!(tree.fresh.count() - before <= 12, "{} new nodes for one row", tree.fresh.count() - before);
}

#[test]
fn salts_give_the_same_entries_other_roots_and_other_cuts() {
    let other = btree::Salt([8; 32]);
    let nodes = btree::Nodes::new(disk::MemoryDisk::new(1), other);
    let mut fresh = btree::Fresh::new(other);
    let tree = Tree::of(&rows(2000));
    let changes = tree.entries.iter().map(|(key, value)| (key, Some(value.clone())));
    let root = btree::apply(&nodes, &mut fresh, Kind::Data, &btree::empty_root(Kind::Data), changes)
        .expect("memory");
    assert_ne!(root, tree.root);
    let lens = |fresh: &btree::Fresh| {
        fresh.iter().map(|(_, _, bytes)| bytes.len()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_ne!(lens(&fresh), lens(&tree.fresh));
}
