//! The daemon's hand-off of one owner, run by a model checker under every interleaving of a few callers and readers.
//!
//! `daemon/src/slot/handoff.rs` is compiled here as it is, with the checker's locks and atomics for ours. A caller that is
//! never answered is a deadlock, which the checker reports.

#![cfg_attr(feature = "planted", expect(dead_code, reason = "the bugs need two writers and no more"))]

use std::sync::atomic::AtomicUsize as Plain;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

#[path = "../../daemon/src/slot/handoff.rs"]
mod handoff;

mod primitives {
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Mutex, MutexGuard, RwLock};
    pub(crate) use loom::thread::yield_now;
}

use handoff::{Handoff, Left, Limits, Owned, Refused};

/// How soon the owner makes things durable.
#[derive(Clone, Copy, PartialEq)]
enum Policy {
    /// Before each answer.
    Always,
    /// When a command asks for it.
    Asked,
}

/// What stands in for a replica: a list that is durable up to somewhere.
struct Ledger {
    policy: Policy,
    written: Vec<u32>,
    durable: Vec<u32>,
}

enum Command {
    Write(u32, Asked),
    Flush(Asked),
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Awaited,
    Given,
    /// The command went away unanswered.
    Lost,
}

type Place = Arc<(Mutex<Answer>, Condvar)>;

/// The end of an answer's way that goes with a command.
struct Asked(Place);

impl Asked {
    fn tell(&self, answer: Answer) {
        let mut place = self.0.0.lock().expect("nothing panics under it");
        if *place == Answer::Awaited {
            *place = answer;
            self.0.1.notify_one();
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // The checker unwinds through here when it has found something, and has no threads left to tell.
        if !std::thread::panicking() {
            self.tell(Answer::Lost);
        }
    }
}

fn ask() -> (Asked, Place) {
    let place = Arc::new((Mutex::new(Answer::Awaited), Condvar::new()));
    (Asked(place.clone()), place)
}

fn wait(place: &Place) -> Answer {
    let mut answer = place.0.lock().expect("nothing panics under it");
    while *answer == Answer::Awaited {
        answer = place.1.wait(answer).expect("nothing panics under it");
    }
    *answer
}

impl Owned for Ledger {
    type Command = Command;
    type View = Vec<u32>;
    type Answers = Vec<Asked>;
    type Wake = u32;

    fn cost(_: &Command) -> usize {
        1
    }

    fn run(&mut self, batch: Vec<Command>) -> (Self::Answers, Vec<Command>) {
        let mut is_flushed = self.policy == Policy::Always;
        let mut answers = Vec::new();
        for command in batch {
            match command {
                Command::Write(value, done) => {
                    self.written.push(value);
                    answers.push(done);
                }
                Command::Flush(done) => {
                    is_flushed = true;
                    answers.push(done);
                }
            }
        }
        if is_flushed {
            self.durable.clone_from(&self.written);
        }
        (answers, Vec::new())
    }

    fn answer(&mut self, answers: Self::Answers) {
        answers.iter().for_each(|asked| asked.tell(Answer::Given));
    }

    fn view(&self) -> Option<Vec<u32>> {
        Some(self.durable.clone())
    }

    fn is_ahead(&self) -> bool {
        self.durable != self.written
    }

    fn wake(&self) -> Option<u32> {
        None
    }

    fn fail(&mut self, reason: &str) {
        panic!("nothing panics in here: {reason}");
    }
}

type Shared = Arc<Handoff<Ledger>>;

fn shared(policy: Policy) -> Shared {
    let ledger = Ledger { policy, written: Vec::new(), durable: Vec::new() };
    // One command fills a batch, so that two callers make two turns.
    Arc::new(Handoff::new(Box::new(ledger), 0, Limits { batch_cost: 1, queue: 8 }))
}

/// What `Slot` does with what is left: run it again for whoever queued meanwhile, on a thread of its own.
fn go_on(shared: &Shared, left: Left) {
    if let Left::Back { is_waited_for: true, .. } = left {
        let shared = shared.clone();
        thread::spawn(move || {
            let left = shared.run(usize::MAX);
            go_on(&shared, left);
        });
    }
}

/// Runs a command to its answer, as a caller with a thread of its own.
fn call(shared: &Shared, command: impl FnOnce(Asked) -> Command) -> Result<(), Refused> {
    let (done, answered) = ask();
    shared.push(command(done))?;
    let left = shared.run(1);
    go_on(shared, left);
    assert_eq!(wait(&answered), Answer::Given, "whoever runs the command");
    Ok(())
}

/// The same for a caller without one: the owner is run elsewhere, if it is free.
fn call_elsewhere(shared: &Shared, command: impl FnOnce(Asked) -> Command) {
    let (done, answered) = ask();
    shared.push(command(done)).expect("it is open");
    if shared.is_free() {
        let shared = shared.clone();
        thread::spawn(move || {
            let left = shared.run(usize::MAX);
            go_on(&shared, left);
        });
    }
    assert_eq!(wait(&answered), Answer::Given, "whoever runs the command");
}

/// Writes, and then reads as `Slot::snapshot` does: what was answered is there.
fn write_and_read(shared: &Shared, value: u32) {
    call(shared, |done| Command::Write(value, done)).expect("it is open");
    if shared.is_ahead() {
        call(shared, Command::Flush).expect("it is open");
    }
    let seen = shared.view().expect("it is open");
    assert!(seen.contains(&value), "answered {value}, and a reader sees {seen:?}");
}

/// Runs a model under every interleaving with at most `preemptions` of them forced, and says how many there were.
fn explore(name: &str, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let count = std::sync::Arc::new(Plain::new(0));
    let counted = count.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        model();
    });
    println!("{name}: {} interleavings", count.load(std::sync::atomic::Ordering::Relaxed));
}

fn two_writers(policy: Policy) {
    let shared = shared(policy);
    let other = shared.clone();
    let writer = thread::spawn(move || write_and_read(&other, 2));
    write_and_read(&shared, 1);
    writer.join().expect("it keeps its promises");
}

#[cfg(not(feature = "planted"))]
mod checks {
    use super::*;

    #[test]
    fn every_caller_is_answered_and_finds_its_write() {
        explore("two writers", 2, || two_writers(Policy::Always));
    }

    #[test]
    fn under_a_weaker_policy_a_reader_asks_for_the_flush() {
        explore("two writers, flush when asked", 1, || two_writers(Policy::Asked));
    }

    #[test]
    fn a_caller_who_finds_the_owner_gone_is_answered_by_whoever_has_it() {
        explore("a caller without a thread, and what is due", 2, || {
            let shared = shared(Policy::Always);
            let other = shared.clone();
            let due = thread::spawn(move || {
                let left = other.turn_once();
                go_on(&other, left);
            });
            call_elsewhere(&shared, |done| Command::Write(1, done));
            assert_eq!(shared.view(), Some(vec![1]));
            due.join().expect("a turn without commands");
        });
    }

    #[test]
    fn what_a_reader_sees_never_goes_back() {
        explore("a writer and a reader", 2, || {
            let shared = shared(Policy::Always);
            let other = shared.clone();
            let reader = thread::spawn(move || {
                let first = other.view().expect("it is open");
                let second = other.view().expect("it is open");
                assert!(second.starts_with(&first), "{first:?}, then {second:?}");
            });
            write_and_read(&shared, 1);
            write_and_read(&shared, 2);
            reader.join().expect("it sees what it should");
        });
    }

    #[test]
    fn after_the_end_nobody_waits() {
        explore("a writer and the end", 2, || {
            let shared = shared(Policy::Always);
            let other = shared.clone();
            let writer = thread::spawn(move || {
                let (done, answered) = ask();
                if other.push(Command::Write(1, done)).is_ok() {
                    let left = other.run(1);
                    go_on(&other, left);
                    // Run, or dropped with its channel: either way there is an answer.
                    wait(&answered);
                }
            });
            shared.close();
            assert_eq!(shared.wake(), Err(Refused::Closed));
            writer.join().expect("it is not left waiting");
            assert_eq!(shared.view(), None, "nobody reads what was closed");
        });
    }
}

/// The checker finds what was planted: else it would miss the real thing, too.
#[cfg(feature = "planted")]
mod planted_bugs {
    use planted::Bug;

    use super::*;

    fn hunt(bug: Bug) {
        planted::plant(Some(bug));
        explore(bug.name(), 2, || two_writers(Policy::Always));
    }

    #[test]
    #[ignore = "it fails, as each_is_found wants"]
    fn answer_before_publish() {
        hunt(Bug::AnswerBeforePublish);
    }

    #[test]
    #[ignore = "it fails, as each_is_found wants"]
    fn forget_the_queue() {
        hunt(Bug::ForgetTheQueue);
    }

    /// In processes of their own, since the checker ends the one in which it finds a deadlock.
    #[test]
    fn each_is_found() {
        for name in ["answer_before_publish", "forget_the_queue"] {
            let test = format!("planted_bugs::{name}");
            let program = std::env::current_exe().expect("this test");
            let ran = std::process::Command::new(program).args(["--ignored", "--exact", &test]).output();
            let ran = ran.expect("this test runs again");
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(said.contains("running 1 test"), "{test} is there: {said}");
            assert!(!ran.status.success(), "{name} survived");
            println!("{name}: found");
        }
    }
}
