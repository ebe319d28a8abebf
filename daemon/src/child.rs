//! A real daemon in a process of its own: this very program, started with `serve` and ended by its handle.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::failure::Failure;
use crate::client::Client;

/// A debug build on a busy machine opens a directory well within this.
const READY_MAX: Duration = Duration::from_secs(20);

/// Draining ends with a flush; past this the daemon hangs.
const STOP_MAX: Duration = Duration::from_secs(10);

/// How often a process that changes by itself is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Where a daemon in the background says what it says.
const OUT_NAME: &str = "daemon.out";
const TRACE_NAME: &str = "daemon.trace";

/// A daemon that ends with this value, unless it was let go.
pub(crate) struct Daemon {
    child: Option<Child>,
    data: PathBuf,
    ready: String,
}

impl Daemon {
    /// Starts a daemon on a data directory and waits until it takes work.
    ///
    /// Its output goes to files, not pipes: it may outlive us. A group of its own keeps it from our Ctrl-C.
    pub(crate) fn start(data: &Path, listen: Option<&str>) -> Result<Daemon, Failure> {
        let program = std::env::current_exe()
            .map_err(|error| Failure::failed("start", format!("cannot find this program: {error}")))?;
        let create = |name: &str| {
            let path = data.join(name);
            File::create(&path).map_err(|error| Failure::file("create", &path, &error))
        };
        let (out, trace) = (create(OUT_NAME)?, create(TRACE_NAME)?);
        let mut command = Command::new(program);
        command.arg("--data").arg(data).arg("serve");
        if let Some(listen) = listen {
            command.args(["--listen", listen]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(trace)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::failed("start", format!("cannot start a daemon: {error}")))?;
        let mut daemon = Daemon { child: Some(child), data: data.to_path_buf(), ready: String::new() };
        daemon.ready = daemon.wait_ready()?;
        Ok(daemon)
    }

    fn wait_ready(&mut self) -> Result<String, Failure> {
        let started = Instant::now();
        while started.elapsed() < READY_MAX {
            let out = std::fs::read_to_string(self.data.join(OUT_NAME)).unwrap_or_default();
            if let Some(line) = out.lines().find(|line| line.starts_with("ready ")) {
                return Ok(line.to_string());
            }
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(self.not_started(&format!("it ended with {status}")));
            }
            std::thread::sleep(LOOK);
        }
        Err(self.not_started(&format!("it was not ready after {} s", READY_MAX.as_secs())))
    }

    fn not_started(&self, what: &str) -> Failure {
        let trace = std::fs::read_to_string(self.data.join(TRACE_NAME)).unwrap_or_default();
        let trace = trace.trim().trim_start_matches("error: ");
        Failure::unavailable(format!("no daemon on {}: {what}: {trace}", self.data.display()))
    }

    /// What the daemon said about itself: `name=value` of its ready line.
    pub(crate) fn ready(&self, name: &str) -> &str {
        self.ready
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or("off")
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        Client::connect(&self.data).await
    }

    /// `kill -9`: no warning, no last flush.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let ended = child.kill().and_then(|()| child.wait());
        ended
            .map(drop)
            .map_err(|error| Failure::failed("stop", format!("cannot kill process {}: {error}", child.id())))
    }

    /// Leaves the process running when this value goes away.
    pub(crate) fn let_go(&mut self) {
        self.child = None;
    }

    /// SIGTERM, and what it must lead to: a clean exit.
    pub(crate) fn stop(&mut self) -> Result<(), Failure> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let failed = |what: String| Failure::failed("stop", what);
        kill_process(Pid::from_child(&child), Signal::TERM)
            .map_err(|error| failed(format!("cannot signal process {}: {error}", child.id())))?;
        let started = Instant::now();
        while started.elapsed() < STOP_MAX {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(failed(format!("the daemon ended with {status}"))),
                Ok(None) => std::thread::sleep(LOOK),
                Err(error) => return Err(failed(format!("cannot wait for process {}: {error}", child.id()))),
            }
        }
        self.child = Some(child);
        self.kill()?;
        Err(failed(format!("the daemon did not end within {} s of SIGTERM", STOP_MAX.as_secs())))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nobody is left to tell, and a process that is gone already is what is wanted.
        drop(self.kill());
    }
}
