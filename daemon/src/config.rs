//! Every setting of `strandline.yaml`, its default, and who would change it.

mod refusal;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use refusal::refusal;
use values::{Feed, Jitter, Mode, Objects, RegistryKind, Strategy, Strength};
pub use values::{Fsync, Rate, Size, Span, WhenFull, parse_span};

/// The file of settings in a data directory.
pub const FILE_NAME: &str = "strandline.yaml";

/// Where peers are listened for when nothing is configured.
pub const LISTEN_DEFAULT: &str = "0.0.0.0:7601";

/// The text `init` writes: every setting, commented, at its default.
const DEFAULT_TEXT: &str = include_str!("config/default.yaml");

/// The settings of one daemon.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What people call this device; the host's name when absent.
    pub name: Option<String>,
    /// Where peers reach this device over QUIC; `off` for a device that only dials.
    pub listen: Option<String>,
    /// Where HTTP is served besides the Unix socket.
    pub http: Option<String>,
    /// Peers to dial beside those that tickets bring.
    pub peers: Vec<String>,
    /// What an acknowledgement means.
    pub wal: Wal,
    /// How much may wait for a Handle.
    pub outbox: Outbox,
    /// When a peer that failed is tried again.
    pub retry: Retry,
    /// What this daemon may use.
    pub limits: Limits,
    /// How conflicts are settled that a program has a resolver for.
    pub conflicts: Conflicts,
    /// What a read waits for where it does not say.
    pub default_consistency: Strength,
    /// The same, for single collections.
    pub consistency_overrides: BTreeMap<String, Strength>,
    /// How many replicas a write waits for.
    pub replication: Replication,
    /// Settings of single spaces, by their local name.
    pub spaces: BTreeMap<String, SpaceSettings>,
    /// Where a home keeps its Handles and nodes.
    pub home: HomeSettings,
    /// A bridge for the change feed.
    pub feed: Option<Feed>,
}

/// The log.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wal {
    /// When the log is flushed, seen from an acknowledgement.
    pub fsync: Fsync,
}

/// Bounds of what no Handle covers yet.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbox {
    /// Bytes of commits above the base, for each space.
    pub max_bytes: Size,
    /// Age of the oldest of them; reported, nothing is dropped for it.
    pub max_age: Span,
    /// What happens to a write that does not fit.
    pub when_full: WhenFull,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox {
            max_bytes: Size(4 << 30),
            max_age: Span(Duration::from_secs(90 * 86_400)),
            when_full: WhenFull::Reject,
        }
    }
}

/// Settling conflicts by a resolver.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conflicts {
    /// How long a resolver may think about one; after it the conflict stays open.
    pub resolver_timeout: Span,
}

impl Default for Conflicts {
    fn default() -> Conflicts {
        Conflicts { resolver_timeout: Span(Duration::from_secs(10)) }
    }
}

/// Waiting between attempts to reach a peer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// The first wait.
    pub initial: Span,
    /// What each failure multiplies it by.
    pub multiplier: u32,
    /// The longest wait.
    pub max: Span,
    /// How the wait is spread.
    pub jitter: Jitter,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry {
            initial: Span(Duration::from_secs(1)),
            multiplier: 2,
            max: Span(Duration::from_secs(300)),
            jitter: Jitter::Full,
        }
    }
}

/// What the daemon may use of the machine.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes a second to peers.
    pub bandwidth: Option<Rate>,
    /// Bytes of DATA.
    pub disk: Option<Size>,
    /// Open files.
    pub open_files: Option<u32>,
    /// Bytes of memory for caches and overlays.
    pub memory: Option<Size>,
}

/// Waiting for other replicas.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replication {
    /// Whether a write waits for others.
    pub strategy: Strategy,
    /// Who counts in a quorum.
    pub voters: Vec<String>,
    /// How many must hold a write.
    pub write_quorum: u32,
    /// How many a read asks.
    pub read_quorum: u32,
}

impl Default for Replication {
    fn default() -> Replication {
        Replication { strategy: Strategy::Async, voters: Vec::new(), write_quorum: 1, read_quorum: 1 }
    }
}

/// Settings of one space.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpaceSettings {
    /// The directory that must hold every byte of the space.
    pub residency: Option<PathBuf>,
    /// How much of the space is kept here.
    pub mode: Mode,
}

/// Back ends of a home.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HomeSettings {
    /// Who moves the Handle.
    pub registry: RegistryKind,
    /// Who keeps nodes and blobs.
    pub objects: Objects,
}

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// A line is not valid.
    #[error("{FILE_NAME} line {line}: {reason}")]
    Line {
        /// Its number, from 1; 0 when the whole file is at fault.
        line: u64,
        /// What is wrong and what is allowed.
        reason: String,
    },
}

impl Settings {
    /// Reads `DATA/strandline.yaml`; a directory without one has the defaults.
    pub fn load(data: &Path) -> Result<Settings, Error> {
        let path = data.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => Settings::parse(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Settings::default()),
            Err(source) => Err(Error::Read { path: path.display().to_string(), source }),
        }
    }

    /// Settings from the text of the file.
    pub fn parse(text: &str) -> Result<Settings, Error> {
        let settings = serde_saphyr::from_str::<Option<Settings>>(text)
            .map_err(|error| refusal(&error))?
            .unwrap_or_default();
        settings.check(text)?;
        Ok(settings)
    }

    /// The text of a new file: every setting, commented, and the name if one was chosen.
    pub fn default_text(name: Option<&str>) -> String {
        match name {
            Some(name) => DEFAULT_TEXT.replace("# name: truck-17\n", &format!("name: {}\n", quote(name))),
            None => DEFAULT_TEXT.to_string(),
        }
    }

    /// What was set and does less than its name says in this version, one sentence each.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let limits = &self.limits;
        let unenforced = [
            ("limits.bandwidth", limits.bandwidth.is_some()),
            ("limits.disk", limits.disk.is_some()),
            ("limits.open_files", limits.open_files.is_some()),
        ];
        for (key, set) in unenforced {
            if set {
                notices.push(format!("{key} is set, and this version does not enforce it"));
            }
        }
        match self.wal.fsync {
            Fsync::Always => {}
            Fsync::Interval(span) => notices.push(format!(
                "wal.fsync is interval: a power cut can take the last {} of acknowledged writes",
                span
            )),
            Fsync::Os => {
                notices.push("wal.fsync is os: a power cut can take acknowledged writes".to_string());
            }
        }
        notices
    }

    fn check(&self, text: &str) -> Result<(), Error> {
        let refuse = |key: &str, reason: &str| {
            Err(Error::Line { line: line_of(text, key), reason: format!("{key}: {reason}") })
        };
        if self.retry.multiplier != 2 {
            return refuse("multiplier", "this version doubles: leave it out, or say 2");
        }
        if self.retry.initial > self.retry.max {
            return refuse("initial", "must not be longer than retry.max");
        }
        if self.outbox.max_bytes.0 < 1 << 20 {
            return refuse("max_bytes", "must be at least 1MiB");
        }
        if self.replication.write_quorum > 1 || self.replication.read_quorum > 1 {
            return refuse(
                "write_quorum",
                "quorums are not part of this version; use ?wait=peers:N on a write",
            );
        }
        if !self.replication.voters.is_empty() {
            return refuse("voters", "quorums are not part of this version");
        }
        if self.spaces.values().any(|space| space.residency.is_some()) {
            return refuse("residency", "is not part of this version: every space is kept in DATA/spaces");
        }
        Ok(())
    }
}

fn line_of(text: &str, key: &str) -> u64 {
    let wanted = format!("{key}:");
    let found = text.lines().position(|line| {
        let setting = line.split('#').next().unwrap_or("");
        setting.contains(&wanted)
    });
    found.map_or(0, |at| at as u64 + 1)
}

/// A YAML scalar that reads back as this text, whatever it holds.
fn quote(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.to_lowercase().as_str());
    if plain { text.to_string() } else { format!("'{}'", text.replace('\'', "''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &str) -> String {
        Settings::parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn the_written_file_says_nothing_and_every_line_of_it_is_valid() {
        assert_eq!(Settings::parse(&Settings::default_text(None)).unwrap(), Settings::default());
        let uncommented: String = DEFAULT_TEXT
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| {
                let key = line.trim_start().split(':').next().unwrap_or("");
                line.contains(':')
                    && !key.is_empty()
                    && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let parsed = Settings::parse(&uncommented).unwrap();
        assert_eq!(parsed.outbox, Settings::default().outbox);
        assert_eq!(parsed.retry, Settings::default().retry);
        assert_eq!(parsed.name.as_deref(), Some("truck-17"));
    }

    #[test]
    fn a_name_is_written_so_that_it_reads_back() {
        for name in ["truck-17", "it's: #1", "no", "17", "Ünit 4"] {
            let settings = Settings::parse(&Settings::default_text(Some(name))).unwrap();
            assert_eq!(settings.name.as_deref(), Some(name));
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_a_hint() {
        let text = "name: a\noutbox:\n  when_ful: reject\n";
        assert_eq!(
            reason(text),
            "strandline.yaml line 3: unknown setting `when_ful`, did you mean `when_full`? \
             allowed: max_bytes, max_age, when_full"
        );
        assert!(
            reason("htpp: 127.0.0.1:1\n").contains("line 1: unknown setting `htpp`, did you mean `http`?")
        );
    }

    #[test]
    fn a_bad_value_is_refused_with_its_line_and_what_is_allowed() {
        assert_eq!(
            reason("name: x\noutbox: { max_bytes: lots }\n"),
            "strandline.yaml line 2: `lots` is not a size; write for example 512KiB, 64MiB or 4GiB"
        );
        assert!(reason("wal: { fsync: sometimes }\n").contains("always, interval: 50ms or os"));
        assert!(reason("retry: { multiplier: 3 }\n").contains("this version doubles"));
    }

    #[test]
    fn what_is_not_built_is_refused_and_not_ignored() {
        assert!(reason("feed: { nats: 'nats://127.0.0.1:4222' }\n").contains("not part of this version"));
        assert!(reason("home: { registry: 'etcd://a' }\n").contains("not part of this version"));
        assert!(reason("outbox: { when_full: shed-oldest }\n").contains("not part of this version"));
        assert!(reason("consistency_overrides: { ledger: strong }\n").contains("not part of this version"));
        assert!(reason("replication: { strategy: quorum }\n").contains("not part of this version"));
    }

    #[test]
    fn a_weaker_flush_is_named_as_weaker() {
        let settings = Settings::parse("wal:\n  fsync:\n    interval: 50ms\n").unwrap();
        assert_eq!(settings.wal.fsync, Fsync::Interval(Span(Duration::from_millis(50))));
        assert_eq!(settings.notices().len(), 1);
        assert_eq!(Settings::parse("wal: { fsync: 'interval: 50ms' }").unwrap(), settings);
        assert!(Settings::default().notices().is_empty());
    }
}
