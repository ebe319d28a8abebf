//! Errors put into the daemon's own system calls by strace: nothing is acknowledged that is not durable, and when the
//! errors end it goes on by itself, in the same process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::harness::{Daemon, Place, agree, home, joined, run, until};
use super::http::{Answer, Connection};
use super::ledger::{Ledger, shown};

/// Writes, each with a read, while the errors last.
const WRITES: usize = 60;

/// What a refusal may say: that it is not known, that the space is not open just now, that there is no room,
/// that the disk cannot be read.
const REFUSALS: [&str; 4] = ["outcome-unknown", "space-unavailable", "disk-full", "storage"];

/// strace, attached to a running daemon; it lets go with this value.
struct Injection {
    child: Child,
}

impl Injection {
    /// `what` in the words of `strace -e inject=`, for calls on these files, or on all where there are none.
    fn new(daemon: &Daemon, what: &str, files: &[PathBuf]) -> Injection {
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-e", &format!("inject={what}")]);
        command.args(["-p", &daemon.pid().as_raw_nonzero().to_string()]);
        for file in files {
            command.arg("-P").arg(file);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| {
            panic!("strace does not start ({error}): install it, as .ci/run does, to put errors into system calls")
        });
        let mut said = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        // "Process 7 attached with 9 threads": from here on every call of every thread is seen.
        while !line.contains("attached") {
            line.clear();
            let len = said.read_line(&mut line).expect("what it says");
            assert!(len > 0, "strace ended: may this user trace its own processes?");
        }
        // Whatever it says of threads that come and go must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Injection { child }
    }

    fn end(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("our child");
        self.child.wait().expect("our child");
    }
}

impl Drop for Injection {
    fn drop(&mut self) {
        // Only where the test failed before: else it has ended.
        drop(self.child.kill());
    }
}

/// Files of the folder of a space, below `part`.
fn files(folder: &Path, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder.join(part)).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).collect()
}

/// Writes and reads while calls fail as told, then until writes are taken again; nothing that was acknowledged may be missing.
/// Returns what the refusals said.
fn endure(home: &Daemon, ledger: &mut Ledger, what: &str) -> BTreeSet<String> {
    let pid = home.pid();
    let injection = Injection::new(home, what, &[]);
    let mut refusals = BTreeSet::new();
    let mut connection = Connection::open(home.data()).expect("it is up");
    for number in 0..WRITES {
        let query = if number % 9 == 8 { "?wait=anchored&timeout=100ms" } else { "" };
        let written = ledger.write(&mut connection, query).unwrap_or_else(|error| panic!("{what}: {error}"));
        let read = ledger.read(&mut connection).unwrap_or_else(|error| panic!("{what}: {error}"));
        let refused = |answer: &Answer| !answer.is_ok() && !matches!(answer.status, 404 | 504);
        for answer in [written, read].into_iter().filter(refused) {
            let problem = answer.problem();
            assert!(REFUSALS.contains(&problem.as_str()), "{what}: {problem}");
            refusals.insert(problem);
        }
    }
    injection.end();
    until("writes are taken again, and anchored", || {
        ledger.write(&mut connection, "?wait=anchored&timeout=2s").expect("it is up").is_ok().then_some(())
    });
    let missing = ledger.missing(&shown(home).expect("it is up"));
    assert!(missing.is_empty(), "{what}: {missing:#?}");
    home.ok(&["verify"]);
    assert_eq!(home.pid(), pid, "{what}: it went on by itself");
    refusals
}

#[test]
fn failing_system_calls_cost_no_acknowledged_write_and_it_goes_on_by_itself() {
    let place = Place::new("syscalls");
    let mut home = home(&place);
    let mut device = joined(&place, "device", &home);
    agree(&[&home, &device]);
    let mut ledger = Ledger::new("w");
    let mut said = BTreeMap::new();
    for what in [
        "fdatasync:error=EIO:when=3+4",
        "fdatasync:error=ENOSPC:when=2+3",
        "pwrite64:error=EIO:when=4+7",
        "pwrite64:error=ENOSPC:when=3+5",
        "pwrite64:retval=0:when=5+6",
        "pread64:error=EIO:when=1+2",
        "fsync:error=EIO:when=1+2",
        "ftruncate:error=EIO:when=1+2",
    ] {
        let refusals = endure(&home, &mut ledger, what);
        said.insert(what, refusals);
    }
    // Interrupted calls are repeated, and nobody notices.
    let interrupted = endure(&home, &mut ledger, "pwrite64,pread64,fdatasync,fsync:error=EINTR:when=1+2");
    assert!(interrupted.is_empty(), "{interrupted:?}");
    println!("refusals under failing system calls: {said:#?}, writes acknowledged {}", ledger.acknowledged);
    assert!(said["fdatasync:error=EIO:when=3+4"].contains("outcome-unknown"), "{said:?}");
    assert!(!said["pwrite64:error=ENOSPC:when=3+5"].is_empty(), "{said:?}");
    assert!(said["pread64:error=EIO:when=1+2"].contains("storage"), "{said:?}");
    agree(&[&home, &device]);
    let missing = ledger.missing(&shown(&device).expect("it is up"));
    assert!(missing.is_empty(), "{missing:#?}");
    for daemon in [&mut home, &mut device] {
        let (code, trace) = daemon.stop();
        assert!(code == Some(0) && !trace.contains("panicked"), "{code:?} {trace}");
    }
}

#[test]
fn a_replica_that_stops_leaves_the_other_spaces_alone() {
    let place = Place::new("one-of-two");
    let home = home(&place);
    home.ok(&["space", "create", "other"]);
    home.ok(&["collection", "create", "other/readings"]);
    home.ok(&["put", "telemetry/readings", "before", "1"]);
    let pid = home.pid();
    let log = files(&home.folder("telemetry"), "wal");
    let injection = Injection::new(&home, "fdatasync:error=EIO:when=1+", &log);
    let mut connection = Connection::open(home.data()).expect("it is up");
    let answer = connection.put("during", b"1", "").expect("it is up");
    assert_eq!(answer.problem(), "outcome-unknown");
    let answer = connection.put("during", b"2", "").expect("it is up");
    assert_eq!((answer.status, answer.problem().as_str()), (503, "space-unavailable"));
    let refused = home.fails(5, &["put", "telemetry/readings", "during", "3"]);
    assert_eq!(refused["type"], "space-unavailable", "{refused}");
    assert!(refused["cure"].is_string(), "{refused}");
    for number in 0..20 {
        home.ok(&["put", "other/readings", &format!("k{number}"), "1"]);
    }
    home.ok(&["put", "other/readings", "anchored", "1", "--wait", "anchored"]);
    assert_eq!(home.count("other/readings"), 21);
    injection.end();
    until("the space is open again", || {
        run(home.data(), &["put", "telemetry/readings", "after", "1"]).status.success().then_some(())
    });
    assert_eq!(home.get("telemetry/readings", "before").as_deref(), Some("1"));
    assert_eq!(home.pid(), pid);
    home.ok(&["verify"]);
}
