//! Altered bytes are never believed: the error names the pack and the place.

use btree::{Damage, Error, Kind, Nodes, PackRef, read_extra, verify, write_pack};
use disk::{Disk, File, MemoryDisk};

use crate::model::{Entries, SALT, Tree, key, value};

fn written() -> (MemoryDisk, PackRef, btree::Hash) {
    let entries: Entries = (0..120u32).map(|i| (key(&i.to_be_bytes(), 1, 1), value(1, 20))).collect();
    let tree = Tree::of(&entries);
    let disk = MemoryDisk::new(3);
    let pack =
        write_pack(&Nodes::new(disk.clone(), SALT), "one", tree.fresh, b"manifest").expect("a healthy disk");
    (disk, pack, tree.root)
}

fn check(disk: &MemoryDisk, pack: &PackRef, root: &btree::Hash) -> Result<(), Error> {
    let nodes = Nodes::open(disk.clone(), SALT, std::slice::from_ref(pack))?;
    verify(&nodes, Kind::Data, root).map(drop)
}

#[test]
fn any_flipped_bit_of_a_pack_is_found_and_named() {
    let (disk, pack, root) = written();
    check(&disk, &pack, &root).expect("nothing is damaged yet");
    // Every byte of the header, the index and the end; a node's bytes are all under one hash, so a few do.
    let nodes_end = pack.len - 48 - 8 - 45 * 4;
    let places = (0..pack.len).filter(|at| *at < 100 || *at % 61 == 0 || *at >= nodes_end);
    for at in places {
        disk.flip_bit("one", at, (at % 8) as u32);
        match check(&disk, &pack, &root) {
            Err(Error::Damaged { pack, offset, .. }) => {
                assert!(pack == "one" && offset < 1 << 20, "byte {at}")
            }
            other => panic!("byte {at}: {other:?}"),
        }
        disk.flip_bit("one", at, (at % 8) as u32);
    }
    check(&disk, &pack, &root).expect("all bits are back");
}

#[test]
fn a_damaged_node_is_named_by_its_place() {
    let (disk, pack, root) = written();
    disk.flip_bit("one", 30, 0);
    let error = check(&disk, &pack, &root).expect_err("a bit of the first node is flipped");
    assert_eq!(error.to_string(), "pack one is damaged at byte 16: the bytes do not match their hash");
}

#[test]
fn packs_and_nodes_of_another_format_are_refused_by_its_number() {
    let (disk, pack, root) = written();
    disk.open("one").and_then(|file| file.write_all_at(&[2], 8)).expect("a healthy disk");
    let rotted = check(&disk, &pack, &root).expect_err("its end is one of format 1");
    assert!(matches!(rotted, Error::Damaged { damage: Damage::Header, offset: 0, .. }), "{rotted}");
    disk.flip_bit("one", pack.len - 1, 3);
    for error in [check(&disk, &pack, &root), read_extra(&disk, &pack).map(drop)] {
        let said = error.expect_err("format 2 is not known").to_string();
        let expected = "pack one is damaged at byte 0: it is in format 2, and this software knows format 1";
        assert_eq!(said, expected);
    }
    let node = btree::Node::decode(Kind::Data, &[9; 300]).err();
    assert_eq!(node, Some(Damage::Format { found: 9, known: 1 }));
}

#[test]
fn a_pack_shorter_than_its_name_says_is_refused() {
    let (disk, pack, root) = written();
    disk.open("one").and_then(|file| file.set_len(pack.len - 1)).expect("a healthy disk");
    assert!(matches!(check(&disk, &pack, &root), Err(Error::Damaged { damage: Damage::Length, .. })));
    assert!(matches!(read_extra(&disk, &pack), Err(Error::Damaged { damage: Damage::Length, .. })));
    let tiny = PackRef { name: "one".to_owned(), len: 3 };
    assert!(matches!(check(&disk, &tiny, &root), Err(Error::Damaged { damage: Damage::Length, .. })));
}

#[test]
fn a_pack_that_is_gone_is_named() {
    let gone = PackRef { name: "gone".to_owned(), len: 100 };
    let error = Nodes::open(MemoryDisk::new(1), SALT, &[gone]).err().expect("there is no such file");
    assert_eq!(error.to_string(), "cannot open pack gone");
}

#[test]
fn a_pack_of_another_salt_is_not_believed() {
    let (disk, pack, root) = written();
    let nodes = Nodes::open(disk, btree::Salt([1; 32]), &[pack]).expect("the index needs no salt");
    assert!(matches!(verify(&nodes, Kind::Data, &root), Err(Error::Damaged { damage: Damage::Hash, .. })));
}
