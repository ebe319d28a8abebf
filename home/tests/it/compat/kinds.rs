//! The newest set holds every kind of frame and of record there is: one that is added has to be recorded, too.

use std::collections::BTreeSet;

use disk::{Disk, MemoryDisk};
use sync::Frame;
use sync::frame::HEADER_LEN;
use wal::Position;

use super::set::{Event, Files, Step};
use super::{Set, folders, restore};

/// The kinds of frames in a conversation, each of which came whole, and whether a unit of commits came with strands.
fn frames(steps: &[Step]) -> (BTreeSet<u8>, bool) {
    let said = steps.iter().filter_map(|step| match &step.what {
        Event::Device(bytes) | Event::Home(bytes) => Some(bytes),
        Event::Batch => None,
    });
    let (mut kinds, mut has_strands) = (BTreeSet::new(), false);
    for mut bytes in said.map(Vec::as_slice) {
        while let Some((head, rest)) = bytes.split_first_chunk::<HEADER_LEN>() {
            let [len @ .., kind] = head;
            kinds.insert(*kind);
            let (payload, next) = rest.split_at(u32::from_be_bytes(*len) as usize);
            let frame = Frame::decode(*kind, payload).unwrap();
            has_strands |= matches!(frame, Frame::Commits(unit) if !unit.strands.is_empty());
            bytes = next;
        }
    }
    (kinds, has_strands)
}

/// The kinds of records in a folder's log, those that are archived included.
fn records(files: &Files) -> BTreeSet<u8> {
    let (_, folder) = restore(files);
    let mut kinds = BTreeSet::new();
    for part in ["wal", "archive"] {
        let folder: MemoryDisk = folder.within(part);
        let segments = folder.list("").unwrap();
        let Some(first) = segments.iter().filter_map(|name| wal::parse_name(name)).min() else { continue };
        let holes = wal::survey(&folder, Position(first), |entry| {
            kinds.insert(entry.kind);
        })
        .unwrap();
        assert!(holes.is_empty(), "{holes:?}");
    }
    kinds
}

/// The kinds that this software knows and a set does not hold.
fn missing(held: &BTreeSet<u8>, is_known: impl Fn(u8) -> bool) -> Vec<u8> {
    (0..=u8::MAX).filter(|kind| is_known(*kind) && !held.contains(kind)).collect()
}

#[test]
fn the_newest_set_holds_every_kind_of_frame_and_of_record() {
    let folder = folders().pop().expect("there is one");
    let set = Set::read(&folder);
    let ((joining, _), (meeting, has_strands)) = (frames(&set.join), frames(&set.meeting));
    assert!(has_strands, "no unit in {folder} has strands: record a set that has");
    let said = joining.into_iter().chain(meeting).collect();
    let lacks = missing(&said, |number| Frame::len_max(number).is_some());
    assert!(lacks.is_empty(), "no conversation of {folder} has frames {lacks:?}: record a set that has");
    let logged = records(&set.home).into_iter().chain(records(&set.device)).collect();
    let is_known =
        |kind| !matches!(replica::decoders::record(kind, b""), Err(replica::Error::UnknownRecord { .. }));
    let lacks = missing(&logged, is_known);
    assert!(lacks.is_empty(), "no log of {folder} has records of kinds {lacks:?}: record a set that has");
}
