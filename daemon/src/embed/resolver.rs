//! A program's own way to settle the conflicts of a collection: asked on threads of its own, and never trusted to return.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use replica::Place;

use super::{Collection, Error};
use crate::api::types::Conflict;
use crate::conflicts::{News, Settle, settle_at};
use crate::slot;

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_millis(100);

/// Threads that are left behind in a resolver that does not return; after so many it is not asked any more.
const STUCK_MAX: usize = 4;

/// Why a resolver did not come to a decision, in its own words.
pub type ResolverError = Box<dyn std::error::Error + Send + Sync>;

/// What a resolver decided; nothing: the conflict is for a person.
type Answer = Result<Option<Settle>, ResolverError>;

type Resolve = dyn Fn(&Conflict) -> Answer + Send + Sync;

/// A resolver that is registered for as long as this lives.
#[must_use = "it is registered for as long as this lives"]
pub struct Resolver {
    events: Sender<Event>,
    asking: Option<JoinHandle<()>>,
    looks: Arc<AtomicU64>,
}

/// What the asking thread waits for.
enum Event {
    Stop,
    /// The question of this number has come back.
    Heard(u64, Heard),
}

/// What came of a question.
enum Heard {
    Answer(Answer),
    Panicked,
    Late,
}

/// Why asking ends.
enum End {
    Stopped,
    Stuck,
}

/// Who asks.
struct Asking {
    collection: Collection,
    resolve: Arc<Resolve>,
    timeout: Duration,
    events: Receiver<Event>,
    answers: Sender<Event>,
    news: News,
    looks: Arc<AtomicU64>,
    questions: u64,
    /// The questions that have not come back in time, nor since.
    stuck: BTreeSet<u64>,
}

impl Collection {
    /// Has every conflict of this collection settled by `resolve`, those that are open and those that come, until what this
    /// returns is dropped.
    ///
    /// It is asked once about each. What it decides is written as by [`super::Space::settle`]: an ordinary commit, on exactly
    /// the writes that it was shown. A conflict stays for a person where it answers `None`, fails, panics, or takes longer
    /// than `conflicts.resolver_timeout` of the settings; nobody waits for it meanwhile.
    pub fn resolve_with(
        &self,
        resolve: impl Fn(&Conflict) -> Answer + Send + Sync + 'static,
    ) -> Result<Resolver, Error> {
        let snapshot = self.space.snapshot()?;
        let manner = snapshot.manner(self.id)?.unwrap_or_default();
        if snapshot.contestable(self.id)?.is_none() {
            return Err(slot::Error::Peaceful { policy: manner.policy }.into());
        }
        let (answers, events) = mpsc::channel();
        let looks = Arc::new(AtomicU64::new(0));
        let asking = Asking {
            collection: self.clone(),
            resolve: Arc::new(resolve),
            timeout: self.space.spaces.settings().conflicts.resolver_timeout.0,
            events,
            answers: answers.clone(),
            news: News::of(self.id),
            looks: looks.clone(),
            questions: 0,
            stuck: BTreeSet::new(),
        };
        let asking = thread::Builder::new().name("resolver".to_string()).spawn(move || asking.run());
        let asking = asking.map_err(|error| slot::Error::Unavailable { reason: error.to_string() })?;
        Ok(Resolver { events: answers, asking: Some(asking), looks })
    }
}

impl Resolver {
    /// How often it has looked at a key until now: that grows with what changes, and not with what is open.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}

impl Drop for Resolver {
    /// What is being written is finished; what is being thought about is not waited for.
    fn drop(&mut self) {
        // Where nobody listens any more the thread has ended.
        drop(self.events.send(Event::Stop));
        if let Some(asking) = self.asking.take()
            && asking.join().is_err()
        {
            tracing::error!("what asks a resolver has failed");
        }
    }
}

impl Asking {
    fn run(mut self) {
        let mut seen = None;
        loop {
            let now = self.collection.space.space.slot.seen();
            if now != seen {
                match self.round() {
                    Ok(true) => seen = now,
                    // The space is not open just now, or busy.
                    Ok(false) => {}
                    Err(End::Stopped) => return,
                    Err(End::Stuck) => {
                        tracing::warn!("a resolver does not return, and is not asked any more");
                        return;
                    }
                }
            }
            match self.events.recv_timeout(LOOK) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                // The conflict was left open long ago.
                Ok(Event::Heard(question, _)) => drop(self.stuck.remove(&question)),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Asks about every conflict that was not asked about before; whether all could be looked at.
    fn round(&mut self) -> Result<bool, End> {
        let space = self.collection.space.space.clone();
        if looked(self.news.catch_up(&space))?.is_none() {
            return Ok(false);
        }
        loop {
            let next = looked(self.news.next(&space))?;
            self.looks.store(self.news.looks(), Ordering::Relaxed);
            match next {
                None => return Ok(false),
                Some(None) => return Ok(true),
                Some(Some((place, conflict))) => self.settle(&place, conflict)?,
            }
        }
    }

    fn settle(&mut self, place: &Place, conflict: Conflict) -> Result<(), End> {
        let (id, policy) = (conflict.id.clone(), conflict.policy.clone().unwrap_or_default());
        let space = self.collection.space.space.clone();
        let outcome = match self.ask(conflict)? {
            Heard::Late => "resolver-late",
            Heard::Panicked => "resolver-panicked",
            Heard::Answer(Ok(None)) => "resolver-left",
            Heard::Answer(Err(error)) => {
                tracing::warn!(conflict = %id, %error, "a resolver failed");
                "resolver-failed"
            }
            Heard::Answer(Ok(Some(how))) => match settle_at(&space, place, &id, &how) {
                // Counted where it was done; or somebody else was first.
                Ok(_) | Err(slot::Error::Settled { .. }) => return Ok(()),
                Err(slot::Error::Closed) => return Err(End::Stopped),
                Err(error) => {
                    tracing::warn!(conflict = %id, %error, "what a resolver decided cannot be written");
                    "resolver-failed"
                }
            },
        };
        space.metrics.settled(&policy, outcome);
        if self.stuck.len() < STUCK_MAX { Ok(()) } else { Err(End::Stuck) }
    }

    /// Asks, and waits as long as the settings say: a resolver that takes longer is left behind.
    fn ask(&mut self, conflict: Conflict) -> Result<Heard, End> {
        self.questions += 1;
        let (question, resolve, answers) = (self.questions, self.resolve.clone(), self.answers.clone());
        let asked = thread::Builder::new().name("resolver".to_string()).spawn(move || {
            let heard = match catch_unwind(AssertUnwindSafe(|| resolve(&conflict))) {
                Ok(answer) => Heard::Answer(answer),
                // What it said was told where it happened.
                Err(_) => Heard::Panicked,
            };
            // Nobody listens to an answer that comes after the end.
            drop(answers.send(Event::Heard(question, heard)));
        });
        if let Err(error) = asked {
            return Ok(Heard::Answer(Err(error.into())));
        }
        let begun = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(begun.elapsed());
            match self.events.recv_timeout(left) {
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(End::Stopped),
                Ok(Event::Heard(number, heard)) if number == question => return Ok(heard),
                Ok(Event::Heard(number, _)) => drop(self.stuck.remove(&number)),
                Err(RecvTimeoutError::Timeout) => {
                    self.stuck.insert(question);
                    return Ok(Heard::Late);
                }
            }
        }
    }
}

/// What was found; nothing: the space cannot be read just now.
fn looked<T>(found: Result<T, slot::Error>) -> Result<Option<T>, End> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(slot::Error::Closed) => Err(End::Stopped),
        Err(error) => {
            tracing::debug!(%error, "conflicts cannot be listed for their resolver");
            Ok(None)
        }
    }
}
