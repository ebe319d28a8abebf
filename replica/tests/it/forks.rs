//! One device that runs twice under the same writer: proof spreads with the sessions, one history is left, and nothing of
//! the others is lost.

use std::collections::BTreeMap;

use crdt::{Evidence, Time, WriterId};
use disk::{Disk, Fault, Faults, MemoryDisk, Operation};
use replica::{Error, ItemKind, Mode};
use sync::{Config, Role, Session, Store};

use crate::space::{Local, NOW, Space, contents, deliver_handle, deliver_tail, get, key, put, roots, set};

/// A conversation until neither side has anything to say for some seconds.
pub(crate) fn talk(a: &mut Local, b: &mut Local) {
    let (id_a, id_b) = (a.device().id(), b.device().id());
    let local = |device, peer, instance| sync::Local { device, instance, peer };
    let mut one = Session::new(Role::Dialer, local(id_a, id_b, [1; 16]), NOW, Config::default());
    let mut other = Session::new(Role::Listener, local(id_b, id_a, [2; 16]), NOW, Config::default());
    let (mut now, until) = (NOW, NOW.plus_ms(40_000));
    while now < until {
        exchange(now, (&mut one, a), (&mut other, b));
        let timers = [one.poll_timeout(), other.poll_timeout()];
        now = timers.into_iter().flatten().min().unwrap_or(until).max(now.plus_ms(1));
        one.handle_timeout(now);
        other.handle_timeout(now);
    }
    for (session, replica) in [(&one, &*a), (&other, &*b)] {
        let status = session.status(replica);
        assert_eq!((status.end, status.last_error), (None, None));
    }
}

fn exchange(now: Time, a: (&mut Session, &mut Local), b: (&mut Session, &mut Local)) {
    for _ in 0..1000 {
        let mut is_quiet = true;
        while let Some(bytes) = a.0.poll_transmit(now, a.1) {
            b.0.handle_bytes(now, &bytes, b.1).expect("replicas are honest");
            b.1.flush().expect("it flushes");
            is_quiet = false;
        }
        while let Some(bytes) = b.0.poll_transmit(now, b.1) {
            a.0.handle_bytes(now, &bytes, a.1).expect("replicas are honest");
            a.1.flush().expect("it flushes");
            is_quiet = false;
        }
        if is_quiet {
            return;
        }
    }
    panic!("they never fall silent");
}

/// A home, a device that runs twice from the same moment on, and another one.
struct World {
    space: Space,
    home: Local,
    one: Local,
    two: Local,
    other: Local,
    disks: [MemoryDisk; 4],
}

impl World {
    /// The copies have made these writes together.
    fn new(together: &[(&str, &str)]) -> Self {
        let space = Space::new(3);
        let disks = [1, 2, 3, 4].map(MemoryDisk::new);
        let home = space.create(0, &disks[0]);
        // The same seed at the same state: the same writer, as when a running machine is cloned.
        let (mut one, mut two) = (space.create(1, &disks[1]), space.create(1, &disks[2]));
        let other = space.create(2, &disks[3]);
        for copy in [&mut one, &mut two] {
            together.iter().for_each(|(name, value)| set(copy, name, value));
        }
        assert_eq!(one.tail(), two.tail());
        Self { space, home, one, two, other, disks }
    }

    fn writer(&self) -> WriterId {
        self.one.tail()[0].0
    }

    fn replicas(&mut self) -> [&mut Local; 4] {
        [&mut self.home, &mut self.one, &mut self.two, &mut self.other]
    }

    /// Everybody meets everybody, and the home anchors what it has if there is one.
    fn settle(&mut self, anchors: bool) {
        for _ in 0..3 {
            talk(&mut self.one, &mut self.other);
            talk(&mut self.two, &mut self.other);
            talk(&mut self.one, &mut self.two);
            if anchors {
                talk(&mut self.home, &mut self.other);
                talk(&mut self.home, &mut self.one);
                talk(&mut self.home, &mut self.two);
                self.space.anchor(NOW, &mut self.home);
                for device in [&mut self.one, &mut self.two, &mut self.other] {
                    talk(&mut self.home, device);
                }
            }
        }
    }

    #[track_caller]
    fn assert_equal(&mut self) {
        let expected = roots(&mut self.one);
        for replica in self.replicas() {
            assert_eq!(replica.verify().expect("it reads").problems, [""; 0]);
            assert_eq!(roots(replica), expected);
        }
    }

    /// Whether a write is there, or in the inbox of one of the copies.
    fn is_kept(&self, name: &str, value: &str) -> bool {
        let is_live = |replica: &Local| {
            let read = replica.snapshot().read(crate::space::coll(), &key(name)).expect("it reads");
            let live = read.map(|read| [vec![read.winner], read.losers].concat()).unwrap_or_default();
            live.iter().any(|live| live.payload == crdt::Payload::Inline(value.into()))
        };
        let in_inbox = |replica: &Local| {
            let items = replica.inbox().expect("it reads");
            items.iter().filter_map(|item| item.commit.as_ref()).any(|commit| {
                let put = crdt::Op::Put(crdt::Payload::Inline(value.into()));
                commit.body().mutations.iter().any(|mutation| mutation.op == put)
            })
        };
        is_live(&self.home) || in_inbox(&self.one) || in_inbox(&self.two)
    }
}

#[test]
fn device_that_ran_twice_ends_as_two_and_nothing_is_lost() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.one, "y", "one");
    set(&mut world.one, "x", "of one");
    set(&mut world.two, "z", "two");
    set(&mut world.two, "x", "of two");
    set(&mut world.two, "last", "two");
    let writer = world.writer();
    // Each branch has somebody who believes it, and builds on it.
    talk(&mut world.one, &mut world.home);
    talk(&mut world.two, &mut world.other);
    set(&mut world.other, "w", "built on two");
    world.settle(true);
    world.assert_equal();
    for replica in world.replicas() {
        assert_eq!(replica.evidence().against(&writer), Some(2));
        assert_eq!(replica.seen(&writer), 1, "what both wrote together stays");
    }
    for (name, value) in
        [("a", "together"), ("y", "one"), ("z", "two"), ("last", "two"), ("w", "built on two")]
    {
        assert_eq!(get(&world.home, name).as_deref(), Some(value), "{:?}", contents(&world.home));
    }
    for value in ["of one", "of two"] {
        assert!(world.is_kept("x", value), "{value}: {:?}", contents(&world.home));
    }
    // They go on as two, and never meet under one name again.
    set(&mut world.one, "after", "one");
    set(&mut world.two, "after two", "two");
    world.settle(true);
    world.assert_equal();
    assert_eq!(get(&world.home, "after").as_deref(), Some("one"));
    assert_eq!(get(&world.home, "after two").as_deref(), Some("two"));
}

#[test]
fn copies_and_those_who_heard_them_converge_without_a_home() {
    let mut world = World::new(&[]);
    set(&mut world.one, "x", "one");
    set(&mut world.two, "y", "two");
    talk(&mut world.two, &mut world.other);
    world.settle(false);
    world.home = world.space.create(0, &MemoryDisk::new(9));
    talk(&mut world.home, &mut world.other);
    world.assert_equal();
    assert_eq!(
        contents(&world.home),
        BTreeMap::from([("x", "one"), ("y", "two")].map(|(k, v)| (k.into(), v.into())))
    );
}

#[test]
fn branch_that_came_too_late_is_written_again() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.one, "x", "one");
    set(&mut world.one, "x2", "one");
    set(&mut world.two, "y", "two");
    talk(&mut world.one, &mut world.home);
    let writer = world.writer();
    // The home has no proof yet, and makes a Handle of what it has.
    world.space.anchor(NOW, &mut world.home);
    talk(&mut world.two, &mut world.home);
    assert_eq!(world.two.evidence().against(&writer), Some(2));
    assert_eq!((world.two.base().version, world.two.anchored(&writer)), (2, 3));
    world.settle(true);
    world.assert_equal();
    assert_eq!(
        (get(&world.home, "y").as_deref(), get(&world.home, "x2").as_deref()),
        (Some("two"), Some("one"))
    );
    assert!(world.two.inbox().expect("it reads").iter().all(|item| item.kind == ItemKind::Reissued));
}

#[test]
fn proof_and_what_follows_from_it_outlive_a_crash_at_any_moment() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.one, "x", "one");
    set(&mut world.two, "y", "two");
    talk(&mut world.one, &mut world.home);
    talk(&mut world.two, &mut world.other);
    let writer = world.writer();
    let evidence = proof(&world, &writer);
    for n in 0.. {
        let disk = world.disks[3].copy();
        let mut other = world.space.open(2, &disk, 40);
        disk.set_faults(Faults::none().nth_call(n, Fault::PowerCut));
        let taken = other.accept_evidence(NOW, evidence.clone());
        // Where a read failed it is kept for later.
        let is_kept = taken.is_ok() && other.evidence().against(&writer).is_none();
        assert!(!is_kept || other.is_mend_due(), "call {n}");
        drop(other);
        let has_fired = disk.faults_fired() > 0;
        disk.set_faults(Faults::none());
        disk.crash();
        let other = world.space.open(2, &disk, 41);
        let is_proven = other.evidence().against(&writer).is_some();
        assert_eq!(other.seen(&writer), if is_proven { 1 } else { 2 }, "call {n}");
        assert!(is_proven || taken.is_err() || is_kept, "call {n}: what is known stays");
        assert_eq!(other.verify().expect("it reads").problems, [""; 0], "call {n}");
        if !has_fired {
            assert!(n > 5, "it makes many calls, not {n}");
            return;
        }
    }
}

#[test]
fn a_damaged_proof_is_called_what_no_peer_has_and_anything_else_keeps_nothing_from_opening() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.one, "x", "one");
    set(&mut world.two, "y", "two");
    talk(&mut world.one, &mut world.home);
    talk(&mut world.two, &mut world.other);
    let evidence = proof(&world, &world.writer());
    let disk = world.disks[3].copy();
    let mut other = world.space.open(2, &disk, 40);
    other.accept_evidence(NOW, evidence).expect("it is true");
    other.checkpoint(NOW).expect("the disk is good");
    drop(other);
    let mut refused = 0;
    for name in disk.list("packs").unwrap().into_iter().map(|name| format!("packs/{name}")) {
        for offset in (0..disk.files()[&name].len() as u64).step_by(23) {
            let copy = disk.copy();
            copy.flip_bit(&name, offset, 2);
            match world.space.try_open(2, &copy, 41, Mode::ReadWrite) {
                Ok(_) => {}
                Err(Error::OwnDamaged { what: "what is proven against writers", .. }) => refused += 1,
                Err(error) => panic!("{name} at {offset}: {error}"),
            }
        }
    }
    assert!(refused > 0, "the proof lies in no pack");
}

#[test]
fn proof_that_a_failed_read_keeps_away_is_taken_once_it_can_be() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.home, "base", "1");
    world.space.anchor(NOW, &mut world.home);
    talk(&mut world.home, &mut world.other);
    set(&mut world.one, "x", "one");
    set(&mut world.two, "y", "two");
    talk(&mut world.two, &mut world.other);
    world.other.checkpoint(NOW).expect("the disk is good");
    let writer = world.writer();
    let evidence = proof(&world, &writer);
    let mut kept = 0;
    for n in 0.. {
        let disk = world.disks[3].copy();
        let mut other = world.space.open(2, &disk, 40);
        disk.set_faults(Faults::none().nth(Operation::Read, n, Fault::Error));
        let taken = other.accept_evidence(NOW, evidence.clone());
        if disk.faults_fired() == 0 {
            break;
        }
        if taken.is_ok() && other.evidence().against(&writer).is_none() {
            kept += 1;
            // It looks whether the read failed for once, and then takes what it kept.
            while other.is_mend_due() {
                other.mend(NOW).expect("the disk is good");
            }
            assert!(other.evidence().against(&writer).is_some(), "read {n}");
            assert_eq!(other.seen(&writer), 1, "read {n}");
        }
    }
    assert!(kept > 0, "no read failed of which it depends");
}

fn proof(world: &World, writer: &WriterId) -> std::sync::Arc<Evidence> {
    let (one, two) = (world.one.strand(writer, 1), world.two.strand(writer, 1));
    let (one, two) = (one.expect("it is here"), two.expect("it is here"));
    let fork = crdt::Fork::find(one.public, &one.strand, &two.strand).expect("they differ");
    std::sync::Arc::new(Evidence::Fork(fork))
}

#[test]
fn home_with_proof_covers_nothing_of_the_fork() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.one, "x", "one");
    set(&mut world.two, "y", "two");
    talk(&mut world.one, &mut world.home);
    let (writer, evidence) = (world.writer(), proof(&world, &world.one.tail()[0].0));
    assert_eq!(world.home.seen(&writer), 2);
    world.home.accept_evidence(NOW, evidence).expect("it is true");
    assert_eq!(world.home.seen(&writer), 1);
    // Whoever offers more of it is refused, and the session goes on.
    talk(&mut world.two, &mut world.home);
    world.space.anchor(NOW, &mut world.home);
    assert_eq!((world.home.anchored(&writer), world.home.cut(&writer).expect("it reads")), (1, Some(1)));
    assert_eq!(get(&world.home, "y").as_deref(), Some("two"), "written again under another name");
}

#[test]
fn what_a_handle_covers_can_still_be_shown() {
    let mut world = World::new(&[("a", "1"), ("b", "2"), ("c", "3")]);
    talk(&mut world.one, &mut world.home);
    let writer = world.writer();
    let before = world.home.strand(&writer, 2).expect("it is in the tail");
    world.space.anchor(NOW, &mut world.home);
    assert_eq!(world.home.tail(), []);
    let after = world.home.strand(&writer, 2).expect("it is below the base");
    assert_eq!(after, before);
    after.strand.check(world.home.space(), &after.public).expect("it is sealed");
    assert_eq!((after.strand.first(), after.strand.seal.seq), (2, 3));
    assert!(world.home.strand(&writer, 4).is_none() && world.home.strand(&writer, 0).is_none());
    deliver_handle(NOW, &mut world.home, &mut world.one);
    assert_eq!(world.one.strand(&writer, 2).expect("its own").strand.headers, before.strand.headers);
}

#[test]
fn what_left_the_log_is_shown_from_the_archive() {
    let mut world = World::new(&[]);
    for n in 0..700 {
        set(&mut world.one, &format!("k{n}"), &"v".repeat(1000));
    }
    talk(&mut world.one, &mut world.home);
    let writer = world.writer();
    let before = world.home.strand(&writer, 3).expect("it is in the tail");
    world.space.anchor(NOW, &mut world.home);
    set(&mut world.home, "more", "news");
    world.home.checkpoint(NOW.plus_ms(3_600_000)).expect("it folds");
    set(&mut world.home, "more", "again");
    world.home.checkpoint(NOW.plus_ms(7_200_000)).expect("it folds");
    let archived = world.disks[0].files().into_keys().filter(|name| name.starts_with("archive/")).count();
    assert!(archived > 0, "the log let nothing go");
    assert_eq!(world.home.strand(&writer, 3), Some(before));
    let last = world.home.strand(&writer, 700).expect("the last one");
    last.strand.check(world.home.space(), &last.public).expect("it is sealed");
}

#[test]
fn evidence_about_strangers_is_not_kept_and_forged_evidence_is_refused() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.one, "x", "one");
    set(&mut world.two, "y", "two");
    let writer = world.writer();
    let evidence = proof(&world, &writer);
    let Evidence::Fork(mut fork) = (*evidence).clone() else { panic!("it is a fork") };
    fork.one.seal.signature[0] ^= 1;
    assert!(world.home.accept_evidence(NOW, std::sync::Arc::new(Evidence::Fork(fork))).is_err());
    assert!(world.home.evidence().is_empty());
    world.home.accept_evidence(NOW, evidence.clone()).expect("its device is a member");
    assert_eq!(world.home.evidence().against(&writer), Some(2));
    // A space of the same name of which that device is no member.
    let mut few = Space::new(1);
    few.genesis = world.space.genesis.clone();
    let mut stranger = few.create(0, &MemoryDisk::new(9));
    stranger.accept_evidence(NOW, evidence).expect("it is no fault");
    assert!(stranger.evidence().is_empty());
}

#[test]
fn writer_that_goes_on_elsewhere_is_closed_here() {
    let mut world = World::new(&[("a", "together")]);
    set(&mut world.two, "b", "by the copy");
    let writer = world.writer();
    deliver_tail(NOW, &mut world.two, &mut world.one);
    assert_eq!(world.one.seen(&writer), 2, "it is the same history");
    let committed = put(&mut world.one, NOW, "c", "by the first").expect("it commits");
    world.one.flush().expect("it flushes");
    assert_ne!(committed.dot.writer, writer);
    let copied = put(&mut world.two, NOW, "d", "by the copy").expect("it commits");
    world.two.flush().expect("it flushes");
    assert_eq!(copied.dot.writer, writer);
    world.settle(true);
    world.assert_equal();
    assert_eq!(world.home.evidence().len(), 0, "nobody wrote one dot twice");
    assert_eq!(contents(&world.home).len(), 4);
}
