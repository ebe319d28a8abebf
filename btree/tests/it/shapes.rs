//! Nodes that are fine one by one and do not make the tree of their entries.

use btree::{Damage, Error, Fresh, Hash, Kind, Node, Source, missing, verify};

use crate::model::{Batch, Entries, SALT, Tree, key, value};

fn tree(count: u32) -> Tree {
    let entries: Entries = (0..count).map(|i| (key(&i.to_be_bytes(), 1, 1), value(1, 20))).collect();
    Tree::of(&entries)
}

/// The tree with one node's bytes replaced, and all above it hashed anew, as a forger with the signing key would.
fn forge(tree: &Tree, target: Hash, replacement: &[u8]) -> (Fresh, Hash) {
    let mut fresh = tree.fresh.clone();
    let root = forge_below(tree, &mut fresh, tree.root, target, replacement);
    (fresh, root)
}

fn forge_below(tree: &Tree, fresh: &mut Fresh, at: Hash, target: Hash, replacement: &[u8]) -> Hash {
    if at == target {
        return fresh.insert_raw(Kind::Data, replacement).expect("a node by itself");
    }
    let mut bytes = tree.fresh.raw(&at).expect("the tree is whole").to_vec();
    for child in btree::children(Kind::Data, &bytes).expect("a good node") {
        let forged = forge_below(tree, fresh, child, target, replacement);
        let place =
            bytes.windows(32).position(|window| window == child.as_bytes()).expect("the branch names it");
        bytes[place..place + 32].copy_from_slice(forged.as_bytes());
    }
    fresh.insert_raw(Kind::Data, &bytes).expect("a node by itself")
}

fn leaves(tree: &Tree) -> Vec<Hash> {
    let top = tree.fresh.raw(&tree.root).expect("the tree is whole");
    btree::children(Kind::Data, top).expect("a good node")
}

fn damage(tree: &Tree, (fresh, root): (Fresh, Hash)) -> Damage {
    match verify(Source::new(&tree.nodes, &fresh), Kind::Data, &root) {
        Err(Error::Shape { damage, .. }) => damage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_leaf_that_lacks_an_entry_is_not_what_its_parent_says() {
    let whole = tree(400);
    let first = leaves(&whole)[0];
    let entries = Node::decode(Kind::Data, whole.fresh.raw(&first).expect("whole")).expect("a good node");
    let fewer = Tree::of(&(1..entries.len()).map(|i| (entries.key(i), entries.value(i))).collect());
    let forged = forge(&whole, first, fewer.fresh.raw(&fewer.root).expect("one leaf"));
    assert_eq!(damage(&whole, (forged.0.clone(), forged.1)), Damage::Parent);
    let fetched = missing(Source::new(&whole.nodes, &forged.0), Kind::Data, &forged.1);
    assert!(matches!(fetched, Err(Error::Shape { damage: Damage::Parent, .. })), "found while it is fetched");
}

#[test]
fn a_leaf_in_the_place_of_another_is_found() {
    let whole = tree(400);
    let leaves = leaves(&whole);
    let forged = forge(&whole, leaves[0], whole.fresh.raw(&leaves[1]).expect("whole"));
    assert_eq!(damage(&whole, forged), Damage::Parent);
}

#[test]
fn a_tree_cut_where_the_rule_does_not_cut_is_found() {
    // The same bytes of names and payloads under another salt are cut elsewhere, so its leaves are wrong here.
    let whole = tree(400);
    let other = btree::Salt([9; 32]);
    let nodes = btree::Nodes::new(disk::MemoryDisk::new(1), other);
    let mut theirs = Fresh::new(other);
    let changes = whole.entries.iter().map(|(key, value)| (key, Some(value.clone())));
    let root = btree::apply(&nodes, &mut theirs, Kind::Data, &btree::empty_root(Kind::Data), changes)
        .expect("memory");
    let mut ours = Fresh::new(SALT);
    let mut bytes = theirs.raw(&root).expect("whole").to_vec();
    for leaf in btree::children(Kind::Data, &bytes).expect("a good node") {
        let forged = ours.insert_raw(Kind::Data, theirs.raw(&leaf).expect("whole")).expect("a good node");
        let place =
            bytes.windows(32).position(|window| window == leaf.as_bytes()).expect("the branch names it");
        bytes[place..place + 32].copy_from_slice(forged.as_bytes());
    }
    let root = ours.insert_raw(Kind::Data, &bytes).expect("a good node");
    assert_eq!(damage(&whole, (ours, root)), Damage::Cut);
}

#[test]
fn an_entry_moved_over_a_cut_is_found() {
    // Two leaves whose cut is one entry early, under a branch that says so: counts, bytes and keys all agree.
    let whole = tree(400);
    let mut nodes = Vec::new();
    for leaf in leaves(&whole) {
        let node = Node::decode(Kind::Data, whole.fresh.raw(&leaf).expect("whole")).expect("a good node");
        nodes.push((0..node.len()).map(|i| (node.key(i), node.value(i))).collect::<Entries>());
    }
    let (key, value) = nodes[0].pop_last().expect("not empty");
    nodes[1].insert(key, value);
    let mut fresh = Fresh::new(SALT);
    let leaves = nodes.iter().map(|entries| {
        let leaf = Tree::of(entries);
        assert_eq!(leaf.fresh.count(), 1, "small enough to be one leaf");
        let hash =
            fresh.insert_raw(Kind::Data, leaf.fresh.raw(&leaf.root).expect("one leaf")).expect("a good node");
        let bytes = entries.iter().map(|(key, value)| key.len() + value.payload.len()).sum::<usize>();
        (entries.last_key_value().expect("not empty").0.clone(), hash, entries.len(), bytes)
    });
    let branch = branch(&leaves.collect::<Vec<_>>());
    let root = fresh.insert_raw(Kind::Data, &branch).expect("a good node");
    assert_eq!(damage(&whole, (fresh, root)), Damage::Cut);
}

/// A branch over leaves whose keys are four bytes and one dot, with columns of two bytes.
fn branch(children: &[(Vec<u8>, Hash, usize, usize)]) -> Vec<u8> {
    let columns =
        [children.iter().map(|child| child.2).collect::<Vec<_>>(), children.iter().map(|c| c.3).collect()];
    let bases = columns.clone().map(|column| *column.iter().min().expect("not empty"));
    let widths = [0, 1].map(|i| if columns[i].iter().max() < Some(&(bases[i] + 256)) { 1 } else { 2 });
    let mut bytes = vec![1, 1, children.len() as u8, 0, 2, 0, 1, 0, 0, widths[0], widths[1]];
    bytes.extend(1u64.to_le_bytes());
    bases.iter().for_each(|base| bytes.extend((*base as u64).to_le_bytes()));
    bytes.extend([0, 0]);
    bytes.extend([1; 24]);
    for i in [0, 1] {
        columns[i].iter().for_each(|n| bytes.extend(&(n - bases[i]).to_le_bytes()[..widths[i] as usize]));
    }
    (1..=children.len() as u16).for_each(|i| bytes.extend((2 * i).to_le_bytes()));
    children.iter().for_each(|child| bytes.extend(child.1.as_bytes()));
    children.iter().for_each(|child| bytes.extend(&child.0[2..4]));
    bytes
}

#[test]
fn mined_names_make_neither_a_tall_tree_nor_a_large_node() {
    let seed = blake3::keyed_hash(&SALT.0, b"boundary");
    let seed = u64::from_le_bytes(*seed.as_bytes().first_chunk().expect("32 bytes"));
    let draw = |level: u64, name: &[u8]| {
        let seed = seed.wrapping_add(level.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        xxhash_rust::xxh3::xxh3_64_with_seed(name, seed)
    };
    let name = |i: u32| [i.to_be_bytes().as_slice(), &[0; 1036]].concat();
    // Names that cut as soon as they may at each of the lowest levels, and names that never cut by themselves.
    let always = (0..60_000u32).map(name).filter(|name| (0..3).all(|level| draw(level, name) >> 61 == 0));
    let never = (0..40_000u32).map(|i| i.to_le_bytes()).filter(|name| draw(0, name) >> 62 == 3);
    for (names, payload) in [(always.collect::<Vec<_>>(), 1100), (never.map(Vec::from).collect(), 0)] {
        let count = names.len();
        assert!(count > 60, "{count} names found");
        let mut tree = Tree::of(&names.iter().map(|name| (key(name, 1, 1), value(1, payload))).collect());
        for (_, _, bytes) in tree.fresh.iter() {
            assert!(bytes.len() <= 24 * 1024, "a node of {} bytes", bytes.len());
        }
        let top = Node::decode(Kind::Data, tree.fresh.raw(&tree.root).expect("whole")).expect("a good node");
        assert!(u32::from(top.level()) <= count.ilog(8) + 1, "{} levels for {count} entries", top.level());
        tree.apply(&Batch::from([(key(&names[count / 2], 1, 1), None)]));
        assert_eq!(tree.root, Tree::of(&tree.entries).root);
        verify(tree.source(), Kind::Data, &tree.root).expect("a good tree");
    }
}
