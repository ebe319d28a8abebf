//! Real processes on real directories: daemons that end with their value, commands with their exit codes.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A debug build on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often something that comes by itself is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Links are dialed again at once: the tests are about what happens, not about waiting for it.
const SETTINGS: &str = "retry: { initial: 100ms, max: 1s }\n";

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_strandline");

/// A directory that goes away with the test, unless the test failed.
pub(crate) struct Place {
    path: PathBuf,
}

impl Place {
    pub(crate) fn new(test: &str) -> Place {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("strandline-e2e-{}-{number}-{test}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Place { path }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A file with this text.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("left for a look: {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// A daemon and its directory; the process is killed with this value.
pub(crate) struct Daemon {
    data: PathBuf,
    child: Option<Child>,
    ready: String,
    environment: Vec<(String, String)>,
    listen: String,
    arguments: Vec<String>,
    /// Where what it says goes.
    output: PathBuf,
}

impl Daemon {
    /// Initialises a directory and serves it.
    pub(crate) fn new(place: &Place, name: &str) -> Daemon {
        Daemon::with_environment(place, name, &[])
    }

    pub(crate) fn with_environment(place: &Place, name: &str, environment: &[(&str, &str)]) -> Daemon {
        let data = place.path(name);
        ok(&data, &["init", "--name", name]);
        append(&data.join("strandline.yaml"), SETTINGS);
        let mut daemon = Daemon::of(data);
        daemon.environment =
            environment.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        daemon.start();
        daemon
    }

    /// The daemon of a directory that is there already, not yet started.
    pub(crate) fn of(data: PathBuf) -> Daemon {
        Daemon {
            output: data.clone(),
            data,
            child: None,
            ready: String::new(),
            environment: Vec::new(),
            listen: "127.0.0.1:0".to_string(),
            arguments: Vec::new(),
        }
    }

    /// Serves where another one did, so that its peers find this one.
    pub(crate) fn serve_in_place_of(&mut self, other: &Daemon) {
        self.listen = other.listen.clone();
    }

    /// Further arguments of `serve`.
    pub(crate) fn serve_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| argument.to_string()).collect();
    }

    /// Its output goes to this directory, where its own cannot be written or is to be left alone.
    pub(crate) fn keep_output_in(&mut self, output: PathBuf) {
        std::fs::create_dir_all(&output).expect("a directory");
        self.output = output;
    }

    /// Serves; the second time on the same port, so that peers find it again.
    pub(crate) fn start(&mut self) {
        if let Err(problem) = self.try_start() {
            panic!("{problem}");
        }
    }

    pub(crate) fn try_start(&mut self) -> Result<(), String> {
        let out_path = self.output.join("daemon.out");
        let trace_path = self.output.join("daemon.trace");
        let child = Command::new(PROGRAM)
            .arg("--data")
            .arg(&self.data)
            .args(["serve", "--listen", &self.listen])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(&out_path).expect("a file"))
            .stderr(File::create(&trace_path).expect("a file"))
            .spawn()
            .expect("the program starts");
        self.child = Some(child);
        let started = Instant::now();
        loop {
            let out = std::fs::read_to_string(&out_path).expect("its output");
            if let Some(line) = out.lines().find(|line| line.starts_with("ready ")) {
                self.ready = line.to_string();
                break;
            }
            let child = self.child.as_mut().expect("started above");
            if let Some(status) = child.try_wait().expect("our child") {
                let trace = std::fs::read_to_string(&trace_path).expect("its trace");
                self.child = None;
                return Err(format!("serve ended with {status}: {trace}"));
            }
            assert!(started.elapsed() < PATIENCE, "serve on {} is not ready", self.data.display());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.listen = self.ready("listen").to_string();
        Ok(())
    }

    /// A value of the ready line.
    pub(crate) fn ready(&self, name: &str) -> &str {
        self.ready
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.ready))
    }

    /// Of the process that serves now.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it runs"))
    }

    /// The folder of a space in the data directory.
    pub(crate) fn folder(&self, space: &str) -> PathBuf {
        let space = self.json(&["space", "show", space]);
        self.data.join("spaces").join(space["id"].as_str().expect("an id"))
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The next start ends itself at this crash point, such as `log-flushed:3`; see `disk/src/crash.rs`.
    pub(crate) fn crash_at(&mut self, point: Option<&str>) {
        self.environment.retain(|(name, _)| name != "STRANDLINE_CRASH");
        self.environment.extend(point.map(|point| ("STRANDLINE_CRASH".to_string(), point.to_string())));
    }

    /// Whether it ended by itself, and then for good.
    pub(crate) fn has_ended(&mut self) -> bool {
        let has_ended = match &mut self.child {
            Some(child) => child.try_wait().expect("our child").is_some(),
            None => true,
        };
        if has_ended {
            self.child = None;
        }
        has_ended
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("our child can be killed");
        child.wait().expect("our child can be waited for");
    }

    /// SIGTERM; how it ended, and its last words.
    pub(crate) fn stop(&mut self) -> (Option<i32>, String) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("our child can be signalled");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("our child") {
                break status;
            }
            if started.elapsed() > PATIENCE {
                child.kill().expect("our child can be killed");
                panic!("the daemon of {} did not end after SIGTERM", self.data.display());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        (status.code(), std::fs::read_to_string(self.output.join("daemon.trace")).expect("its trace"))
    }

    /// A command that must succeed; its output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        ok(&self.data, arguments)
    }

    /// A command that must succeed; its one JSON document.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        let text = self.ok(&with_json);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} printed {text:?}: {error}"))
    }

    /// A command that must fail with this exit code; its error.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> Value {
        fails(&self.data, code, arguments)
    }

    /// `space show telemetry`.
    pub(crate) fn space(&self) -> Value {
        self.json(&["space", "show", "telemetry"])
    }

    /// The value of a key as text, if it has one.
    pub(crate) fn get(&self, collection: &str, key: &str) -> Option<String> {
        let output = run(&self.data, &["get", collection, key]);
        match output.status.code() {
            Some(0) => Some(String::from_utf8(output.stdout).expect("text")),
            Some(3) => None,
            code => panic!("get ended with {code:?}: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// How many keys a collection has.
    pub(crate) fn count(&self, collection: &str) -> usize {
        self.ok(&["scan", collection, "--keys-only"]).lines().count()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

/// Runs one command on a directory to its end.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .arg("--data")
        .arg(data)
        .args(arguments)
        .env_remove("STRANDLINE_DATA")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts")
}

pub(crate) fn ok(data: &Path, arguments: &[&str]) -> String {
    let output = run(data, arguments);
    let trace = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{arguments:?} on {} ended with {}: {trace}",
        data.display(),
        output.status
    );
    String::from_utf8(output.stdout).expect("text")
}

/// The error of a command that must fail with this exit code, checked for the form scripts rely on.
pub(crate) fn fails(data: &Path, code: i32, arguments: &[&str]) -> Value {
    let mut with_json = arguments.to_vec();
    with_json.push("--json");
    let output = run(data, &with_json);
    let trace = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {trace}");
    assert!(!trace.contains("panicked"), "{arguments:?}: {trace}");
    let line = trace.lines().last().unwrap_or_else(|| panic!("{arguments:?} says nothing"));
    let document: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let error = document["error"].clone();
    assert!(error["type"].is_string() && error["message"].is_string(), "{line}");
    error
}

/// A home with space `telemetry` and collection `readings`.
pub(crate) fn home(place: &Place) -> Daemon {
    let home = Daemon::new(place, "home");
    home.ok(&["space", "create", "telemetry"]);
    home.ok(&["collection", "create", "telemetry/readings"]);
    home
}

/// A device that has joined the home's space.
pub(crate) fn joined(place: &Place, name: &str, home: &Daemon) -> Daemon {
    let device = Daemon::new(place, name);
    join(&device, home);
    device
}

pub(crate) fn join(device: &Daemon, home: &Daemon) {
    let ticket = home.ok(&["space", "invite", "telemetry"]);
    device.ok(&["space", "join", ticket.trim()]);
}

/// Asks again and again until the answer is there.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Waits until all have the same version and roots and no tail; that space.
pub(crate) fn agree(daemons: &[&Daemon]) -> Value {
    agree_on("telemetry", daemons)
}

/// The same of a space of another name.
pub(crate) fn agree_on(space: &str, daemons: &[&Daemon]) -> Value {
    let mut last = Vec::new();
    let started = Instant::now();
    loop {
        let spaces: Vec<Value> =
            daemons.iter().map(|daemon| daemon.json(&["space", "show", space])).collect();
        let figures =
            |space: &Value| ["id", "version", "data_root", "vv_root"].map(|name| space[name].to_string());
        let is_equal = spaces.iter().all(|space| figures(space) == figures(&spaces[0]));
        if is_equal && spaces.iter().all(|space| space["tail_commits"] == 0) {
            return spaces[0].clone();
        }
        assert!(started.elapsed() < PATIENCE, "they do not agree: {last:#?}");
        last = spaces;
        std::thread::sleep(LOOK);
    }
}

/// Runs commands of a home and a device while they do not reach each other, and waits until they agree again.
pub(crate) fn apart(home: &Daemon, device: &Daemon, here: &[&[&str]], there: &[&[&str]]) {
    device.ok(&["peer", "pause", "--all"]);
    here.iter().for_each(|command| drop(home.ok(command)));
    there.iter().for_each(|command| drop(device.ok(command)));
    device.ok(&["peer", "resume", "--all"]);
    agree(&[home, device]);
}

/// Every live value of a key, the winner first.
pub(crate) fn siblings(daemon: &Daemon, collection: &str, key: &str) -> Vec<String> {
    let entry = daemon.json(&["get", collection, key, "--all"]);
    let all = entry["all"].as_array().expect("a list of siblings");
    all.iter().map(|sibling| sibling["value"].as_str().expect("text").to_string()).collect()
}

pub(crate) fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).expect("a file");
    file.write_all(text.as_bytes()).expect("written");
}

/// `cp -r`, of whatever is there at the moment: a file may go away or grow meanwhile.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => copy(&entry.path(), &target),
            Ok(kind) if kind.is_file() => match std::fs::copy(entry.path(), &target) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
                _ => {}
            },
            _ => {}
        }
    }
}
