//! Random lives with drops in them: what an author reads is the same before a drop and after it, and all agree in the end.

use std::collections::BTreeMap;

use crdt::view::counter::{Total, balance};
use crdt::view::lww::Live;
use crdt::{Class, CollId, Descriptor, Policy, WriterId, system};
use disk::MemoryDisk;
use replica::{Cut, HomeWrite, KeyRange, Order, Reading};
use sync::Store;

use crate::reissue::counter;
use crate::space::{
    Local, NOW, Space, coll, deliver, deliver_handle, deliver_tail, fetch_handle, key, roots,
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
        sums.insert(read.key, balance(&[vec![read.winner], read.losers].concat()).unwrap_or(0));
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
            _ => self.reopen(who),
        }
    }

    /// The power goes, and comes back.
    fn reopen(&mut self, who: usize) {
        self.opens += 1;
        self.disks[who].crash();
        self.devices[who] = self.space.open(1 + who, &self.disks[who], self.opens);
        self.totals[who].clear();
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

    /// Writers of a device of which the home has not seen all, each with where it may be cut.
    fn droppable(&mut self, who: usize) -> Vec<(WriterId, u64)> {
        let own = self.devices[who].device().id();
        let rows = self.devices[who].tail().into_iter().filter(|(writer, ..)| writer.device() == own);
        let rows: Vec<_> = rows.map(|(writer, seq, _)| (writer, self.home.seen(&writer), seq)).collect();
        let rows = rows.into_iter().filter(|(_, seen, seq)| seen < seq);
        rows.map(|(writer, seen, seq)| (writer, seen + self.dice.below(seq - seen))).collect()
    }

    /// The home's next Handle cuts these writers.
    fn write_cuts(&mut self, cuts: &[(WriterId, u64)]) {
        let row = |(writer, seq): &(WriterId, u64)| {
            let cut = Cut { seq: *seq, tip: crdt::CommitId::ZERO, reason: 0 };
            HomeWrite { coll: system::cut(), key: Cut::key(writer), value: Some(cut.encode()) }
        };
        self.space.write(&mut self.home, cuts.iter().map(row).collect());
    }

    /// The same, and the author adopts it.
    fn cut(&mut self, cuts: &[(WriterId, u64)]) {
        self.write_cuts(cuts);
        if self.dice.below(2) == 0 {
            deliver_handle(NOW, &mut self.home, &mut self.devices[0]);
        } else {
            fetch_handle(&mut self.home, &mut self.devices[0]).unwrap();
        }
    }

    /// The home's next Handle cuts the writers of a device of which it has not seen all. The device hears of it later.
    fn cut_unheard(&mut self, who: usize) {
        let cuts = self.droppable(who);
        if !cuts.is_empty() {
            self.write_cuts(&cuts);
        }
    }

    /// Two devices, or one and the home: who has the older base adopts the newer first.
    fn meet(&mut self, who: usize) {
        let [a, b] = &mut self.devices;
        let (one, other) = match (self.dice.below(2), who) {
            (0, 0) => (a, &mut self.home),
            (0, _) => (b, &mut self.home),
            (_, 0) => (a, b),
            _ => (b, a),
        };
        deliver_handle(NOW, one, other);
        deliver_handle(NOW, other, one);
        deliver_tail(NOW, one, other);
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
        let cuts = world.droppable(0);
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

#[test]
fn cuts_at_any_time_leave_every_folder_whole_and_all_of_one_mind() {
    let mut dropped = 0;
    for seed in 0..60 {
        let mut world = World::new(1000 + seed);
        for _ in 0..60 {
            let who = world.dice.below(2) as usize;
            match world.dice.below(10) {
                0..4 => world.write(who),
                4..7 => world.meet(who),
                7 => world.cut_unheard(who),
                8 => world.space.anchor(NOW, &mut world.home),
                _ => {
                    let (before, tail) = (picture(&world.devices[who]), world.devices[who].tail());
                    world.reopen(who);
                    assert_eq!(picture(&world.devices[who]), before, "seed {seed}");
                    assert_eq!(world.devices[who].tail(), tail, "seed {seed}");
                }
            }
            for device in &world.devices {
                assert_eq!(device.verify().unwrap().problems, [""; 0], "seed {seed}");
            }
        }
        world.settle();
        let expected = (roots(&mut world.home), picture(&world.home));
        for device in &mut world.devices {
            assert_eq!((roots(device), picture(device)), expected, "seed {seed}");
            assert_eq!(device.describe().tail_commits, 0, "seed {seed}");
            dropped += device.inbox().unwrap().len();
        }
    }
    assert!(dropped > 100, "{dropped} items came of drops");
}
