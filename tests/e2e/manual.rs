//! The examples of the manual, run as they stand there: each command on the daemon it names, each answer compared.
//!
//! In a block marked `console`, a line `NAME $ strandline …` is a command, and what follows it is its answer; `date --set` and
//! `timedatectl set-ntp true` move the clock of that daemon. Ids, times,
//! cursors and contexts differ from run to run, so two words that both look like one count as equal, and an id or a context in
//! a command is the one that was answered at its place. `STRANDLINE_BLESS=1` writes what was answered
//! into the page instead; look at the difference before it is committed.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use crdt::view::mv::Context;

use super::harness::{Daemon, Place, agree_on, run};
use super::liar::Liar;
use super::tidy;

/// A page with its daemons.
struct Page<'a> {
    path: PathBuf,
    daemons: BTreeMap<&'a str, Daemon>,
    liar: Liar,
    /// Ids and contexts that the page shows, and what they are in this run.
    ids: BTreeMap<String, String>,
    /// A link is cut: nobody waits for what it would bring.
    is_apart: bool,
}

impl Page<'_> {
    /// Runs a command and returns its answer as the page shows it.
    fn answer(&mut self, name: &str, command: &str) -> String {
        let words = words(command);
        let (program, arguments) = words.split_first().expect("a command");
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match (program.as_str(), arguments.as_slice()) {
            ("strandline", _) => {}
            ("date", ["--set", text]) => {
                self.liar.date(name, text);
                return String::new();
            }
            ("timedatectl", ["set-ntp", "true"]) => {
                self.liar.set(name, 0);
                return String::new();
            }
            _ => panic!("nobody here runs {command}"),
        }
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
            .replace(&format!(" --data {}", daemon.data().display()), "")
            .replace(&daemon.data().display().to_string(), &format!("/var/lib/{name}"));
        match output.status.code() {
            Some(0) => text,
            code => format!("{text}exit code {}\n", code.expect("it ended by itself")),
        }
    }

    /// The page with the answers of now.
    fn play(&mut self, text: &str) -> String {
        let mut played = String::new();
        let mut is_console = false;
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.starts_with("```") {
                is_console = line == "```console";
            }
            let Some((name, command)) = line.split_once(" $ ").filter(|_| is_console) else {
                writeln!(played, "{line}").expect("a string takes anything");
                continue;
            };
            let answer = self.answer(name, &self.now(command));
            // What the page says was answered.
            let mut shown = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("```") && !line.contains(" $ ")) {
                shown.push(line);
            }
            self.ids.extend(shown.iter().zip(answer.lines()).flat_map(|(shown, now)| same_ids(shown, now)));
            writeln!(played, "{line}\n{}", answer.trim_end()).expect("a string takes anything");
            played.truncate(played.trim_end().len());
            played.push('\n');
        }
        played
    }

    /// A command with the ids of this run where the page has those of another one.
    fn now(&self, command: &str) -> String {
        let words = command.split(' ').map(|word| self.ids.get(word).map_or(word, String::as_str));
        words.collect::<Vec<&str>>().join(" ")
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

/// Whether two lines differ in ids, times, cursors and free space only.
fn is_alike(a: &str, b: &str) -> bool {
    a == b || masked(a) == masked(b)
}

/// The ids and contexts that two lines have at the same places.
fn same_ids(shown: &str, now: &str) -> Vec<(String, String)> {
    let words = shown.split_whitespace().zip(now.split_whitespace());
    let ids = words.filter(|(shown, now)| is_id(shown) && is_id(now) || is_context(shown) && is_context(now));
    ids.map(|(shown, now)| (shown.to_string(), now.to_string())).collect()
}

fn is_id(part: &str) -> bool {
    part.len() >= 8 && part.chars().all(|char| char.is_ascii_hexdigit())
}

/// What `get --all` prints for `put --context`.
fn is_context(word: &str) -> bool {
    let bytes = data_encoding::BASE64URL_NOPAD.decode(word.as_bytes());
    bytes.is_ok_and(|bytes| Context::decode(&bytes).is_ok_and(|seen| !seen.dots().is_empty()))
}

/// The words of a line, with what differs from run to run as its kind alone.
fn masked(line: &str) -> Vec<String> {
    let words = line.split(|char: char| char.is_whitespace() || char == '"').filter(|word| !word.is_empty());
    let mut words: Vec<String> = words.map(masked_word).collect();
    for n in 1..words.len() {
        if words[n] == "MiB" {
            words[n - 1] = "SIZE".into();
        }
    }
    words
}

fn masked_word(word: &str) -> String {
    if word.len() >= 20 && word.as_bytes()[10] == b'T' && word.ends_with('Z') {
        return "TIME".into();
    }
    if is_context(word) {
        return "CONTEXT".into();
    }
    match word.split_once('-') {
        Some((id, place)) if is_id(id) && place.chars().all(|char| char == '-' || char.is_ascii_digit()) => {
            return "CURSOR".into();
        }
        _ => {}
    }
    let parts = word.split_inclusive(|char: char| !char.is_ascii_alphanumeric());
    let parts = parts.map(|part| match part.trim_end_matches(|char: char| !char.is_ascii_alphanumeric()) {
        id if is_id(id) => part.replace(id, "ID"),
        _ => part.to_string(),
    });
    parts.collect()
}

/// Plays a page: the first daemon is the home of the space `team`, and the others have joined it.
fn check(name: &str, machines: &[&str]) {
    let place = Place::new(name);
    let liar = Liar::new(&place);
    let daemons: BTreeMap<&str, Daemon> =
        machines.iter().map(|name| (*name, liar.daemon(&place, name))).collect();
    let home = &daemons[machines[0]];
    home.ok(&["space", "create", "team"]);
    for name in &machines[1..] {
        let ticket = home.ok(&["space", "invite", "team"]);
        daemons[name].ok(&["space", "join", ticket.trim()]);
    }
    let path = tidy::root().join("docs/manual").join(name);
    Page { path, daemons, liar, ids: BTreeMap::new(), is_apart: false }.check();
}

#[test]
fn every_policy_does_what_the_manual_shows() {
    check("conflicts.md", &["hub", "phone", "laptop"]);
}

#[test]
fn what_lost_is_settled_as_the_manual_shows() {
    check("inbox.md", &["hub", "phone", "laptop"]);
}

#[test]
fn wrong_clocks_do_what_the_manual_shows() {
    check("clocks.md", &["hub", "phone", "laptop"]);
}

#[test]
fn the_feed_does_what_the_manual_shows() {
    check("changes.md", &["hub", "phone"]);
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
    assert!(is_alike("\"cursor\":\"50df580f-0-1971\"", "\"cursor\":\"00000000-1-7\""));
    assert!(is_alike("ok disk 16379 MiB are free", "ok disk 2 MiB are free"));
    assert!(!is_alike("16379 rows", "2 rows"));
}
