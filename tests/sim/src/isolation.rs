//! Random transactions on one replica, interleaved step by step, on a disk that fails: what each saw is judged.
//!
//! Clients read names, misses and ranges, write and delete, and commit in groups that one flush makes durable; Handles,
//! checkpoints, power cuts and dying processes come in between. All of it must have an order (see [`crate::serial`]),
//! the transactions that were refused or given up included: they too saw one moment.

use crdt::{Class, CollId, Descriptor, DeviceKey, Policy, Time, key};
use disk::{Fault, Faults, MemoryDisk, Operation, Random};
use home::{Fingerprint, Founding, Home, HomeOptions, MemoryRegistry, Registry, found};
use replica::{CommitError, CreateOptions, KeyRange, Limits, Mode, OpenOptions, Order, Replica};

use crate::machine::chain;
use crate::serial::store::{Ending, Step, Store, Transaction};
use crate::serial::{self, Fate, Span, Stuck};

const NAMES: u64 = 8;
const CLIENTS: usize = 5;
const START: u64 = 1_790_000_000_000;

/// How often what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Transactions acknowledged after a flush.
    pub committed: u64,
    /// Refused, since what they had read was changed.
    pub conflicts: u64,
    /// Refused, since too much had changed to know.
    pub retries: u64,
    /// Given up by their clients.
    pub dropped: u64,
    /// On their way when the power went or the disk failed.
    pub unknown: u64,
    /// Transactions that shared a flush with others.
    pub grouped: u64,
    /// Power cuts and deaths of the process.
    pub crashes: u64,
    /// Handles and checkpoints.
    pub moves: u64,
}

impl Figures {
    /// Adds those of another life.
    pub fn merge(&mut self, other: &Figures) {
        self.committed += other.committed;
        self.conflicts += other.conflicts;
        self.retries += other.retries;
        self.dropped += other.dropped;
        self.unknown += other.unknown;
        self.grouped += other.grouped;
        self.crashes += other.crashes;
        self.moves += other.moves;
    }
}

/// Plays the life of a seed and judges it; the error names the transactions that no order explains.
pub fn play(seed: u64) -> Result<Figures, String> {
    let mut life = Life::new(seed);
    for _ in 0..400 {
        life.act();
    }
    life.end();
    match serial::order(&Store, &life.history) {
        Ok(_) => Ok(life.figures),
        Err(stuck) => Err(life.describe(&stuck)),
    }
}

/// A transaction under way.
struct Client {
    transaction: replica::Transaction<MemoryDisk>,
    steps: Vec<Step>,
    from: u64,
}

/// The disk failed, or the power went: the process is gone.
struct Gone;

struct Life {
    random: Random,
    disk: MemoryDisk,
    key: DeviceKey,
    coll: CollId,
    registry: MemoryRegistry,
    running: (Replica<MemoryDisk>, Home),
    clients: Vec<Client>,
    /// Committed and not flushed, as indexes into the history.
    pending: Vec<usize>,
    history: Vec<Span<Transaction>>,
    moment: u64,
    /// The log was flushed up to here.
    flushed: u64,
    opens: u64,
    figures: Figures,
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut random = Random::new(seed);
        let key = DeviceKey::from_seed([1; 32]);
        let disk = MemoryDisk::new(random.next());
        let things = Descriptor { name: "things".into(), policy: Policy::Lww, params: Vec::new() };
        let founding = Founding {
            device: &key,
            seed: [2; 32],
            now: Time(START),
            collections: std::slice::from_ref(&things),
        };
        let founded = found(&disk, &founding).expect("a fresh disk takes a space");
        let mut registry = MemoryRegistry::new();
        registry.cas(&founded.genesis.space(), 0, &founded.handle).expect("memory does not fail by itself");
        let options = CreateOptions {
            genesis: founded.genesis.clone(),
            ring: Vec::new(),
            device: key.clone(),
            origin: founded.into(),
            seed: [3; 32],
            now: Time(START),
            limits: limits(),
        };
        let mut replica = Replica::create(disk.clone(), options).expect("a fresh disk takes a replica");
        let home = open_home(&key, 0, &mut replica, Time(START), &mut registry).expect("a new home");
        Life {
            random,
            disk,
            key,
            coll: things.id(),
            registry,
            running: (replica, home),
            clients: Vec::new(),
            pending: Vec::new(),
            history: Vec::new(),
            moment: 0,
            flushed: 0,
            opens: 0,
            figures: Figures::default(),
        }
    }

    fn act(&mut self) {
        self.moment += 1;
        let done = match self.random.below(150) {
            0..22 => self.begin(),
            22..97 => self.step(),
            97..127 => self.commit(),
            127..131 => self.give_up(),
            131..142 => self.flush(),
            142 | 143 => self.checkpoint(),
            144 | 145 => self.move_handle(),
            146 => self.plan(Faults::none().nth(Operation::Flush, 0, Fault::Error)),
            147 => {
                let call = self.random.below(12);
                self.plan(Faults::none().nth_call(call, Fault::PowerCut))
            }
            _ => Err(Gone),
        };
        if let Err(Gone) = done {
            self.recover();
        }
    }

    fn now(&self) -> Time {
        Time(START + self.moment)
    }

    fn begin(&mut self) -> Result<(), Gone> {
        if self.clients.len() < CLIENTS {
            let transaction = self.running.0.begin();
            self.clients.push(Client { transaction, steps: Vec::new(), from: self.moment });
        }
        Ok(())
    }

    fn step(&mut self) -> Result<(), Gone> {
        let Some(index) = self.any_client() else { return Ok(()) };
        let name = format!("k{}", self.random.below(NAMES));
        // Now and then a value that does not fit into a commit.
        let padding = match self.random.below(10) {
            0 => ".".repeat(1500),
            1 | 2 => self.forged(),
            _ => String::new(),
        };
        let value = format!("v{}{padding}", self.moment);
        let (from, to) = (self.random.below(NAMES), self.random.below(NAMES + 1));
        let (from, to) = (format!("k{}", from.min(to)), format!("k{}", from.max(to)));
        let limit = 1 + self.random.below(4) as usize;
        let Client { transaction, steps, .. } = &mut self.clients[index];
        let step = match self.random.below(10) {
            0..3 => get(transaction, self.coll, name)?,
            3..6 => scan(transaction, self.coll, (from, to), self.random.coin(), limit)?,
            6..8 => {
                wanted(transaction.put(self.coll, &plain(&name), &bytes(&value)))?;
                Step::Put(name, value)
            }
            _ => {
                wanted(transaction.delete(self.coll, &plain(&name)))?;
                Step::Delete(name)
            }
        };
        steps.push(step);
        Ok(())
    }

    /// What looks like records of the log that know of flushes behind the last one there was: whoever reads a log behind
    /// its torn tail must not take them for any.
    fn forged(&self) -> String {
        let record = |n: u64| {
            let mut header = [0; 30];
            (header[4], header[5]) = (1, 3);
            header[6..14].copy_from_slice(&(1u64 << 40).to_be_bytes());
            // Each lies 30 bytes behind the one before it, and may not know more than there is.
            header[14..22].copy_from_slice(&(self.flushed + 1 + 20 * n).to_be_bytes());
            let checksum = crc32c::crc32c(&header[..26]);
            header[26..].copy_from_slice(&checksum.to_be_bytes());
            header
        };
        text((0..50).flat_map(record).collect())
    }

    fn any_client(&mut self) -> Option<usize> {
        let count = self.clients.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn commit(&mut self) -> Result<(), Gone> {
        let Some(index) = self.any_client() else { return Ok(()) };
        let Client { transaction, steps, from } = self.clients.swap_remove(index);
        let class = Class::ALL[self.random.below(3) as usize];
        let now = self.now();
        let committed = self.running.0.commit(now, transaction, class);
        let ending = match &committed {
            Ok(_) | Err(CommitError::Replica(_)) => Ending::Committed,
            Err(CommitError::Conflict { .. }) => {
                self.figures.conflicts += 1;
                Ending::Dropped
            }
            Err(CommitError::Retry) => {
                self.figures.retries += 1;
                Ending::Dropped
            }
            Err(error) => panic!("no reason to refuse it: {}", chain(error)),
        };
        let call = Transaction { steps, ending };
        let fate = if ending == Ending::Committed { Fate::Unknown } else { Fate::Answered };
        self.history.push(Span { call, from, to: self.moment, fate });
        if ending == Ending::Committed {
            self.pending.push(self.history.len() - 1);
        }
        if committed.is_err() && ending == Ending::Committed { Err(Gone) } else { Ok(()) }
    }

    fn give_up(&mut self) -> Result<(), Gone> {
        if let Some(index) = self.any_client() {
            let client = self.clients.swap_remove(index);
            self.drop_client(client);
        }
        Ok(())
    }

    fn drop_client(&mut self, client: Client) {
        self.figures.dropped += 1;
        let call = Transaction { steps: client.steps, ending: Ending::Dropped };
        self.history.push(Span { call, from: client.from, to: self.moment, fate: Fate::Answered });
    }

    fn flush(&mut self) -> Result<(), Gone> {
        self.flushed = self.running.0.flush().map_err(|_| Gone)?.position.0;
        let group = self.pending.len() as u64;
        self.figures.committed += group;
        self.figures.grouped += if group > 1 { group } else { 0 };
        for index in self.pending.drain(..) {
            (self.history[index].to, self.history[index].fate) = (self.moment, Fate::Answered);
        }
        Ok(())
    }

    fn checkpoint(&mut self) -> Result<(), Gone> {
        self.figures.moves += 1;
        let now = self.now();
        // Half of the time with commits that no flush covers.
        if self.random.coin() {
            self.flush()?;
        }
        let Some(job) = self.running.0.begin_checkpoint().map_err(|_| Gone)? else { return Ok(()) };
        let done = job.run().map_err(|_| Gone)?;
        self.running.0.finish_checkpoint(now, done).map_err(|_| Gone)
    }

    fn move_handle(&mut self) -> Result<(), Gone> {
        self.flush()?;
        self.figures.moves += 1;
        let now = self.now();
        let (replica, home) = &mut self.running;
        home.batch(replica, now, &mut self.registry).map_err(|_| Gone)?;
        self.flush()
    }

    fn plan(&mut self, faults: Faults) -> Result<(), Gone> {
        self.disk.set_faults(faults);
        Ok(())
    }

    /// The process ends, with the power or without, and another one opens what is there, perhaps at the second try.
    fn recover(&mut self) {
        self.figures.crashes += 1;
        for client in std::mem::take(&mut self.clients) {
            self.drop_client(client);
        }
        let is_dark = self.disk.faults_fired() > 0;
        if is_dark || self.random.coin() {
            self.disk.crash()
        } else {
            self.disk.kill()
        }
        let call = self.random.below(200);
        self.disk.set_faults(Faults::none().nth_call(call, Fault::PowerCut));
        let opened = self.open();
        let is_dark = self.disk.faults_fired() > 0;
        self.disk.set_faults(Faults::none());
        if is_dark {
            // Whatever that came to: the process is gone, too.
            self.disk.crash();
            self.open().unwrap_or_else(|error| panic!("it opens at the second try: {error}"));
        } else {
            opened.unwrap_or_else(|error| panic!("it opens whatever happened: {error}"));
        }
        self.moment += 1;
        self.figures.unknown += self.pending.len() as u64;
        // Whatever is not there now never will be.
        for index in self.pending.drain(..) {
            self.history[index].to = self.moment;
        }
        self.moment += 1;
    }

    fn open(&mut self) -> Result<(), String> {
        self.opens += 1;
        let mut seed = [4; 32];
        seed[..8].copy_from_slice(&self.opens.to_le_bytes());
        let now = self.now();
        let options =
            OpenOptions { device: self.key.clone(), seed, now, limits: limits(), mode: Mode::ReadWrite };
        let (mut replica, _) = Replica::open(self.disk.clone(), options).map_err(|error| chain(&error))?;
        let home = open_home(&self.key, self.opens, &mut replica, now, &mut self.registry)?;
        self.running = (replica, home);
        Ok(())
    }

    /// Everything is flushed and read once more.
    fn end(&mut self) {
        self.disk.set_faults(Faults::none());
        if self.flush().is_err() {
            self.recover();
        }
        for client in std::mem::take(&mut self.clients) {
            self.drop_client(client);
        }
        self.moment += 1;
        let all = ("k".to_owned(), "l".to_owned());
        let step = scan(&mut self.running.0.begin(), self.coll, all, false, usize::MAX);
        let Ok(step) = step else { panic!("a healthy disk is read") };
        let call = Transaction { steps: vec![step], ending: Ending::Dropped };
        self.history.push(Span { call, from: self.moment, to: self.moment, fate: Fate::Answered });
    }

    fn describe(&self, stuck: &Stuck) -> String {
        let line = |index: &usize| {
            let Span { call, from, to, fate } = &self.history[*index];
            format!("  [{from}..{to} {fate:?}] {call}\n")
        };
        let start = stuck.order.len().saturating_sub(8);
        let order: String = stuck.order[start..].iter().map(line).collect();
        let next: String = stuck.next.iter().map(line).collect();
        format!("no order: after {start} others\n{order}none of these can be next\n{next}")
    }
}

/// Small enough that state is folded into trees, that changes are forgotten and that the log has many segments.
fn limits() -> Limits {
    Limits { overlay_entries: 16, changes: 4, segment_bytes: 1 << 10, ..Limits::default() }
}

fn open_home(
    key: &DeviceKey,
    open: u64,
    replica: &mut Replica<MemoryDisk>,
    now: Time,
    registry: &mut MemoryRegistry,
) -> Result<Home, String> {
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&open.to_le_bytes());
    let options = HomeOptions { key: key.clone(), seed, fingerprint: Fingerprint([6; 32]) };
    Home::open(options, replica, now, registry).map_err(|error| chain(&error))
}

fn plain(name: &str) -> Vec<u8> {
    key::plain(name.as_bytes())
}

/// A value as a person sees it: a letter for each byte, whatever it is.
fn text(bytes: Vec<u8>) -> String {
    bytes.into_iter().map(char::from).collect()
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(letter).expect("a letter for each byte")).collect()
}

/// A write that was added to a transaction: what the collection is like may have to be read for that.
fn wanted(added: Result<(), CommitError>) -> Result<(), Gone> {
    match added {
        Err(CommitError::Replica(_)) => Err(Gone),
        added => {
            added.expect("a good key and a small value");
            Ok(())
        }
    }
}

fn get(transaction: &mut replica::Transaction<MemoryDisk>, coll: CollId, name: String) -> Result<Step, Gone> {
    let value = transaction.get(coll, &plain(&name)).map_err(|_| Gone)?;
    Ok(Step::Get(name, value.map(text)))
}

fn scan(
    transaction: &mut replica::Transaction<MemoryDisk>,
    coll: CollId,
    (from, to): (String, String),
    is_descending: bool,
    limit: usize,
) -> Result<Step, Gone> {
    let range = KeyRange { from: plain(&from), to: Some(plain(&to)) };
    let order = if is_descending { Order::Descending } else { Order::Ascending };
    let found = transaction.scan(coll, &range, order, limit).map_err(|_| Gone)?;
    let name = |key: &[u8]| text(key::plain_name(key).expect("clients write plain keys"));
    let pair = |(key, value): (Vec<u8>, Vec<u8>)| (name(&key), text(value));
    Ok(Step::Scan { from, to, is_descending, limit, found: found.into_iter().map(pair).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_interleaved_transactions_saw_has_an_order() {
        let mut figures = Figures::default();
        for seed in 1..=100 {
            match play(seed) {
                Ok(of_one) => figures.merge(&of_one),
                Err(what) => panic!("seed {seed}: {what}"),
            }
        }
        let Figures { committed, conflicts, retries, dropped, unknown, grouped, crashes, moves } = figures;
        for (what, count) in [
            ("commits", committed),
            ("conflicts", conflicts),
            ("retries", retries),
            ("dropped", dropped),
            ("unknown", unknown),
            ("grouped", grouped),
            ("crashes", crashes),
            ("moves", moves),
        ] {
            assert!(count > 20, "{count} {what}: {figures:?}");
        }
    }

    #[test]
    fn a_life_plays_again_to_the_letter() {
        assert_eq!(play(7), play(7));
    }
}
