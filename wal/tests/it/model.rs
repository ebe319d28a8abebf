//! Random lives of a log beside a plain list: what was flushed is there, in order, and nothing else ever was.

use disk::{Disk, Fault, Faults, MemoryDisk, Operation};
use proptest::prelude::*;
use wal::{Error, Log, Options, Position, Recovered};

use crate::{entries, open, options};

#[derive(Clone, Debug)]
enum Step {
    Append {
        kind: u8,
        len: usize,
    },
    Flush,
    Mark,
    Release,
    /// The power goes, and again during so many calls of the recovery.
    Crash {
        again_after: Vec<u64>,
    },
    /// The process dies, the cache lives.
    Kill,
    /// One of the next calls goes wrong.
    Fault {
        operation: Operation,
        after: u64,
        fault: Fault,
    },
    /// The files may grow by so much.
    Room(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let operation = prop::sample::select(vec![
        Operation::Write,
        Operation::Write,
        Operation::Flush,
        Operation::Flush,
        Operation::FlushDir,
        Operation::Create,
        Operation::SetLen,
        Operation::Remove,
        Operation::Read,
    ]);
    let fault = prop::sample::select(vec![Fault::Error, Fault::Short, Fault::NoSpace, Fault::PowerCut]);
    prop_oneof![
        12 => (1..4u8, prop_oneof![8 => 0..200usize, 1 => 200..3000usize]).prop_map(|(kind, len)| Step::Append { kind, len }),
        6 => Just(Step::Flush),
        2 => Just(Step::Mark),
        1 => Just(Step::Release),
        3 => prop::collection::vec(0..20u64, 0..3).prop_map(|again_after| Step::Crash { again_after }),
        1 => Just(Step::Kill),
        3 => (operation, 0..3u64, fault).prop_map(|(operation, after, fault)| Step::Fault { operation, after, fault }),
        1 => (0..2000u64).prop_map(Step::Room),
    ]
}

struct Life {
    disk: MemoryDisk,
    log: Option<Log<MemoryDisk>>,
    opens: u64,
    /// Where the owner starts to read, as its manifest would say.
    from: Position,
    /// What was appended and not lost in a crash: position, kind, payload.
    appended: Vec<(Position, u8, Vec<u8>)>,
    /// So many of them were flushed.
    promised: usize,
    count: u64,
}

impl Life {
    fn new(seed: u64) -> Life {
        let disk = MemoryDisk::new(seed);
        let mut life = Life {
            disk,
            log: None,
            opens: 0,
            from: Position(0),
            appended: Vec::new(),
            promised: 0,
            count: 0,
        };
        life.reopen();
        life
    }

    fn step(&mut self, step: &Step) {
        let log = self.log.as_mut().expect("the log is open between steps");
        let result = match step {
            Step::Append { kind, len } => {
                self.count += 1;
                let payload = payload(self.count, *len);
                log.append(*kind, &payload).map(|position| self.appended.push((position, *kind, payload)))
            }
            Step::Flush => log.flush().map(|_| self.promised = self.appended.len()),
            Step::Mark => log.mark_idle(),
            Step::Release => self.release(),
            Step::Crash { again_after } => return self.crash(again_after),
            Step::Kill => return self.kill(),
            Step::Fault { operation, after, fault } => {
                return self.disk.set_faults(Faults::none().nth(*operation, *after, *fault));
            }
            Step::Room(room) => return self.disk.set_capacity(Some(self.disk.used() + room)),
        };
        match result {
            Ok(()) => {}
            Err(Error::NoSpace { .. }) => self.disk.set_capacity(None),
            Err(Error::Disk { .. }) => self.recover_from_failure(),
            Err(error) => panic!("{error}"),
        }
    }

    fn release(&mut self) -> Result<(), Error> {
        let log = self.log.as_mut().unwrap();
        let before = log.flushed();
        let names = log.release(before)?;
        self.from = log.start();
        for name in names {
            // A file that could not be removed comes back at the next opening.
            self.disk.remove(&name).or_else(|_| self.disk.flush_dir("")).unwrap_or(());
        }
        Ok(())
    }

    /// After a failure the log refuses everything; its owner opens it anew, in the same boot or after a
    /// crash.
    fn recover_from_failure(&mut self) {
        let log = self.log.as_mut().unwrap();
        assert!(matches!(log.append(1, b"x"), Err(Error::Poisoned)));
        assert!(matches!(log.flush(), Err(Error::Poisoned)));
        self.disk.set_capacity(None);
        if self.count.is_multiple_of(2) { self.kill() } else { self.crash(&[]) }
    }

    fn kill(&mut self) {
        self.log = None;
        self.disk.set_faults(Faults::none());
        // With the power off there is no cache that could live on.
        if self.disk.list("").is_ok() {
            self.disk.kill()
        } else {
            self.disk.crash()
        }
        self.reopen();
    }

    fn crash(&mut self, again_after: &[u64]) {
        self.log = None;
        self.disk.set_faults(Faults::none());
        self.disk.set_capacity(None);
        self.disk.crash();
        for &calls in again_after {
            self.disk.set_faults(Faults::none().nth_call(calls, Fault::PowerCut));
            self.opens += 1;
            drop(self.open());
            self.disk.crash();
        }
        self.disk.set_faults(Faults::none());
        self.reopen();
    }

    fn reopen(&mut self) {
        self.opens += 1;
        let (log, recovered) = self.open().expect("what a crash leaves is no damage");
        let found = log.entries(self.from).map(|entry| entry.expect("an open log can be read"));
        let found: Vec<_> = found.map(|entry| (entry.position, entry.kind, entry.payload)).collect();
        let released = self.appended.iter().take_while(|(position, ..)| *position < self.from).count();
        let expected = &self.appended[released..];
        assert!(found.len() <= expected.len(), "nothing is invented");
        assert_eq!(found, expected[..found.len()], "entries are what was appended, from the first on");
        let kept = released + found.len();
        assert!(kept >= self.promised, "{kept} of {} promised entries are there", self.promised);
        assert_eq!((log.end(), log.flushed()), (log.flushed(), log.end()));
        assert!(recovered.end <= log.end());
        self.appended.truncate(kept);
        self.promised = kept;
        self.log = Some(log);
    }

    fn open(&self) -> Result<(Log<MemoryDisk>, Recovered), Error> {
        let options = Options { from: self.from, ..options() };
        Log::open(self.disk.clone(), options, self.opens)
    }

    fn check_reading(&self) {
        let log = self.log.as_ref().unwrap();
        let readable: Vec<_> = self.appended.iter().filter(|(position, ..)| *position >= self.from).collect();
        for (position, kind, payload) in &readable {
            let entry = log.read(*position).expect("appended entries can be read");
            assert_eq!((entry.kind, &entry.payload), (*kind, payload));
        }
        assert_eq!(log.verify(self.from).unwrap(), readable.len() as u64);
    }
}

/// Bytes that no other entry has.
fn payload(number: u64, len: usize) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(len).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn flushed_entries_survive_whatever_happens(
        seed: u64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut life = Life::new(seed);
        for step in &steps {
            life.step(step);
        }
        life.disk.set_faults(Faults::none());
        if life.disk.list("").is_err() {
            life.crash(&[]);
        }
        life.check_reading();
        life.crash(&[]);
        life.check_reading();
    }
}

#[test]
fn a_flush_is_one_write_and_one_flush() {
    let disk = MemoryDisk::new(1);
    let (mut log, _) = Log::open(disk.clone(), wal::Options::default(), 0).unwrap();
    let before = disk.counters();
    for _ in 0..100 {
        log.append(1, &[7; 256]).unwrap();
    }
    log.flush().unwrap();
    let after = disk.counters();
    assert_eq!((after.writes - before.writes, after.flushes - before.flushes), (1, 1));
    log.flush().unwrap();
    assert_eq!(disk.counters(), after, "there is nothing left to flush");
}

#[test]
fn a_full_disk_refuses_an_entry_and_the_log_goes_on() {
    let disk = MemoryDisk::new(1);
    let (mut log, _) = open(&disk, 0).unwrap();
    log.append(1, b"before").unwrap();
    disk.set_capacity(Some(disk.used()));
    assert!(matches!(log.append(1, &[1; 2000]), Err(Error::NoSpace { .. })));
    log.append(1, b"small").unwrap();
    log.flush().unwrap();
    disk.crash();
    let (log, _) = open(&disk, 1).expect("a full disk can be opened");
    assert_eq!(log.verify(Position(0)).unwrap(), 2);
    disk.set_capacity(None);
    drop(log);
    let (mut log, _) = Log::open(disk, options(), 2).unwrap();
    log.append(1, &[1; 2000]).unwrap();
    log.flush().unwrap();
    assert_eq!(entries(&log).len(), 3);
}
