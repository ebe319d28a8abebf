//! Small stories: text in, text out.

use std::fmt::Write;

use disk::{Disk, File, MemoryDisk};
use expect_test::{Expect, expect};
use wal::{Error, Log, Position, survey};

use crate::{entries, open, options};

/// Runs a story and compares what it prints. The steps are:
///
/// - `append a`, `append a*500` (a payload of so many letters), `flush`, `mark`, `release a` (what is before
///   it)
/// - `open`: the process dies and a new one opens the log, `open from a`, `open read`
/// - `tear a 3`: of everything from entry `a` on, only 3 bytes reach the disk; `flip a 3`: rot in its byte 3
/// - `save` the newest file, and `stale`: what was in it then is behind the end of the log again
/// - `print`, `survey`, `segments`, `remove last`: the newest segment's file is lost
#[track_caller]
fn check(story: &str, expected: Expect) {
    let mut world = World::new();
    for step in story.split(';') {
        let words: Vec<&str> = step.split_whitespace().collect();
        world.step(&words);
    }
    expected.assert_eq(&world.output);
}

struct World {
    disk: MemoryDisk,
    log: Option<Log<MemoryDisk>>,
    positions: Vec<(String, Position)>,
    opens: u64,
    saved: Vec<u8>,
    output: String,
}

impl World {
    fn new() -> World {
        let disk = MemoryDisk::new(1);
        let (log, _) = open(&disk, 0).unwrap();
        World {
            disk,
            log: Some(log),
            positions: Vec::new(),
            opens: 0,
            saved: Vec::new(),
            output: String::new(),
        }
    }

    fn step(&mut self, words: &[&str]) {
        match words {
            ["append", entry] => self.append(entry),
            ["flush"] => drop(self.log().flush().unwrap()),
            ["mark"] => self.log().mark_idle().unwrap(),
            ["open"] => self.open(Position(0)),
            ["open", "from", name] => self.open(self.position(name)),
            ["open", "read"] => self.open_read(),
            ["release", name] => self.release(name),
            ["tear", name, kept] => self.tear(name, kept.parse().unwrap()),
            ["flip", name, byte] => self.flip(name, byte.parse().unwrap()),
            ["remove", "last"] => self.disk.remove(&self.newest()).unwrap(),
            ["save"] => self.saved = self.disk.read(&self.newest()).unwrap(),
            ["stale"] => self.stale(),
            ["print"] => self.print(),
            ["survey"] => self.survey(),
            ["segments"] => self.say(format!("{:?}", self.disk.list("").unwrap().len())),
            _ => panic!("no such step: {words:?}"),
        }
    }

    fn log(&mut self) -> &mut Log<MemoryDisk> {
        self.log.as_mut().expect("the log is open")
    }

    fn say(&mut self, line: impl AsRef<str>) {
        writeln!(self.output, "{}", line.as_ref()).unwrap();
    }

    fn position(&self, name: &str) -> Position {
        self.positions.iter().rev().find(|(other, _)| other == name).unwrap().1
    }

    fn append(&mut self, entry: &str) {
        let (name, count) = entry.split_once('*').unwrap_or((entry, "1"));
        let payload = name.repeat(count.parse().unwrap());
        let position = self.log().append(1, payload.as_bytes()).unwrap();
        self.positions.push((name.to_owned(), position));
    }

    fn open(&mut self, from: Position) {
        self.log = None;
        self.disk.kill();
        self.opens += 1;
        match Log::open(self.disk.clone(), wal::Options { from, ..options() }, self.opens) {
            Ok((log, recovered)) => {
                let cut = recovered.cut.map(|cut| format!(", cut {} bytes at {}", cut.len, cut.offset));
                self.say(format!("opened{}", cut.unwrap_or_default()));
                self.log = Some(log);
            }
            Err(error) => self.say(error.to_string()),
        }
    }

    fn open_read(&mut self) {
        let before = self.disk.files();
        let (mut log, recovered) = Log::open_read(self.disk.clone(), options()).unwrap();
        let cut = recovered.cut.map(|cut| cut.len);
        let names: Vec<String> = entries(&log).iter().map(describe).collect();
        assert!(matches!(log.append(1, b"x"), Err(Error::ReadOnly)));
        assert_eq!(self.disk.files(), before, "reading changes nothing");
        self.say(format!("read {} cut {cut:?}", names.join(" ")));
    }

    fn release(&mut self, name: &str) {
        let position = self.position(name);
        for segment in self.log().release(position).unwrap() {
            self.disk.remove(&segment).unwrap();
        }
        self.disk.flush_dir("").unwrap();
    }

    /// Where an entry lies: its file and the offset of its first byte there.
    fn place(&mut self, name: &str) -> (String, u64) {
        let position = self.position(name);
        let segments = self.log().segments();
        let segment = segments.iter().rev().find(|segment| segment.start <= position).unwrap();
        (segment.name.clone(), 48 + position.0 - segment.start.0)
    }

    fn tear(&mut self, name: &str, kept: u64) {
        let (segment, offset) = self.place(name);
        // The records are handed to the file as a flush would, without its promise.
        self.log().flush().unwrap();
        let file = self.disk.open(&segment).unwrap();
        let len = file.len().unwrap();
        file.write_all_at(&vec![0; (len - offset - kept) as usize], offset + kept).unwrap();
    }

    fn flip(&mut self, name: &str, byte: u64) {
        let (segment, offset) = self.place(name);
        self.disk.flip_bit(&segment, offset + byte, 0);
    }

    fn newest(&self) -> String {
        self.disk.list("").unwrap().pop().expect("there is a segment")
    }

    /// As if a disk had lost the zeros that a cut writes.
    fn stale(&mut self) {
        let segment = self.log().segments().pop().unwrap();
        let end = 48 + segment.len;
        let file = self.disk.open(&segment.name).unwrap();
        file.write_all_at(&self.saved[end as usize..], end).unwrap();
    }

    fn print(&mut self) {
        let names: Vec<String> = entries(self.log()).iter().map(describe).collect();
        self.say(names.join(" "));
    }

    fn survey(&mut self) {
        let mut names = Vec::new();
        let holes = survey(&self.disk, Position(0), |entry| names.push(describe(&entry))).unwrap();
        self.say(names.join(" "));
        for hole in holes {
            let kind = if hole.is_promised { "lost" } else { "torn" };
            self.say(format!("{kind}: {} bytes at {} of {}", hole.len, hole.offset, hole.segment));
        }
    }
}

fn describe(entry: &wal::Entry) -> String {
    let text = String::from_utf8(entry.payload.clone()).unwrap();
    if text.len() < 10 { text } else { format!("{}*{}", &text[..1], text.len()) }
}

#[test]
fn entries_come_back_in_order() {
    check(
        "append a; append b; flush; print; open; print",
        expect![[r#"
        a b
        opened
        a b
    "#]],
    );
}

#[test]
fn torn_tail_is_cut_at_the_last_whole_record() {
    check(
        "append a; flush; append b; tear b 27; open; print; append c; flush; open; print",
        expect![[r#"
        opened, cut 27 bytes at 79
        a
        opened
        a c
    "#]],
    );
}

#[test]
fn what_was_cut_is_gone_at_the_next_opening() {
    check(
        "append a; flush; append b*300; tear b 200; open; open",
        expect![[r#"
        opened, cut 200 bytes at 79
        opened
    "#]],
    );
}

#[test]
fn an_entry_of_many_parts_is_kept_whole_or_not_at_all() {
    check(
        "append a*3000000; flush; append b*3000000; tear b 2000000; open; print",
        expect![[r#"
        opened, cut 2000000 bytes at 48
        a*3000000
    "#]],
    );
}

#[test]
fn a_hole_below_the_flushed_position_is_damage() {
    check(
        "append a; flush; append b; flush; append c; flush; mark; flip b 30; open; survey",
        expect![[r#"
        record at byte 79 of 00000000000000000000.log is damaged: its bytes do not match their checksum
        a c
        lost: 31 bytes at 79 of 00000000000000000000.log
    "#]],
    );
}

#[test]
fn without_an_idle_mark_damage_to_the_newest_batch_looks_like_a_torn_tail() {
    check(
        "append a; flush; append b; flush; flip b 30; open; print",
        expect![[r#"
        opened, cut 31 bytes at 79
        a
    "#]],
    );
}

#[test]
fn with_an_idle_mark_it_is_seen_as_what_it_is() {
    check(
        "append a; flush; append b; flush; mark; flip b 30; open; survey",
        expect![[r#"
        record at byte 79 of 00000000000000000000.log is damaged: its bytes do not match their checksum
        a
        lost: 31 bytes at 79 of 00000000000000000000.log
    "#]],
    );
}

#[test]
fn a_mark_is_written_once_and_read_by_nobody() {
    check(
        "append a; flush; mark; mark; open; mark; mark; append b; flush; print; open; print",
        expect![[r#"
        opened
        a b
        opened
        a b
    "#]],
    );
}

#[test]
fn what_lies_behind_a_torn_record_never_comes_back() {
    // `c` is whole on the disk behind the torn `b`. A new record of `b`'s length must not lead to it.
    check(
        "append a; flush; append b; append c; flush; flip b 30; open; print; append d; flush; open; print",
        expect![[r#"
            opened, cut 62 bytes at 79
            a
            opened
            a d
        "#]],
    );
}

#[test]
fn a_record_of_an_earlier_life_follows_nothing_of_this_one() {
    // The record that an opening writes is as long as `b`'s was, so that `c` lies where the next one would.
    check(
        "append a; append b*8; append c; flush; flip b 33; save; open; print; stale; open; print",
        expect![[r#"
            opened, cut 69 bytes at 79
            a
            opened, cut 31 bytes at 117
            a
        "#]],
    );
}

#[test]
fn segments_follow_each_other_and_are_released_whole() {
    check(
        "append a*500; append b*500; append c*500; flush; segments; release c; segments; print; open from c; print",
        expect![[r#"
            3
            1
            c*500
            opened
            c*500
        "#]],
    );
}

#[test]
fn opening_at_a_position_leaves_earlier_segments_alone() {
    check(
        "append a*800; append b*800; append c*800; flush; flip a 100; open from b; open",
        expect![[r#"
        opened
        record at byte 48 of 00000000000000000000.log is damaged: its bytes do not match their checksum
    "#]],
    );
}

#[test]
fn a_log_that_ends_before_the_position_its_owner_knows_is_damaged() {
    check(
        "append a; flush; append b; flush; append c; flush; tear b 0; open from c",
        expect![[r#"
        record at byte 79 of 00000000000000000000.log is damaged: records are missing that were known to be flushed
    "#]],
    );
}

#[test]
fn a_lost_last_segment_is_noticed_by_whoever_knows_a_position_in_it() {
    check(
        "append a*800; append b*800; append c; append d; flush; remove last; open from d",
        expect![[r#"
        record at byte 878 of 00000000000000000830.log is damaged: records are missing that were known to be flushed
    "#]],
    );
}

#[test]
fn reading_only_cuts_in_memory() {
    check(
        "append a; flush; append b; tear b 27; open read; open",
        expect![[r#"
        read a cut Some(27)
        opened, cut 27 bytes at 79
    "#]],
    );
}
