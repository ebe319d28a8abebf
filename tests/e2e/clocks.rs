//! A device whose clock is a year ahead, with the system's own clock behind a library that lies.

use std::path::PathBuf;
use std::process::Command;

use super::harness::{Daemon, Place, agree, home, join, joined, siblings};

/// Answers every question for the wall clock with a year more. Other clocks stay true.
const LIAR: &str = r#"
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    long result = syscall(SYS_clock_gettime, id, at);
    if (result == 0 && id == CLOCK_REALTIME) at->tv_sec += 365L * 86400;
    return (int)result;
}
"#;

fn liar(place: &Place) -> Option<PathBuf> {
    let source = place.file("liar.c", LIAR);
    let library = place.path("liar.so");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    built.is_ok_and(|status| status.success()).then_some(library)
}

#[test]
fn an_overwrite_wins_over_a_clock_a_year_ahead() {
    let place = Place::new("clock");
    let Some(liar) = liar(&place) else {
        eprintln!("NOTE: no C compiler here, so no clock can be moved; this test did nothing");
        return;
    };
    let home = home(&place);
    let preload = liar.to_str().expect("a path that is text");
    let ahead = Daemon::with_environment(&place, "ahead", &[("LD_PRELOAD", preload)]);
    join(&ahead, &home);
    let device = joined(&place, "device", &home);
    ahead.ok(&["put", "telemetry/readings", "k", "from the future"]);
    agree(&[&home, &ahead, &device]);
    let future = ahead.json(&["status"])["clock"]["now_ms"].as_u64();
    let now = device.json(&["status"])["clock"]["now_ms"].as_u64();
    assert!(future > now.map(|now| now + 300 * 86_400_000), "the clock did not move: {future:?}, {now:?}");

    device.ok(&["put", "telemetry/readings", "k", "overwritten"]);
    agree(&[&home, &ahead, &device]);
    for daemon in [&home, &ahead, &device] {
        assert_eq!(siblings(daemon, "telemetry/readings", "k")[0], "overwritten");
    }
}
