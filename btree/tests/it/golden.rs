//! Roots that may never change: an upgrade that moves one would part every replica from every other.

use std::fmt::Write;

use btree::{Kind, Salt, Value};
use expect_test::expect_file;

use crate::model::{Entries, Tree, key, name, value};

/// What a set of entries is frozen as: its root, and how its nodes lie.
fn frozen(entries: &Entries) -> String {
    let tree = Tree::of(entries);
    let mut text = format!("root {}\nentries {}\n", tree.root, entries.len());
    let mut levels: Vec<Vec<usize>> = Vec::new();
    for (_, _, bytes) in tree.fresh.iter() {
        let level = usize::from(btree::Node::decode(Kind::Data, bytes).expect("a good node").level());
        levels.resize(levels.len().max(level + 1), Vec::new());
        levels[level].push(bytes.len());
    }
    for (level, lens) in levels.iter().enumerate().rev() {
        let (count, bytes, longest) =
            (lens.len(), lens.iter().sum::<usize>(), lens.iter().max().expect("not empty"));
        writeln!(text, "level {level}: {count} nodes, {bytes} bytes, longest {longest}")
            .expect("a string takes all");
    }
    text
}

#[test]
fn the_empty_tree() {
    expect_file!["../../golden/empty"].assert_eq(&frozen(&Entries::new()));
}

#[test]
fn one_entry_to_the_byte() {
    let entries = Entries::from([(key(b"key", 5, 6), Value { hlc: 7, payload: b"value".to_vec() })]);
    let tree = Tree::of(&entries);
    let mut text = frozen(&entries);
    for byte in tree.fresh.raw(&tree.root).expect("one leaf") {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    text.push('\n');
    expect_file!["../../golden/one"].assert_eq(&text);
}

#[test]
fn two_hundred_fifty_seven_adversarial_keys() {
    let entries = (0..257usize).map(|i| {
        let seq = if i % 11 == 0 { u64::MAX } else { i as u64 };
        (key(&name(i / 2), (i % 3) as u8, seq), value(i as u64, i * 37 % 1101))
    });
    let entries: Entries = entries.collect();
    assert_eq!(entries.len(), 257);
    expect_file!["../../golden/adversarial"].assert_eq(&frozen(&entries));
}

#[test]
fn ten_thousand_entries() {
    // Names from a hash, so that nothing about them is regular, and writers enough for a table in most leaves.
    let entries = (0..10_000u64).map(|i| {
        let hash = Salt([1; 32]).hash(Kind::Chunk, &i.to_le_bytes()).0;
        let name = [b"collection-00001".as_slice(), &hash[..8 + usize::from(hash[8] % 16)]].concat();
        (key(&name, hash[30] % 5, i), value(i, usize::from(hash[31] % 80)))
    });
    expect_file!["../../golden/ten-thousand"].assert_eq(&frozen(&entries.collect()));
}
