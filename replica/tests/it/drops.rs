//! Whatever was written before a drop, and wherever a disk fails in it: its author reads the same before and after.

use std::collections::BTreeMap;

use crdt::view::counter::{Total, sum};
use crdt::view::lww::Live;
use crdt::{Class, CollId, Descriptor, Policy, WriterId, system};
use disk::{Fault, Faults, MemoryDisk};
use replica::{Cut, Error, HomeWrite, KeyRange, Mode, Order, Reading};
use sync::{Adoption, Store};

use crate::reissue::{count, counted, counter};
use crate::space::{
    Local, NOW, Space, coll, contents, deliver, deliver_handle, deliver_tail, get, key, next_handle,
    own_fault, remove, roots, set, try_deliver_handle,
};

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn copies() -> Descriptor {
    Descriptor::new("copies", Policy::Copies).expect("a good name")
}

fn members() -> CollId {
    Descriptor::new("members", Policy::GSet).expect("a good name").id()
}

/// What is alive under a key, by time and value: dots may change, and nothing else.
type Alive = Vec<(u64, String)>;

fn alive(read: &Reading) -> Alive {
    let plain = |live: &Live| (live.hlc.0, format!("{:?}", live.payload));
    let mut losers: Alive = read.losers.iter().map(plain).collect();
    losers.sort();
    [vec![plain(&read.winner)], losers].concat()
}

/// Everything that a reader of a replica can tell: what is alive at each key, the winner first, and the sums of counters.
type Picture = (BTreeMap<(CollId, Vec<u8>), Alive>, BTreeMap<Vec<u8>, i128>);

fn picture(replica: &Local) -> Picture {
    let snapshot = replica.snapshot();
    let mut values = BTreeMap::new();
    for coll in [coll(), copies().id(), members()] {
        for read in snapshot.scan(coll, &KeyRange::all(), Order::Ascending).unwrap() {
            let read = read.unwrap();
            values.insert((coll, read.key.clone()), alive(&read));
        }
    }
    let mut sums = BTreeMap::new();
    for read in snapshot.scan(counter(), &KeyRange::all(), Order::Ascending).unwrap() {
        let read = read.unwrap();
        sums.insert(read.key, sum(&[vec![read.winner], read.losers].concat()));
    }
    (values, sums)
}

struct World {
    space: Space,
    dice: Dice,
    home: Local,
    /// Author and peer.
    devices: [Local; 2],
    disks: [MemoryDisk; 2],
    /// What each counted in its present run.
    totals: [BTreeMap<(Class, String), Total>; 2],
    opens: u8,
}

impl World {
    fn new(seed: u64) -> Self {
        let space = Space::new(3);
        let disks = [MemoryDisk::new(2 * seed), MemoryDisk::new(2 * seed + 1)];
        let mut home = space.create(0, &MemoryDisk::new(1));
        let mut devices = [space.create(1, &disks[0]), space.create(2, &disks[1])];
        let mut transaction = devices[0].begin();
        let key = Descriptor::key(&copies().id());
        transaction.put(system::coll(), &key, &copies().encode()).unwrap();
        devices[0].commit(NOW, transaction, Class::Normal).unwrap();
        devices[0].flush().unwrap();
        deliver_tail(NOW, &mut devices[0], &mut home);
        space.anchor(NOW, &mut home);
        for device in &mut devices {
            deliver_handle(NOW, &mut home, device);
        }
        Self { space, dice: Dice(seed), home, devices, disks, totals: Default::default(), opens: 100 }
    }

    fn step(&mut self) {
        let who = self.dice.below(2) as usize;
        match self.dice.below(14) {
            0..9 => self.write(who),
            9..11 => {
                let [a, b] = &mut self.devices;
                if who == 0 { deliver(NOW, a, b) } else { deliver(NOW, b, a) }
            }
            11 => deliver_tail(NOW, &mut self.devices[who], &mut self.home),
            12 => {
                self.space.anchor(NOW, &mut self.home);
                deliver_handle(NOW, &mut self.home, &mut self.devices[who]);
            }
            _ if self.dice.below(2) == 0 => self.devices[who].checkpoint(NOW).unwrap(),
            _ => {
                self.opens += 1;
                self.disks[who].crash();
                self.devices[who] = self.space.open(1 + who, &self.disks[who], self.opens);
                self.totals[who].clear();
            }
        }
    }

    fn write(&mut self, who: usize) {
        let class = Class::ALL[self.dice.below(3) as usize];
        let mut transaction = self.devices[who].begin();
        for _ in 0..=self.dice.below(3) {
            let name = format!("k{}", self.dice.below(5));
            let value = format!("{}", self.dice.below(1000));
            match self.dice.below(8) {
                0..3 => transaction.put(coll(), &key(&name), value.as_bytes()).unwrap(),
                3 => transaction.delete(coll(), &key(&name)).unwrap(),
                4 => transaction.put(copies().id(), &key(&name), value.as_bytes()).unwrap(),
                5 => transaction.put(members(), &key(&name), b"").unwrap(),
                6 => transaction.delete(copies().id(), &key(&name)).unwrap(),
                _ => {
                    let total = self.totals[who].entry((class, name.clone())).or_default();
                    total.plus += self.dice.below(9);
                    total.minus = Some(total.minus.unwrap_or(0) + self.dice.below(4));
                    transaction.put(counter(), &key(&name), &total.encode()).unwrap();
                }
            }
        }
        let now = NOW.plus_ms(who as u64 * 7_000 + self.dice.below(100_000));
        self.devices[who].commit(now, transaction, class).unwrap();
        self.devices[who].flush().unwrap();
    }

    /// Writers of the author of which the home has not seen all, and how far it has.
    fn droppable(&mut self) -> Vec<(WriterId, u64)> {
        let own = self.devices[0].device().id();
        let rows = self.devices[0].tail().into_iter().filter(|(writer, ..)| writer.device() == own);
        let rows: Vec<_> = rows.map(|(writer, seq, _)| (writer, self.home.seen(&writer), seq)).collect();
        let rows = rows.into_iter().filter(|(_, seen, seq)| seen < seq);
        rows.map(|(writer, seen, seq)| (writer, seen + self.dice.below(seq - seen))).collect()
    }

    /// The home's next Handle cuts these writers, and the author adopts it.
    fn cut(&mut self, cuts: &[(WriterId, u64)]) {
        let row = |(writer, seq): &(WriterId, u64)| {
            let cut = Cut { seq: *seq, tip: crdt::CommitId::ZERO, reason: 0 };
            HomeWrite { coll: system::cut(), key: Cut::key(writer), value: Some(cut.encode()) }
        };
        self.space.write(&mut self.home, cuts.iter().map(row).collect());
        if self.dice.below(2) == 0 {
            deliver_handle(NOW, &mut self.home, &mut self.devices[0]);
        } else {
            fetch_handle(&mut self.home, &mut self.devices[0]).unwrap();
        }
    }

    fn settle(&mut self) {
        for _ in 0..3 {
            for device in &mut self.devices {
                deliver_handle(NOW, &mut self.home, device);
                deliver_tail(NOW, device, &mut self.home);
            }
            self.space.anchor(NOW, &mut self.home);
        }
        for device in &mut self.devices {
            deliver(NOW, &mut self.home, device);
        }
    }
}

/// Brings a Handle to a replica that is not told what changed: it fetches.
fn fetch_handle(from: &mut Local, to: &mut Local) -> Result<(), Error> {
    let offer = sync::Offer { vector_changes: None, home_commits: Vec::new(), ..from.offer(0) };
    let mut adoption = to.adopt(NOW, offer).map_err(own_fault)?;
    while let Adoption::Fetch(nodes) = adoption {
        let nodes = nodes.into_iter().map(|(kind, hash)| (kind, hash, from.node(kind, &hash).unwrap()));
        adoption = to.store_nodes(NOW, nodes.collect()).map_err(own_fault)?;
    }
    Ok(())
}

type Adopt = fn(&mut Local, &mut Local) -> Result<(), Error>;

#[test]
fn values_sums_and_winners_are_the_same_before_a_drop_and_after_it() {
    let mut dropped = 0;
    for seed in 0..150 {
        let mut world = World::new(seed);
        for _ in 0..5 + seed % 40 {
            world.step();
        }
        // What else a Handle brings is not this test's matter.
        deliver_handle(NOW, &mut world.home, &mut world.devices[0]);
        world.space.anchor(NOW, &mut world.home);
        deliver_handle(NOW, &mut world.home, &mut world.devices[0]);
        let cuts = world.droppable();
        dropped += usize::from(!cuts.is_empty());
        let before = picture(&world.devices[0]);
        world.cut(&cuts);
        assert_eq!(picture(&world.devices[0]), before, "seed {seed}");
        assert_eq!(world.devices[0].verify().unwrap().problems, [""; 0], "seed {seed}");
        world.disks[0].crash();
        world.devices[0] = world.space.open(1, &world.disks[0], 99);
        assert_eq!(picture(&world.devices[0]), before, "seed {seed}, opened again");
        assert_eq!(world.devices[0].verify().unwrap().problems, [""; 0], "seed {seed}, opened again");
        world.settle();
        let expected = (roots(&mut world.home), picture(&world.home));
        for device in &mut world.devices {
            assert_eq!((roots(device), picture(device)), expected, "seed {seed}");
            assert_eq!(device.describe().tail_commits, 0, "seed {seed}");
        }
    }
    assert!(dropped > 75, "{dropped} histories had something to drop");
}

/// A home that has a cut to tell, and the author that it cuts, on this disk.
fn before_a_cut(space: &Space, disk: &MemoryDisk) -> (Local, Local) {
    let mut home = space.create(0, &MemoryDisk::new(1));
    let mut author = space.create(1, disk);
    count(&mut author, "n", 3);
    set(&mut author, "k", "1");
    deliver_tail(NOW, &mut author, &mut home);
    space.anchor(NOW, &mut home);
    deliver_handle(NOW, &mut home, &mut author);
    count(&mut author, "n", 8);
    author.checkpoint(NOW).unwrap();
    set(&mut author, "k", "2");
    set(&mut author, "large", &"x".repeat(3000));
    let writer = author.tail()[0].0;
    space.cut(&mut home, &writer, 2);
    (home, author)
}

fn check_before_or_after(author: &Local, what: &str) {
    assert_eq!((get(author, "k").as_deref(), counted(author, "n")), (Some("2"), 8), "{what}");
    assert_eq!(contents(author).len(), 2, "{what}");
    assert_eq!(author.verify().unwrap().problems, [""; 0], "{what}");
}

/// Adopts a cut while the `n`-th call to the disk goes wrong, and then opens while the `m`-th does. `false` once the
/// adoption has no `n`-th call.
fn survives(adopt: Adopt, n: u64, fault: Fault, again: Option<u64>, seed: u64) -> bool {
    let what = format!("call {n}, {fault:?}, then {again:?}");
    let space = Space::new(2);
    let disk = MemoryDisk::new(seed);
    let (mut home, mut author) = before_a_cut(&space, &disk);
    disk.set_faults(Faults::none().nth_call(n, fault));
    let end = adopt(&mut home, &mut author);
    if disk.faults_fired() == 0 {
        end.expect("without a fault it is adopted");
        return false;
    }
    disk.set_faults(Faults::none());
    drop(author);
    if end.is_err() {
        disk.crash();
    }
    if let Some(m) = again {
        disk.set_faults(Faults::none().nth_call(m, Fault::PowerCut));
        drop(space.try_open(1, &disk, 98, Mode::ReadWrite));
        disk.set_faults(Faults::none());
        disk.crash();
    }
    let mut author = space.open(1, &disk, 99);
    check_before_or_after(&author, &what);
    set(&mut author, "after", "1");
    author.checkpoint(NOW).unwrap();
    drop(author);
    let mut author = space.open(1, &disk, 100);
    remove(&mut author, "after");
    check_before_or_after(&author, &what);
    deliver_handle(NOW, &mut home, &mut author);
    check_before_or_after(&author, &what);
    assert_eq!(author.inbox().unwrap().len(), 1, "{what}");
    deliver_tail(NOW, &mut author, &mut home);
    space.anchor(NOW, &mut home);
    check_before_or_after(&home, &what);
    true
}

#[test]
fn drop_and_what_takes_its_place_are_one_step_wherever_the_disk_fails() {
    for (seed, fault) in [(1, Fault::PowerCut), (2, Fault::PowerCut), (3, Fault::Error), (4, Fault::NoSpace)]
    {
        for adopt in [try_deliver_handle as Adopt, fetch_handle] {
            let calls = (0..).take_while(|n| survives(adopt, *n, fault, None, seed)).count();
            assert!(calls > 8, "an adoption makes many calls, not {calls}");
        }
    }
}

#[test]
fn power_goes_again_while_an_unfinished_drop_is_undone() {
    let adopt = try_deliver_handle;
    for n in (0..).take_while(|n| survives(adopt, *n, Fault::PowerCut, None, 5)) {
        for m in (0..24).step_by(3) {
            survives(adopt, n, Fault::PowerCut, Some(m), 6 + m);
        }
    }
}

#[test]
fn newer_handle_with_a_cut_takes_the_place_of_one_that_is_being_fetched() {
    let space = Space::new(2);
    let (mut home, mut author) = before_a_cut(&space, &MemoryDisk::new(2));
    set(&mut home, "theirs", "1");
    space.anchor(NOW, &mut home);
    let older = home.offer(0);
    assert!(matches!(author.adopt(NOW, older).unwrap(), Adoption::Fetch(_)));
    set(&mut author, "meanwhile", "1");
    set(&mut home, "theirs", "2");
    space.anchor(NOW, &mut home);
    fetch_handle(&mut home, &mut author).unwrap();
    assert_eq!(author.handle(), home.handle());
    assert_eq!((get(&author, "theirs").as_deref(), get(&author, "k").as_deref()), (Some("2"), Some("2")));
    assert_eq!((get(&author, "meanwhile").as_deref(), counted(&author, "n")), (Some("1"), 8));
    assert_eq!(author.verify().unwrap().problems, [""; 0]);
}

#[test]
fn commit_that_came_while_its_cut_was_on_its_way_is_dropped_at_the_home_too() {
    let space = Space::new(2);
    let (mut home, mut device) = (space.create(0, &MemoryDisk::new(1)), space.create(1, &MemoryDisk::new(2)));
    set(&mut device, "a", "1");
    deliver_tail(NOW, &mut device, &mut home);
    let writer = device.tail()[0].0;
    let cut = Cut { seq: 1, tip: crdt::CommitId::ZERO, reason: 0 };
    let row = HomeWrite { coll: system::cut(), key: Cut::key(&writer), value: Some(cut.encode()) };
    home.home_commit(NOW, [5; 8], space.home.public(), vec![row]).unwrap();
    let candidate = home.candidate(NOW).unwrap();
    let handle = next_handle(home.base(), candidate, NOW).sign(&space.home);
    set(&mut device, "b", "1");
    deliver_tail(NOW, &mut device, &mut home);
    home.install_handle(NOW, handle).unwrap();
    assert_eq!(contents(&home).len(), 1);
    assert_eq!(home.verify().unwrap().problems, [""; 0]);
    deliver_handle(NOW, &mut home, &mut device);
    deliver_tail(NOW, &mut device, &mut home);
    assert_eq!(contents(&home).len(), 2, "its author writes it again");
}

#[test]
fn failure_in_a_drop_stops_the_replica() {
    let space = Space::new(2);
    let disk = MemoryDisk::new(2);
    let (mut home, mut author) = before_a_cut(&space, &disk);
    disk.set_faults(Faults::none().nth(disk::Operation::Flush, 0, Fault::Error));
    assert!(try_deliver_handle(&mut home, &mut author).is_err());
    assert!(matches!(author.flush(), Err(Error::Stopped)));
}
