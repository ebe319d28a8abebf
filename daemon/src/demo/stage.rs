//! Where the demo plays: a temporary directory, a home, a device, and what is printed about them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;
use strandline::config::{self, Settings};

use crate::child::Daemon;
use crate::cli::failure::Failure;
use crate::cli::output::{print_json, print_line};

/// Both daemons dial and retry fast: the story is about what happens, not about waiting for it.
const SETTINGS: &str = "retry: { initial: 100ms, max: 1s }\n";

/// Two daemons and their directory; all of it goes with this value, unless it is kept.
pub(crate) struct Stage {
    dir: PathBuf,
    started: Instant,
    json: bool,
    steps: u32,
    pub(crate) home: Daemon,
    pub(crate) device: Daemon,
}

#[derive(Serialize)]
struct Step<'a> {
    step: u32,
    title: &'a str,
    seen: &'a [String],
    proves: &'a str,
}

impl Stage {
    pub(crate) fn set(json: bool) -> Result<Stage, Failure> {
        let started = Instant::now();
        let dir = std::env::temp_dir().join(format!("strandline-demo-{}", std::process::id()));
        let home = begin(&dir.join("home"), "home")?;
        let device = begin(&dir.join("device"), "device")?;
        Ok(Stage { dir, started, json, steps: 0, home, device })
    }

    /// What has just been seen, and what it proves.
    pub(crate) fn step(&mut self, title: &str, seen: &[String], proves: &str) -> Result<(), Failure> {
        self.steps += 1;
        if self.json {
            return print_json(&Step { step: self.steps, title, seen, proves });
        }
        print_line(&format!("{}. {title}", self.steps))?;
        for line in seen {
            print_line(&format!("   {line}"))?;
        }
        print_line(&format!("   proves: {proves}\n"))
    }

    /// The device again, after it was killed.
    pub(crate) fn restart_device(&mut self) -> Result<(), Failure> {
        self.device = Daemon::start(&self.dir.join("device"), Some("127.0.0.1:0"))?;
        Ok(())
    }

    /// Ends both daemons, or leaves them; what was told decides the exit code.
    pub(crate) fn close(mut self, told: Result<(), Failure>, keep: bool) -> Result<(), Failure> {
        let seconds = self.started.elapsed().as_secs_f64();
        if keep {
            self.print_commands()?;
            self.home.let_go();
            self.device.let_go();
            return told;
        }
        let stopped = self.device.stop().and(self.home.stop());
        let told = told.and(stopped);
        match &told {
            Ok(()) => {
                std::fs::remove_dir_all(&self.dir)
                    .map_err(|error| Failure::file("remove", &self.dir, &error))?;
                if !self.json {
                    print_line(&format!("every check held, in {seconds:.1} s; nothing was left behind"))?;
                }
            }
            Err(_) if self.json => {}
            Err(_) => print_line(&format!("a check failed; everything is left in {}", self.dir.display()))?,
        }
        told
    }

    fn print_commands(&self) -> Result<(), Failure> {
        let (home, device) = (self.dir.join("home"), self.dir.join("device"));
        // As it was called, so that the lines can be pasted where nothing is installed.
        let program = std::env::args().next().unwrap_or_else(|| "strandline".to_string());
        print_line("both daemons go on; look around:")?;
        print_line(&format!("  {program} --data {} status", device.display()))?;
        print_line(&format!("  {program} --data {} scan telemetry/metrics --limit 10", home.display()))?;
        print_line(&format!("  {program} --data {} get telemetry/settings limit --all", device.display()))?;
        print_line(&format!(
            "and when you are done: kill {} {} && rm -r {}",
            self.home.id(),
            self.device.id(),
            self.dir.display()
        ))
    }
}

fn begin(data: &Path, name: &str) -> Result<Daemon, Failure> {
    crate::cli::init::create(data, Some(name))?;
    let path = data.join(config::FILE_NAME);
    let text = format!("{}\n{SETTINGS}", Settings::default_text(Some(name)));
    std::fs::write(&path, text).map_err(|error| Failure::file("write", &path, &error))?;
    Daemon::start(data, Some("127.0.0.1:0"))
}
