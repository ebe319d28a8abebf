//! What an owner does when nobody asks: the home's next Handle, late flushes, idle marks, checkpoints.

use crdt::Time;
use disk::Disk;
use sync::Store;

use super::owner::with_causes;
use super::{Live, Owner, Turn};
use crate::config::Fsync;

/// After this long without a batch the log gets its mark, which tells damage from a torn tail.
const IDLE_MS: u64 = 1_000;

/// After this long without a batch a small checkpoint is made, so that the next start has nothing to replay.
const QUIET_MS: u64 = 10_000;

/// How soon a checkpoint that failed is tried again: on a full disk that is the next sign of life.
const HELD_MS: u64 = 2_000;

/// With `os` nobody waits for the flush, but nothing reaches a peer before it.
const OS_MS: u64 = 5_000;

/// What a person reads while damage is not healed.
const DAMAGED: &str = "some of what lies on this disk is not what was written there: it is asked of peers, and reads of it \
                       fail until one has sent it";

#[derive(Default)]
pub(super) struct Upkeep {
    /// When the late flush is due.
    flush: Option<Time>,
    /// When the idle mark is due.
    idle: Option<Time>,
    /// When the quiet checkpoint is due.
    quiet: Option<Time>,
    /// The version of the base that the log was last looked at with.
    base: u64,
    /// When the home wants to make a Handle.
    home: Option<Time>,
    is_checkpointing: bool,
    /// No checkpoint before this, since one failed.
    held: Option<Time>,
    /// Damage is not looked after before this, since that failed.
    mend_held: Option<Time>,
    /// Damage was met, and is not healed.
    is_damaged: bool,
    /// What failed last and has not gone well since, and how.
    trouble: Option<(&'static str, String)>,
    /// Something failed that may have stopped the replica.
    is_suspect: bool,
}

impl Upkeep {
    /// Whether what was written must be flushed now; if not, when.
    pub(super) fn is_flush_due(&mut self, now: Time, fsync: Fsync) -> bool {
        let delay = match fsync {
            Fsync::Always => return true,
            Fsync::Interval(span) => u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX),
            Fsync::Os => OS_MS,
        };
        let due = self.flush.get_or_insert(now.plus_ms(delay));
        *due = (*due).min(now.plus_ms(delay));
        now >= *due
    }

    /// Something else flushed before the late flush was due.
    pub(super) fn nothing_to_flush(&mut self) {
        self.flush = None;
    }

    pub(super) fn flushed(&mut self, now: Time) {
        self.flush = None;
        self.idle = Some(now.plus_ms(IDLE_MS));
        self.quiet = Some(now.plus_ms(QUIET_MS));
    }

    /// The clock may have been put back, by years: nothing waits longer from now than it ever would.
    fn step_back(&mut self, now: Time) {
        self.idle = self.idle.map(|at| at.min(now.plus_ms(IDLE_MS)));
        self.quiet = self.quiet.map(|at| at.min(now.plus_ms(QUIET_MS)));
        self.held = self.held.map(|at| at.min(now.plus_ms(HELD_MS)));
        self.mend_held = self.mend_held.map(|at| at.min(now.plus_ms(HELD_MS)));
    }

    pub(super) fn wake(&self) -> Option<Time> {
        [self.flush, self.idle, self.quiet, self.home, self.mend_held].into_iter().flatten().min()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        let failed = self.trouble.as_ref().map(|(_, text)| text.clone());
        failed.or_else(|| self.is_damaged.then(|| DAMAGED.to_owned()))
    }

    pub(super) fn note<T, E: std::error::Error>(
        &mut self,
        what: &'static str,
        outcome: Result<T, E>,
    ) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.trouble.take_if(|(failed, _)| *failed == what);
                Some(value)
            }
            Err(error) => {
                let text = format!("{what}: {}", with_causes(&error));
                if self.trouble() != Some(text.clone()) {
                    tracing::warn!("{text}");
                }
                self.trouble = Some((what, text));
                self.is_suspect = true;
                None
            }
        }
    }

    /// Each attempt of a checkpoint folds everything again, so one that failed is not repeated at once.
    fn hold_checkpoint(&mut self, now: Time) {
        self.held = Some(now.plus_ms(HELD_MS));
        self.quiet = self.held;
    }
}

impl<D: Disk> Owner<D> {
    /// After the answers of a turn: what became due by them or by time.
    pub(super) fn keep_up(&mut self, now: Time) {
        self.keep_seat(now);
        self.keep_proposals(now);
        self.keep_whole(now);
        self.keep_home(now);
        self.answer_proposals();
        self.keep_seat(now);
        self.keep_sessions(now);
        self.observe_anchored(now);
        self.keep_log(now);
        if std::mem::take(&mut self.upkeep.is_suspect) {
            self.suspect();
            // The caller of the turn has its answer; whatever was lost is said where the replica is opened again.
            drop(self.settle(now, Fsync::Always, false));
        }
    }

    /// Looks after damage at rest: what peers have is asked of them, and everything else goes on.
    fn keep_whole(&mut self, now: Time) {
        let metrics = self.metrics.clone();
        let Some((live, _, _, upkeep)) = self.parts() else { return };
        let replica = &mut live.replica;
        upkeep.mend_held.take_if(|held| *held <= now);
        if replica.is_mend_due() && upkeep.mend_held.is_none() {
            let mended = replica.mend(now);
            upkeep.mend_held =
                upkeep.note("healing what is damaged", mended).map_or(Some(now.plus_ms(HELD_MS)), |()| None);
        }
        // It opens again, now that it can read its log.
        upkeep.is_suspect |= replica.is_stopped();
        let was_damaged = std::mem::replace(&mut upkeep.is_damaged, replica.is_damaged());
        match (was_damaged, upkeep.is_damaged) {
            (false, true) => {
                metrics.damaged.inc();
                tracing::error!(space = %replica.space(), lost = replica.lost_count(), "{DAMAGED}");
            }
            (true, false) => {
                metrics.healed.inc();
                tracing::info!(space = %replica.space(), "what was damaged is healed");
            }
            _ => {}
        }
    }

    fn keep_sessions(&mut self, now: Time) {
        let Some((live, sessions, waits, _)) = self.parts() else { return };
        if !sessions.is_empty() {
            sessions.poll(now, &mut live.replica);
        }
        if !waits.is_empty() {
            waits.check(&live.replica, &sessions.report(&live.replica));
        }
    }

    fn keep_home(&mut self, now: Time) {
        let Some((live, sessions, _, upkeep)) = self.parts() else { return };
        let Live { replica, home: Some(home), registry } = live else { return };
        sessions.heard().iter().for_each(|(peer, handle)| home.hear(replica, peer, handle));
        if upkeep.is_checkpointing {
            // Its end is a turn, which asks again; a time that has passed would keep the timer running until then.
            upkeep.home = None;
            return;
        }
        if home.due(now, replica).is_some_and(|due| due <= now) {
            let made = home.batch(replica, now, registry);
            upkeep.note("the next handle", made);
        }
        upkeep.home = home.due(now, replica);
    }

    fn keep_log(&mut self, now: Time) {
        let Some((live, _, _, upkeep)) = self.parts() else { return };
        upkeep.step_back(now);
        if upkeep.idle.is_some_and(|at| at <= now) {
            upkeep.idle = None;
            let marked = live.replica.idle();
            upkeep.note("the idle mark", marked);
        }
        let base = live.replica.handle().version;
        if base != upkeep.base {
            // What the new Handle covers can leave the log, though nothing was written.
            upkeep.base = base;
            upkeep.quiet = Some(now.plus_ms(QUIET_MS));
        }
        let is_quiet = upkeep.quiet.is_some_and(|at| at <= now);
        if is_quiet {
            upkeep.quiet = None;
        }
        if (is_quiet || live.replica.checkpoint_due())
            && !upkeep.is_checkpointing
            && upkeep.held.is_none_or(|held| held <= now)
            && live.replica.is_flushed()
        {
            self.begin_checkpoint();
        }
    }

    /// The fold runs on a thread of its own while writes go on; only its end is a turn.
    fn begin_checkpoint(&mut self) {
        let slot = self.slot.clone();
        let Some((live, _, _, upkeep)) = self.parts() else { return };
        let begun = live.replica.begin_checkpoint();
        let Some(Some(job)) = upkeep.note("the begin of a checkpoint", begun) else { return };
        upkeep.is_checkpointing = true;
        std::thread::spawn(move || {
            let done = job.run();
            let Some(slot) = slot.upgrade() else { return };
            let mut done = Some(done);
            // A slot that closed meanwhile has made its own.
            drop(slot.call_blocking(0, move |owner: &mut Owner<D>, now| {
                owner.finish_checkpoint(now, done.take());
                Turn::Done(Ok(()))
            }));
        });
    }

    fn finish_checkpoint(
        &mut self,
        now: Time,
        done: Option<Result<replica::CheckpointDone<D>, replica::Error>>,
    ) {
        let Some((live, _, _, upkeep)) = self.parts() else { return };
        upkeep.is_checkpointing = false;
        let Some(done) = done else { return };
        let finished = done.and_then(|done| live.replica.finish_checkpoint(now, done));
        match upkeep.note("a checkpoint", finished) {
            Some(()) => upkeep.held = None,
            None => upkeep.hold_checkpoint(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Span;

    #[test]
    fn a_clock_put_back_by_years_delays_no_flush_mark_or_checkpoint() {
        let (ahead, now) = (Time(1 << 42), Time(1 << 40));
        let mut upkeep = Upkeep::default();
        upkeep.flushed(ahead);
        let policy = Fsync::Interval(Span(Duration::from_millis(50)));
        assert!(!upkeep.is_flush_due(ahead, policy));
        assert!(!upkeep.is_flush_due(now, policy));
        assert!(upkeep.is_flush_due(now.plus_ms(50), policy));
        upkeep.step_back(now);
        upkeep.nothing_to_flush();
        assert_eq!(upkeep.wake(), Some(now.plus_ms(IDLE_MS)));
        assert_eq!(upkeep.quiet, Some(now.plus_ms(QUIET_MS)));
    }
}
