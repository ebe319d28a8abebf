//! Wall clocks that are wrong: a library between a daemon and its system adds what a file says.

use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::harness::{Daemon, Place};

/// Answers every question for the wall clock with so many seconds more as the file says. Other clocks stay true.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    long result = syscall(SYS_clock_gettime, id, at);
    const char *path = getenv("LIAR_SECONDS");
    if (result == 0 && id == CLOCK_REALTIME && path) {
        char text[32] = {0};
        int file = open(path, O_RDONLY | O_CLOEXEC);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) at->tv_sec += atoll(text);
            close(file);
        }
    }
    return (int)result;
}
"#;

pub(crate) const YEAR: i64 = 365 * 86_400;

/// A built library and the clocks that it moves.
pub(crate) struct Liar {
    library: PathBuf,
    clocks: PathBuf,
}

impl Liar {
    /// Built by the C compiler that Rust links with.
    pub(crate) fn new(place: &Place) -> Liar {
        let source = place.file("liar.c", SOURCE);
        let library = place.path("liar.so");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        assert!(built.is_ok_and(|status| status.success()), "cc cannot build {}", source.display());
        let clocks = place.path("clocks");
        std::fs::create_dir_all(&clocks).expect("a directory");
        Liar { library, clocks }
    }

    /// A daemon whose clock is true until it is set.
    pub(crate) fn daemon(&self, place: &Place, name: &str) -> Daemon {
        let text = |path: PathBuf| path.to_str().expect("a path that is text").to_string();
        let (library, clock) = (text(self.library.clone()), text(self.clocks.join(name)));
        Daemon::with_environment(place, name, &[("LD_PRELOAD", &library), ("LIAR_SECONDS", &clock)])
    }

    /// From now on the clock of this daemon shows so many seconds more than the true time.
    pub(crate) fn set(&self, name: &str, seconds: i64) {
        // In one step: a clock that is half written would be a third time.
        let new = self.clocks.join(format!("{name}.new"));
        std::fs::write(&new, seconds.to_string()).expect("a file");
        std::fs::rename(&new, self.clocks.join(name)).expect("it is there");
    }

    /// As `date --set TEXT` would, of `N years` and `1970-01-01`.
    pub(crate) fn date(&self, name: &str, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let seconds = match text.split_once(' ') {
            Some((years, "years")) => years.parse::<i64>().expect("a number of years") * YEAR,
            _ if text == "1970-01-01" => -i64::try_from(now).expect("a time"),
            _ => panic!("no such time here: {text}"),
        };
        self.set(name, seconds);
    }
}
