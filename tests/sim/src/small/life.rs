//! One history of a tiny space, as it is lived.

use crdt::{Class, CollId, Dot, Time, key};
use disk::MemoryDisk;
use home::{Home, MemoryRegistry};
use replica::Replica;
use sync::{Frame, Session, Store, frame::HEADER_LEN};

use super::begin::{self, NOW, Seedling};
use super::{Bounds, Listener, Step};
use crate::book::{Book, Vector};
use crate::machine::chain;
use crate::promise::{Breach, Look, Verdict, breach, liveness, loss, open, writers};

/// Rounds of talk after which everyone is equal, once nothing else happens.
const ROUNDS_MAX: u64 = 40;

/// The home and two devices in the middle of a history.
pub(super) struct Tiny<'a> {
    seedling: &'a Seedling,
    left: Bounds,
    wrote: [u64; 3],
    machines: Vec<Machine>,
    /// By device: its end and the home's.
    talks: [[Session; 2]; 2],
    home: Home,
    registry: MemoryRegistry,
    book: Book,
    coll: CollId,
    now: Time,
}

struct Machine {
    disk: MemoryDisk,
    replica: Replica<MemoryDisk>,
    run: u8,
    /// Written and not yet answered.
    pending: Vec<Dot>,
    version: u64,
    /// How far it told somebody that it holds each writer.
    told: Vector,
}

impl<'a> Tiny<'a> {
    /// The start of every history.
    pub(super) fn grow(seedling: &'a Seedling, bounds: Bounds) -> Result<Tiny<'a>, Breach> {
        let mut machines = Vec::new();
        for (at, disk) in seedling.disks.iter().enumerate() {
            let disk = disk.copy();
            let replica = start(seedling, at, 0, &disk)?;
            let version = replica.base().version;
            machines.push(Machine {
                disk,
                replica,
                run: 0,
                pending: Vec::new(),
                version,
                told: Vector::new(),
            });
        }
        let mut registry = MemoryRegistry::new();
        let home = begin::open_home(&seedling.keys[0], [0; 32], &mut machines[0].replica, &mut registry);
        let talks = [1, 2].map(|device| begin::sessions(&seedling.keys, device, [0, 0]));
        let mut book = Book::default();
        book.handle(machines[0].replica.base()).expect("the first");
        let coll = seedling.descriptor.id();
        Ok(Tiny {
            seedling,
            left: bounds,
            wrote: [0; 3],
            machines,
            talks,
            home,
            registry,
            book,
            coll,
            now: NOW,
        })
    }

    /// Something happens.
    pub(super) fn take(&mut self, step: Step) -> Verdict {
        match step {
            Step::Write(at) => self.write(at),
            Step::Flush(at) => self.flush(at),
            Step::Hears(device, listener) => self.hears(device, listener).map(|_| ()),
            Step::Batch => self.batch(),
            Step::Cut(device) => {
                self.left.cuts -= 1;
                self.connect(device);
                Ok(())
            }
            Step::Kill(at) => self.crash(at, MemoryDisk::kill),
            Step::PowerCut(at) => self.crash(at, MemoryDisk::crash),
        }
    }

    fn write(&mut self, at: usize) -> Verdict {
        self.wrote[at] += 1;
        let machine = &mut self.machines[at];
        let mut transaction = machine.replica.begin();
        let value = format!("written by {at}");
        let place = key::plain(b"key");
        let put = transaction.put(self.coll, &place, value.as_bytes());
        let committed = put.and_then(|()| machine.replica.commit(self.now, transaction, Class::Normal));
        let dot = committed.map_err(|error| breach("I14", format!("device {at}: {}", chain(&error))))?.dot;
        machine.pending.push(dot);
        writers::check(&mut self.book, dot, (at, u64::from(machine.run)))
    }

    /// Makes durable and visible, then answers; what its own device wrote goes into the book first.
    fn flush(&mut self, at: usize) -> Verdict {
        let machine = &mut self.machines[at];
        machine.replica.flush().map_err(|error| open::refused(&name(at), &chain(&error)))?;
        self.harvest(at)?;
        for dot in std::mem::take(&mut self.machines[at].pending) {
            self.book.acknowledge(dot, at);
        }
        Ok(())
    }

    fn harvest(&mut self, at: usize) -> Verdict {
        let (replica, device) = (&mut self.machines[at].replica, self.seedling.keys[at].id());
        let known = self.book.known().clone();
        let lacking = replica.next_commits(&known, 1 << 20);
        let lacking = lacking.map_err(|error| breach("I1", format!("{}: {}", name(at), chain(&error))))?;
        for commit in lacking.commits.iter().filter(|commit| commit.dot().writer.device() == device) {
            self.book.record((**commit).clone()).map_err(|what| breach("I6", what))?;
        }
        Ok(())
    }

    /// Everything one end has to say arrives at the other; how many frames that was.
    fn hears(&mut self, device: usize, listener: Listener) -> Result<u64, Breach> {
        let (speaker, at) = match listener {
            Listener::Home => (device, 0),
            Listener::Device => (0, device),
        };
        let end = usize::from(listener == Listener::Device);
        let mut count = 0;
        let talk = &mut self.talks[device - 1];
        if talk[end].poll_timeout().is_some_and(|due| due <= self.now) {
            talk[end].handle_timeout(self.now);
        }
        while let Some(bytes) = talk[end].poll_transmit(self.now, &mut self.machines[speaker].replica) {
            count += 1;
            note_told(&mut self.machines[speaker].told, &bytes);
            let heard = talk[1 - end].handle_bytes(self.now, &bytes, &mut self.machines[at].replica);
            if let Err(error) = heard {
                let what = format!("{} does not believe {}: {}", name(at), name(speaker), chain(&error));
                return Err(breach("I14", what));
            }
        }
        // Adopting flushes.
        self.harvest(at)?;
        Ok(count)
    }

    fn batch(&mut self) -> Verdict {
        let made = self.home.batch(&mut self.machines[0].replica, self.now, &mut self.registry);
        let made = made.map_err(|error| breach("I14", format!("the home: {}", chain(&error))))?;
        self.harvest(0)?;
        made.map_or(Ok(()), |handle| self.book.handle(&handle).map_err(|what| breach("I8", what)))
    }

    fn crash(&mut self, at: usize, how: impl Fn(&MemoryDisk)) -> Verdict {
        self.left.crashes -= 1;
        let Machine { disk, replica, run, told, version, .. } = self.machines.remove(at);
        drop(replica);
        how(&disk);
        let run = run + 1;
        let replica = start(self.seedling, at, run, &disk)?;
        loss::of_told(&name(at), &told, &replica, &self.book)?;
        self.machines.insert(at, Machine { disk, replica, run, pending: Vec::new(), version, told });
        if at == 0 {
            let (key, replica) = (&self.seedling.keys[0], &mut self.machines[0].replica);
            self.home = begin::open_home(key, [run; 32], replica, &mut self.registry);
        }
        self.harvest(at)?;
        for device in [1, 2] {
            if at == 0 || at == device {
                self.connect(device);
            }
        }
        Ok(())
    }

    fn connect(&mut self, device: usize) {
        let runs = [self.machines[device].run, self.machines[0].run];
        self.talks[device - 1] = begin::sessions(&self.seedling.keys, device, runs);
    }

    /// What can happen now. It asks each end what it has to say, and so uses the state up.
    pub(super) fn nexts(&mut self) -> Vec<Step> {
        let (machines, devices) = (0..=self.left.devices, 1..=self.left.devices);
        let mut nexts = Vec::new();
        nexts.extend(devices.clone().filter(|at| self.wrote[*at] < self.left.writes).map(Step::Write));
        let unflushed = |at: &usize| !self.machines[*at].replica.is_flushed();
        nexts.extend(machines.clone().filter(unflushed).map(Step::Flush));
        if self.home.due(Time(u64::MAX), &self.machines[0].replica).is_some() {
            nexts.push(Step::Batch);
        }
        if !nexts.is_empty() || self.is_talking() {
            // At the end of a history a crash or a cut tells nothing that it would not have told before.
            if self.left.crashes > 0 {
                nexts.extend(machines.flat_map(|at| [Step::Kill(at), Step::PowerCut(at)]));
            }
            if self.left.cuts > 0 {
                nexts.extend(devices.clone().map(Step::Cut));
            }
        }
        for device in devices {
            for listener in [Listener::Home, Listener::Device] {
                if self.has_to_say(device, listener) {
                    nexts.push(Step::Hears(device, listener));
                }
            }
        }
        nexts
    }

    fn is_talking(&self) -> bool {
        self.machines.iter().any(|machine| machine.replica.base() != self.machines[0].replica.base())
            || self.machines.iter().any(|machine| !machine.replica.tail().is_empty())
    }

    fn has_to_say(&mut self, device: usize, listener: Listener) -> bool {
        let (speaker, end) = match listener {
            Listener::Home => (device, 0),
            Listener::Device => (0, 1),
        };
        let talk = &mut self.talks[device - 1];
        talk[end].poll_transmit(self.now, &mut self.machines[speaker].replica).is_some()
    }

    /// Every promise holds.
    pub(super) fn check(&mut self) -> Verdict {
        for (at, machine) in self.machines.iter_mut().enumerate() {
            let look = Look::at(name(at), &machine.replica, &self.book, [self.coll]);
            let look = look.map_err(|error| breach("I1", format!("{}: {}", name(at), chain(&error))))?;
            look.check()?;
            loss::at_author(&look, at)?;
            crate::promise::handle::only_rises(&look, machine.version)?;
            machine.version = machine.replica.base().version;
        }
        Ok(())
    }

    /// Two histories with this in common have the same future.
    pub(super) fn digest(&self) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        for machine in &self.machines {
            let replica = &machine.replica;
            let told = &machine.told;
            let state = (replica.describe(), replica.tail(), replica.is_flushed(), machine.run, told);
            hasher.update(format!("{state:?}").as_bytes());
        }
        let acknowledged: Vec<_> = self.book.acknowledged().collect();
        let rest = (&self.talks, self.left, self.wrote, acknowledged);
        hasher.update(format!("{rest:?}").as_bytes());
        hasher.finalize().as_bytes()[..16].try_into().expect("sixteen of 32 bytes")
    }

    /// Nothing goes wrong any more, and time goes by: everyone becomes equal.
    pub(super) fn calm(&mut self) -> Verdict {
        [1, 2].into_iter().for_each(|device| self.connect(device));
        for _ in 0..ROUNDS_MAX {
            self.now = self.now.plus_ms(1_000);
            for device in [1, 2] {
                self.hears(device, Listener::Home)?;
                self.flush(0)?;
                self.hears(device, Listener::Device)?;
                self.flush(device)?;
            }
            self.batch()?;
            if !self.is_talking() {
                self.check()?;
                return (0..3).try_for_each(|at| {
                    let look = Look::at(name(at), &self.machines[at].replica, &self.book, [self.coll]);
                    let look = look.map_err(|error| breach("I1", format!("{}: {error}", name(at))))?;
                    loss::everywhere(&look, &self.machines[0].replica)
                });
            }
        }
        Err(liveness::too_late("some of the three lag behind"))
    }
}

fn name(at: usize) -> String {
    ["the home", "device 1", "device 2"][at].to_owned()
}

fn start(seedling: &Seedling, at: usize, run: u8, disk: &MemoryDisk) -> Result<Replica<MemoryDisk>, Breach> {
    let options = begin::open_options(&seedling.keys[at], [at as u8 * 16 + run + 1; 32]);
    let opened = Replica::open(disk.clone(), options);
    opened.map(|(replica, _)| replica).map_err(|error| open::refused(&name(at), &chain(&error)))
}

/// What a frame says that its sender holds durably.
fn note_told(told: &mut Vector, bytes: &[u8]) {
    let Ok(frame) = Frame::decode(bytes[4], &bytes[HEADER_LEN..]) else { return };
    loss::tell(told, &frame);
}
