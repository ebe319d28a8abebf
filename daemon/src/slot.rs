//! One space and whoever holds it: a caller who finds it free runs its own and the queued commands, then flushes once.
//!
//! The caller that takes the owner runs everything that queued up meanwhile, makes it durable with one flush, answers,
//! lets the sessions send, and puts the owner back: `handoff.rs` says in which order.

mod error;
mod feed;
mod handoff;
mod owner;
mod primitives;
mod proposals;
mod sessions;
#[cfg(test)]
mod tests;
mod turn;
mod upkeep;
mod waits;

use std::sync::{Arc, Weak};

use crdt::{Dot, Time};
use disk::Disk;
use replica::Snapshot;
use tokio::sync::{Notify, oneshot};

use crate::clock;
use crate::config::Fsync;
pub use error::Error;
pub use feed::Look;
use handoff::{Handoff, Left, Limits, Refused};
pub use owner::{Live, Opener, Owner, Report};
pub(crate) use owner::{refusal, with_causes};
pub use sessions::{Attached, Outgoing, SessionId};
pub use waits::Level;

/// What shares one flush: the group-commit curve is flat to 128 KiB and bends here.
const BATCH_LEN_MAX: usize = 256 << 10;

/// Commands that may wait; beyond it a caller is told that the space is busy.
const QUEUE_MAX: usize = 4_096;

/// Turns a caller runs for others after its own is answered, before a thread takes over.
const TURNS_MAX: usize = 8;

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

/// Where the owner of one space waits for its next command.
pub struct Slot<D: Disk> {
    handoff: Handoff<Owner<D>>,
    alarm: Notify,
    /// Told after each turn: something may have changed.
    turned: Notify,
    this: Weak<Slot<D>>,
}

impl<D: Disk> Slot<D> {
    /// A slot around an owner.
    pub fn new(owner: Owner<D>, fsync: Fsync) -> Arc<Slot<D>> {
        let limits = Limits { batch_cost: BATCH_LEN_MAX, queue: QUEUE_MAX };
        let slot = Arc::new_cyclic(|this: &Weak<Slot<D>>| Slot {
            handoff: Handoff::new(Box::new(owner.belongs_to(this.clone(), fsync)), Time(0), limits),
            alarm: Notify::new(),
            turned: Notify::new(),
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
        if self.handoff.is_free() {
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
        if self.handoff.is_ahead() {
            self.call(0, |owner, _| Turn::Done(owner.must_flush())).await?;
        }
        self.published()
    }

    /// The same for a caller with a thread of its own.
    pub fn snapshot_blocking(self: &Arc<Self>) -> Result<Snapshot<D>, Error> {
        if self.handoff.is_ahead() {
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

    /// Waits for the end of a turn. One that ends before this is called is not waited for, so look again after a while.
    pub async fn changed(&self) {
        self.turned.notified().await;
    }

    /// Which state is visible: the number of its last change, and the version of its base.
    pub(crate) fn seen(&self) -> Option<(u64, u64)> {
        self.handoff.view().map(|snapshot| (snapshot.change(), snapshot.handle().version))
    }

    /// Lets the sessions send what they can now. A command like any other, since the owner may be out.
    pub fn poke(self: &Arc<Self>) {
        let queued = self.push(0, |_, _| Turn::Done(Ok(())));
        if queued.is_ok() && self.handoff.is_free() {
            let slot = self.clone();
            drop(tokio::task::spawn_blocking(move || slot.run(usize::MAX)));
        }
    }

    /// Sees to what is due, when it is due, until the slot is closed. One such task runs for each slot.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            let Ok(wake) = self.handoff.wake() else { return };
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
        // The folder's lock goes with the replica.
        self.handoff.close();
        self.alarm.notify_one();
    }

    fn published(&self) -> Result<Snapshot<D>, Error> {
        match self.handoff.view() {
            Some(snapshot) => Ok(snapshot),
            None if self.handoff.wake().is_err() => Err(Error::Closed),
            None => Err(Error::Unavailable { reason: "the space is not open".to_string() }),
        }
    }

    fn push<T: Send + 'static>(
        &self,
        len: usize,
        mut work: impl FnMut(&mut Owner<D>, Time) -> Turn<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
        let (answer, answered) = oneshot::channel();
        let mut answer = Some(answer);
        let work: turn::Work<D> = Box::new(move |owner, now, is_last| {
            let result = match work(owner, now) {
                Turn::Again if !is_last => return turn::Step::Again,
                Turn::Again => Err(Error::Contended),
                Turn::Done(result) => result,
            };
            if result.is_err() {
                owner.suspect();
            }
            let answer = answer.take();
            turn::Step::Done(Box::new(move |flushed| {
                if let Some(answer) = answer {
                    // A caller that went away does not want to know.
                    drop(answer.send(flushed.and(result)));
                }
            }))
        });
        match self.handoff.push(turn::Queued { work, len, times: 0 }) {
            Ok(()) => Ok(answered),
            Err(Refused::Closed) => Err(Error::Closed),
            Err(Refused::Full(waiting)) => Err(Error::Busy { waiting }),
        }
    }

    /// Runs what is queued if the owner is here, at most `turns` batches.
    fn run(self: &Arc<Self>, turns: usize) {
        self.go_on(self.handoff.run(turns));
    }

    /// One turn even though nothing may be queued: for what is due.
    fn turn_once(self: &Arc<Self>) {
        self.go_on(self.handoff.turn_once());
    }

    /// The owner is back. If somebody queued who found it gone, it is run on a thread of its own.
    fn go_on(&self, left: Left) {
        let Left::Back { is_wake_changed, is_waited_for } = left else { return };
        self.turned.notify_waiters();
        if is_wake_changed {
            self.alarm.notify_one();
        }
        if is_waited_for && let Some(slot) = self.this.upgrade() {
            std::thread::spawn(move || slot.run(usize::MAX));
        }
    }
}
