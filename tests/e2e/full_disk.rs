//! A full disk, media that cannot be written, and too few open files: refused clearly, read all the same, and mended by
//! whoever makes room, without a restart.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use super::harness::{Daemon, Place, agree, copy, home, join, run, until};
use super::http::Connection;
use super::ledger::{Ledger, shown};

/// Room for a device and some hundred values.
const DISK: &str = "size=6m";

/// A file system of its own, gone with this value.
struct Mount {
    path: PathBuf,
}

impl Mount {
    /// `None`, and said loudly, where this user may not mount.
    fn new(path: PathBuf) -> Option<Mount> {
        std::fs::create_dir_all(&path).expect("a directory");
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a full disk was not tried, since mounting a small tmpfs takes root");
            return None;
        }
        mount(&["-t", "tmpfs", "-o", DISK, "tmpfs"], &path);
        Some(Mount { path })
    }

    fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.path).expect("a file system");
        stat.f_bavail * stat.f_frsize
    }

    /// Takes all but `left` bytes, as somebody else's file would.
    fn fill(&self, left: u64) -> PathBuf {
        let ballast = self.path.join("ballast");
        let len = self.free().saturating_sub(left);
        std::fs::write(&ballast, vec![1; usize::try_from(len).expect("a small disk")]).expect("it fits");
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a daemon that a failed test left may still be at it.
        drop(Command::new("umount").arg("-l").arg(&self.path).status());
    }
}

fn mount(options: &[&str], path: &Path) {
    let mounted = Command::new("mount").args(options).arg(path).status().expect("mount is there");
    assert!(mounted.success(), "mount {options:?} {}", path.display());
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_when_there_is_room() {
    let place = Place::new("full");
    let Some(disk) = Mount::new(place.path("disk")) else { return };
    let home = home(&place);
    let mut device = Daemon::new(&place, "disk/device");
    join(&device, &home);
    agree(&[&home, &device]);
    let mut ledger = Ledger::new("w");
    let mut connection = Connection::open(device.data()).expect("it is up");
    for _ in 0..20 {
        assert!(ledger.write(&mut connection, "").expect("it is up").is_ok());
    }
    let pid = device.pid();
    let ballast = disk.fill(64 << 10);
    let mut taken = 0;
    let refused = loop {
        let answer = ledger.write(&mut connection, "").expect("it is up");
        if !answer.is_ok() {
            break answer;
        }
        taken += 1;
        assert!(taken < 1_000, "the disk is full");
    };
    assert_eq!((refused.status, refused.problem().as_str()), (507, "disk-full"));
    let value = place.file("value", &"v".repeat(40_000));
    let refused =
        device.fails(4, &["put", "telemetry/readings", "k", "--file", value.to_str().expect("text")]);
    assert_eq!(refused["type"], "disk-full", "{refused}");
    assert!(refused["cure"].as_str().is_some_and(|cure| cure.contains("space")), "{refused}");

    // It shows everything, and everything drains to the home.
    let missing = ledger.missing(&shown(&device).expect("reads go on"));
    assert!(missing.is_empty(), "{missing:#?}");
    device.ok(&["status"]);
    until("the home has what the full device holds", || {
        let shown = shown(&home).expect("it is up");
        ledger.missing(&shown).is_empty().then_some(())
    });
    // What the home writes meanwhile cannot be taken, and stops nothing.
    home.ok(&["put", "telemetry/readings", "from-home", &"h".repeat(30_000), "--wait", "anchored"]);
    let answer = connection.request("GET", "/v1/spaces/telemetry", b"").expect("it is up");
    assert!(answer.is_ok(), "{answer:?}");

    std::fs::remove_file(ballast).expect("our file");
    until("writes are taken again", || {
        ledger.write(&mut connection, "").expect("it is up").is_ok().then_some(())
    });
    agree(&[&home, &device]);
    for daemon in [&home, &device] {
        let missing = ledger.missing(&shown(daemon).expect("it is up"));
        assert!(missing.is_empty(), "{missing:#?}");
        daemon.ok(&["verify"]);
    }
    assert_eq!(device.pid(), pid, "it went on by itself");
    println!(
        "full disk: {taken} writes after it was nearly full, {} acknowledged, missing 0",
        ledger.acknowledged
    );

    // A start on a full disk shows as much as a run on one.
    device.kill();
    device.keep_output_in(place.path("output"));
    let ballast = disk.fill(0);
    device.start();
    let missing = ledger.missing(&shown(&device).expect("reads go on"));
    assert!(missing.is_empty(), "{missing:#?}");
    std::fs::remove_file(ballast).expect("our file");
    until("writes are taken again", || {
        run(device.data(), &["put", "telemetry/readings", "late", "1"]).status.success().then_some(())
    });
    agree(&[&home, &device]);
    device.stop();
}

#[test]
fn a_home_on_a_full_disk_makes_handles_again_when_there_is_room() {
    let place = Place::new("full-home");
    let Some(disk) = Mount::new(place.path("home")) else { return };
    let home = home(&place);
    let pid = home.pid();
    home.ok(&["put", "telemetry/readings", "before", "1", "--wait", "anchored"]);
    let ballast = disk.fill(0);
    let mut ledger = Ledger::new("w");
    let mut connection = Connection::open(home.data()).expect("it is up");
    for _ in 0..60 {
        let answer = ledger.write(&mut connection, "?wait=anchored&timeout=50ms").expect("it is up");
        assert!(matches!(answer.status, 200 | 504 | 507), "{answer:?}");
    }
    assert_eq!(home.get("telemetry/readings", "before").as_deref(), Some("1"));
    std::fs::remove_file(ballast).expect("our file");
    until("writes are anchored again", || {
        ledger.write(&mut connection, "?wait=anchored&timeout=2s").expect("it is up").is_ok().then_some(())
    });
    let missing = ledger.missing(&shown(&home).expect("it is up"));
    assert!(missing.is_empty(), "{missing:#?}");
    home.ok(&["verify"]);
    assert_eq!(home.pid(), pid, "it went on by itself");
}

#[test]
fn read_only_media_are_served_and_nothing_is_written_to_them() {
    let place = Place::new("read-only");
    let Some(disk) = Mount::new(place.path("disk")) else { return };
    let mut home = home(&place);
    for number in 0..30 {
        home.ok(&["put", "telemetry/readings", &format!("k{number}"), "1"]);
    }
    // As a crash leaves it: opening has something to mend, and does so in memory.
    home.kill();
    copy(home.data(), &disk.path.join("home"));
    mount(&["-o", "remount,ro"], &disk.path);
    let mut served = Daemon::of(disk.path.join("home"));
    served.keep_output_in(place.path("output"));
    let refused = served.try_start().expect_err("it cannot be written");
    assert!(refused.contains("exit status: 1") && !refused.contains("panicked"), "{refused}");
    served.serve_with(&["--read-only", "--http", "127.0.0.1:0"]);
    served.start();
    let address = served.ready("http").trim_start_matches("http://").to_string();
    let mut connection = Connection::over_tcp(&address).expect("it is up");
    let path = "/v1/spaces/telemetry/collections/readings/keys/k7";
    let answer = connection.request("GET", path, b"").expect("it is up");
    assert!(answer.is_ok() && answer.body.ends_with(b"1"), "{answer:?}");
    let answer = connection.put("k7", b"2", "").expect("it is up");
    assert_eq!((answer.status, answer.problem().as_str()), (403, "read-only"));
    let output = run(served.data(), &["verify"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(served.stop().0, Some(0));
}

#[test]
fn too_few_open_files_stop_nothing_for_good() {
    let place = Place::new("descriptors");
    let home = home(&place);
    let pid = home.pid();
    let limit = |count: u64| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        let before = prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(count), maximum });
        before.expect("our child's limit").current.unwrap_or(1_024)
    };
    let mut ledger = Ledger::new("w");
    let mut connection = Connection::open(home.data()).expect("it is up");
    assert!(ledger.write(&mut connection, "").expect("it is up").is_ok());
    // Fewer than are open now: whatever needs one more is refused one.
    let before = limit(10);
    let mut refused = 0;
    for _ in 0..80 {
        let answer = ledger.write(&mut connection, "?wait=anchored&timeout=20ms").expect("it is up");
        refused += usize::from(!answer.is_ok() && answer.status != 504);
    }
    limit(before);
    until("writes are anchored again", || {
        ledger.write(&mut connection, "?wait=anchored&timeout=2s").expect("it is up").is_ok().then_some(())
    });
    let missing = ledger.missing(&until("newcomers are let in", || shown(&home)));
    assert!(missing.is_empty(), "{missing:#?}");
    home.ok(&["verify"]);
    assert_eq!(home.pid(), pid, "it went on by itself");
    println!("too few open files: {refused} writes refused, {} acknowledged, missing 0", ledger.acknowledged);
}
