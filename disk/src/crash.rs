//! Crash points: the named moments at which a debug build kills itself, so that a test starts again from just there.
//!
//! `STRANDLINE_CRASH=log-flushed:3` ends the process, as `kill -9` does, when the log was flushed for the third time;
//! `any:17` counts every point, and `adopt-pack-flushed:1` only packs that are flushed within an adoption. A release
//! build has none of this.

use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names the point and how often it is passed before it kills.
const VARIABLE: &str = "STRANDLINE_CRASH";

/// The part of a replica's folder that a path belongs to, if its steps are crash points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part(Option<&'static str>);

struct Plan {
    point: String,
    left: AtomicU64,
}

thread_local! {
    /// What this thread is doing, for points that count only within it.
    static WORK: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Does a piece of work whose steps have a second name each: `adopt-log-flushed` beside `log-flushed`.
pub fn during<T>(work: &'static str, run: impl FnOnce() -> T) -> T {
    if !cfg!(debug_assertions) {
        return run();
    }
    let before = WORK.replace(Some(work));
    let done = run();
    WORK.set(before);
    done
}

impl Part {
    /// By the names that `wal`, `replica` and `home` give their files and folders.
    pub(crate) fn of(path: &Path) -> Part {
        if !cfg!(debug_assertions) {
            return Part(None);
        }
        let mut names = path.iter().rev().filter_map(|name| name.to_str());
        let (name, folder) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
        Part(match (folder, name) {
            ("wal", _) | (_, "wal") => Some("log"),
            ("packs", _) | (_, "packs") => Some("pack"),
            ("archive", _) | (_, "archive") => Some("archive"),
            (_, "manifest") => Some("manifest"),
            (_, "registry.redb") => Some("registry"),
            _ => None,
        })
    }

    /// A step on this part was done. Does not return if that is the point.
    pub(crate) fn passed(self, step: &str) {
        if self.is_point(step) {
            die();
        }
    }

    /// A write is about to be done: if that is the point, half of it is, and nothing after it.
    pub(crate) fn tear(self, write_half: impl FnOnce()) {
        if self.is_point("torn") {
            write_half();
            die();
        }
    }

    fn is_point(self, step: &str) -> bool {
        let (Some(part), Some(plan)) = (self.0, plan()) else { return false };
        let point = plan.point.as_str();
        let within = WORK.get().and_then(|work| point.strip_prefix(work)?.strip_prefix('-'));
        let is_this = |point: &str| point.strip_prefix(part) == Some(&format!("-{step}"));
        let is_meant = point == "any" || is_this(point) || within.is_some_and(is_this);
        // Below one it wraps, which no run lives to see.
        is_meant && plan.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    if !cfg!(debug_assertions) {
        return None;
    }
    PLAN.get_or_init(read_plan).as_ref()
}

#[expect(clippy::disallowed_methods, reason = "a switch for tests of the real disk, in debug builds alone")]
fn read_plan() -> Option<Plan> {
    let text = std::env::var(VARIABLE).ok()?;
    let (point, count) = text.split_once(':')?;
    Some(Plan { point: point.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
}

fn die() -> ! {
    // No destructor, no flush, no other thread: nothing of this process happens after this line.
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .expect("a process may kill itself");
    unreachable!("the process was killed")
}
