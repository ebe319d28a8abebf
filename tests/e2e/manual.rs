//! The examples of the manual, run as they stand there: each command on the daemon it names, each answer compared.
//!
//! In a block marked `console`, a line `NAME $ strandline …` is a command, and what follows it is its answer. Ids and times
//! differ from run to run, so two words that both look like one count as equal. `STRANDLINE_BLESS=1` writes what was answered
//! into the page instead; look at the difference before it is committed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::harness::{Daemon, Place, agree_on, run};
use super::tidy;

/// A page with its daemons.
struct Page<'a> {
    path: PathBuf,
    daemons: BTreeMap<&'a str, Daemon>,
    /// A link is cut: nobody waits for what it would bring.
    is_apart: bool,
}

impl Page<'_> {
    /// Runs a command and returns its answer as the page shows it.
    fn answer(&mut self, name: &str, command: &str) -> String {
        let words = words(command);
        let arguments: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let is_link = arguments.starts_with(&["peer"]);
        // Before they part and after they have met again: what was written has arrived everywhere.
        if !self.is_apart && (!is_link || arguments.contains(&"pause")) {
            let all: Vec<&Daemon> = self.daemons.values().collect();
            agree_on("team", &all);
        }
        self.is_apart = if is_link { arguments.contains(&"pause") } else { self.is_apart };
        let daemon = self.daemons.get(name).unwrap_or_else(|| panic!("no daemon {name} for {command}"));
        let output = run(daemon.data(), &arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text)
            .expect("text")
            .replace(&format!(" --data {}", daemon.data().display()), "");
        match output.status.code() {
            Some(0) => text,
            code => format!("{text}exit code {}\n", code.expect("it ended by itself")),
        }
    }

    /// The page with the answers of now.
    fn play(&mut self, text: &str) -> String {
        let mut played = String::new();
        let mut is_console = false;
        for line in text.lines() {
            let command = line.split_once("$ strandline").filter(|_| is_console);
            if line.starts_with("```") {
                is_console = line == "```console";
            }
            match command {
                Some((name, rest)) => {
                    let answer = self.answer(name.trim(), &format!("strandline{rest}"));
                    writeln!(played, "{line}\n{answer}").expect("a string takes anything");
                    played.truncate(played.trim_end().len());
                    played.push('\n');
                }
                // What the page says was answered.
                None if is_console && !line.starts_with("```") => {}
                None => writeln!(played, "{line}").expect("a string takes anything"),
            }
        }
        played
    }

    fn check(&mut self) {
        let text = std::fs::read_to_string(&self.path).expect("the page");
        let played = self.play(&text);
        if std::env::var_os("STRANDLINE_BLESS").is_some() {
            std::fs::write(&self.path, merged(&text, &played)).expect("the page is written");
            return;
        }
        let (expected, found): (Vec<&str>, Vec<&str>) = (text.lines().collect(), played.lines().collect());
        for (n, (expected, found)) in expected.iter().zip(&found).enumerate() {
            let at = format!("{}:{}", self.path.display(), n + 1);
            assert!(is_alike(expected, found), "{at}\n the page says: {expected}\n it is now:     {found}");
        }
        assert_eq!(expected.len(), found.len(), "{}: more or less was answered", self.path.display());
    }
}

/// The played page, with the old words where they count as equal: a run alone changes no line.
fn merged(old: &str, played: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let lines = played.lines().enumerate().map(|(n, line)| match old.get(n) {
        Some(old) if is_alike(old, line) => *old,
        _ => line,
    });
    lines.map(|line| format!("{line}\n")).collect()
}

/// Words of a command line; single quotes hold what is inside together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for char in command.chars() {
        match char {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            char => word.get_or_insert_default().push(char),
        }
    }
    words.extend(word);
    words
}

/// Whether two lines differ in ids and times only.
fn is_alike(a: &str, b: &str) -> bool {
    a == b || a.split_whitespace().map(masked).eq(b.split_whitespace().map(masked))
}

/// A word with its ids and its time as their kind alone.
fn masked(word: &str) -> String {
    let is_time =
        word.len() >= 20 && word.as_bytes()[10] == b'T' && word.trim_end_matches('"').ends_with('Z');
    if is_time {
        return "TIME".into();
    }
    let is_id = |part: &str| part.len() >= 8 && part.chars().all(|char| char.is_ascii_hexdigit());
    let parts = word.split_inclusive(|char: char| !char.is_ascii_alphanumeric());
    let parts = parts.map(|part| match part.trim_end_matches(|char: char| !char.is_ascii_alphanumeric()) {
        id if is_id(id) => part.replace(id, "ID"),
        _ => part.to_string(),
    });
    parts.collect()
}

fn page(name: &str) -> PathBuf {
    tidy::root().join("docs/manual").join(name)
}

/// A daemon of each name; the first one is the home of the space `team`, and the others have joined it.
fn daemons<'a>(place: &Place, names: &[&'a str]) -> BTreeMap<&'a str, Daemon> {
    let mut daemons: BTreeMap<&str, Daemon> = BTreeMap::new();
    for name in names {
        daemons.insert(name, Daemon::new(place, name));
    }
    let home = &daemons[names[0]];
    home.ok(&["space", "create", "team"]);
    for name in &names[1..] {
        let ticket = home.ok(&["space", "invite", "team"]);
        daemons[name].ok(&["space", "join", ticket.trim()]);
    }
    daemons
}

#[test]
fn every_policy_does_what_the_manual_shows() {
    let place = Place::new("manual");
    let daemons = daemons(&place, &["hub", "phone", "laptop"]);
    Page { path: page("conflicts.md"), daemons, is_apart: false }.check();
}

#[test]
fn words_are_those_of_a_shell_and_ids_alone_may_differ() {
    assert_eq!(
        words("strandline put a/b k 'two words' ''"),
        ["strandline", "put", "a/b", "k", "two words", ""]
    );
    assert!(is_alike("at 0a1b2c3d:4 wins", "at ffffffff:4 wins"));
    assert!(!is_alike("at 0a1b2c3d:4 wins", "at 0a1b2c3d:5 wins"));
    assert!(is_alike("lost  2026-11-28T08:12:20.472000Z", "lost  2031-01-02T03:04:05.000000Z"));
    assert!(!is_alike("one", "two"));
}
