//! What really happened in a space: every commit anyone made, what was acknowledged, and what state follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::deeds::Deeds;
use crdt::{CollId, Commit, DeviceId, Dot, Handle, Op, Payload, WriterId};

/// A key of a collection.
pub type Place = (CollId, Vec<u8>);

/// The live dots of every key with their payloads, by key and dot.
pub type State<'a> = Vec<(&'a Place, Vec<(Dot, &'a Payload)>)>;

/// How far each writer is held.
pub type Vector = BTreeMap<WriterId, u64>;

/// Which run of which machine opened a writer.
pub type Run = (usize, u64);

/// The book of a space, which no replica can read.
#[derive(Default)]
pub struct Book {
    commits: BTreeMap<Dot, Arc<Commit>>,
    /// Every dot whose writer was told that it is durable, with the machine; none once its folder was given up.
    acknowledged: BTreeMap<Dot, Option<usize>>,
    writers: BTreeMap<WriterId, Run>,
    handles: BTreeMap<u64, Handle>,
    known: Vector,
    /// What was ever put and removed at each key.
    keys: BTreeMap<Place, History>,
    /// What a reader with a vector was shown, as digests.
    pub shown: BTreeMap<[u8; 32], [u8; 32]>,
    /// Devices that the home took out at some time: it may have cut what they wrote.
    pub removed: BTreeSet<DeviceId>,
    /// What its author has dropped with something that it needs of a device that was out. That may count again later, and
    /// this not.
    pub dropped: BTreeSet<Dot>,
    /// Of what was acknowledged and then dropped by its author: what of it had an effect just before, so that it is to be
    /// written again.
    pub owed: BTreeMap<Dot, Vec<Owed>>,
    /// How far each writer was said to be anchored, anywhere.
    pub anchored: Vector,
    /// What applications asked for, in collections with a policy of their own.
    pub deeds: Deeds,
}

/// One effect of a commit that was dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Where.
    pub place: Place,
    /// What it removed that would come back; none for what it put.
    pub removes: Option<Dot>,
}

#[derive(Default)]
struct History {
    puts: BTreeMap<Dot, Payload>,
    /// Who removes what.
    removals: Vec<(Dot, Dot)>,
}

impl Book {
    /// Notes a commit that its author's log holds, flushed. The same dot must always be the same commit.
    pub fn record(&mut self, commit: Commit) -> Result<(), String> {
        let dot = commit.dot();
        match self.commits.get(&dot) {
            Some(known) if known.id() != commit.id() => {
                return Err(format!("two commits have the dot {dot}"));
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let known = self.known.entry(dot.writer).or_default();
        *known = dot.seq.max(*known);
        for mutation in &commit.body().mutations {
            let history = self.keys.entry((mutation.coll, mutation.key.clone())).or_default();
            if let Op::Put(payload) = &mutation.op {
                history.puts.insert(dot, payload.clone());
            }
            let may = |target: &&Dot| mutation.coll.rule().may_supersede(&dot.writer, &target.writer);
            history.removals.extend(mutation.supersedes.iter().filter(may).map(|target| (dot, *target)));
        }
        let commit = Arc::new(commit);
        self.commits.insert(dot, commit.clone());
        self.deeds.record(&commit, &self.commits);
        Ok(())
    }

    /// What was recorded is held against what was asked for.
    pub fn understand(&mut self) {
        self.deeds.understand(&self.commits);
    }

    /// Every writer that anybody opened, whether or not a commit of it was ever flushed.
    pub fn writers(&self) -> impl Iterator<Item = &WriterId> {
        self.writers.keys().chain(self.known.keys())
    }

    /// Notes which run made a dot: no other run, of this copy of the folder or another, may use its writer.
    pub fn wrote(&mut self, dot: Dot, run: Run) -> Result<(), String> {
        let opened = *self.writers.entry(dot.writer).or_insert(run);
        if opened == run { Ok(()) } else { Err(format!("run {run:?} wrote {dot}, opened by run {opened:?}")) }
    }

    /// The machine that opened a writer.
    pub fn machine_of(&self, writer: &WriterId) -> Option<usize> {
        self.writers.get(writer).map(|(machine, _)| *machine)
    }

    /// Notes that a writer was told its commit is durable.
    pub fn acknowledge(&mut self, dot: Dot, machine: usize) {
        self.acknowledged.insert(dot, Some(machine));
    }

    /// A machine's folder was given up: what it alone held is nobody's loss but its owner's.
    pub fn forgive(&mut self, machine: usize) {
        for author in self.acknowledged.values_mut().filter(|author| **author == Some(machine)) {
            *author = None;
        }
    }

    /// Notes a Handle; two with one version are an alarm. Before the first there is none.
    pub fn handle(&mut self, handle: &Handle) -> Result<(), String> {
        if handle.version == 0 {
            return Ok(());
        }
        match self.handles.get(&handle.version) {
            Some(known) if known != handle => Err(format!("two Handles have version {}", handle.version)),
            Some(_) => Ok(()),
            None => {
                self.handles.insert(handle.version, handle.clone());
                Ok(())
            }
        }
    }

    /// The home was restored, and nobody has what it had signed after a version.
    pub fn forget_handles_after(&mut self, version: u64) {
        self.handles.retain(|of, _| *of <= version);
    }

    /// The Handle of a version, if anyone made it.
    pub fn handle_of(&self, version: u64) -> Option<&Handle> {
        self.handles.get(&version)
    }

    /// Every acknowledged dot and the machine it was acknowledged at, if that still answers for it.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&Dot, Option<usize>)> {
        self.acknowledged.iter().map(|(dot, author)| (dot, *author))
    }

    /// The commit of a dot.
    pub fn commit(&self, dot: &Dot) -> Option<&Arc<Commit>> {
        self.commits.get(dot)
    }

    /// Every commit.
    pub fn commits(&self) -> impl Iterator<Item = &Arc<Commit>> {
        self.commits.values()
    }

    /// Whether a commit of a more urgent class needs this one, directly or through others.
    pub fn is_urgent(&self, dot: &Dot) -> bool {
        let mut waiting: BTreeSet<Dot> = [*dot].into();
        // Rising by dot is no causal order, so that a chain across writers may take several rounds.
        loop {
            let before = waiting.len();
            for (next, commit) in &self.commits {
                let follows = next.seq > 1 && waiting.contains(&Dot::new(next.writer, next.seq - 1));
                if follows || commit.needs().any(|needed| waiting.contains(needed)) {
                    if next.writer.class() < dot.writer.class() {
                        return true;
                    }
                    waiting.insert(*next);
                }
            }
            if waiting.len() == before {
                return false;
            }
        }
    }

    /// Whether a commit that is not held was cut, or needs one that was, directly or through others: then it counts no
    /// more either.
    pub fn needs_cut(&self, dot: Dot, is_held: impl Fn(&Dot) -> bool, is_cut: impl Fn(&Dot) -> bool) -> bool {
        let (mut looked_at, mut open) = (BTreeSet::new(), vec![dot]);
        while let Some(dot) = open.pop() {
            if is_held(&dot) || !looked_at.insert(dot) {
                continue;
            }
            if is_cut(&dot) {
                return true;
            }
            open.extend((dot.seq > 1).then(|| Dot::new(dot.writer, dot.seq - 1)));
            open.extend(self.commits.get(&dot).into_iter().flat_map(|commit| commit.needs().copied()));
        }
        false
    }

    /// How far each writer is known.
    pub fn known(&self) -> &Vector {
        &self.known
    }

    /// The state of the commits that a replica with this vector stands for: written minus superseded, and nothing
    /// else.
    pub fn state(&self, seen: &Vector) -> State<'_> {
        let is_held = |dot: &Dot| is_held(seen, dot);
        let mut state = State::new();
        for (place, history) in &self.keys {
            let removals = history.removals.iter().filter(|(by, _)| is_held(by));
            let removed: BTreeSet<&Dot> = removals.map(|(_, target)| target).collect();
            let lives = |dot: &Dot| is_held(dot) && !removed.contains(dot);
            let live = history.puts.iter().filter(|(dot, _)| lives(dot));
            let live: Vec<(Dot, &Payload)> = live.map(|(dot, payload)| (*dot, payload)).collect();
            if !live.is_empty() {
                state.push((place, live));
            }
        }
        state
    }

    /// Every key that was ever written.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.keys.keys()
    }

    /// The commits that were written in place of one that its author has dropped, those included that are not in the book.
    pub fn successors<'a>(
        &'a self,
        dropped: &Commit,
        unseen: &'a [&'a Commit],
    ) -> impl Iterator<Item = &'a Commit> {
        let (of, hlc) = (dropped.dot().writer, dropped.header().hlc);
        let opens_again = move |first: &Commit| {
            let open = first.header().open.as_ref();
            open.and_then(|open| open.reissues.as_ref()).is_some_and(|(writer, ..)| *writer == of)
        };
        let all = self.commits.values().map(|commit| &**commit).chain(unseen.iter().copied());
        let writers: BTreeSet<WriterId> =
            all.clone().filter(|commit| opens_again(commit)).map(|commit| commit.dot().writer).collect();
        all.filter(move |commit| commit.header().hlc == hlc && writers.contains(&commit.dot().writer))
    }

    /// Whether a dot was put at a place.
    pub fn is_put(&self, place: &Place, dot: &Dot) -> bool {
        self.keys.get(place).is_some_and(|history| history.puts.contains_key(dot))
    }

    /// Whether something held removes a dot at a place.
    pub fn is_removed(&self, place: &Place, dot: &Dot, seen: &Vector) -> bool {
        let history = self.keys.get(place);
        history.is_some_and(|history| {
            history.removals.iter().any(|(by, target)| target == dot && is_held(seen, by))
        })
    }
}

/// Whether a vector names a dot.
pub fn is_held(seen: &Vector, dot: &Dot) -> bool {
    seen.get(&dot.writer).is_some_and(|seq| dot.seq <= *seq)
}
