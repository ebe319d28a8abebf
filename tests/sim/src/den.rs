//! A home, two devices that tell the truth and one that lies, on links without faults: what lies alone can do.
//!
//! After every round each of the honest ones is held against the book: it has nothing but commits that somebody made
//! validly, and shows exactly what these come to. A connection that a lie must end has ended, with a code that the lie
//! may have; between honest peers none ends. When the liar is gone the others become equal.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crdt::{
    Class, CollId, Commit, Descriptor, DeviceKey, Dot, Effect, Policy, SpaceId, Time, WriterId, effects, key,
    physical,
};
use disk::{MemoryDisk, Random};
use home::{Fingerprint, Founding, Home, HomeOptions, Invite, MemoryRegistry, Registry, found};
use replica::{CreateOptions, KeyRange, Limits, Order, Origin, Replica};
use sync::{EndedBy, Local, Role, Session, Store};

use crate::machine::chain;
use crate::malice::{Answer, Liar, Lie, Occasion, Told};

const START: u64 = 1_790_000_000_000;
const HOME: usize = 0;
const LIAR: usize = 3;
/// Who calls whom.
const LINKS: [[usize; 2]; 6] = [[1, 0], [2, 0], [1, 2], [3, 0], [3, 1], [2, 3]];
/// The most a session may keep for one peer: a frame, values before their commits, and what is known of its writers.
const HELD_MAX: usize = 128 << 20;
/// Without the liar, and with a Handle in each round, the others are equal within so many.
const CALM_ROUNDS: u64 = 10;
/// A hand-made clock may pull an honest one ahead by no more than this, and the commits made meanwhile.
const AHEAD_MAX_MS: u64 = 5 * 60_000 + 1_000;

/// What one life came to.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How often which lie was told.
    pub told: Told,
    /// Connections that ended for a lie.
    pub closed: u64,
    /// Commits the honest ones made.
    pub commits: u64,
    /// The most bytes that a session kept for the liar.
    pub held_len: usize,
    /// Rounds from the liar's end to equal roots.
    pub rounds: u64,
}

impl Figures {
    /// Adds another life's, or takes the larger.
    pub fn merge(&mut self, other: &Figures) {
        self.told.merge(&other.told);
        self.closed += other.closed;
        self.commits += other.commits;
        self.held_len = self.held_len.max(other.held_len);
        self.rounds = self.rounds.max(other.rounds);
    }
}

/// Plays the life of a seed, so many rounds with a liar that tells these kinds of lies, and then without it.
pub fn play(seed: u64, kinds: &[Lie], rounds: u64) -> Result<Figures, String> {
    let mut den = Den::new(seed, kinds);
    for _ in 0..rounds {
        den.round()?;
    }
    den.calm()?;
    den.figures.told = den.liar.told;
    Ok(den.figures)
}

struct Seat {
    key: DeviceKey,
    replica: Replica<MemoryDisk>,
    home: Option<Home>,
}

struct Talk {
    ends: [usize; 2],
    sessions: [Session; 2],
    /// Frames on the way to each end.
    pipes: [Vec<Vec<u8>>; 2],
    mood: Vec<Lie>,
    /// Lies told in it so far.
    told: BTreeSet<Lie>,
}

struct Den {
    random: Random,
    kinds: Vec<Lie>,
    now: u64,
    coll: CollId,
    registry: MemoryRegistry,
    seats: Vec<Seat>,
    talks: Vec<Talk>,
    connections: u64,
    liar: Liar,
    has_liar: bool,
    /// The honest ones hear only the liar until then.
    alone_until: u64,
    /// Every commit that anybody made validly.
    book: BTreeMap<Dot, Commit>,
    known: BTreeMap<WriterId, u64>,
    figures: Figures,
}

impl Den {
    fn new(seed: u64, kinds: &[Lie]) -> Den {
        let mut random = Random::new(seed);
        let things = Descriptor { name: "things".into(), policy: Policy::Lww, params: Vec::new() };
        let mut registry = MemoryRegistry::new();
        let home = open_space(&things, &mut registry);
        let space = home.replica.space();
        let liar = Liar::new(random.next(), device(LIAR), space);
        let mut den = Den {
            random,
            kinds: kinds.to_vec(),
            now: START,
            coll: things.id(),
            registry,
            seats: vec![home],
            talks: Vec::new(),
            connections: 0,
            liar,
            has_liar: true,
            alone_until: 0,
            book: BTreeMap::new(),
            known: BTreeMap::new(),
            figures: Figures::default(),
        };
        for index in 1..=LIAR {
            den.join(index, space);
        }
        den
    }

    fn join(&mut self, index: usize, space: SpaceId) {
        let key = device(index);
        let Seat { home, replica, .. } = &mut self.seats[HOME];
        let home = home.as_mut().expect("it has the role");
        let now = Time(self.now);
        let (secret, addresses) = ([index as u8; 32], Vec::new());
        let not_after = now.plus_ms(1_000);
        let invite = Invite { role: crdt::Role::Writer, uses: 1, not_after, secret, addresses };
        let ticket = home.invite(replica, now, invite).expect("the home may invite");
        let proof = crdt::proof(&ticket.secret, &space, &key.public(), b"exported");
        let join = sync::frame::Join { space, device_key: key.public(), proof };
        home.admit_join(replica, now, &join, b"exported").expect("a healthy disk");
        home.batch(replica, now, &mut self.registry).expect("a healthy disk");
        let options = create(&key, ticket.genesis, Origin::Joined, index as u8);
        let replica =
            Replica::create(MemoryDisk::new(index as u64), options).expect("a fresh disk takes a replica");
        self.seats.push(Seat { key, replica, home: None });
    }

    fn round(&mut self) -> Result<(), String> {
        self.now += 50 + self.random.below(3_000);
        for index in 0..self.seats.len() {
            if self.random.below(3) == 0 && self.seats[index].replica.base().version > 0 {
                self.write(index)?;
            }
        }
        if self.random.below(15) == 0 {
            self.alone_until = self.now + self.random.below(20_000);
            self.talks.retain(|talk| talk.ends.contains(&LIAR));
        }
        self.talk()?;
        if self.random.below(4) == 0 {
            self.fold()?;
        }
        (0..self.seats.len()).filter(|index| *index != LIAR).try_for_each(|index| self.check(index))
    }

    /// Some frames there and back over every connection.
    fn talk(&mut self) -> Result<(), String> {
        for _ in 0..4 {
            self.now += 1 + self.random.below(50);
            self.connect();
            self.transmit();
            self.deliver()?;
        }
        Ok(())
    }

    fn write(&mut self, index: usize) -> Result<(), String> {
        let now = Time(self.now);
        let replica = &mut self.seats[index].replica;
        for _ in 0..1 + self.random.below(3) {
            let mut transaction = replica.begin();
            for _ in 0..1 + self.random.below(3) {
                let key = key::plain(format!("key-{:02}", self.random.below(12)).as_bytes());
                let value = vec![index as u8; if self.random.below(6) == 0 { 2_000 } else { 8 }];
                let written = match self.random.below(4) {
                    0 => transaction.delete(self.coll, &key),
                    _ => transaction.put(self.coll, &key, &value),
                };
                written.map_err(|error| chain(&error))?;
            }
            let class = Class::ALL[self.random.below(3) as usize];
            // Blind writes never conflict.
            replica.commit(now, transaction, class).map_err(|error| chain(&error))?;
        }
        replica.flush().map_err(|error| chain(&error))?;
        self.harvest(index)
    }

    /// What a device has written goes into the book.
    fn harvest(&mut self, index: usize) -> Result<(), String> {
        let device = self.seats[index].key.id();
        let mut known = self.known.clone();
        loop {
            let outgoing = self.seats[index].replica.next_commits(&known, 1 << 20);
            let outgoing = outgoing.map_err(|error| chain(&error))?;
            for commit in outgoing.commits {
                let dot = commit.dot();
                known.insert(dot.writer, dot.seq);
                if dot.writer.device() == device {
                    self.record(index, Commit::clone(&commit))?;
                }
            }
            if !outgoing.more {
                return Ok(());
            }
        }
    }

    fn record(&mut self, index: usize, commit: Commit) -> Result<(), String> {
        let dot = commit.dot();
        let ahead = commit.header().hlc.time().since(Time(self.now));
        if index != LIAR && ahead > AHEAD_MAX_MS {
            return Err(format!("I17: the clock of m{index} is {ahead} ms ahead at {dot}"));
        }
        self.figures.commits += u64::from(index != LIAR);
        self.known.insert(dot.writer, dot.seq);
        self.book.insert(dot, commit);
        Ok(())
    }

    /// The home makes a Handle; now and then with a commit of its own in it.
    fn fold(&mut self) -> Result<(), String> {
        let Seat { home, replica, .. } = &mut self.seats[HOME];
        let home = home.as_mut().expect("it has the role");
        let now = Time(self.now);
        if self.random.coin() {
            let secret = [self.random.next() as u8; 32];
            let not_after = now.plus_ms(1_000);
            let invite =
                Invite { role: crdt::Role::Reader, uses: 1, not_after, secret, addresses: Vec::new() };
            home.invite(replica, now, invite).map_err(|error| chain(&error))?;
        }
        home.batch(replica, now, &mut self.registry).map(drop).map_err(|error| chain(&error))
    }

    fn connect(&mut self) {
        for ends in LINKS {
            let is_open = self.talks.iter().any(|talk| talk.ends == ends);
            let is_apart = if ends.contains(&LIAR) { !self.has_liar } else { self.now < self.alone_until };
            if is_open || is_apart {
                continue;
            }
            self.connections += 1;
            let session = |at: usize| {
                let mut instance = [ends[at] as u8; 16];
                instance[..8].copy_from_slice(&self.connections.to_le_bytes());
                let (device, peer) = (self.seats[ends[at]].key.id(), self.seats[ends[1 - at]].key.id());
                let role = if at == 0 { Role::Dialer } else { Role::Listener };
                Session::new(role, Local { device, instance, peer }, Time(self.now), sync::Config::default())
            };
            let sessions = [session(0), session(1)];
            let mood = if ends.contains(&LIAR) { self.liar.mood(&self.kinds) } else { Vec::new() };
            self.talks.push(Talk {
                ends,
                sessions,
                pipes: [Vec::new(), Vec::new()],
                mood,
                told: BTreeSet::new(),
            });
        }
    }

    fn transmit(&mut self) {
        let others: Vec<[u8; 32]> = self.seats[..LIAR].iter().map(|seat| seat.key.public()).collect();
        for talk in &mut self.talks {
            for at in 0..2 {
                let (from, peer) = (talk.ends[at], talk.ends[1 - at]);
                let replica = &mut self.seats[from].replica;
                let now = Time(self.now);
                while let Some(bytes) = talk.sessions[at].poll_transmit(now, replica) {
                    if from != LIAR {
                        talk.pipes[1 - at].push(bytes);
                        continue;
                    }
                    let occasion = Occasion { now, replica, peer, others: &others };
                    let speech = self.liar.speak(&talk.mood, &occasion, bytes);
                    talk.pipes[1 - at].extend(speech.frames);
                    talk.told.extend(speech.lie);
                    if matches!(speech.lie.map(Lie::answer), Some(Answer::Closes(_))) {
                        break;
                    }
                }
            }
        }
        for commit in self.liar.valid.drain(..) {
            self.book.insert(commit.dot(), commit);
        }
    }

    fn deliver(&mut self) -> Result<(), String> {
        for index in 0..self.talks.len() {
            for at in 0..2 {
                let talk = &mut self.talks[index];
                let seat = &mut self.seats[talk.ends[at]];
                let now = Time(self.now);
                for bytes in std::mem::take(&mut talk.pipes[at]) {
                    // The answer is in the session's end; what it closed for is looked at below.
                    if let Err(error) = talk.sessions[at].handle_bytes(now, &bytes, &mut seat.replica) {
                        let is_lied_to = talk.ends[1 - at] == LIAR;
                        if !is_lied_to && talk.ends[at] != LIAR {
                            return Err(format!("{:?}: honest peers part: {}", talk.ends, chain(&error)));
                        }
                    }
                    let held_len = talk.sessions[at].held_len();
                    self.figures.held_len = self.figures.held_len.max(held_len);
                }
                if talk.sessions[at].poll_timeout().is_some_and(|due| due <= now) {
                    talk.sessions[at].handle_timeout(now);
                }
                seat.replica.flush().map_err(|error| format!("m{}: {}", talk.ends[at], chain(&error)))?;
                if talk.ends[at] != LIAR {
                    self.judge(index, at)?;
                }
            }
        }
        if self.figures.held_len > HELD_MAX {
            return Err(format!("a session keeps {} bytes for its peer", self.figures.held_len));
        }
        self.talks.retain(|talk| !talk.sessions.iter().any(Session::is_closed));
        Ok(())
    }

    /// How an honest end of a connection took what it was told.
    fn judge(&mut self, index: usize, at: usize) -> Result<(), String> {
        let talk = &self.talks[index];
        let status = talk.sessions[at].status(&self.seats[talk.ends[at]].replica);
        let told: Vec<Lie> = talk.told.iter().copied().collect();
        let Some(end) = status.end.filter(|end| end.by == EndedBy::Us) else {
            let is_fatal = |lie: &&Lie| matches!(lie.answer(), Answer::Closes(_));
            return match told.iter().find(is_fatal) {
                Some(lie) if status.end.is_none() => {
                    Err(format!("{:?}: M{} {lie:?} was let pass", talk.ends, lie.number()))
                }
                _ => Ok(()),
            };
        };
        let may = |lie: &Lie| match lie.answer() {
            Answer::Closes(codes) | Answer::MayClose(codes) => codes.contains(&end.code),
            Answer::GoesOn => false,
        };
        if !told.iter().any(may) {
            let (ends, code) = (talk.ends, end.code);
            return Err(format!("{ends:?}: closed with {code:?} for {told:?}: {:?}", status.last_error));
        }
        self.figures.closed += 1;
        Ok(())
    }

    /// An honest replica holds valid commits only, and shows what they come to.
    fn check(&self, index: usize) -> Result<(), String> {
        let replica = &self.seats[index].replica;
        for (writer, seq, tip) in replica.tail() {
            match self.book.get(&Dot::new(writer, seq)) {
                Some(commit) if commit.id() == tip => {}
                _ => return Err(format!("m{index} holds {writer} up to {seq}, which nobody wrote")),
            }
        }
        let snapshot = replica.snapshot();
        let mut expected: BTreeMap<Vec<u8>, crdt::Payload> = BTreeMap::new();
        let mut removed: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut seen: BTreeMap<WriterId, u64> = BTreeMap::new();
        for (dot, commit) in &self.book {
            let last = match seen.entry(dot.writer) {
                Entry::Occupied(last) => *last.get(),
                Entry::Vacant(first) => {
                    let tip = snapshot.tip(&dot.writer).map_err(|error| chain(&error))?;
                    *first.insert(tip.map_or(0, |tip| tip.seq))
                }
            };
            if last < dot.seq {
                continue;
            }
            for effect in effects(commit) {
                match effect {
                    Effect::Put(key, _, payload) => drop(expected.insert(key, payload.clone())),
                    Effect::Remove(key) => drop(removed.insert(key)),
                }
            }
        }
        expected.retain(|key, _| !removed.contains(key));
        let mut found = BTreeMap::new();
        let scan = snapshot.scan(self.coll, &KeyRange::all(), Order::Ascending);
        for read in scan.map_err(|error| chain(&error))? {
            let read = read.map_err(|error| chain(&error))?;
            for live in read.losers.into_iter().chain([read.winner]) {
                found.insert(physical(&self.coll, &read.key, &live.dot), live.payload);
            }
        }
        if found == expected {
            return Ok(());
        }
        let differs = |(key, payload): &(&Vec<u8>, &crdt::Payload)| expected.get(*key) != Some(*payload);
        let extra =
            found.iter().find(differs).or_else(|| expected.iter().find(|(key, _)| !found.contains_key(*key)));
        let place = extra.and_then(|(key, _)| crdt::split_physical(key));
        Err(format!("I1: m{index} shows another state than its commits come to, at {place:?}"))
    }

    /// The liar is gone, and the others become equal.
    fn calm(&mut self) -> Result<(), String> {
        self.has_liar = false;
        self.alone_until = 0;
        self.talks.retain(|talk| !talk.ends.contains(&LIAR));
        for round in 1..=CALM_ROUNDS {
            self.now += 2_000;
            self.talk()?;
            self.fold()?;
            let honest = &self.seats[..LIAR];
            let is_equal = |seat: &Seat| {
                seat.replica.base() == honest[HOME].replica.base() && seat.replica.tail().is_empty()
            };
            if honest.iter().all(is_equal) {
                self.figures.rounds = round;
                return (0..LIAR).try_for_each(|index| self.check(index));
            }
        }
        let where_is =
            |seat: &Seat| format!("version {} + {:?}", seat.replica.base().version, seat.replica.tail());
        let seats: Vec<String> = self.seats.iter().map(where_is).collect();
        Err(format!("I14: the honest ones are not equal: {seats:?}"))
    }
}

fn device(index: usize) -> DeviceKey {
    DeviceKey::from_seed([index as u8 + 1; 32])
}

fn create(key: &DeviceKey, genesis: crdt::Genesis, origin: Origin, seed: u8) -> CreateOptions {
    let limits = Limits { overlay_entries: 64, ..Limits::default() };
    CreateOptions {
        genesis,
        ring: Vec::new(),
        device: key.clone(),
        origin,
        seed: [seed; 32],
        now: Time(START),
        limits,
    }
}

/// The home of a new space.
fn open_space(things: &Descriptor, registry: &mut MemoryRegistry) -> Seat {
    let (key, disk) = (device(HOME), MemoryDisk::new(HOME as u64));
    let now = Time(START);
    let founding = Founding { device: &key, seed: [2; 32], now, collections: std::slice::from_ref(things) };
    let founded = found(&disk, &founding).expect("a fresh disk takes a space");
    registry.cas(&founded.genesis.space(), 0, &founded.handle).expect("memory does not fail by itself");
    let options = create(&key, founded.genesis.clone(), founded.into(), 0);
    let mut replica = Replica::create(disk, options).expect("a fresh disk takes a replica");
    let options = HomeOptions { key: key.clone(), seed: [3; 32], fingerprint: Fingerprint([6; 32]) };
    let home = Home::open(options, &mut replica, now, registry).expect("a new home");
    Seat { key, replica, home: Some(home) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: u64 = 10;

    /// Two commits of one dot end in proofs and cuts, which have a test of their own.
    fn kinds() -> Vec<Lie> {
        Lie::ALL.iter().copied().filter(|lie| *lie != Lie::Equivocation).collect()
    }

    #[test]
    fn each_lie_alone_gets_its_answer() {
        let mut failed = Vec::new();
        for lie in kinds() {
            let (with, rounds) = match lie {
                // A node is asked for where the list of changes does not do, and nobody else has told before.
                Lie::WrongNode | Lie::FalseMissing => (Some(Lie::OmittedChanges), 80),
                // An Open has a tail, and a Cover has rows, where the connection is not the first.
                Lie::FalseTips | Lie::BoundlessCover | Lie::FalseFork | Lie::Rewind | Lie::FalseCover => {
                    (Some(Lie::EndlessLength), 10)
                }
                // Megabytes each.
                Lie::VastTail | Lie::ValueFlood => (None, 4),
                // A Handle is handed on with commits of the home now and then.
                Lie::OmittedHomeCommits | Lie::ChangedHomeCommits => (None, 80),
                _ => (None, 10),
            };
            let kinds: Vec<Lie> = [lie].into_iter().chain(with).collect();
            let mut all = Figures::default();
            for seed in 1..=3 {
                match play(seed, &kinds, rounds) {
                    Ok(figures) => all.merge(&figures),
                    Err(what) => failed.push(format!("seed {seed}, M{} {lie:?}: {what}", lie.number())),
                }
            }
            if all.told.count(lie) == 0 {
                failed.push(format!("M{} {lie:?} was never told", lie.number()));
            }
        }
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    #[test]
    fn lies_together_leave_nothing_behind() {
        let mut all = Figures::default();
        for seed in 1..=SEEDS {
            match play(seed, &kinds(), 50) {
                Ok(figures) => all.merge(&figures),
                Err(what) => panic!("seed {seed}: {what}"),
            }
        }
        assert!(all.closed > 20 && all.commits > 500, "{all:?}");
    }
}
