//! What applications asked for, and what each commit therefore does: kept beside the commits and by other code than the
//! replicas', so that what they wrote and what they show can be held against what was meant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crdt::codec::Decoder;
use crdt::key::{self, Element};
use crdt::view::{Json, Manner, Siblings};
use crdt::{CollId, Commit, Dot, Hlc, Op, Payload, Policy};

use crate::book::{Place, Vector, is_held};
use crate::deeds::document::Document;
use crate::malice::nonsense;
use crate::space::Kept;

pub mod document;

/// What an application wants of a collection, in the words of its policy. A key is an encoded one.
#[derive(Debug, Clone)]
pub enum Verb {
    /// A value at a key.
    Put(Vec<u8>, Vec<u8>),
    /// A value at a key, in place of what its transaction saw there and of nothing else.
    PutSeen(Vec<u8>, Vec<u8>),
    /// Nothing at a key.
    Delete(Vec<u8>),
    /// Some of the values at a key go.
    Discard(Vec<u8>, BTreeSet<Dot>),
    /// What is at the first key is at the second.
    Rename(Vec<u8>, Vec<u8>, Vec<u8>),
    /// So much more.
    Count(Vec<u8>, i128),
    /// An element is in its set.
    Add(Vec<u8>),
    /// An element is in its set no more.
    Remove(Vec<u8>),
    /// A document is this.
    Document(Element, BTreeMap<String, Json>),
    /// All that a tuple begins goes: a document, a field with what is in it, a set.
    Clear(Vec<Element>),
}

/// One verb of a transaction.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where.
    pub coll: CollId,
    /// What.
    pub verb: Verb,
    /// How the collection read to the transaction.
    pub read: Manner,
    /// How it reads when the transaction commits.
    pub manner: Manner,
}

/// What a commit was asked to do, and what its writer saw.
#[derive(Debug)]
pub struct Request {
    /// The commit.
    pub dot: Dot,
    /// Its verbs, in order.
    pub asks: Vec<Ask>,
    /// What its transaction read.
    pub read: Vector,
    /// All that was held when it was made.
    pub seen: Vector,
}

/// What a write says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// A value.
    Value(Vec<u8>),
    /// So much more on a counter.
    Count(i128),
    /// An element is in a set.
    Added,
    /// An element is out of a two-phase set.
    Removed,
    /// Nothing that its policy understands.
    Nothing,
}

/// What one commit does at one key.
#[derive(Debug)]
struct Deed {
    hlc: Hlc,
    /// What it writes, if it does not only take away.
    says: Option<Says>,
    /// What it takes away.
    over: BTreeSet<Dot>,
}

/// A write that nothing has taken away.
#[derive(Debug, Clone)]
pub struct Alive<'a> {
    /// The commit.
    pub dot: Dot,
    /// Its time.
    pub hlc: Hlc,
    /// What it says.
    pub says: &'a Says,
}

impl Alive<'_> {
    /// Of two writes the one that ranks higher wins.
    pub fn rank(&self) -> (Hlc, Dot) {
        (self.hlc, self.dot)
    }
}

/// What was asked for and done in the collections of a space that have a policy of their own.
#[derive(Debug, Default)]
pub struct Deeds {
    made: BTreeMap<CollId, Manner>,
    /// Every manner that the home has ever named.
    named: BTreeMap<CollId, Vec<Manner>>,
    /// In the order in which they were made; a commit that no log ever held stays.
    requests: Vec<Request>,
    requested: BTreeSet<Dot>,
    done: BTreeMap<Place, BTreeMap<Dot, Deed>>,
}

/// Commits by dot.
type Commits = BTreeMap<Dot, Arc<Commit>>;

/// What a commit does at a key: what it writes there, and over what.
type Effect = (Vec<u8>, Option<Says>, BTreeSet<Dot>);

impl Deeds {
    /// Of these collections.
    pub fn of(kept: &[Kept]) -> Deeds {
        Deeds { made: kept.iter().map(|kept| (kept.id, kept.made)).collect(), ..Deeds::default() }
    }

    /// The collections, and how each was made.
    pub fn colls(&self) -> impl Iterator<Item = (CollId, Manner)> {
        self.made.iter().map(|(coll, made)| (*coll, *made))
    }

    /// The home says how a collection is read from now on.
    pub fn name(&mut self, coll: CollId, manner: Manner) {
        self.named.entry(coll).or_default().push(manner);
    }

    /// Whether a collection was made so, or the home has said so.
    pub fn is_known(&self, coll: CollId, manner: Manner) -> bool {
        self.made[&coll] == manner || self.named.get(&coll).is_some_and(|named| named.contains(&manner))
    }

    /// Takes note of what a commit is to do.
    pub fn ask(&mut self, request: Request) {
        self.requested.insert(request.dot);
        self.requests.push(request);
    }

    /// Takes note of a commit. One that nobody asked for, as one that takes the place of others, does what it says.
    pub fn record(&mut self, commit: &Commit, commits: &Commits) {
        let dot = commit.dot();
        if self.requested.contains(&dot) {
            return;
        }
        for mutation in &commit.body().mutations {
            let Some(made) = self.made.get(&mutation.coll) else { continue };
            let before = mutation.supersedes.iter().filter_map(|earlier| commits.get(earlier));
            let before = before.flat_map(|commit| &commit.body().mutations);
            let before =
                before.filter(|earlier| (earlier.coll, &earlier.key) == (mutation.coll, &mutation.key));
            let is_nonsense = |payload: &Payload| {
                let meant = |(key, bytes): &(Vec<u8>, Vec<u8>)| {
                    *key == mutation.key && Payload::Inline(bytes.clone()) == *payload
                };
                nonsense(made.policy).iter().any(meant)
            };
            let says = match &mutation.op {
                Op::Put(payload) if is_nonsense(payload) => Some(Says::Nothing),
                Op::Put(payload) if is_counter(made.policy) => {
                    let below = before.map(|earlier| match &earlier.op {
                        Op::Put(payload) => total(made.policy, payload).unwrap_or_default(),
                        Op::Delete => 0,
                    });
                    let below: i128 = below.sum();
                    Some(
                        total(made.policy, payload).map_or(Says::Nothing, |total| Says::Count(total - below)),
                    )
                }
                Op::Put(payload) => Some(said(made.policy, payload)),
                Op::Delete => None,
            };
            let over = mutation.supersedes.iter().copied().collect();
            self.do_it(commit, mutation.coll, (mutation.key.clone(), says, over));
        }
    }

    /// Works out what the commits do that were asked for and recorded since.
    pub fn understand(&mut self, commits: &Commits) {
        let requests = std::mem::take(&mut self.requests);
        let unknown = requests.iter().map(|asked| asked.dot).filter(|dot| !commits.contains_key(dot));
        let unknown: Vec<Dot> = unknown.collect();
        // What it saw comes first: of what is flushed together some may leave, and be known, before the rest.
        let is_ready = |asked: &Request| {
            commits.contains_key(&asked.dot) && !unknown.iter().any(|dot| is_held(&asked.seen, dot))
        };
        let (ready, waiting): (Vec<Request>, Vec<Request>) = requests.into_iter().partition(is_ready);
        self.requests = waiting;
        for request in ready {
            let commit = &commits[&request.dot];
            for ask in &request.asks {
                for effect in self.effects(ask, &request, commit) {
                    self.do_it(commit, ask.coll, effect);
                }
            }
        }
    }

    fn do_it(&mut self, commit: &Commit, coll: CollId, (key, says, over): Effect) {
        let here = self.done.entry((coll, key)).or_default();
        let deed = Deed { hlc: commit.header().hlc, says, over };
        match (here.get_mut(&commit.dot()), &deed.says) {
            // A transaction may count more than once.
            (Some(Deed { says: Some(Says::Count(count)), .. }), Some(Says::Count(more))) => *count += more,
            _ => drop(here.insert(commit.dot(), deed)),
        }
    }

    /// The keys of a collection.
    pub fn keys(&self, coll: CollId) -> impl Iterator<Item = &Vec<u8>> {
        let here = self.done.range((coll, Vec::new())..).take_while(move |((of, _), _)| *of == coll);
        here.map(|((_, key), _)| key)
    }

    /// What is alive at a key where this much is held, the highest first.
    pub fn alive(&self, coll: CollId, key: &[u8], seen: &Vector) -> Vec<Alive<'_>> {
        let Some(here) = self.done.get(&(coll, key.to_vec())) else { return Vec::new() };
        let held = || here.iter().filter(|(dot, _)| is_held(seen, dot));
        let gone: BTreeSet<&Dot> = held().flat_map(|(_, deed)| &deed.over).collect();
        let alive = held().filter(|(dot, _)| is_counter(self.made[&coll].policy) || !gone.contains(dot));
        let mut alive: Vec<Alive<'_>> = alive
            .filter_map(|(dot, deed)| Some(Alive { dot: *dot, hlc: deed.hlc, says: deed.says.as_ref()? }))
            .collect();
        alive.sort_by_key(|alive| std::cmp::Reverse(alive.rank()));
        alive
    }

    /// What counting has come to at a key; none: nobody has counted.
    pub fn count(&self, coll: CollId, key: &[u8], seen: &Vector) -> Option<i128> {
        let counts = self.alive(coll, key, seen).into_iter().filter_map(|alive| match alive.says {
            Says::Count(count) => Some(*count),
            _ => None,
        });
        counts.reduce(|a, b| a + b)
    }

    /// A document where this much is held.
    pub fn document(&self, coll: CollId, document: &Element, seen: &Vector) -> Document {
        let mut read = Document::default();
        for key in self.keys(coll) {
            let Ok(elements) = key::decode(key) else { continue };
            if elements[0] == *document {
                read.add(&elements[1..], self.alive(coll, key, seen));
            }
        }
        read
    }

    /// What one verb comes to, key by key.
    fn effects(&self, ask: &Ask, request: &Request, commit: &Commit) -> Vec<Effect> {
        let all = |key: &[u8]| self.dots(ask.coll, key, &request.seen);
        let read = |key: &[u8]| self.dots(ask.coll, key, &request.read);
        let taken = |key: &Vec<u8>| (key.clone(), None, all(key));
        let put = |key: &Vec<u8>, value: &[u8]| {
            let over = self.over(ask, key, &request.seen, commit);
            (key.clone(), Some(Says::Value(value.to_vec())), over)
        };
        // All that was seen, gone meanwhile or not: whoever replaced it first may be cut off.
        let put_seen =
            |key: &Vec<u8>, value: &[u8]| (key.clone(), Some(Says::Value(value.to_vec())), read(key));
        match &ask.verb {
            Verb::Put(key, value) if ask.read.policy == Policy::Mv => vec![put_seen(key, value)],
            Verb::Put(key, value) => vec![put(key, value)],
            Verb::PutSeen(key, value) => vec![put_seen(key, value)],
            Verb::Delete(key) if ask.read.policy == Policy::Mv => {
                let seen = read(key);
                let over = if all(key).is_disjoint(&seen) { BTreeSet::new() } else { seen };
                vec![(key.clone(), None, over)]
            }
            Verb::Delete(key) => vec![taken(key)],
            Verb::Discard(key, dots) => {
                vec![(key.clone(), None, all(key).intersection(dots).copied().collect())]
            }
            Verb::Rename(old, new, value) => vec![taken(old), put(new, value)],
            Verb::Count(key, more) => vec![(key.clone(), Some(Says::Count(*more)), BTreeSet::new())],
            Verb::Add(key) | Verb::Remove(key) if ask.read.policy == Policy::OrSet => {
                let says = matches!(ask.verb, Verb::Add(_)).then_some(Says::Added);
                vec![(key.clone(), says, all(key))]
            }
            Verb::Add(key) => self.advance(ask.coll, key, &request.seen, &Says::Added),
            Verb::Remove(key) => self.advance(ask.coll, key, &request.seen, &Says::Removed),
            Verb::Document(document, value) => {
                let change = self.document(ask.coll, document, &request.seen).change(&ask.read, value);
                let key = |path: &[String]| document::key_of(document, path);
                let gone = change.gone.iter().map(|path| taken(&key(path)));
                let put = change.put.iter().map(|(path, value)| put(&key(path), value));
                gone.chain(put).collect()
            }
            Verb::Clear(tuple) => {
                let begins = |key: &&Vec<u8>| key::decode(key).is_ok_and(|key| key.starts_with(tuple));
                let keys: Vec<&Vec<u8>> = self.keys(ask.coll).filter(begins).collect();
                keys.into_iter().map(taken).filter(|(_, _, over)| !over.is_empty()).collect()
            }
        }
    }

    /// An element that only goes forward: nothing, where it is as far already.
    fn advance(&self, coll: CollId, key: &[u8], seen: &Vector, to: &Says) -> Vec<Effect> {
        let alive = self.alive(coll, key, seen);
        let is = |what: &Says| alive.iter().any(|alive| alive.says == what);
        let goes = match to {
            Says::Added => !is(&Says::Added) && !is(&Says::Removed),
            _ => is(&Says::Added) && !is(&Says::Removed),
        };
        let effect = || (key.to_vec(), Some(to.clone()), BTreeSet::new());
        goes.then(effect).into_iter().collect()
    }

    /// What a put takes away that knows all that is there: all of it, or what would be shown in its place.
    fn over(&self, ask: &Ask, key: &[u8], seen: &Vector, commit: &Commit) -> BTreeSet<Dot> {
        let alive = self.alive(ask.coll, key, seen);
        let mine = (commit.header().hlc, commit.dot());
        let goes = |(place, alive): &(usize, &Alive<'_>)| {
            ask.manner.siblings != Siblings::Keep || *place == 0 || alive.rank() > mine
        };
        alive.iter().enumerate().filter(goes).map(|(_, alive)| alive.dot).collect()
    }

    fn dots(&self, coll: CollId, key: &[u8], seen: &Vector) -> BTreeSet<Dot> {
        self.alive(coll, key, seen).iter().map(|alive| alive.dot).collect()
    }
}

/// What a payload says that nobody is known to have asked for.
fn said(policy: Policy, payload: &Payload) -> Says {
    match payload {
        Payload::Inline(bytes) if policy == Policy::TwoPhaseSet => match bytes.as_slice() {
            [0] => Says::Added,
            [1] => Says::Removed,
            _ => Says::Nothing,
        },
        _ if matches!(policy, Policy::OrSet | Policy::GSet) => Says::Added,
        Payload::Inline(bytes) => Says::Value(bytes.clone()),
        Payload::Blob(_) => Says::Nothing,
    }
}

fn is_counter(policy: Policy) -> bool {
    matches!(policy, Policy::GCounter | Policy::PnCounter)
}

/// What a writer has counted in all, by its payload.
fn total(policy: Policy, payload: &Payload) -> Option<i128> {
    let Payload::Inline(bytes) = payload else { return None };
    let mut from = Decoder::new(bytes);
    let total = match policy {
        Policy::GCounter => i128::from(from.uint().ok()?),
        _ => {
            from.array_of(2).ok()?;
            i128::from(from.uint().ok()?) - i128::from(from.uint().ok()?)
        }
    };
    from.finish().ok()?;
    Some(total)
}
