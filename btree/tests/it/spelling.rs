//! Any bytes: an error, or a node that encodes back to the same bytes.

use std::ops::Bound;

use btree::{Damage, Direction, Fresh, Kind, Node, Nodes, Source, apply, empty_root, range};
use disk::MemoryDisk;
use proptest::prelude::*;

use crate::model::{SALT, Tree, any_entries, key, value};

/// Encodes a decoded leaf's entries again, as one leaf or as the leaves the rule makes of them.
fn check_leaf(bytes: &[u8]) {
    let Ok(node) = Node::decode(Kind::Data, bytes) else { return };
    assert_eq!(node.as_bytes(), bytes);
    if !node.is_leaf() {
        let total: u128 = (0..node.len()).map(|i| u128::from(node.child(i).count)).sum();
        assert!(total <= u128::from(u64::MAX), "a parent can name what it holds");
        return;
    }
    let keys: Vec<_> = (0..node.len()).map(|i| node.key(i)).collect();
    assert!(keys.is_sorted_by(|a, b| a < b), "keys in order");
    let nodes = Nodes::new(MemoryDisk::new(1), SALT);
    let mut fresh = Fresh::new(SALT);
    let changes = (0..node.len()).map(|i| (node.key(i), Some(node.value(i))));
    let root =
        apply(&nodes, &mut fresh, Kind::Data, &empty_root(Kind::Data), changes).expect("within the limits");
    let source = Source::new(&nodes, &fresh);
    if fresh.count() == 1 {
        assert_eq!(fresh.raw(&root).expect("the only node"), bytes, "one spelling");
    }
    let cursor = range(source, Kind::Data, &root, Bound::Unbounded, Bound::Unbounded, Direction::Forward);
    let again: Vec<_> = cursor.and_then(Iterator::collect).expect("in memory");
    assert!(again.into_iter().eq((0..node.len()).map(|i| (node.key(i), node.value(i)))));
}

/// One change to the bytes of a good node: most give a node that is wrong in one thing only.
#[derive(Clone, Debug)]
enum Twist {
    Set(usize, u8),
    Add(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Truncate(usize),
    Swap(usize, usize, usize),
}

fn any_twist() -> impl Strategy<Value = Twist> {
    // Half of them in the header, where the lengths are.
    let place = || prop_oneof![0usize..40, 0usize..5000];
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(at, byte)| Twist::Set(at, byte)),
        (place(), any::<u8>()).prop_map(|(at, byte)| Twist::Add(at, byte)),
        (place(), any::<u8>()).prop_map(|(at, byte)| Twist::Insert(at, byte)),
        place().prop_map(Twist::Remove),
        place().prop_map(Twist::Truncate),
        (place(), place(), 1usize..40).prop_map(|(a, b, len)| Twist::Swap(a, b, len)),
    ]
}

fn twist(bytes: &mut Vec<u8>, twist: &Twist) {
    let len = bytes.len().max(1);
    match *twist {
        _ if bytes.is_empty() => {}
        Twist::Set(at, byte) => bytes[at % len] = byte,
        Twist::Add(at, byte) => bytes[at % len] = bytes[at % len].wrapping_add(byte),
        Twist::Insert(at, byte) => bytes.insert(at % len, byte),
        Twist::Remove(at) => {
            bytes.remove(at % len);
        }
        Twist::Truncate(at) => bytes.truncate(at % len),
        Twist::Swap(a, b, width) => {
            for i in 0..width {
                bytes.swap((a + i) % len, (b + i) % len);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_node_of_a_tree_decodes_to_itself(entries in any_entries(200)) {
        let tree = Tree::of(&entries);
        for (_, _, bytes) in tree.fresh.iter() {
            prop_assert!(Node::decode(Kind::Data, bytes).is_ok());
            check_leaf(bytes);
        }
    }

    #[test]
    fn a_twisted_node_is_refused_or_has_one_spelling(
        entries in any_entries(40),
        twists in prop::collection::vec(any_twist(), 20),
    ) {
        let tree = Tree::of(&entries);
        for (_, _, bytes) in tree.fresh.iter() {
            for one in &twists {
                let mut bytes = bytes.to_vec();
                twist(&mut bytes, one);
                check_leaf(&bytes);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), rows in 0u8..4) {
        check_leaf(&bytes);
        // A plausible header, so that what follows it is looked at.
        let header = [1, rows / 3, rows, 0, 0, 0, rows.min(1), 0, rows, 0, 0];
        bytes.iter_mut().zip(header).for_each(|(byte, plausible)| *byte = plausible);
        check_leaf(&bytes);
    }
}

/// The leaf of `ab1` and `ab2`, of one writer and one time: a header of 27 bytes, `ab`, the writer, two tables of two
/// ends, and `12`.
fn small_leaf() -> Vec<u8> {
    let tree = Tree::of(&[b"ab1", b"ab2"].map(|name| (key(name, 1, 5), value(1, 0))).into());
    let bytes = tree.fresh.raw(&tree.root).expect("one leaf").to_vec();
    assert_eq!(bytes.len(), 27 + 2 + 24 + 4 + 4 + 2);
    bytes
}

fn check_refused(bytes: &[u8], damage: Damage) {
    assert_eq!(Node::decode(Kind::Data, bytes).map(drop), Err(damage));
}

#[test]
fn a_prefix_shorter_than_what_the_names_share_is_refused() {
    let mut bytes = small_leaf();
    bytes[4] = 1;
    bytes.remove(28);
    bytes[52..56].copy_from_slice(&[2, 0, 4, 0]);
    bytes.splice(60.., *b"b1b2");
    check_refused(&bytes, Damage::Spelling);
}

#[test]
fn a_writer_in_the_table_that_wrote_no_row_is_refused() {
    let mut bytes = small_leaf();
    bytes[6] = 2;
    bytes.splice(53..53, [[2; 24].as_slice(), &[0, 0]].concat());
    check_refused(&bytes, Damage::Spelling);
    bytes[78] = 1;
    assert!(Node::decode(Kind::Data, &bytes).is_ok(), "with a row of its own it is a good node");
    bytes[77] = 2;
    check_refused(&bytes, Damage::Limit);
}

#[test]
fn a_number_wider_than_it_needs_is_refused() {
    let mut bytes = small_leaf();
    bytes[8] = 1;
    bytes.splice(53..53, [0, 0]);
    check_refused(&bytes, Damage::Spelling);
    bytes[54] = 1;
    assert!(Node::decode(Kind::Data, &bytes).is_ok(), "the second sequence number is one higher");
    bytes[11..19].copy_from_slice(&u64::MAX.to_le_bytes());
    check_refused(&bytes, Damage::Limit);
}
