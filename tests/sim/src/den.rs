//! A home, two devices that tell the truth and one that lies, on links without faults: what lies alone can do.
//!
//! After every round each of the honest ones is held against the book: it has nothing but commits that somebody made
//! validly, and shows exactly what these come to. A connection that a lie must end has ended, with a code that the lie
//! may have; between honest peers none ends. When the liar is gone the others become equal.

use std::collections::BTreeMap;

use crdt::{Class, CollId, Commit, CommitId, DeviceKey, Dot, Time, WriterId, key};
use disk::{MemoryDisk, Random};
use home::{Home, Invite, MemoryRegistry};
use replica::Replica;
use sync::Store;

use crate::machine::chain;
use crate::malice::{Liar, Lie, Told};

use talk::Talk;

mod begin;
mod shown;
mod talk;

const START: u64 = 1_790_000_000_000;
const HOME: usize = 0;
const LIAR: usize = 3;
/// Without the liar, and with a Handle in each round of two seconds, the others are equal within so many: a minute, since
/// a pause after commits that were not ready may take half of one.
const CALM_ROUNDS: u64 = 30;
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
    /// Writers of the liar's that were proven to have forked.
    pub proven: u64,
    /// Rounds from the liar's end to equal roots.
    pub rounds: u64,
}

impl Figures {
    /// Adds another life's, or takes the larger.
    pub fn merge(&mut self, other: &Figures) {
        self.told.merge(&other.told);
        self.closed += other.closed;
        self.commits += other.commits;
        self.proven += other.proven;
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
struct Den {
    random: Random,
    kinds: Vec<Lie>,
    now: u64,
    coll: CollId,
    /// Only the liar writes to it, and it counts nothing.
    counter: CollId,
    registry: MemoryRegistry,
    seats: Vec<Seat>,
    talks: Vec<Talk>,
    connections: u64,
    liar: Liar,
    has_liar: bool,
    /// The honest ones hear only the liar until then.
    alone_until: u64,
    /// Every commit that anybody made validly; of two with one dot, each may be believed until there is proof.
    book: BTreeMap<(Dot, CommitId), Commit>,
    known: BTreeMap<WriterId, u64>,
    /// For how many rounds honest ones that talk have held different commits of one dot.
    apart: BTreeMap<WriterId, u64>,
    figures: Figures,
}

impl Den {
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
        self.look()
    }

    /// Every honest one, with what a proof made its own device write again.
    fn look(&mut self) -> Result<(), String> {
        (0..self.seats.len()).try_for_each(|index| self.harvest(index))?;
        (0..LIAR).try_for_each(|index| self.check(index))?;
        self.watch_twins()
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
        self.book.insert((dot, commit.id()), commit);
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
                self.look()?;
                self.figures.proven += self.check_forks()?;
                return Ok(());
            }
        }
        let where_is =
            |seat: &Seat| format!("version {} + {:?}", seat.replica.base().version, seat.replica.tail());
        let seats: Vec<String> = self.seats.iter().map(where_is).collect();
        Err(format!("I14: the honest ones are not equal: {seats:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: u64 = 10;

    #[test]
    fn each_lie_alone_gets_its_answer() {
        let mut failed = Vec::new();
        for lie in Lie::ALL.iter().copied() {
            let (with, rounds) = match lie {
                // A node is asked for where the list of changes does not do, and nobody else has told before.
                Lie::WrongNode | Lie::FalseMissing | Lie::OmittedKey | Lie::OmittedNodes => {
                    (Some(Lie::OmittedChanges), 80)
                }
                // An Open has a tail, and a Cover has rows, where the connection is not the first.
                Lie::FalseTips | Lie::BoundlessCover | Lie::FalseFork | Lie::Rewind | Lie::FalseCover => {
                    (Some(Lie::EndlessLength), 10)
                }
                // Megabytes each.
                Lie::VastTail | Lie::ValueFlood => (None, 4),
                // A Handle is handed on with commits of the home now and then.
                Lie::OmittedHomeCommits | Lie::ChangedHomeCommits => (None, 80),
                // Both halves are told, and each is believed by somebody.
                Lie::Equivocation => (None, 30),
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
    fn two_commits_of_one_dot_are_proven_and_cut() {
        let mut all = Figures::default();
        for seed in 1..=SEEDS {
            match play(seed, &[Lie::Equivocation], 30) {
                Ok(figures) => all.merge(&figures),
                Err(what) => panic!("seed {seed}: {what}"),
            }
        }
        assert!(all.proven > 5, "{all:?}");
    }

    #[test]
    fn lies_together_leave_nothing_behind() {
        let mut all = Figures::default();
        for seed in 1..=SEEDS {
            match play(seed, Lie::ALL, 50) {
                Ok(figures) => all.merge(&figures),
                Err(what) => panic!("seed {seed}: {what}"),
            }
        }
        assert!(all.closed > 20 && all.commits > 500, "{all:?}");
    }
}
