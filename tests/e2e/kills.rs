//! `kill -9`: at every crash point of the disk, inside recovery, and at random moments; what was acknowledged stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::harness::{Daemon, Place, agree, append, home, joined, ok, until};
use super::http::Connection;
use super::ledger::{Ledger, shown};

/// The steps of a write (log), of a checkpoint and of an adoption (pack, manifest), of the archive, and of a home's
/// Handle (registry): `disk/src/crash.rs` has the words.
const POINTS: [&str; 14] = [
    "log-torn",
    "log-written",
    "log-flushed",
    "pack-created",
    "pack-torn",
    "pack-written",
    "pack-flushed",
    "pack-named",
    "manifest-torn",
    "manifest-written",
    "manifest-flushed",
    "registry-torn",
    "registry-written",
    "registry-flushed",
];

/// How often each point is passed before it kills: within recovery, and later and later in a run.
const PASSES: [u32; 4] = [1, 2, 5, 12];

/// The steps from one segment of the log to the next, which come when one is full.
const ROTATION: [&str; 3] = ["log-created:1", "log-sized:1", "log-named:1"];

/// The steps of an adoption that a replica computes, and then of one that it fetches: a device takes both while its home
/// goes on, and the home takes none.
const ADOPTION: [&str; 19] = [
    "adopt-log-torn:1",
    "adopt-log-written:1",
    "adopt-log-flushed:1",
    "adopt-pack-created:1",
    "adopt-pack-torn:1",
    "adopt-pack-written:1",
    "adopt-pack-flushed:1",
    "adopt-pack-named:1",
    "adopt-manifest-torn:1",
    "adopt-manifest-written:1",
    "adopt-manifest-flushed:1",
    "fetch-pack-created:1",
    "fetch-pack-torn:1",
    "fetch-pack-written:1",
    "fetch-pack-flushed:1",
    "fetch-pack-named:1",
    "fetch-manifest-torn:1",
    "fetch-manifest-written:1",
    "fetch-manifest-flushed:1",
];

/// What a start removes: the pack of a checkpoint that was killed before its manifest.
const LEFTOVER: &str = "pack-removed:1";

/// The steps of the archive, which a start takes after a run that left it segments to move.
const ARCHIVE: [&str; 2] = ["archive-moved:1", "archive-named:1"];

/// The first steps of a start, each of which is killed once.
const STEPS_OF_RECOVERY: u32 = 12;

/// So small an overlay that a checkpoint comes every few dozen writes.
const SETTINGS: &str = "limits: { memory: 1MiB }\n";

/// More of the log than a checkpoint of that size leaves, and less than `WRITES_MAX` of both writers take.
const REST_OF_LOG: u64 = 350 << 10;

/// Kills at moments that nothing chose.
const RANDOM: usize = 24;

/// Writes of each writer after which a point that was not reached gives way to a kill from outside.
const WRITES_MAX: usize = 40;

/// Writes of each writer that fill a segment of the log, however long it has become.
const WRITES_OF_SEGMENT: usize = 2_000;

/// How often the victim meets its peer, counted in kills.
const MEET_EVERY: usize = 30;

/// What a series of kills came to.
#[derive(Default)]
struct Tally {
    kills: usize,
    in_recovery: usize,
    acknowledged: u64,
    missing: Vec<String>,
    fired: BTreeMap<String, usize>,
}

/// One daemon that is killed again and again, and the peer that it meets.
struct Series<'a> {
    space: String,
    victim: &'a mut Daemon,
    peer: &'a Daemon,
    writers: [Ledger; 2],
    tally: Tally,
    chance: u64,
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let started = Instant::now();
    let (of_device, of_home) = std::thread::scope(|scope| {
        let device = scope.spawn(|| {
            let place = Place::new("kill-device");
            let home = home(&place);
            let mut device = joined(&place, "device", &home);
            agree(&[&home, &device]);
            series(&mut device, &home, 1)
        });
        let home = scope.spawn(|| {
            let place = Place::new("kill-home");
            let mut home = home(&place);
            let device = joined(&place, "device", &home);
            agree(&[&home, &device]);
            series(&mut home, &device, 2)
        });
        (device.join().expect("the device's series"), home.join().expect("the home's series"))
    });
    let mut fired = of_device.fired;
    for (point, count) in of_home.fired {
        *fired.entry(point).or_default() += count;
    }
    let kills = of_device.kills + of_home.kills;
    let missing = of_device.missing.len() + of_home.missing.len();
    println!(
        "kills {kills} ({} inside recovery), writes acknowledged {}, missing {missing}, {:.0} s",
        of_device.in_recovery + of_home.in_recovery,
        of_device.acknowledged + of_home.acknowledged,
        started.elapsed().as_secs_f64()
    );
    println!("crash points: {fired:?}");
    assert_eq!(missing, 0, "{:#?} {:#?}", of_device.missing, of_home.missing);
    assert!(kills >= 200, "only {kills} kills");
    let once = ROTATION.iter().chain(&ARCHIVE).chain([&LEFTOVER]).chain(&ADOPTION);
    let points = POINTS.into_iter().chain(once.filter_map(|point| point.strip_suffix(":1")));
    let idle: Vec<_> = points.filter(|point| !fired.contains_key(*point)).collect();
    assert!(idle.is_empty(), "crash points that never fired: {idle:?}");
}

/// Kills the victim by a plan while it writes, and checks after each.
fn series(victim: &mut Daemon, peer: &Daemon, seed: u64) -> Tally {
    let is_over = AtomicBool::new(false);
    let of_peer = Mutex::new(Ledger::new("peer"));
    let mut series = Series {
        space: peer.space()["id"].as_str().expect("an id").to_string(),
        victim,
        peer,
        writers: ["left", "right"].map(Ledger::new),
        tally: Tally::default(),
        chance: seed,
    };
    let tally = std::thread::scope(|scope| {
        scope.spawn(|| keep_writing(peer, &of_peer, &is_over));
        let _over = Over(&is_over);
        let plan = series.plan();
        series.victim.kill();
        append(&series.victim.data().join("strandline.yaml"), SETTINGS);
        for (number, point) in plan.iter().enumerate() {
            series.kill(point.as_deref());
            if (number + 1) % MEET_EVERY == 0 || number + 1 == plan.len() {
                series.meet(&of_peer);
            }
        }
        series.tally
    });
    Tally {
        acknowledged: tally.acknowledged + of_peer.lock().expect("no writer panicked").acknowledged,
        ..tally
    }
}

/// What the peer writes meanwhile: so that Handles are made, and adopted, all the time.
fn keep_writing(peer: &Daemon, ledger: &Mutex<Ledger>, is_over: &AtomicBool) {
    let mut connection = Connection::open(peer.data()).expect("the peer is up");
    while !is_over.load(Ordering::Acquire) {
        let mut ledger = ledger.lock().expect("no writer panicked");
        let answer = ledger.write(&mut connection, "?wait=anchored&timeout=200ms").expect("the peer is up");
        assert!(answer.is_ok() || answer.status == 504, "{answer:?}");
        drop(ledger);
        // Whoever wants the two to agree takes the ledger now.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends the peer's writer with the series, a failed one included.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Series<'_> {
    /// Every point at each count, every step of recovery, and random moments, in a random order.
    fn plan(&mut self) -> Vec<Option<String>> {
        let points = POINTS.iter().flat_map(|point| PASSES.map(|pass| format!("{point}:{pass}")));
        let steps = (1..=STEPS_OF_RECOVERY).map(|step| format!("any:{step}"));
        let adoption = if self.victim.space()["home"] == "here" { &[] } else { ADOPTION.as_slice() };
        let once = [ROTATION.as_slice(), &ARCHIVE, &[LEFTOVER], adoption].concat();
        let once = once.into_iter().map(str::to_string);
        let random = std::iter::repeat_n(None, RANDOM);
        let mut plan: Vec<_> = points.chain(steps).chain(once).map(Some).chain(random).collect();
        for last in (1..plan.len()).rev() {
            plan.swap(last, self.below(last as u64 + 1) as usize);
        }
        plan
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.chance =
            self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.chance >> 33) % bound
    }

    /// One life of the victim: starts, shows everything, writes, and is killed; then its folder is verified as it is.
    fn kill(&mut self, point: Option<&str>) {
        if point.is_some_and(|point| ARCHIVE.contains(&point)) {
            self.fill();
        }
        if point == Some(LEFTOVER) {
            self.kill(Some("pack-named:1"));
        }
        self.victim.crash_at(point);
        let is_up = match self.victim.try_start() {
            Ok(()) => true,
            Err(refused) => {
                assert!(refused.contains("SIGKILL"), "it does not open without help: {refused}");
                false
            }
        };
        let is_dying = !is_up || !self.check() || self.work(point);
        if let Some(point) = point {
            if is_dying {
                until("the crash point ends it", || self.victim.has_ended().then_some(()));
            }
            if self.victim.has_ended() {
                let name = point.split(':').next().expect("a name and a count");
                *self.tally.fired.entry(name.to_string()).or_default() += 1;
            } else {
                self.victim.kill();
            }
        }
        self.tally.kills += 1;
        self.tally.in_recovery += usize::from(!is_up);
        ok(self.victim.data(), &["verify"]);
    }

    /// What leads to this point, or for a random moment. Whether the connection broke.
    fn work(&mut self, point: Option<&str>) -> bool {
        match point {
            Some(point) if ROTATION.contains(&point) => self.write(WRITES_OF_SEGMENT, false),
            Some(point) if ADOPTION.contains(&point) => {
                until("the home makes Handles, and the device adopts them", || {
                    if point.starts_with("adopt-log") {
                        // Only a commit of the home itself is logged by an adoption: the row of a ticket is one.
                        self.peer.ok(&["space", "invite", "telemetry"]);
                    }
                    if point.starts_with("fetch-") {
                        self.part();
                    }
                    self.write(WRITES_MAX, false).then_some(true)
                })
            }
            point => self.write(WRITES_MAX, point.is_none()),
        }
    }

    /// The peer goes on by itself: what the next Handle that it offers covers, the victim has to fetch.
    fn part(&self) {
        let version = || self.peer.space()["version"].as_u64().expect("a number");
        self.peer.ok(&["peer", "pause", "--all"]);
        let before = version();
        until("the home goes on alone", || (version() > before).then_some(()));
        self.peer.ok(&["peer", "resume", "--all"]);
    }

    /// Whether the victim lived long enough to show what it has.
    fn check(&mut self) -> bool {
        let Some(shown) = shown(self.victim) else { return false };
        for writer in &mut self.writers {
            self.tally.missing.extend(writer.missing(&shown));
        }
        true
    }

    /// Both writers at once, until the victim dies, at the latest after some writes; or for a random moment. Whether the
    /// connection broke.
    fn write(&mut self, writes: usize, for_a_moment: bool) -> bool {
        let moment = Duration::from_millis(1 + self.below(60));
        let before: u64 = self.writers.iter().map(|writer| writer.acknowledged).sum();
        let data = self.victim.data().to_path_buf();
        let is_dying = std::thread::scope(|scope| {
            let [left, right] = &mut self.writers;
            let [left, right] =
                [left, right].map(|writer| scope.spawn(|| write_until_dead(writer, &data, writes)));
            if for_a_moment {
                std::thread::sleep(moment);
                self.victim.kill();
            }
            [left, right].map(|writer| writer.join().expect("a writer")).contains(&true)
        });
        let after: u64 = self.writers.iter().map(|writer| writer.acknowledged).sum();
        self.tally.acknowledged += after - before;
        is_dying
    }

    /// A run that leaves segments to the archive: the log goes on to the next one, a Handle covers all before it, and the
    /// next start finds what the log no longer needs.
    fn fill(&mut self) {
        self.victim.crash_at(None);
        self.victim.start();
        let segments = self.victim.data().join("spaces").join(&self.space).join("wal");
        let count = || std::fs::read_dir(&segments).expect("the log").count();
        let before = count();
        while count() <= before {
            assert!(!self.write(WRITES_MAX, false), "nothing kills it");
        }
        // So much more that the rest of the log lies in the new segment, or in a still newer one.
        assert!(!self.write(WRITES_MAX, false), "nothing kills it");
        let mut connection = Connection::open(self.victim.data()).expect("it is up");
        until("the manifest lets go of what a handle covers", || {
            let answer =
                self.writers[0].write(&mut connection, "?wait=anchored&timeout=1s").expect("it is up");
            self.tally.acknowledged += u64::from(answer.is_ok());
            (self.victim.space()["wal_bytes"].as_u64() < Some(REST_OF_LOG)).then_some(())
        });
        self.victim.kill();
        self.tally.kills += 1;
    }

    /// The victim starts, its peer falls silent, and the two become one; nothing that either acknowledged is missing.
    fn meet(&mut self, of_peer: &Mutex<Ledger>) {
        self.victim.crash_at(None);
        self.victim.start();
        let mut of_peer = of_peer.lock().expect("no writer panicked");
        agree(&[self.peer, self.victim]);
        for daemon in [self.peer, self.victim] {
            let shown = shown(daemon).expect("it is up");
            for writer in self.writers.iter_mut().chain([&mut *of_peer]) {
                self.tally.missing.extend(writer.missing(&shown));
            }
            daemon.ok(&["verify"]);
        }
        self.victim.kill();
        self.tally.kills += 1;
    }
}

/// Whether the connection broke.
fn write_until_dead(writer: &mut Ledger, data: &Path, writes: usize) -> bool {
    let Ok(mut connection) = Connection::open(data) else { return true };
    for number in 0..writes {
        let query = if number % 8 == 7 { "?wait=anchored&timeout=300ms" } else { "" };
        match writer.write(&mut connection, query) {
            Ok(answer) => assert!(answer.is_ok() || answer.status == 504, "{answer:?}"),
            Err(_) => return true,
        }
    }
    false
}
