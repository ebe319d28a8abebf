//! Who waits for a commit to be on other devices, or to be anchored.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crdt::{DeviceId, Dot};
use disk::Disk;
use replica::Replica;
use sync::{Status, Store};
use tokio::sync::oneshot;

/// How far a write must have gone before its caller is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// Flushed here.
    #[default]
    Local,
    /// On the disks of this many other devices.
    Peers(usize),
    /// Covered by a Handle: in every later state of the space.
    Anchored,
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Level, String> {
        let peers = text.strip_prefix("peers:").and_then(|count| count.parse::<usize>().ok());
        match (text, peers) {
            ("local", _) => Ok(Level::Local),
            ("anchored", _) => Ok(Level::Anchored),
            (_, Some(count)) if (1..=64).contains(&count) => Ok(Level::Peers(count)),
            _ => Err(format!("`{text}` is not a wait level; allowed: local, peers:N, anchored")),
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Level::Local => f.write_str("local"),
            Level::Peers(count) => write!(f, "peers:{count}"),
            Level::Anchored => f.write_str("anchored"),
        }
    }
}

struct Wait {
    dot: Dot,
    level: Level,
    done: oneshot::Sender<()>,
}

#[derive(Default)]
pub(super) struct Waits {
    waits: Vec<Wait>,
    /// Who was ever told to have a commit while somebody waited for it: a session may end meanwhile.
    seen: BTreeMap<Dot, BTreeSet<DeviceId>>,
}

impl Waits {
    pub(super) fn add(&mut self, dot: Dot, level: Level, done: oneshot::Sender<()>) {
        self.waits.push(Wait { dot, level, done });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Callers find out that nothing will come as their channels close.
    pub(super) fn clear(&mut self) {
        self.waits.clear();
        self.seen.clear();
    }

    /// Answers those whose commit has gone far enough, forgets those whose caller has gone.
    pub(super) fn check<D: Disk>(&mut self, replica: &Replica<D>, sessions: &[(super::SessionId, Status)]) {
        let base = replica.base().version;
        for wait in std::mem::take(&mut self.waits) {
            let dot = wait.dot;
            let is_anchored = replica.anchored(&dot.writer) >= dot.seq;
            let holders = self.seen.entry(dot).or_default();
            holders.extend(sessions.iter().filter_map(|(_, status)| {
                let is_acked = status.acked.get(&dot.writer).is_some_and(|seq| *seq >= dot.seq);
                let is_covered = is_anchored && status.peer_base >= base;
                (is_acked || is_covered).then_some(status.peer)
            }));
            let is_reached = match wait.level {
                Level::Local => true,
                Level::Peers(count) => holders.len() >= count,
                Level::Anchored => is_anchored,
            };
            if is_reached {
                // A caller that timed out does not want to know.
                wait.done.send(()).unwrap_or_default();
            } else if !wait.done.is_closed() {
                self.waits.push(wait);
            }
        }
        let waited: BTreeSet<Dot> = self.waits.iter().map(|wait| wait.dot).collect();
        self.seen.retain(|dot, _| waited.contains(dot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_read_as_they_print() {
        for text in ["local", "anchored", "peers:3"] {
            assert_eq!(text.parse::<Level>().unwrap().to_string(), text);
        }
        for text in ["", "peers:0", "peers:x", "quorum"] {
            assert!(text.parse::<Level>().is_err(), "{text}");
        }
    }
}
