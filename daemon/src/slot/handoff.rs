//! The hand-off of one owner: whoever finds it free runs all that queued up, makes it visible, answers, and puts it back.
//!
//! There is no committer thread. Whoever comes while the owner is out queues; a reader takes the published view and
//! waits for nobody. This file knows nothing of replicas, so that a model checker can run it as it is, with the
//! checker's locks for ours (`tests/handoff/main.rs`).

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use planted::Bug;

use super::primitives::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, RwLock, yield_now};

/// Gives up the processor this often while fewer wait than last time: their next commands are on the way.
const GATHER_YIELDS: usize = 4;

/// What is handed from one to the next.
pub(crate) trait Owned {
    /// What others want of it.
    type Command;
    /// What readers see.
    type View: Clone;
    /// What the callers of a batch are told.
    type Answers;
    /// When it wants to run though nobody has a command.
    type Wake: Copy + PartialEq;

    /// What a command costs, in the unit of the limit of a batch.
    fn cost(command: &Self::Command) -> usize;
    /// Runs a batch and makes it as durable as was promised. Returns what to answer, and the commands to run again.
    fn run(&mut self, batch: Vec<Self::Command>) -> (Self::Answers, Vec<Self::Command>);
    /// Gives the answers, and does what can wait until then.
    fn answer(&mut self, answers: Self::Answers);
    /// What readers see now.
    fn view(&self) -> Option<Self::View>;
    /// Whether something was answered that readers do not see yet.
    fn is_ahead(&self) -> bool;
    /// When it wants to run next.
    fn wake(&self) -> Option<Self::Wake>;
    /// A turn ended in a panic: its commands are lost, and nobody knows in which state it is.
    fn fail(&mut self, reason: &str);
}

/// Where the owner waits for its next command.
pub(crate) struct Handoff<O: Owned> {
    shared: Mutex<Shared<O>>,
    view: RwLock<Option<O::View>>,
    /// Answered and not visible yet.
    is_ahead: AtomicBool,
    /// How many commands the last batch had.
    last_batch: AtomicUsize,
    limits: Limits,
}

/// Bounds on what queues.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Cost at which a batch is full.
    pub(crate) batch_cost: usize,
    /// Commands that may wait.
    pub(crate) queue: usize,
}

/// Why a command was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Closed,
    Full(usize),
}

/// What is left to do for whoever ran the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: somebody else has the owner.
    Nothing,
    /// The owner is back.
    Back {
        /// It wants to run at another time than before.
        is_wake_changed: bool,
        /// Somebody queued who found it gone: it must be run again.
        is_waited_for: bool,
    },
}

struct Shared<O: Owned> {
    queue: VecDeque<O::Command>,
    /// `None` while somebody runs it, and for good once closed.
    owner: Option<Box<O>>,
    wake: Option<O::Wake>,
    is_closed: bool,
}

impl<O: Owned> Handoff<O> {
    /// Around an owner that wants to run at `wake`.
    pub(crate) fn new(owner: Box<O>, wake: O::Wake, limits: Limits) -> Handoff<O> {
        let view = owner.view();
        let shared =
            Shared { queue: VecDeque::new(), owner: Some(owner), wake: Some(wake), is_closed: false };
        Handoff {
            shared: Mutex::new(shared),
            view: RwLock::new(view),
            is_ahead: AtomicBool::new(false),
            last_batch: AtomicUsize::new(0),
            limits,
        }
    }

    /// Queues a command. Whoever does so calls [`Handoff::run`] then, or makes sure that somebody does.
    pub(crate) fn push(&self, command: O::Command) -> Result<(), Refused> {
        let mut shared = self.shared();
        if shared.is_closed {
            return Err(Refused::Closed);
        }
        if shared.queue.len() >= self.limits.queue {
            return Err(Refused::Full(shared.queue.len()));
        }
        shared.queue.push_back(command);
        Ok(())
    }

    /// Runs what is queued if the owner is here, at most `turns` batches.
    pub(crate) fn run(&self, turns: usize) -> Left {
        let Some(mut owner) = self.shared().owner.take() else { return Left::Nothing };
        for _ in 0..turns {
            self.gather();
            let Some(batch) = self.next_batch() else { break };
            self.turn(&mut owner, batch);
        }
        self.put_back(owner)
    }

    /// One turn even though nothing may be queued: for what is due.
    pub(crate) fn turn_once(&self) -> Left {
        let Some(mut owner) = self.shared().owner.take() else { return Left::Nothing };
        let batch = self.next_batch().unwrap_or_default();
        self.turn(&mut owner, batch);
        self.put_back(owner)
    }

    /// Whether nobody runs the owner.
    pub(crate) fn is_free(&self) -> bool {
        self.shared().owner.is_some()
    }

    /// Whether something was answered that readers do not see yet.
    pub(crate) fn is_ahead(&self) -> bool {
        self.is_ahead.load(Ordering::Acquire)
    }

    /// What readers see.
    pub(crate) fn view(&self) -> Option<O::View> {
        self.view.read().expect("publishing cannot panic").clone()
    }

    /// When the owner wants to run though nobody has a command.
    pub(crate) fn wake(&self) -> Result<Option<O::Wake>, Refused> {
        let shared = self.shared();
        if shared.is_closed { Err(Refused::Closed) } else { Ok(shared.wake) }
    }

    /// Drops the owner and everything that waits for it. One that is out is dropped by whoever has it.
    pub(crate) fn close(&self) {
        let mut shared = self.shared();
        shared.is_closed = true;
        shared.queue.clear();
        let owner = shared.owner.take();
        drop(shared);
        drop(owner);
        *self.view.write().expect("publishing cannot panic") = None;
    }

    fn shared(&self) -> MutexGuard<'_, Shared<O>> {
        self.shared.lock().expect("nothing that can panic runs under this lock")
    }

    fn gather(&self) {
        let expected = self.last_batch.load(Ordering::Relaxed);
        for _ in 0..GATHER_YIELDS {
            if self.shared().queue.len() >= expected {
                return;
            }
            yield_now();
        }
    }

    fn next_batch(&self) -> Option<Vec<O::Command>> {
        let mut shared = self.shared();
        let mut cost = 0;
        let mut batch = Vec::new();
        while let Some(next) = shared.queue.pop_front() {
            cost += O::cost(&next);
            batch.push(next);
            if cost >= self.limits.batch_cost {
                break;
            }
        }
        self.last_batch.store(batch.len(), Ordering::Relaxed);
        if batch.is_empty() { None } else { Some(batch) }
    }

    fn turn(&self, owner: &mut O, batch: Vec<O::Command>) {
        let again = match catch_unwind(AssertUnwindSafe(|| self.try_turn(owner, batch))) {
            Ok(again) => again,
            Err(panic) => {
                // Commands of this batch are answered "unknown" as their channels go away with the batch.
                owner.fail(&panic_text(&*panic));
                Vec::new()
            }
        };
        self.publish(owner);
        if !again.is_empty() {
            let mut shared = self.shared();
            for command in again.into_iter().rev() {
                shared.queue.push_front(command);
            }
        }
    }

    fn try_turn(&self, owner: &mut O, batch: Vec<O::Command>) -> Vec<O::Command> {
        let (answers, again) = owner.run(batch);
        // Readers see it before the writer is told: whoever was answered finds its write.
        if !planted::is(Bug::AnswerBeforePublish) {
            self.publish(owner);
        }
        owner.answer(answers);
        again
    }

    fn publish(&self, owner: &O) {
        *self.view.write().expect("publishing cannot panic") = owner.view();
        self.is_ahead.store(owner.is_ahead(), Ordering::Release);
    }

    /// The owner goes back, unless the end came meanwhile.
    fn put_back(&self, owner: Box<O>) -> Left {
        let mut shared = self.shared();
        if shared.is_closed {
            drop(shared);
            // What this turn published came after the end had taken the view away.
            *self.view.write().expect("publishing cannot panic") = None;
            return Left::Nothing;
        }
        let wake = owner.wake();
        let is_wake_changed = shared.wake != wake;
        shared.wake = wake;
        shared.owner = Some(owner);
        let is_waited_for = !shared.queue.is_empty() && !planted::is(Bug::ForgetTheQueue);
        Left::Back { is_wake_changed, is_waited_for }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_string())
}
