//! One space and whoever holds it: a caller who finds it free runs its own and the queued commands, then flushes once.
//!
//! There is no committer thread. The caller that takes the owner runs everything that queued up meanwhile, makes it
//! durable with one flush, answers, lets the sessions send, and puts the owner back. Whoever comes while it is out
//! queues; a reader takes the published snapshot and waits for nobody.

mod error;
mod owner;
mod proposals;
mod sessions;
#[cfg(test)]
mod tests;
mod upkeep;
mod waits;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};

use crdt::{Dot, Time};
use disk::Disk;
use replica::Snapshot;
use tokio::sync::{Notify, oneshot};

use crate::clock;
use crate::config::Fsync;
pub use error::Error;
pub use owner::{Live, Opener, Owner, Report};
pub(crate) use owner::{refusal, with_causes};
pub use sessions::{Attached, Outgoing, SessionId};
pub use waits::Level;

/// What shares one flush: the group-commit curve is flat to 128 KiB and bends here.
const BATCH_LEN_MAX: usize = 256 << 10;

/// Commands that may wait; beyond it a caller is told that the space is busy.
const QUEUE_MAX: usize = 4_096;

/// How often a waiting command may find that what it read has changed before it is told so.
const AGAIN_MAX: u32 = 16;

/// Turns a caller runs for others after its own is answered, before a thread takes over.
const TURNS_MAX: usize = 8;

/// Gives up the processor this often while fewer wait than last time: their next commands are on the way.
const GATHER_YIELDS: usize = 4;

/// What a command leaves behind.
pub enum Turn<T> {
    /// The answer, given once the flush is done.
    Done(Result<T, Error>),
    /// What it read has changed in the same batch: run it again after the flush.
    Again,
}

impl<T> From<Result<T, Error>> for Turn<T> {
    fn from(result: Result<T, Error>) -> Turn<T> {
        match result {
            Err(error) if error.is_transient() => Turn::Again,
            result => Turn::Done(result),
        }
    }
}

/// Called after the flush, with how it went.
type Completion = Box<dyn FnOnce(Result<(), Error>) + Send>;

enum Step {
    Done(Completion),
    Again,
}

type Work<D> = Box<dyn FnMut(&mut Owner<D>, Time, bool) -> Step + Send>;

struct Queued<D: Disk> {
    work: Work<D>,
    len: usize,
    times: u32,
}

/// Where the owner of one space waits for its next command.
pub struct Slot<D: Disk> {
    shared: Mutex<Shared<D>>,
    snapshot: RwLock<Option<Snapshot<D>>>,
    /// Acknowledged and not visible yet; only where the flush policy is weaker than `always`.
    is_ahead: AtomicBool,
    /// How many commands the last batch had.
    last_batch: AtomicUsize,
    fsync: Fsync,
    alarm: Notify,
    this: Weak<Slot<D>>,
}

struct Shared<D: Disk> {
    queue: VecDeque<Queued<D>>,
    /// `None` while somebody runs it, and for good once closed.
    owner: Option<Box<Owner<D>>>,
    /// When the owner next wants to run though nobody has a command.
    wake: Option<Time>,
    is_closed: bool,
}

impl<D: Disk> Slot<D> {
    /// A slot around an owner.
    pub fn new(owner: Owner<D>, fsync: Fsync) -> Arc<Slot<D>> {
        let snapshot = owner.snapshot();
        let slot = Arc::new_cyclic(|this: &Weak<Slot<D>>| Slot {
            shared: Mutex::new(Shared {
                queue: VecDeque::new(),
                owner: Some(Box::new(owner.belongs_to(this.clone()))),
                wake: Some(Time(0)),
                is_closed: false,
            }),
            snapshot: RwLock::new(snapshot),
            is_ahead: AtomicBool::new(false),
            last_batch: AtomicUsize::new(0),
            fsync,
            alarm: Notify::new(),
            this: this.clone(),
        });
        slot.alarm.notify_one();
        slot
    }

    /// Runs a command and returns its answer once it is as durable as the flush policy says.
    ///
    /// `len` is about how many bytes it writes. The command may run more than once.
    pub async fn call<T: Send + 'static>(
        self: &Arc<Self>,
        len: usize,
        work: impl FnMut(&mut Owner<D>, Time) -> Turn<T> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.push(len, work)?;
        if self.is_free() {
            let slot = self.clone();
            // The flush blocks, so it runs where blocking is allowed; its answer comes through the channel.
            drop(tokio::task::spawn_blocking(move || slot.run(usize::MAX)));
        }
        answer.await.unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// The same for a caller with a thread of its own.
    pub fn call_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        len: usize,
        work: impl FnMut(&mut Owner<D>, Time) -> Turn<T> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.push(len, work)?;
        self.run(TURNS_MAX);
        answer.blocking_recv().unwrap_or(Err(Error::OutcomeUnknown))
    }

    /// What is visible now, own acknowledged writes included.
    pub async fn snapshot(self: &Arc<Self>) -> Result<Snapshot<D>, Error> {
        if self.is_ahead.load(Ordering::Acquire) {
            self.call(0, |owner, _| Turn::Done(owner.must_flush())).await?;
        }
        self.published()
    }

    /// The same for a caller with a thread of its own.
    pub fn snapshot_blocking(self: &Arc<Self>) -> Result<Snapshot<D>, Error> {
        if self.is_ahead.load(Ordering::Acquire) {
            self.call_blocking(0, |owner, _| Turn::Done(owner.must_flush()))?;
        }
        self.published()
    }

    /// Waits until a commit has gone as far as `level` says.
    pub async fn wait(self: &Arc<Self>, dot: Dot, level: Level) -> Result<(), Error> {
        let (done, reached) = oneshot::channel();
        let mut done = Some(done);
        self.call(0, move |owner, now| {
            let asked = done.take().map_or(Ok(()), |done| owner.wait(now, dot, level, done));
            Turn::Done(asked)
        })
        .await?;
        reached.await.map_err(|_| Error::OutcomeUnknown)
    }

    /// Lets the sessions send what they can now. A command like any other, since the owner may be out.
    pub fn poke(self: &Arc<Self>) {
        let queued = self.push(0, |_, _| Turn::Done(Ok(())));
        if queued.is_ok() && self.is_free() {
            let slot = self.clone();
            drop(tokio::task::spawn_blocking(move || slot.run(usize::MAX)));
        }
    }

    /// Sees to what is due, when it is due, until the slot is closed. One such task runs for each slot.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            let wake = {
                let shared = self.shared();
                if shared.is_closed {
                    return;
                }
                shared.wake
            };
            let due = async {
                match wake {
                    Some(time) => tokio::time::sleep(clock::until(time)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    let slot = self.clone();
                    // A panic in there is caught by the turn itself.
                    drop(tokio::task::spawn_blocking(move || slot.turn_once()).await);
                }
                () = self.alarm.notified() => {}
            }
        }
    }

    /// Flushes, makes a checkpoint, ends the sessions and lets nobody in any more.
    pub async fn close(self: &Arc<Self>) {
        // An error means that there was nothing more to save, or that the next open recovers it.
        drop(self.call(0, |owner, now| Turn::Done(owner.close(now))).await);
        self.finish();
    }

    /// The same for a caller with a thread of its own.
    pub fn close_blocking(self: &Arc<Self>) {
        drop(self.call_blocking(0, |owner, now| Turn::Done(owner.close(now))));
        self.finish();
    }

    fn finish(&self) {
        let mut shared = self.shared();
        shared.is_closed = true;
        shared.queue.clear();
        // The folder's lock goes with the replica.
        drop(shared.owner.take());
        drop(shared);
        *self.snapshot.write().expect("publishing cannot panic") = None;
        self.alarm.notify_one();
    }

    fn published(&self) -> Result<Snapshot<D>, Error> {
        let snapshot = self.snapshot.read().expect("publishing cannot panic").clone();
        match snapshot {
            Some(snapshot) => Ok(snapshot),
            None if self.shared().is_closed => Err(Error::Closed),
            None => Err(Error::Unavailable { reason: "the space is not open".to_string() }),
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared<D>> {
        self.shared.lock().expect("nothing that can panic runs under this lock")
    }

    fn is_free(&self) -> bool {
        self.shared().owner.is_some()
    }

    fn push<T: Send + 'static>(
        &self,
        len: usize,
        mut work: impl FnMut(&mut Owner<D>, Time) -> Turn<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        let (answer, answered) = oneshot::channel();
        let mut answer = Some(answer);
        let work: Work<D> = Box::new(move |owner, now, is_last| {
            let result = match work(owner, now) {
                Turn::Again if !is_last => return Step::Again,
                Turn::Again => Err(Error::Contended),
                Turn::Done(result) => result,
            };
            if result.is_err() {
                owner.suspect();
            }
            let answer = answer.take();
            Step::Done(Box::new(move |flushed| {
                if let Some(answer) = answer {
                    // A caller that went away does not want to know.
                    drop(answer.send(flushed.and(result)));
                }
            }))
        });
        let mut shared = self.shared();
        if shared.is_closed {
            return Err(Error::Closed);
        }
        if shared.queue.len() >= QUEUE_MAX {
            return Err(Error::Busy { waiting: shared.queue.len() });
        }
        shared.queue.push_back(Queued { work, len, times: 0 });
        Ok(answered)
    }

    /// Runs what is queued if the owner is here, at most `turns` batches.
    fn run(self: &Arc<Self>, turns: usize) {
        let Some(mut owner) = self.shared().owner.take() else { return };
        for _ in 0..turns {
            self.gather();
            let Some(batch) = self.next_batch() else { break };
            self.turn(&mut owner, batch);
        }
        self.put_back(owner);
    }

    /// One turn even though nothing may be queued: for what is due.
    fn turn_once(self: &Arc<Self>) {
        let Some(mut owner) = self.shared().owner.take() else { return };
        let batch = self.next_batch().unwrap_or_default();
        self.turn(&mut owner, batch);
        self.put_back(owner);
    }

    fn gather(&self) {
        let expected = self.last_batch.load(Ordering::Relaxed);
        for _ in 0..GATHER_YIELDS {
            if self.shared().queue.len() >= expected {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn next_batch(&self) -> Option<Vec<Queued<D>>> {
        let mut shared = self.shared();
        let mut len = 0;
        let mut batch = Vec::new();
        while let Some(next) = shared.queue.pop_front() {
            len += next.len;
            batch.push(next);
            if len >= BATCH_LEN_MAX {
                break;
            }
        }
        self.last_batch.store(batch.len(), Ordering::Relaxed);
        if batch.is_empty() { None } else { Some(batch) }
    }

    fn turn(&self, owner: &mut Owner<D>, batch: Vec<Queued<D>>) {
        let again = match catch_unwind(AssertUnwindSafe(|| self.try_turn(owner, batch))) {
            Ok(again) => again,
            Err(panic) => {
                // Commands of this batch are answered "unknown" as their channels go away with the batch.
                owner.fail(clock::now(), &panic_text(&*panic));
                Vec::new()
            }
        };
        *self.snapshot.write().expect("publishing cannot panic") = owner.snapshot();
        self.is_ahead.store(owner.is_ahead(), Ordering::Release);
        if !again.is_empty() {
            let mut shared = self.shared();
            for queued in again.into_iter().rev() {
                shared.queue.push_front(queued);
            }
        }
    }

    fn try_turn(&self, owner: &mut Owner<D>, batch: Vec<Queued<D>>) -> Vec<Queued<D>> {
        let now = clock::now();
        owner.revive(now);
        let mut completions = Vec::with_capacity(batch.len());
        let mut again = Vec::new();
        for mut queued in batch {
            queued.times += 1;
            match (queued.work)(owner, now, queued.times >= AGAIN_MAX) {
                Step::Done(completion) => completions.push(completion),
                Step::Again => again.push(queued),
            }
        }
        let flushed = owner.settle(now, self.fsync, !again.is_empty());
        // Readers see it before the writer is told: whoever was answered finds its write.
        *self.snapshot.write().expect("publishing cannot panic") = owner.snapshot();
        self.is_ahead.store(owner.is_ahead(), Ordering::Release);
        for completion in completions {
            completion(match &flushed {
                Ok(()) => Ok(()),
                Err(_) => Err(Error::OutcomeUnknown),
            });
        }
        owner.keep_up(now);
        again
    }

    /// The owner goes back, unless somebody queued in the meantime: then it is run on a thread of its own.
    fn put_back(self: &Arc<Self>, owner: Box<Owner<D>>) {
        let mut shared = self.shared();
        if shared.is_closed {
            return;
        }
        let wake = owner.wake();
        let is_changed = shared.wake != wake;
        shared.wake = wake;
        shared.owner = Some(owner);
        let is_waited_for = !shared.queue.is_empty();
        drop(shared);
        if is_changed {
            self.alarm.notify_one();
        }
        if is_waited_for && let Some(slot) = self.this.upgrade() {
            std::thread::spawn(move || slot.run(usize::MAX));
        }
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_string())
}
