//! Every call to the disk fails once, or the power goes at it: what was flushed is there, and nothing half.

use std::collections::BTreeMap;

use crdt::system;
use disk::{Fault, Faults, MemoryDisk, Operation};
use replica::{Error, HomeWrite, Mode, Origin};

use crate::space::{Local, NOW, Space, coll, contents, key, put, set, try_deliver_handle, try_deliver_tail};

type State = BTreeMap<String, String>;

/// What a run may leave behind: the last state that was promised, and those that were on their way.
#[derive(Default)]
struct Promise {
    acknowledged: State,
    possible: Vec<State>,
}

impl Promise {
    fn write(&mut self, name: &str, value: &str) {
        let mut next = self.possible.last().unwrap_or(&self.acknowledged).clone();
        next.insert(name.into(), value.into());
        self.possible.push(next);
    }

    fn remove(&mut self, name: &str) {
        let mut next = self.possible.last().unwrap_or(&self.acknowledged).clone();
        next.remove(name);
        self.possible.push(next);
    }

    fn flushed(&mut self) {
        if let Some(last) = self.possible.pop() {
            self.acknowledged = last;
        }
        self.possible.clear();
    }

    fn allows(&self, state: &State) -> bool {
        *state == self.acknowledged || self.possible.contains(state)
    }
}

/// A life of a home with everything in it: batches, deletes, large values, a checkpoint, a Handle, and another open.
fn live(space: &Space, disk: &MemoryDisk, promise: &mut Promise) -> Result<(), Error> {
    let mut replica = space.try_create(0, disk, space.founded())?;
    for round in 0..2 {
        write(&mut replica, promise, "k0", &format!("{round}"))?;
        write(&mut replica, promise, "k1", &format!("{round}"))?;
        flush(&mut replica, promise)?;
        write(&mut replica, promise, "large", &format!("{round}").repeat(3000))?;
        let mut transaction = replica.begin();
        transaction.delete(coll(), &key("k1")).expect("a good key");
        commit(&mut replica, transaction)?;
        promise.remove("k1");
        flush(&mut replica, promise)?;
        match round {
            0 => replica.checkpoint(NOW)?,
            _ => space.try_anchor(NOW, &mut replica)?,
        }
        write(&mut replica, promise, "last", &format!("{round}"))?;
        flush(&mut replica, promise)?;
        drop(replica);
        replica = space.try_open(0, disk, 10 + round, Mode::ReadWrite)?.0;
    }
    Ok(())
}

/// A life of a device that is admitted: it fetches a Handle, writes above it, and computes the next one.
fn live_as_device(space: &Space, disk: &MemoryDisk, promise: &mut Promise) -> Result<(), Error> {
    let mut home = space.create(0, &MemoryDisk::new(0));
    set(&mut home, "theirs", &"x".repeat(2000));
    space.anchor(NOW, &mut home);
    let mut device = space.try_create(1, disk, Origin::Joined)?;
    write(&mut device, promise, "mine", "0")?;
    flush(&mut device, promise)?;
    promise.write("theirs", &"x".repeat(2000));
    try_deliver_handle(&mut home, &mut device)?;
    promise.flushed();
    write(&mut device, promise, "mine", "1")?;
    flush(&mut device, promise)?;
    try_deliver_tail(NOW, &mut device, &mut home)?;
    let name = HomeWrite { coll: system::name(), key: key("n"), value: Some(vec![1; 16]) };
    home.home_commit(NOW, [3; 8], space.home.public(), vec![name]).expect("the home's disk is good");
    space.anchor(NOW, &mut home);
    try_deliver_handle(&mut home, &mut device)?;
    write(&mut device, promise, "mine", "2")?;
    flush(&mut device, promise)
}

type Life = fn(&Space, &MemoryDisk, &mut Promise) -> Result<(), Error>;

fn write(replica: &mut Local, promise: &mut Promise, name: &str, value: &str) -> Result<(), Error> {
    let written = put(replica, NOW, name, value);
    // Whether the record of a failed write is on the disk is not known.
    promise.write(name, value);
    written.map(drop).map_err(unwrap_replica)
}

fn commit(replica: &mut Local, transaction: replica::Transaction<MemoryDisk>) -> Result<(), Error> {
    replica.commit(NOW, transaction, crdt::Class::Normal).map(drop).map_err(unwrap_replica)
}

fn unwrap_replica(error: replica::CommitError) -> Error {
    match error {
        replica::CommitError::Replica(error) => error,
        error => panic!("a lone writer meets no conflict: {error}"),
    }
}

fn flush(replica: &mut Local, promise: &mut Promise) -> Result<(), Error> {
    replica.flush()?;
    promise.flushed();
    Ok(())
}

/// Runs a life in which the `n`-th call goes wrong, then recovers. `false` once there is no `n`-th call.
fn survives(who: usize, life: Life, n: u64, fault: Fault, seed: u64) -> bool {
    let space = Space::new(2);
    let disk = MemoryDisk::new(seed);
    disk.set_faults(Faults::none().nth_call(n, fault));
    let mut promise = Promise::default();
    let end = life(&space, &disk, &mut promise);
    if disk.faults_fired() == 0 {
        end.expect("a life without faults ends well");
        return false;
    }
    disk.set_faults(Faults::none());
    if end.is_err() {
        disk.crash();
    }
    let opened = space.try_open(who, &disk, 99, Mode::ReadWrite);
    let mut replica = match opened {
        Ok((replica, _)) => replica,
        Err(Error::NoManifest) => {
            assert!(promise.acknowledged.is_empty(), "call {n}: what was flushed is gone");
            space.create(who, &disk)
        }
        Err(error) => panic!("call {n}, {fault:?}: {error:?}"),
    };
    let found = contents(&replica);
    assert!(promise.allows(&found), "call {n}, {fault:?}: {found:?} instead of {:?}", promise.acknowledged);
    if replica.base().version < 3 {
        let name = replica.snapshot().get(system::name(), &key("n")).expect("it reads");
        assert_eq!(name, None, "call {n}, {fault:?}: a home's commit shows before its handle");
    }
    let report = replica.verify().expect("it can be checked");
    assert_eq!(report.problems, [""; 0], "call {n}, {fault:?}");
    put(&mut replica, NOW, "after", "all").expect("it goes on");
    replica.checkpoint(NOW).expect("it goes on");
    true
}

fn exhaust(who: usize, life: Life, fault: Fault, seed: u64) {
    let calls = (0..).take_while(|n| survives(who, life, *n, fault, seed)).count();
    assert!(calls > 40, "a life makes many calls, not {calls}");
}

#[test]
fn power_goes_at_every_call() {
    exhaust(0, live, Fault::PowerCut, 1);
}

#[test]
fn power_goes_at_every_call_and_other_sectors_survive() {
    exhaust(0, live, Fault::PowerCut, 2);
}

#[test]
fn every_call_fails_once() {
    exhaust(0, live, Fault::Error, 3);
}

#[test]
fn space_runs_out_at_every_call() {
    exhaust(0, live, Fault::NoSpace, 4);
}

#[test]
fn every_call_is_short_once() {
    exhaust(0, live, Fault::Short, 5);
}

#[test]
fn power_goes_at_every_call_of_an_adoption() {
    exhaust(1, live_as_device, Fault::PowerCut, 6);
    exhaust(1, live_as_device, Fault::PowerCut, 7);
}

#[test]
fn every_call_of_an_adoption_fails_once() {
    exhaust(1, live_as_device, Fault::Error, 8);
}

/// A flush fails and the process dies: the cache stays, and shows what the disk lacks. Then the power goes at a call of
/// the recovery. `false` once there is no such flush.
fn survives_twice(flush: u64, call: u64) -> bool {
    let space = Space::new(1);
    let disk = MemoryDisk::new(100 * flush + call);
    disk.set_faults(Faults::none().nth(Operation::Flush, flush, Fault::Error));
    let mut promise = Promise::default();
    if live(&space, &disk, &mut promise).is_ok() {
        return false;
    }
    disk.kill();
    disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
    drop(space.try_open(0, &disk, 98, Mode::ReadWrite));
    disk.set_faults(Faults::none());
    disk.crash();
    let found = match space.try_open(0, &disk, 99, Mode::ReadWrite) {
        Ok((replica, _)) => contents(&replica),
        Err(Error::NoManifest) => State::new(),
        Err(error) => panic!("flush {flush}, then call {call}: {error:?}"),
    };
    assert!(promise.allows(&found), "flush {flush}, then call {call}: {found:?}");
    true
}

#[test]
fn process_dies_at_a_failed_flush_and_the_power_goes_while_it_recovers() {
    let calls = |flush: u64| (flush % 2..40).step_by(2).all(|call| survives_twice(flush, call));
    let flushes = (0..).take_while(|flush| calls(*flush)).count();
    assert!(flushes > 10, "{flushes}");
}

#[test]
fn slot_that_only_the_cache_holds_is_not_the_only_one_left() {
    let mut failures = 0;
    for seed in 0..60 {
        for (flush, power) in (0..3).flat_map(|flush| (0..3).map(move |power| (flush, power))) {
            let space = Space::new(1);
            let disk = MemoryDisk::new(seed);
            let mut replica = space.create(0, &disk);
            set(&mut replica, "a", "1");
            replica.checkpoint(NOW).unwrap();
            set(&mut replica, "b", "2");
            disk.set_faults(Faults::none().nth(Operation::Flush, flush, Fault::Error));
            failures += u64::from(replica.checkpoint(NOW).is_err());
            drop(replica);
            disk.kill();
            disk.set_faults(Faults::none().nth(Operation::Flush, power, Fault::PowerCut));
            drop(space.try_open(0, &disk, 98, Mode::ReadWrite));
            disk.set_faults(Faults::none());
            disk.crash();
            let replica = space.open(0, &disk, 99);
            assert_eq!(contents(&replica).len(), 2, "seed {seed}, flush {flush}, then {power}");
        }
    }
    assert!(failures > 100, "{failures}");
}

#[test]
fn failed_flush_stops_the_replica_and_opening_it_recovers() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(6);
    let mut replica = space.create(0, &disk);
    put(&mut replica, NOW, "a", "1").unwrap();
    replica.flush().unwrap();
    put(&mut replica, NOW, "b", "2").unwrap();
    disk.set_faults(Faults::none().nth(Operation::Flush, 0, Fault::Error));
    assert!(replica.flush().is_err());
    assert!(matches!(replica.flush(), Err(Error::Stopped)));
    assert!(matches!(put(&mut replica, NOW, "c", "3"), Err(replica::CommitError::Replica(Error::Stopped))));
    assert!(matches!(replica.checkpoint(NOW), Err(Error::Stopped)));
    assert_eq!(contents(&replica).len(), 1, "what was not flushed is not shown");
    drop(replica);
    disk.crash();
    assert_eq!(contents(&space.open(0, &disk, 7))["a"], "1");
}

#[test]
fn checkpoint_of_what_is_visible_leaves_what_is_pending_to_the_log() {
    let space = Space::new(1);
    let disk = MemoryDisk::new(6);
    let mut replica = space.create(0, &disk);
    set(&mut replica, "a", "1");
    put(&mut replica, NOW, "b", "2").unwrap();
    let job = replica.begin_checkpoint().unwrap().expect("there is something to fold");
    put(&mut replica, NOW, "a", "3").unwrap();
    let done = job.run().unwrap();
    replica.finish_checkpoint(NOW, done).unwrap();
    assert_eq!(contents(&replica), State::from([("a".into(), "1".into())]));
    replica.flush().unwrap();
    let expected = State::from([("a".into(), "3".into()), ("b".into(), "2".into())]);
    assert_eq!(contents(&replica), expected);
    assert_eq!(replica.verify().unwrap().problems, [""; 0], "what was overwritten meanwhile is gone");
    drop(replica);
    disk.crash();
    let replica = space.open(0, &disk, 7);
    assert_eq!(contents(&replica), expected);
    assert_eq!(replica.verify().unwrap().problems, [""; 0]);
}
