//! The n-th call to the disk goes wrong, then the n+1st, until a whole story passes without.

use disk::{Fault, Faults, MemoryDisk};
use wal::{Error, Log, Options, Position};

use crate::options;

/// What the owner of the log knows: what it appended, and how much of it was flushed.
#[derive(Default)]
struct Memory {
    appended: Vec<Vec<u8>>,
    promised: usize,
    opens: u64,
}

impl Memory {
    /// Opens the log, and believes what is there.
    fn open(&mut self, disk: &MemoryDisk) -> Result<Log<MemoryDisk>, Error> {
        self.opens += 1;
        let (log, _) = Log::open(disk.clone(), options(), self.opens)?;
        let found = log.entries(Position(0)).map(|entry| entry.map(|entry| entry.payload));
        let found: Vec<Vec<u8>> = found.collect::<Result<_, _>>()?;
        assert!(found.len() >= self.promised && found.len() <= self.appended.len());
        assert_eq!(found, self.appended[..found.len()]);
        self.promised = found.len();
        self.appended = found;
        Ok(log)
    }

    /// Several batches over several segments, an idle mark, and a second opening.
    fn story(&mut self, disk: &MemoryDisk) -> Result<(), Error> {
        for _ in 0..2 {
            let mut log = self.open(disk)?;
            for _ in 0..3 {
                self.append(&mut log, 40)?;
                self.append(&mut log, 900)?;
                self.flush(&mut log)?;
                log.mark_idle()?;
            }
            self.append(&mut log, 5)?;
        }
        Ok(())
    }

    fn append(&mut self, log: &mut Log<MemoryDisk>, len: usize) -> Result<(), Error> {
        let payload = vec![self.appended.len() as u8; len];
        log.append(1, &payload)?;
        self.appended.push(payload);
        Ok(())
    }

    fn flush(&mut self, log: &mut Log<MemoryDisk>) -> Result<(), Error> {
        log.flush()?;
        self.promised = self.appended.len();
        Ok(())
    }
}

/// What happens between the failure and the next opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Kill,
    Crash,
}

/// Lets every call of the story fail once, then every call of the opening after it, and counts the worlds
/// that were.
fn fail_everywhere(fault: Fault, then: Then) -> u64 {
    let mut worlds = 0;
    for n in 0.. {
        // The second failure strikes during the recovery from the first.
        for again in [None, Some(n % 7), Some(n % 13)] {
            let disk = MemoryDisk::new(n);
            let mut memory = Memory::default();
            disk.set_faults(Faults::none().nth_call(n, fault));
            let result = memory.story(&disk);
            if disk.faults_fired() == 0 {
                result.expect("nothing went wrong");
                return worlds;
            }
            worlds += 1;
            let failed_as_planned = match (&result, fault) {
                (Ok(()), Fault::Short) => true,
                // A fault that does not concern the call lets it succeed; a mended read is no failure either.
                (Ok(()), Fault::NoSpace) => true,
                (Err(Error::Disk { .. } | Error::NoSpace { .. }), _) => true,
                _ => false,
            };
            assert!(failed_as_planned, "call {n}: {result:?}");
            let plan = again.map_or(Faults::none(), |again| Faults::none().nth_call(again, fault));
            recover(&disk, &mut memory, then, plan);
        }
    }
    unreachable!("the story has an end")
}

fn recover(disk: &MemoryDisk, memory: &mut Memory, then: Then, plan: Faults) {
    disk.set_faults(plan);
    for _ in 0..2 {
        match then {
            Then::Kill => disk.kill(),
            Then::Crash => disk.crash(),
        }
        match memory.open(disk) {
            Ok(_) => break,
            Err(Error::Disk { .. } | Error::NoSpace { .. }) => disk.set_faults(Faults::none()),
            Err(error) => panic!("{error}"),
        }
    }
    disk.set_faults(Faults::none());
    if then == Then::Crash {
        disk.crash();
    }
    let mut log = memory.open(disk).expect("what failures leave is no damage");
    memory.append(&mut log, 3).unwrap();
    memory.flush(&mut log).unwrap();
    drop(log);
    disk.crash();
    memory.open(disk).expect("the log goes on");
}

#[test]
fn any_call_may_fail_before_the_process_dies() {
    assert!(fail_everywhere(Fault::Error, Then::Kill) > 100);
}

#[test]
fn any_call_may_fail_before_the_power_goes() {
    assert!(fail_everywhere(Fault::Error, Then::Crash) > 100);
}

#[test]
fn the_power_may_go_at_any_call() {
    assert!(fail_everywhere(Fault::PowerCut, Then::Crash) > 100);
}

#[test]
fn the_disk_may_be_full_at_any_call() {
    assert!(fail_everywhere(Fault::NoSpace, Then::Crash) > 100);
}

#[test]
fn any_write_or_read_may_be_short() {
    assert!(fail_everywhere(Fault::Short, Then::Crash) > 100);
}

/// A rotation that finds the disk full, and one that does not, with the power going at any call.
#[test]
fn the_power_may_go_at_any_call_after_the_disk_was_full() {
    for n in 0.. {
        let mut is_over = true;
        for seed in 0..20 {
            let disk = MemoryDisk::new(seed);
            let mut memory = Memory::default();
            let mut log = memory.open(&disk).unwrap();
            memory.append(&mut log, 40).unwrap();
            disk.set_capacity(Some(disk.used() + 100));
            let full = log.append(1, &[9; 900]);
            assert!(matches!(full, Err(Error::NoSpace { .. })));
            disk.set_capacity(None);
            disk.set_faults(Faults::none().nth_call(n, Fault::PowerCut));
            let result = memory.append(&mut log, 50).and_then(|()| memory.append(&mut log, 900));
            let result = result.and_then(|()| memory.flush(&mut log));
            is_over &= result.is_ok();
            recover(&disk, &mut memory, Then::Crash, Faults::none());
        }
        if is_over {
            return;
        }
    }
}

#[test]
fn reading_from_inside_an_entry_is_an_error() {
    let disk = MemoryDisk::new(1);
    let (mut log, _) = Log::open(disk, Options::default(), 0).unwrap();
    let position = log.append(1, &vec![0; 3 << 20]).unwrap();
    for inside in [1, 30, 30 + (1 << 20)] {
        let result = log.read(Position(position.0 + inside));
        assert!(matches!(result, Err(Error::Damaged { .. })), "{result:?}");
    }
    assert!(matches!(log.read(log.end()), Err(Error::Missing { .. })));
    assert!(matches!(log.read(Position(log.end().0 + 1)), Err(Error::Missing { .. })));
}

#[test]
fn a_payload_over_the_limit_is_refused_and_changes_nothing() {
    let disk = MemoryDisk::new(1);
    let (mut log, _) = Log::open(disk, Options::default(), 0).unwrap();
    let end = log.end();
    let too_large = vec![0; wal::PAYLOAD_LEN_MAX + 1];
    assert!(matches!(log.append(1, &too_large), Err(Error::TooLarge { .. })));
    assert_eq!(log.end(), end);
    let position = log.append(1, &too_large[1..]).unwrap();
    log.flush().unwrap();
    assert_eq!(log.read(position).unwrap().payload.len(), wal::PAYLOAD_LEN_MAX);
}
