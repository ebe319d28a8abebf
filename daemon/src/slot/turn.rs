//! One turn of a space's owner: the commands of a batch, one flush, the answers, and what the sessions may say then.

use crdt::Time;
use disk::Disk;
use replica::Snapshot;

use super::handoff::Owned;
use super::{Error, Owner};
use crate::clock;

/// How often a waiting command may find that what it read has changed before it is told so.
const AGAIN_MAX: u32 = 16;

/// Called after the flush, with how it went.
pub(crate) type Completion = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// What a command came to in this turn.
pub(crate) enum Step {
    Done(Completion),
    Again,
}

/// A command; the flag says that it is not run again, whatever it finds.
pub(crate) type Work<D> = Box<dyn FnMut(&mut Owner<D>, Time, bool) -> Step + Send>;

/// A command that waits.
pub(crate) struct Queued<D: Disk> {
    pub(crate) work: Work<D>,
    /// About how many bytes it writes.
    pub(crate) len: usize,
    /// How often it was run.
    pub(crate) times: u32,
}

/// What is answered once readers see the batch.
pub(crate) struct Answers {
    now: Time,
    is_flushed: bool,
    completions: Vec<Completion>,
}

impl<D: Disk> Owned for Owner<D> {
    type Command = Queued<D>;
    type View = Snapshot<D>;
    type Answers = Answers;
    type Wake = Time;

    fn cost(command: &Queued<D>) -> usize {
        command.len
    }

    fn run(&mut self, batch: Vec<Queued<D>>) -> (Answers, Vec<Queued<D>>) {
        let now = clock::now();
        self.revive(now);
        let mut completions = Vec::with_capacity(batch.len());
        let mut again = Vec::new();
        for mut queued in batch {
            queued.times += 1;
            match (queued.work)(self, now, queued.times >= AGAIN_MAX) {
                Step::Done(completion) => completions.push(completion),
                Step::Again => again.push(queued),
            }
        }
        let is_flushed = self.settle(now, self.fsync, !again.is_empty()).is_ok();
        (Answers { now, is_flushed, completions }, again)
    }

    fn answer(&mut self, answers: Answers) {
        for completion in answers.completions {
            completion(if answers.is_flushed { Ok(()) } else { Err(Error::OutcomeUnknown) });
        }
        self.keep_up(answers.now);
    }

    fn view(&self) -> Option<Snapshot<D>> {
        self.snapshot()
    }

    fn is_ahead(&self) -> bool {
        self.is_ahead_of_readers()
    }

    fn wake(&self) -> Option<Time> {
        self.next_wake()
    }

    fn fail(&mut self, reason: &str) {
        self.start_over(clock::now(), reason);
    }
}
