//! The machines of the team, all on this one: a daemon each, told what to do by the command line as a person would.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often something that comes by itself is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Dialed again at once: the story is about what happens, not about waiting for it.
const SETTINGS: &str = "retry: { initial: 100ms, max: 1s }\n";

/// Four desks in a temporary directory, which goes when all went well.
pub(crate) struct Office {
    dir: PathBuf,
    desks: [Desk; 4],
}

/// A machine with its daemon, which ends with this value.
pub(crate) struct Desk {
    name: &'static str,
    data: PathBuf,
    daemon: Child,
}

impl Office {
    /// Starts a daemon for each name.
    pub(crate) fn open(names: [&'static str; 4]) -> anyhow::Result<Office> {
        let dir = std::env::temp_dir().join(format!("strandline-team-{}", std::process::id()));
        let [a, b, c, d] = names.map(|name| Desk::open(&dir, name));
        Ok(Office { desks: [a?, b?, c?, d?], dir })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn desks(&self) -> [&Desk; 4] {
        self.desks.each_ref()
    }

    pub(crate) fn chapter(&self, title: &str) -> anyhow::Result<()> {
        print(&format!("\n# {title}\n"))
    }

    /// Waits until all have the same roots: equal roots are equal contents, to the byte.
    pub(crate) fn agree(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let mut shown = Vec::new();
            for desk in &self.desks {
                let space: Value = serde_json::from_str(&desk.ask(&["space", "show", "team", "--json"])?)?;
                shown.push(["data_root", "vv_root", "tail_commits"].map(|name| space[name].clone()));
            }
            let first = &shown[0];
            if shown.iter().all(|space| space == first) && first[2] == 0 {
                return print(&format!("(all four have the data root {})", first[0]));
            }
            ensure!(started.elapsed() < PATIENCE, "they do not agree: {shown:?}");
            std::thread::sleep(LOOK);
        }
    }

    /// Ends all daemons and leaves nothing behind.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        drop(self.desks);
        std::fs::remove_dir_all(&self.dir)
            .with_context(|| format!("cannot remove {}", self.dir.display()))?;
        print("\nevery check held; nothing was left behind")
    }
}

impl Desk {
    fn open(dir: &Path, name: &'static str) -> anyhow::Result<Desk> {
        let data = dir.join(name);
        ask(&data, &["init", "--name", name])?;
        let settings = data.join("strandline.yaml");
        let text = std::fs::read_to_string(&settings)? + SETTINGS;
        std::fs::write(&settings, text)?;
        let out = data.join("daemon.out");
        let daemon = Command::new(program()?)
            .arg("--data")
            .arg(&data)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(data.join("daemon.trace"))?)
            .spawn()
            .context("cannot start a daemon")?;
        let desk = Desk { name, data, daemon };
        let started = Instant::now();
        while !std::fs::read_to_string(&out)?.contains("ready ") {
            ensure!(started.elapsed() < PATIENCE, "the daemon of {} is not ready", desk.data.display());
            std::thread::sleep(LOOK);
        }
        Ok(desk)
    }

    /// Runs a command in front of the reader.
    pub(crate) fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let quoted = arguments.iter().map(|word| match word.contains([' ', '"', '{']) {
            true => format!(" '{word}'"),
            false => format!(" {word}"),
        });
        print(&format!("{} $ strandline{}", self.name, quoted.collect::<String>()))?;
        print(self.ask(arguments)?.trim_end())
    }

    /// Runs a command and returns its answer.
    pub(crate) fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        ask(&self.data, arguments)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // What was acknowledged is durable: a daemon may end like this at any time.
        if let Err(error) = self.daemon.kill().and_then(|()| self.daemon.wait()) {
            eprintln!("cannot end process {}: {error}", self.daemon.id());
        }
    }
}

fn ask(data: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program()?).arg("--data").arg(data).args(arguments).output()?;
    if !output.status.success() {
        bail!("strandline {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The `strandline` that was built beside this program.
fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("strandline");
    ensure!(
        program.exists(),
        "there is no {}: build it with `cargo build -p strandline`, of the same profile",
        program.display()
    );
    Ok(program)
}

fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    // A reader that has seen enough closes the pipe.
    writeln!(std::io::stdout(), "{text}").context("nobody reads what is shown")
}
