//! Trees through packs: what was written is what is read, and only once it is flushed.

use std::ops::Bound;

use btree::{
    Cache, Direction, Error, Fresh, Hash, Kind, Nodes, PackRef, Source, apply, get, missing, range,
    reachable, read_extra, verify, write_pack,
};
use disk::{Disk, Fault, Faults, MemoryDisk, Operation};

use crate::model::{Entries, SALT, Tree, key, value};

fn entries(count: u32) -> Entries {
    (0..count).map(|i| (key(&i.to_be_bytes(), 1, u64::from(i)), value(u64::from(i), 40))).collect()
}

fn write(disk: &MemoryDisk, name: &str, fresh: Fresh) -> Result<PackRef, Error> {
    write_pack(&Nodes::new(disk.clone(), SALT), name, fresh, b"manifest")
}

#[test]
fn a_tree_written_to_a_pack_reads_the_same_after_a_crash() {
    let disk = MemoryDisk::new(5);
    let tree = Tree::of(&entries(5000));
    let pack = write(&disk, "one", tree.fresh.clone()).expect("a healthy disk");
    disk.crash();
    let nodes = Nodes::open(disk.clone(), SALT, std::slice::from_ref(&pack)).expect("flushed before");
    let cursor =
        range(&nodes, Kind::Data, &tree.root, Bound::Unbounded, Bound::Unbounded, Direction::Forward);
    let found: Entries = cursor.and_then(Iterator::collect).expect("flushed before");
    assert_eq!(found, tree.entries);
    assert_eq!(verify(&nodes, Kind::Data, &tree.root).expect("a good tree").entries, 5000);
    assert_eq!(read_extra(&disk, &pack).expect("flushed before"), b"manifest");
    assert_eq!(nodes.packs(), [pack]);
}

#[test]
fn a_tree_grows_from_pack_to_pack_and_writes_only_what_is_new() {
    let disk = MemoryDisk::new(5);
    let mut tree = Tree::of(&entries(5000));
    let whole = tree.fresh.count();
    let first =
        write(&disk, "one", std::mem::replace(&mut tree.fresh, Fresh::new(SALT))).expect("a healthy disk");
    tree.nodes = Nodes::open(disk.clone(), SALT, &[first]).expect("just written");
    tree.apply(&[(key(&77u32.to_be_bytes(), 1, 77), None)].into());
    assert!(tree.fresh.count() < whole / 10);
    assert_eq!(tree.root, Tree::of(&tree.entries).root);
    let second = write_pack(&tree.nodes, "two", tree.fresh.clone(), b"").expect("a healthy disk");
    let nodes = tree.nodes.with_pack(&second).expect("just written");
    assert_eq!(verify(&nodes, Kind::Data, &tree.root).expect("a good tree").entries, 4999);
    let without = nodes.without_pack("one").with_cache(Cache::new(0));
    assert!(matches!(verify(&without, Kind::Data, &tree.root), Err(Error::Missing { .. })));
}

#[test]
fn what_packs_hold_is_not_written_twice() {
    let disk = MemoryDisk::new(5);
    let tree = Tree::of(&entries(2000));
    let first = write(&disk, "one", tree.fresh.clone()).expect("a healthy disk");
    let nodes = Nodes::open(disk, SALT, &[first]).expect("just written");
    let second = write_pack(&nodes, "two", tree.fresh, b"").expect("a healthy disk");
    assert!(nodes.with_pack(&second).expect("just written").pack_entries("two").is_empty());
}

#[test]
fn chunks_lie_beside_nodes_and_keep_their_kind() {
    let disk = MemoryDisk::new(5);
    let mut fresh = Fresh::new(SALT);
    let chunk = fresh.insert_raw(Kind::Chunk, &[9; 100_000]).expect("below the limit");
    let pack = write(&disk, "one", fresh).expect("a healthy disk");
    let nodes = Nodes::open(disk, SALT, &[pack]).expect("just written");
    assert_eq!(nodes.raw(&chunk).expect("just written"), Some(vec![9; 100_000]));
    assert_eq!(nodes.pack_entries("one"), [(Kind::Chunk, chunk, 100_000)]);
    assert!(matches!(nodes.load(Kind::Data, &chunk), Err(Error::Missing { .. })), "a chunk is not a node");
    assert_eq!(nodes.raw(&Hash([1; 32])).expect("not here is no error"), None);
}

#[test]
fn a_pack_never_replaces_a_file() {
    let disk = MemoryDisk::new(5);
    write(&disk, "one", Fresh::new(SALT)).expect("a healthy disk");
    assert!(matches!(write(&disk, "one", Fresh::new(SALT)), Err(Error::Disk { .. })));
}

#[test]
fn a_pack_is_either_flushed_or_an_error() {
    for operation in [Operation::Create, Operation::Write, Operation::Flush, Operation::FlushDir] {
        let disk = MemoryDisk::new(5);
        disk.set_faults(Faults::none().nth(operation, 0, Fault::Error));
        let written = write(&disk, "one", Tree::of(&entries(10)).fresh);
        assert!(matches!(written, Err(Error::Disk { .. })), "{operation:?}: {written:?}");
    }
}

#[test]
fn short_reads_and_writes_change_nothing() {
    let disk = MemoryDisk::new(5);
    let faults =
        Faults::none().chance(Operation::Write, 900, Fault::Short).chance(Operation::Read, 900, Fault::Short);
    disk.set_faults(faults);
    let tree = Tree::of(&entries(500));
    let pack = write(&disk, "one", tree.fresh).expect("short is no error");
    let nodes = Nodes::open(disk, SALT, &[pack]).expect("short is no error");
    assert_eq!(verify(&nodes, Kind::Data, &tree.root).expect("short is no error").entries, 500);
}

#[test]
fn a_tree_is_fetched_level_by_level() {
    let tree = Tree::of(&entries(20_000));
    let nodes = Nodes::new(MemoryDisk::new(2), SALT);
    let mut fetched = Fresh::new(SALT);
    let mut rounds = 0;
    loop {
        let wanted = missing(Source::new(&nodes, &fetched), Kind::Data, &tree.root).expect("good nodes");
        if wanted.is_empty() {
            break;
        }
        for hash in wanted {
            let bytes = tree.source().raw(&hash).expect("in memory").expect("the tree is whole");
            assert_eq!(fetched.insert_raw(Kind::Data, &bytes).expect("a good node"), hash);
        }
        rounds += 1;
    }
    assert_eq!(rounds, 3, "a level a round");
    assert_eq!(
        verify(Source::new(&nodes, &fetched), Kind::Data, &tree.root).expect("a good tree").entries,
        20_000
    );
}

#[test]
fn only_what_is_not_here_is_fetched() {
    let disk = MemoryDisk::new(2);
    let old = Tree::of(&entries(5000));
    let mut new = Tree::of(&entries(5000));
    new.apply(&[(key(&77u32.to_be_bytes(), 1, 77), None)].into());
    let nodes = Nodes::open(disk.clone(), SALT, &[write(&disk, "one", old.fresh).expect("healthy")])
        .expect("written");
    let mut fetched = Fresh::new(SALT);
    loop {
        let wanted = missing(Source::new(&nodes, &fetched), Kind::Data, &new.root).expect("good nodes");
        if wanted.is_empty() {
            break;
        }
        for hash in wanted {
            let bytes = new.source().raw(&hash).expect("in memory").expect("the tree is whole");
            fetched.insert_raw(Kind::Data, &bytes).expect("a good node");
        }
    }
    assert!(fetched.count() < 8, "{} nodes fetched", fetched.count());
    assert!(missing(&nodes, Kind::Data, &old.root).expect("in a pack").is_empty());
    assert_eq!(missing(&nodes, Kind::Data, &new.root).expect("good nodes"), [new.root]);
}

#[test]
fn nodes_that_no_tree_reaches_are_dropped_and_chunks_stay() {
    let mut tree = Tree::of(&entries(3000));
    let chunk = tree.fresh.insert_raw(Kind::Chunk, b"kept").expect("below the limit");
    let whole = tree.fresh.count();
    for i in 0..20u32 {
        tree.apply(&[(key(&(i * 150).to_be_bytes(), 1, u64::from(i * 150)), None)].into());
    }
    assert!(tree.fresh.count() > whole + 20);
    tree.fresh.keep_trees(&[(Kind::Data, tree.root)]);
    let mut live = std::collections::BTreeSet::from([chunk]);
    reachable(tree.source(), Kind::Data, &tree.root, &mut live).expect("in memory");
    assert!(tree.fresh.iter().map(|(hash, ..)| hash).eq(live));
    assert_eq!(tree.fresh.byte_len(), tree.fresh.iter().map(|(.., bytes)| bytes.len()).sum::<usize>());
    assert_eq!(verify(tree.source(), Kind::Data, &tree.root).expect("a good tree").entries, 2980);
}

#[test]
fn a_vector_tree_and_a_data_tree_of_the_same_rows_have_different_roots() {
    let nodes = Nodes::new(MemoryDisk::new(2), SALT);
    let mut fresh = Fresh::new(SALT);
    let row = [[7u8; 24].as_slice(), &[0; 32]].concat();
    let mut root = |kind| {
        let change = (row.clone(), Some(value(1, 48)));
        apply(&nodes, &mut fresh, kind, &btree::empty_root(kind), [change]).expect("in memory")
    };
    let (data, vector) = (root(Kind::Data), root(Kind::Vector));
    assert_ne!(data, vector);
    let source = Source::new(&nodes, &fresh);
    assert_eq!(get(source, Kind::Vector, &vector, &row).expect("in memory"), Some(value(1, 48)));
    assert!(matches!(get(source, Kind::Data, &vector, &row), Err(Error::Missing { .. })));
}

#[test]
fn handles_are_shared_between_threads() {
    fn check<T: Clone + Send + Sync>(_: &T) {}
    let disk = MemoryDisk::new(2);
    check(&Nodes::new(disk.clone(), SALT));
    disk.list("").expect("a healthy disk");
}
