//! Values of settings: sizes, durations and choices, each read strictly and written as people write them.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

/// What is said of a choice that this version does not have.
const ABSENT: &str = "is not part of this version";

/// A number of bytes: `512KiB`, `4GiB`, or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A duration: `50ms`, `1s`, `5min`, `12h`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Bytes a second: `2MiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub u64);

/// When the log is flushed, seen from an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fsync {
    /// Acknowledged is on the disk.
    #[default]
    Always,
    /// Acknowledged is on the disk this much later.
    Interval(Span),
    /// Acknowledged is on the disk when the system gets to it.
    Os,
}

/// What happens to a write when the outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It is refused and nothing is lost.
    #[default]
    Reject,
}

/// How waits between attempts are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jitter {
    /// Evenly between nothing and the whole wait.
    #[default]
    Full,
}

/// What a read waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strength {
    /// What is here.
    #[default]
    Eventual,
    /// What is here, which is causal already.
    Causal,
}

/// How many replicas a write waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// None: it is local, and shipped when a link exists.
    #[default]
    Async,
}

/// How much of a space is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// All of it.
    #[default]
    Full,
}

/// Who moves the Handles of spaces homed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistryKind {
    /// The embedded one.
    #[default]
    Redb,
}

/// Who keeps nodes and blobs of spaces homed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Objects {
    /// Packs in the data directory.
    #[default]
    File,
}

/// The bridge for the change feed, of which this version has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {}

/// A choice among words: those that work, those known to be absent, and no others.
macro_rules! choice {
    ($type:ident, [$($word:literal => $value:expr),*], [$($absent:literal),*]) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                let text = String::deserialize(deserializer)?;
                match text.as_str() {
                    $($word => Ok($value),)*
                    other => Err(de::Error::custom(not_chosen(other, &[$($word),*], &[$($absent),*]))),
                }
            }
        }
    };
}

choice!(WhenFull, ["reject" => WhenFull::Reject], ["shed-oldest", "shed-newest", "coalesce"]);
choice!(Strength, ["eventual" => Strength::Eventual, "causal" => Strength::Causal], ["strong"]);
choice!(Strategy, ["async" => Strategy::Async], ["sync", "quorum"]);
choice!(Mode, ["full" => Mode::Full], ["sparse", "tail"]);
choice!(RegistryKind, ["redb" => RegistryKind::Redb], ["postgres", "etcd", "object", "redis", "sled"]);
choice!(Objects, ["file" => Objects::File], ["s3"]);

fn not_chosen(found: &str, allowed: &[&str], absent: &[&str]) -> String {
    let scheme = found.split("://").next().unwrap_or(found);
    let list = allowed.join(", ");
    if absent.contains(&scheme) {
        format!("`{found}` {ABSENT}; allowed: {list}")
    } else {
        format!("`{found}` is not known; allowed: {list}")
    }
}

impl<'de> Deserialize<'de> for Feed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Feed, D::Error> {
        de::IgnoredAny::deserialize(deserializer)?;
        Err(de::Error::custom(format!("the bridge of the change feed {ABSENT}; remove `feed`")))
    }
}

/// Splits `12.5MiB` into its number and its unit.
fn split_unit(text: &str) -> Option<(f64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..at].parse::<f64>().ok()?;
    Some((number, text[at..].trim()))
}

fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text.trim())?;
    let scale: u64 = match unit {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "TiB" | "T" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    Some((number * scale as f64) as u64)
}

/// A duration as people write it: `50ms`, `1s`, `5min`, `12h`, `90d`.
pub fn parse_span(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text.trim())?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// A scalar that may be written as a number or as text.
struct Scalar<T> {
    parse: fn(&str) -> Option<T>,
    wanted: &'static str,
}

impl<T> Visitor<'_> for Scalar<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wanted)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::custom(format!("`{text}` is not {}", self.wanted)))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        let wanted = "a size; write for example 512KiB, 64MiB or 4GiB";
        deserializer.deserialize_str(Scalar { parse: bytes, wanted }).map(Size)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let wanted = "a duration; write for example 50ms, 1s, 5min, 12h or 90d";
        deserializer.deserialize_str(Scalar { parse: parse_span, wanted }).map(Span)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rate, D::Error> {
        let parse = |text: &str| bytes(text.strip_suffix("/s")?);
        deserializer.deserialize_str(Scalar { parse, wanted: "a rate; write for example 2MiB/s" }).map(Rate)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

const FSYNC_WANTED: &str = "always, interval: 50ms or os";

impl<'de> Deserialize<'de> for Fsync {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fsync, D::Error> {
        deserializer.deserialize_any(FsyncVisitor)
    }
}

struct FsyncVisitor;

impl<'de> Visitor<'de> for FsyncVisitor {
    type Value = Fsync;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FSYNC_WANTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Fsync, E> {
        let interval = text.strip_prefix("interval").map(|rest| rest.trim_start_matches([':', ' ']));
        match (text, interval.and_then(parse_span)) {
            ("always", _) => Ok(Fsync::Always),
            ("os", _) => Ok(Fsync::Os),
            (_, Some(span)) if !span.is_zero() => Ok(Fsync::Interval(Span(span))),
            _ => Err(E::custom(format!("`{text}` is not a flush policy; allowed: {FSYNC_WANTED}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fsync, A::Error> {
        let entry: Option<(String, Span)> = map.next_entry()?;
        match entry {
            Some((key, span)) if key == "interval" && !span.0.is_zero() => Ok(Fsync::Interval(span)),
            _ => Err(de::Error::custom(format!("not a flush policy; allowed: {FSYNC_WANTED}"))),
        }
    }
}
