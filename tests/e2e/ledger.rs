//! What a writer was told, kept outside the daemon that told it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::harness::Daemon;
use super::http::{Answer, Connection};

/// Keys of one writer: few, so that most writes replace one another and an old value would show.
const KEYS: u64 = 24;

/// One writer's keys, and what may stand at each.
#[derive(Default)]
pub(crate) struct Ledger {
    name: String,
    next: u64,
    keys: BTreeMap<String, Known>,
    /// Writes that were acknowledged.
    pub(crate) acknowledged: u64,
}

#[derive(Default)]
struct Known {
    /// The last write that was acknowledged, or that a reader saw.
    sure: Option<u64>,
    /// Writes after it of which nobody was told anything.
    unsure: Vec<u64>,
}

impl Ledger {
    pub(crate) fn new(name: impl Into<String>) -> Ledger {
        Ledger { name: name.into(), ..Ledger::default() }
    }

    /// The next write of this writer. An error of the connection leaves it unsure, and so does an answer that says so;
    /// any other refusal says that nothing happened.
    pub(crate) fn write(&mut self, connection: &mut Connection, query: &str) -> std::io::Result<Answer> {
        self.next += 1;
        let seq = self.next;
        let key = self.key(seq);
        let known = self.keys.entry(key.clone()).or_default();
        known.unsure.push(seq);
        let answer = connection.put(&key, value(seq).as_bytes(), query)?;
        // Too late for who asked for more than this disk, and durable here all the same.
        let is_written = answer.is_ok() || answer.problem() == "wait-timeout";
        if is_written {
            *known = Known { sure: Some(seq), unsure: Vec::new() };
            self.acknowledged += 1;
        } else if answer.problem() != "outcome-unknown" {
            known.unsure.pop();
        }
        Ok(answer)
    }

    /// Reads the key whose turn it is next: an answer must be what may stand there, an error is the caller's to judge.
    pub(crate) fn read(&self, connection: &mut Connection) -> std::io::Result<Answer> {
        let key = self.key(self.next + 1);
        let path = format!("/v1/spaces/telemetry/collections/readings/keys/{key}");
        let answer = connection.request("GET", &path, b"")?;
        if let Some(known) = self.keys.get(&key) {
            let is_nothing = answer.status == 404 && known.sure.is_none();
            let seq = answer.is_ok().then(|| seq_of(&String::from_utf8_lossy(&answer.body)));
            let may_stand = |seq: u64| known.sure == Some(seq) || known.unsure.contains(&seq);
            assert!(
                answer.status >= 500 || is_nothing || seq.is_some_and(may_stand),
                "{key}: {}",
                answer.status
            );
        }
        Ok(answer)
    }

    fn key(&self, seq: u64) -> String {
        format!("{}-{:02}", self.name, seq % KEYS)
    }

    /// Acknowledged writes that are not there, in words.
    pub(crate) fn missing(&mut self, found: &BTreeMap<String, String>) -> Vec<String> {
        let mut missing = Vec::new();
        for (key, known) in &mut self.keys {
            let seq = found.get(key).map(|text| seq_of(text));
            match seq {
                Some(seq) if known.unsure.contains(&seq) => {
                    // Now that a reader saw it, it must stay; those before it were superseded or never were.
                    *known = Known { sure: Some(seq), unsure: Vec::new() };
                }
                seq if seq == known.sure => {}
                seq => missing.push(format!("{key}: {:?} was acknowledged, {seq:?} is there", known.sure)),
            }
        }
        missing
    }
}

/// Every key and value that the daemon shows.
pub(crate) fn shown(daemon: &Daemon) -> Option<BTreeMap<String, String>> {
    let output = super::harness::run(daemon.data(), &["export", "telemetry/readings"]);
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    Some(text.lines().map(entry).collect())
}

fn entry(line: &str) -> (String, String) {
    let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    let text = |name: &str| entry[name].as_str().unwrap_or_else(|| panic!("no {name} in {line}")).to_string();
    (text("key"), text("value"))
}

/// A value that names its write: short ones, ones of a page, and ones kept beside their commit.
fn value(seq: u64) -> String {
    let len = [20, 900, 5_000, 30_000][seq as usize % 4];
    format!("{seq} {}", "x".repeat(len))
}

fn seq_of(text: &str) -> u64 {
    let seq = text.split(' ').next().and_then(|seq| seq.parse().ok());
    let seq = seq.unwrap_or_else(|| panic!("{text:?} was never written"));
    assert_eq!(text, value(seq), "half of a value");
    seq
}
