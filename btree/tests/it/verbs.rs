//! Every verb beside the same verb of a `BTreeMap`.

use std::ops::Bound;

use btree::{Direction, Kind, digest, get, verify};
use proptest::prelude::*;

use crate::model::{Entries, Tree, any_batch, any_bound, any_entries, any_key};

type Bounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

fn within((low, high): &Bounds, key: &[u8]) -> bool {
    use std::ops::RangeBounds;
    (low.as_ref().map(Vec::as_slice), high.as_ref().map(Vec::as_slice)).contains(key)
}

fn expected(entries: &Entries, bounds: &Bounds) -> Vec<(Vec<u8>, btree::Value)> {
    let inside = entries.iter().filter(|(key, _)| within(bounds, key));
    inside.map(|(key, value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_tree_holds_what_a_map_holds(
        batches in prop::collection::vec(any_batch(120), 1..6),
        others in prop::collection::vec(any_key(), 20),
    ) {
        let mut tree = Tree::new();
        for batch in &batches {
            tree.apply(batch);
        }
        for key in tree.entries.keys().chain(&others) {
            let found = get(tree.source(), Kind::Data, &tree.root, key).expect("nodes in memory");
            prop_assert_eq!(found.as_ref(), tree.entries.get(key));
        }
        let report = verify(tree.source(), Kind::Data, &tree.root).expect("a good tree");
        prop_assert_eq!(report.entries, tree.entries.len() as u64);
    }

    #[test]
    fn a_cursor_gives_the_entries_between_its_bounds_either_way(
        entries in any_entries(300),
        bounds in prop::collection::vec((any_bound(), any_bound()), 8),
    ) {
        let tree = Tree::of(&entries);
        for bounds in &bounds {
            let (low, high) = (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
            let mut expected = expected(&entries, bounds);
            prop_assert_eq!(&tree.scan(low, high, Direction::Forward), &expected);
            expected.reverse();
            prop_assert_eq!(&tree.scan(low, high, Direction::Backward), &expected);
        }
    }

    #[test]
    fn a_range_digest_changes_if_and_only_if_the_keys_of_the_range_do(
        entries in any_entries(200),
        batch in any_batch(6),
        bounds in (any_bound(), any_bound()),
    ) {
        let before = Tree::of(&entries);
        let mut after = Tree::of(&entries);
        after.apply(&batch);
        let of = |tree: &Tree| {
            let bounds = (bounds.0.as_ref().map(Vec::as_slice), bounds.1.as_ref().map(Vec::as_slice));
            digest(tree.source(), Kind::Data, &tree.root, bounds).expect("nodes in memory")
        };
        let keys = |tree: &Tree| -> Vec<Vec<u8>> {
            expected(&tree.entries, &bounds).into_iter().map(|(key, _)| key).collect()
        };
        prop_assert_eq!(of(&before) == of(&after), keys(&before) == keys(&after));
    }
}

#[test]
fn an_empty_tree_answers_every_verb() {
    let tree = Tree::new();
    assert_eq!(get(tree.source(), Kind::Data, &tree.root, b"x").expect("empty"), None);
    assert!(tree.scan(Bound::Unbounded, Bound::Unbounded, Direction::Backward).is_empty());
    assert_eq!(verify(tree.source(), Kind::Data, &tree.root).expect("empty").nodes, 0);
}

#[test]
fn a_key_without_room_for_a_dot_is_refused() {
    let mut tree = Tree::new();
    let change = [(vec![1; 31], Some(crate::model::value(1, 1)))];
    let refused = btree::apply(&tree.nodes, &mut tree.fresh, Kind::Data, &tree.root, change);
    assert!(matches!(refused, Err(btree::Error::KeyLen { len: 31 })));
}

#[test]
#[should_panic(expected = "ascending order")]
fn changes_out_of_order_are_a_bug() {
    let mut tree = Tree::new();
    let changes = [2, 1].map(|i| (crate::model::key(&[i], 0, 0), Some(crate::model::value(1, 1))));
    btree::apply(&tree.nodes, &mut tree.fresh, Kind::Data, &tree.root, changes).expect("it panics before");
}

#[test]
fn a_digest_tells_dots_apart_and_not_values() {
    let of = |dot: u64, len: usize| {
        let tree = Tree::of(&Entries::from([(crate::model::key(b"k", 1, dot), crate::model::value(1, len))]));
        digest(tree.source(), Kind::Data, &tree.root, (Bound::Unbounded, Bound::Unbounded))
            .expect("nodes in memory")
    };
    assert_ne!(of(1, 5), of(2, 5), "another write of the key");
    assert_eq!(of(1, 5), of(1, 6), "a dot is written once, so this is never another value");
}
