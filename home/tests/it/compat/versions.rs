//! A folder that software of another time wrote is refused by the number of its format, and stays as it is.

use std::error::Error;

use crdt::{Commit, Genesis, Handle, Seal, Ticket, Time, derive};
use disk::{Disk, File, MemoryDisk};
use replica::{Limits, Mode, OpenOptions, Replica};

use super::{Set, folders, key_of, restore};
use crate::world::seed;

const SLOT_LEN: u64 = 256 << 10;
/// Magic and digit, length, checksum.
const HEAD_LEN: usize = 44;

fn try_open(set: &Set, folder: &MemoryDisk) -> Result<(), replica::Error> {
    let (device, seed, limits, mode) = (key_of(&set.home), seed("today"), Limits::default(), Mode::ReadWrite);
    let options = OpenOptions { device, seed, now: Time(set.meeting[0].at), limits, mode };
    Replica::open(folder.clone(), options).map(drop)
}

/// An error with all that it rests on.
fn told(error: &dyn Error) -> String {
    let source = error.source().map_or_else(String::new, |source| format!(": {}", told(source)));
    format!("{error}{source}")
}

#[track_caller]
fn check(set: &Set, folder: &MemoryDisk, expected: &str) {
    let before = folder.files();
    let error = try_open(set, folder).expect_err("the format is not known");
    assert!(told(&error).contains(expected), "{}", told(&error));
    assert!(told(&error).contains("format 1"), "what is known is not said: {}", told(&error));
    let mut after = folder.files();
    after.retain(|name, _| before.contains_key(name));
    for (name, bytes) in after {
        assert!(bytes == before[&name], "{name}, which another software wrote, was changed");
    }
}

/// Changes the head and the body of a slot, and makes its checksum right.
fn edit_slot(folder: &MemoryDisk, place: u64, edit: impl Fn(&mut [u8], &mut [u8])) {
    let file = folder.open("manifest").unwrap();
    let mut head = [0; HEAD_LEN];
    file.read_exact_at(&mut head, place * SLOT_LEN).unwrap();
    let len = u32::from_le_bytes(head[8..12].try_into().unwrap()) as usize;
    let mut body = vec![0; len];
    file.read_exact_at(&mut body, place * SLOT_LEN + HEAD_LEN as u64).unwrap();
    edit(&mut head, &mut body);
    head[12..].copy_from_slice(&derive("manifest", &body));
    // Slots are kept twice since set 2.
    let copies = file.len().unwrap() / (2 * SLOT_LEN);
    for copy in 0..copies {
        file.write_all_at(&[&head[..], &body].concat(), (2 * copy + place) * SLOT_LEN).unwrap();
    }
}

/// The first item of a manifest is its format, behind the head of its array.
fn next_format(head: &mut [u8], body: &mut [u8]) {
    head[7] = b'2';
    body[1] = 2;
}

#[test]
fn one_slot_of_a_newer_format_refuses_the_folder_whatever_the_other_says() {
    for folder in folders() {
        let set = Set::read(&folder);
        for place in [0, 1] {
            let (_, folder) = restore(&set.home);
            edit_slot(&folder, place, next_format);
            check(&set, &folder, "format 2 of a manifest");
        }
    }
}

#[test]
fn a_digit_that_only_rotted_costs_its_slot_and_not_the_folder() {
    for folder in folders() {
        let set = Set::read(&folder);
        let (_, folder) = restore(&set.home);
        edit_slot(&folder, 0, |head, _| head[7] = b'3');
        try_open(&set, &folder).expect("the other slot is whole");
    }
}

#[test]
fn a_base_and_a_genesis_of_another_format_are_told_by_their_number() {
    for folder in folders() {
        let set = Set::read(&folder);
        let cases: [(&[u8], usize, &str); 2] = [
            (&[0x82, 0x8a, 1, 0x58, 32], 2, "format 9 of a Handle"),
            (&[0x87, 1, 0x58, 32], 1, "format 9 of a genesis"),
        ];
        for (start, at, expected) in cases {
            let (_, folder) = restore(&set.home);
            for place in [0, 1] {
                edit_slot(&folder, place, |_, body| {
                    let found = body.windows(start.len()).position(|part| part == start);
                    body[found.expect("it is in every manifest") + at] = 9;
                });
            }
            check(&set, &folder, expected);
        }
    }
}

#[test]
fn a_pack_of_another_format_is_told_by_its_name_and_number() {
    for folder in folders() {
        let set = Set::read(&folder);
        let (_, folder) = restore(&set.home);
        let name = folder.list("packs").unwrap().pop().unwrap();
        let file = folder.open(&format!("packs/{name}")).unwrap();
        file.write_all_at(&[7], 8).unwrap();
        // Where it only rotted there, its end is still that of format 1.
        file.write_all_at(b"another checksum", file.len().unwrap() - 16).unwrap();
        check(&set, &folder, &format!("pack {name} is damaged at byte 0: it is in format 7"));
    }
}

/// The number of the format stands behind the heads of the arrays around it.
#[test]
fn whatever_is_signed_or_hashed_is_told_by_its_number_even_with_more_items() {
    type Decode = fn(&[u8]) -> Option<crdt::Error>;
    let cases: [(&str, &[u8], Decode); 5] = [
        ("commit", &[0x82, 0x8c, 7], |bytes| Commit::decode(bytes).err()),
        ("Handle", &[0x82, 0x8c, 7], |bytes| Handle::decode(bytes).err()),
        ("seal", &[0x82, 0x8c, 7], |bytes| Seal::decode(bytes).err()),
        ("genesis", &[0x8c, 7], |bytes| Genesis::decode(bytes).err()),
        ("ticket", &[0x8c, 7], |bytes| Ticket::decode(bytes).err()),
    ];
    for (what, start, decode) in cases {
        let bytes = [start, &[0; 40]].concat();
        let expected = format!("format 7 of a {what} is not known to this software, which knows format 1");
        assert_eq!(decode(&bytes).map(|error| error.to_string()), Some(expected));
    }
}

#[test]
fn an_entry_of_the_log_of_an_unknown_kind_is_told_by_its_kind() {
    let error = replica::decoders::record(99, b"").expect_err("no such kind");
    assert!(error.to_string().contains("of kind 99, which this software does not know"), "{error}");
}
