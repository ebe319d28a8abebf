//! Several replicas and a home, in any order, with crashes: equal commits give equal roots.

use std::collections::{BTreeMap, BTreeSet};

use crdt::{Class, Dot};
use disk::{Disk, File, MemoryDisk};
use sync::Store;

use crate::space::{Local, NOW, Space, coll, contents, deliver, deliver_tail, key, roots, set};

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct World {
    space: Space,
    disks: Vec<MemoryDisk>,
    replicas: Vec<Local>,
    dice: Dice,
    opens: u8,
}

impl World {
    fn new(seed: u64, count: u8) -> Self {
        let space = Space::new(count);
        let disks: Vec<_> = (0..count).map(|n| MemoryDisk::new(seed * 100 + u64::from(n))).collect();
        let start = |(n, disk): (usize, &MemoryDisk)| match n {
            // One of them was admitted later and has nothing yet.
            2 => space.join(n, disk),
            _ => space.create(n, disk),
        };
        let replicas = disks.iter().enumerate().map(start).collect();
        Self { space, disks, replicas, dice: Dice(seed), opens: 100 }
    }

    fn any(&mut self) -> usize {
        self.dice.below(self.replicas.len() as u64) as usize
    }

    fn step(&mut self) {
        let who = self.any();
        match self.dice.below(12) {
            0..5 => self.write(who),
            5..9 => {
                let to = self.any();
                self.deliver(who, to);
            }
            9 => self.space.anchor(NOW, &mut self.replicas[0]),
            10 => self.replicas[who].checkpoint(NOW).expect("it folds"),
            _ => self.crash(who),
        }
    }

    /// A transaction over a few keys, which another one on the same keys will meet.
    fn write(&mut self, who: usize) {
        let mut transaction = self.replicas[who].begin();
        for _ in 0..=self.dice.below(3) {
            let name = key(&format!("k{}", self.dice.below(12)));
            match self.dice.below(4) {
                0 => transaction.delete(coll(), &name).unwrap(),
                1 => transaction.put(coll(), &name, &vec![who as u8; 2000]).unwrap(),
                _ => transaction.put(coll(), &name, &[who as u8, self.dice.below(100) as u8]).unwrap(),
            }
        }
        let class = Class::ALL[self.dice.below(3) as usize];
        // Clocks differ by some minutes.
        let now = NOW.plus_ms(who as u64 * 60_000 + self.dice.below(100_000));
        self.replicas[who].commit(now, transaction, class).expect("blind writes never conflict");
        self.replicas[who].flush().expect("it flushes");
    }

    fn deliver(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        let [from, to] = self.replicas.get_disjoint_mut([from, to]).expect("two of them");
        deliver(NOW, from, to);
    }

    fn crash(&mut self, who: usize) {
        self.opens += 1;
        self.disks[who].crash();
        let opened = self.space.open(who, &self.disks[who], self.opens);
        self.replicas[who] = opened;
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            for from in 0..self.replicas.len() {
                for to in 0..self.replicas.len() {
                    self.deliver(from, to);
                }
            }
            self.space.anchor(NOW, &mut self.replicas[0]);
        }
        for to in 1..self.replicas.len() {
            self.deliver(0, to);
        }
    }
}

#[test]
fn replicas_converge_to_the_homes_roots() {
    for seed in 1..12 {
        let mut world = World::new(seed, 4);
        for _ in 0..120 {
            world.step();
        }
        world.settle();
        let (first, rest) = world.replicas.split_first_mut().expect("there is a home");
        let expected = (contents(first), roots(first), first.handle().clone());
        assert_eq!(first.describe().tail_commits, 0, "seed {seed}: the home covers everything");
        for replica in rest {
            assert_eq!(contents(replica), expected.0, "seed {seed}");
            assert_eq!(roots(replica), expected.1, "seed {seed}");
            assert_eq!(*replica.handle(), expected.2, "seed {seed}");
            assert_eq!(replica.describe().tail_commits, 0, "seed {seed}");
            assert_eq!(replica.verify().unwrap().problems, [""; 0], "seed {seed}");
        }
    }
}

#[test]
fn commits_pass_through_a_replica_that_did_not_write_them() {
    let space = Space::new(3);
    let mut replicas: Vec<Local> = (0..3).map(|n| space.create(n, &MemoryDisk::new(n as u64))).collect();
    let [a, b, c] = replicas.get_disjoint_mut([0, 1, 2]).unwrap();
    for n in 0..600 {
        crate::space::put(a, NOW, &format!("k{n}"), "v").unwrap();
    }
    a.flush().unwrap();
    crate::space::set(b, "own", "v");
    deliver_tail(NOW, a, b);
    deliver_tail(NOW, b, c);
    assert_eq!(contents(c).len(), 601);
    assert_eq!(roots(b), roots(c));
}

#[test]
fn nothing_pending_is_offered() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    crate::space::put(&mut a, NOW, "a", "1").unwrap();
    assert!(a.tail().is_empty());
    deliver_tail(NOW, &mut a, &mut b);
    assert!(contents(&b).is_empty());
    a.flush().unwrap();
    let (writer, seq, tip) = a.tail()[0];
    assert_eq!((a.seen(&writer), seq), (1, 1));
    assert_eq!(a.locate(&writer, 1), sync::Located::Id(tip));
    assert_eq!(a.locate(&writer, 2), sync::Located::Absent);
    crate::space::put(&mut a, NOW, "b", "2").unwrap();
    deliver_tail(NOW, &mut a, &mut b);
    assert_eq!(contents(&b).len(), 1);
    assert_eq!(b.seen(&writer), 1);
}

#[test]
fn urgent_commit_names_no_less_urgent_one() {
    let space = Space::new(1);
    let mut replica = space.create(0, &MemoryDisk::new(1));
    let mut write = |class, name: &str| {
        let mut tx = replica.begin();
        tx.put(coll(), &key(name), b"v").unwrap();
        replica.commit(NOW, tx, class).unwrap();
    };
    write(Class::Bulk, "a");
    write(Class::Critical, "b");
    write(Class::Normal, "c");
    replica.flush().unwrap();
    let outgoing = replica.next_commits(&Default::default(), 1 << 20).unwrap();
    let deps = |class: Class| {
        let commit =
            outgoing.commits.iter().find(|commit| commit.dot().writer.class() == Some(class)).unwrap();
        commit.body().deps.iter().map(|dep| dep.writer.class().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(deps(Class::Critical), []);
    assert_eq!(deps(Class::Normal), [Class::Critical]);
    assert_eq!(outgoing.seals.len(), 3);
}

#[test]
fn unit_that_a_crash_cut_short_is_dropped_whole() {
    const WRITERS: usize = 9;
    let space = Space::new(WRITERS as u8 + 1);
    let mut a = space.create(0, &MemoryDisk::new(1));
    // Many writers whose commits need each other's, so that their seals fill some sectors.
    for n in 1..WRITERS {
        crate::space::set(&mut a, "k", &format!("a{n}"));
        let mut other = space.create(n, &MemoryDisk::new(9));
        deliver_tail(NOW, &mut a, &mut other);
        crate::space::set(&mut other, "k", &format!("b{n}"));
        deliver_tail(NOW, &mut other, &mut a);
    }
    let outgoing = a.next_commits(&Default::default(), 1 << 20).unwrap();
    assert_eq!(outgoing.commits.len(), 2 * (WRITERS - 1));
    let disk = MemoryDisk::new(2);
    let mut c = space.create(WRITERS, &disk);
    let (commits, blobs, seals) = (outgoing.commits.clone(), outgoing.blobs, outgoing.seals);
    c.accept(NOW, sync::Incoming { commits, blobs, seals, ..Default::default() }).unwrap();
    c.flush().unwrap();
    drop(c);
    let log = format!("wal/{}", disk.list("wal").unwrap()[0]);
    let bytes = &disk.files()[&log];
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let (mut dropped, mut kept) = (0, 0);
    for cut in (100..=end + 1).step_by(40) {
        let disk = disk.copy();
        disk.open(&log).unwrap().write_all_at(&vec![0; bytes.len() - cut], cut as u64).unwrap();
        for open in [20, 21] {
            let (mut c, opened) = space.try_open(WRITERS, &disk, open, replica::Mode::ReadWrite).unwrap();
            let writers = c.tail().len();
            assert!(writers == 0 || writers == WRITERS, "{writers} writers of the unit without the others");
            assert_eq!(c.verify().unwrap().problems, [""; 0], "cut at {cut}");
            dropped += opened.unsealed;
            kept += u64::from(writers > 0);
            if open == 21 {
                deliver_tail(NOW, &mut a, &mut c);
                drop(c);
                let mut c = space.open(WRITERS, &disk, 22);
                assert_eq!(contents(&c), contents(&a), "cut at {cut}");
                assert_eq!(c.next_commits(&Default::default(), 1 << 20).unwrap().seals.len(), WRITERS);
            }
        }
    }
    assert!(dropped > 0, "{dropped} dropped, {kept} kept");
}

fn write(replica: &mut Local, class: Class, name: &str) {
    let mut tx = replica.begin();
    tx.put(coll(), &key(name), b"v").unwrap();
    replica.commit(NOW, tx, class).unwrap();
    replica.flush().unwrap();
}

#[test]
fn urgent_commits_go_first_and_drag_along_what_they_supersede() {
    let space = Space::new(2);
    let (mut a, mut b) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    for n in 0..3 {
        write(&mut a, Class::Bulk, &format!("bulk{n}"));
    }
    write(&mut b, Class::Critical, "of another");
    deliver_tail(NOW, &mut b, &mut a);
    write(&mut a, Class::Normal, "normal");
    write(&mut a, Class::Critical, "bulk1");
    let outgoing = a.next_commits(&Default::default(), 1 << 20).unwrap();
    let order: Vec<_> = outgoing.commits.iter().map(|commit| commit.dot().writer.class().unwrap()).collect();
    let (critical, normal, bulk) = (Class::Critical, Class::Normal, Class::Bulk);
    assert_eq!(order, [critical, bulk, bulk, critical, normal, bulk]);
    let mut c = space.create(1, &MemoryDisk::new(3));
    deliver_tail(NOW, &mut a, &mut c);
    assert_eq!(roots(&mut a), roots(&mut c));
}

#[test]
fn a_long_unit_is_handed_on_although_more_urgent_commits_belong_between_its_own() {
    for are_urgent_older in [true, false] {
        let space = Space::new(3);
        let mut replicas: Vec<Local> = (0..3).map(|n| space.create(n, &MemoryDisk::new(n as u64))).collect();
        let [author, relay, peer] = replicas.get_disjoint_mut([0, 1, 2]).unwrap();
        // The first bulk commit goes with the critical one, and is sealed with the last.
        write(author, Class::Bulk, "both");
        write(author, Class::Critical, "both");
        (0..180).for_each(|n| write(author, Class::Bulk, &format!("bulk{n}")));
        assert_eq!(author.next_commits(&Default::default(), 1 << 16).unwrap().commits.len(), 182, "one unit");
        let write_urgent =
            |relay: &mut Local| (0..100).for_each(|n| write(relay, Class::Normal, &format!("normal{n}")));
        if are_urgent_older {
            write_urgent(relay);
        }
        deliver_tail(NOW, author, relay);
        if !are_urgent_older {
            write_urgent(relay);
        }
        deliver_tail(NOW, relay, peer);
        assert_eq!(contents(peer).len(), 281, "they are older: {are_urgent_older}");
        assert_eq!(roots(peer), roots(relay));
    }
}

#[test]
fn a_unit_that_has_to_go_whole_takes_nothing_less_urgent_with_it() {
    for is_much_needed in [false, true] {
        let space = Space::new(3);
        let mut replicas: Vec<Local> = (0..3).map(|n| space.create(n, &MemoryDisk::new(n as u64))).collect();
        let [author, relay, other] = replicas.get_disjoint_mut([0, 1, 2]).unwrap();
        write(relay, Class::Bulk, "older");
        write(other, Class::Bulk, "of another");
        if is_much_needed {
            deliver_tail(NOW, other, author);
            write(author, Class::Bulk, "of another");
        }
        (1..100).for_each(|n| write(other, Class::Bulk, &format!("of another{n}")));
        deliver_tail(NOW, other, relay);
        // The first bulk commit goes with the critical one, and is sealed with the last.
        write(author, Class::Bulk, "both");
        write(author, Class::Critical, "both");
        (0..180).for_each(|n| write(author, Class::Bulk, &format!("bulk{n}")));
        deliver_tail(NOW, author, relay);
        (0..100).for_each(|n| write(relay, Class::Normal, &format!("normal{n}")));
        let (normal, bulk) = ((true, Class::Normal), (true, Class::Bulk));
        let others = [(false, Class::Critical), (false, Class::Bulk)];
        let expected = if is_much_needed {
            // Both units of others together are more than one holds: the one that is needed goes first.
            vec![(100, vec![others[1]]), (183, others.to_vec()), (101, vec![normal, bulk])]
        } else {
            vec![(182, others.to_vec()), (201, vec![others[1], normal, bulk])]
        };
        let expected = expected.into_iter().map(|(len, of)| (len, BTreeSet::from_iter(of)));
        let expected: Vec<_> = expected.collect();
        assert_eq!(units(relay), expected, "much is needed: {is_much_needed}");
    }
}

#[test]
fn what_ends_what_was_begun_goes_by_urgency_too() {
    let space = Space::new(2);
    let mut replicas: Vec<Local> = (0..2).map(|n| space.create(n, &MemoryDisk::new(n as u64))).collect();
    let [author, relay] = replicas.get_disjoint_mut([0, 1]).unwrap();
    // The critical commit begins the bulk writer, and what ends that begins the normal one.
    write(author, Class::Bulk, "both");
    write(author, Class::Critical, "both");
    write(author, Class::Bulk, "between");
    write(author, Class::Normal, "needed");
    write(author, Class::Bulk, "end");
    (0..9).for_each(|n| write(author, Class::Normal, &format!("rest{n}")));
    deliver_tail(NOW, author, relay);
    (0..300).for_each(|n| write(relay, Class::Normal, &format!("normal{n}")));
    let commits = relay.next_commits(&Default::default(), 1 << 20).unwrap().commits;
    let classes: Vec<Class> = commits.iter().filter_map(|commit| commit.dot().writer.class()).collect();
    let others = [vec![Class::Bulk, Class::Critical], vec![Class::Normal; 10], vec![Class::Bulk; 2]].concat();
    assert_eq!(classes[..others.len()], others, "of {} commits", classes.len());
}

/// Each unit of all that a replica holds: how many commits, and whether its own and of which class.
fn units(replica: &mut Local) -> Vec<(usize, BTreeSet<(bool, Class)>)> {
    let (mut has, mut units) = (BTreeMap::new(), Vec::new());
    loop {
        let outgoing = replica.next_commits(&has, 1 << 20).unwrap();
        let dots: Vec<Dot> = outgoing.commits.iter().map(|commit| commit.dot()).collect();
        has.extend(dots.iter().map(|dot| (dot.writer, dot.seq)));
        let of = |dot: &Dot| (dot.writer.device() == replica.device().id(), dot.writer.class().unwrap());
        units.push((dots.len(), dots.iter().map(of).collect()));
        if !outgoing.more {
            return units;
        }
    }
}

#[test]
fn commit_waits_for_what_it_supersedes() {
    let space = Space::new(3);
    let mut replicas: Vec<Local> = (0..3).map(|n| space.create(n, &MemoryDisk::new(n as u64))).collect();
    let [a, b, c] = replicas.get_disjoint_mut([0, 1, 2]).unwrap();
    crate::space::set(a, "k", "first");
    deliver_tail(NOW, a, b);
    crate::space::set(b, "k", "second");
    let outgoing = b.next_commits(&Default::default(), 1 << 20).unwrap();
    let [first, second] = <[_; 2]>::try_from(outgoing.commits).unwrap();
    let unit = |commit| sync::Incoming {
        commits: vec![commit],
        seals: outgoing.seals.clone(),
        ..Default::default()
    };
    assert_eq!(c.accept(NOW, unit(second.clone())), Ok(sync::Accepted::NotReady));
    assert_eq!(c.accept(NOW, unit(first)), Ok(sync::Accepted::Stored));
    assert_eq!(c.accept(NOW, unit(second)), Ok(sync::Accepted::Stored), "pending counts");
    c.flush().unwrap();
    assert_eq!(roots(b), roots(c));
}

#[test]
fn a_log_that_starts_inside_a_received_unit_keeps_the_rest_of_it() {
    let space = Space::new(3);
    let disk = MemoryDisk::new(3);
    let (mut a, mut home) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    let mut b = space.create(2, &disk);
    set(&mut a, "first", "1");
    deliver_tail(NOW, &mut a, &mut home);
    space.anchor(NOW, &mut home);
    set(&mut a, "second", "2");
    set(&mut a, "third", "3");
    deliver_tail(NOW, &mut a, &mut b);
    // The Handle covers the first commit of the unit, so the outbox of b starts at the second.
    deliver(NOW, &mut home, &mut b);
    b.checkpoint(NOW).unwrap();
    let tail = b.tail();
    assert_eq!(tail.iter().map(|(_, seq, _)| *seq).collect::<Vec<_>>(), [3]);
    drop(b);
    let mut b = space.open(2, &disk, 9);
    assert_eq!(b.tail(), tail);
    deliver_tail(NOW, &mut b, &mut home);
    assert_eq!(contents(&home).len(), 3);
}
