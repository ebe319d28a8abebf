//! What is wrong with this device, and what to do about it: a finding and its cure each.

mod offline;
mod skew;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use crdt::Time;

use super::Daemon;
use super::describe::{self, PLAUSIBLE_MS};
use crate::api::types::{Finding, Peer, Space, Status};
use crate::clock;
use crate::config::Settings;
use crate::identity;

pub use offline::diagnose;

/// Less than this is left on a disk that is nearly full.
const FREE_MIN: u64 = 256 << 20;

/// The outbox is nearly full from this part on, in percent.
const OUTBOX_WARNED: u64 = 80;

impl Daemon {
    /// Everything that was looked at, the troubles first.
    pub(crate) async fn findings(&self) -> Vec<Finding> {
        let status = self.status().await;
        let mut findings = Vec::new();
        findings
            .extend(skew::findings(&self.spaces.all(), self.spaces.identity().device(), clock::now()).await);
        let data = self.spaces.data();
        permissions(data, &mut findings);
        disk(data, &mut findings);
        findings.extend(limits(&status.spaces, self.spaces.settings()));
        status.spaces.iter().for_each(|space| findings.extend(space_finding(space)));
        reachability(&status, &mut findings);
        is_in_order(&mut findings);
        findings
    }
}

/// The troubles first.
fn is_in_order(findings: &mut [Finding]) {
    let rank = |finding: &Finding| ["error", "warning", "ok"].iter().position(|l| *l == finding.level);
    findings.sort_by_key(rank);
}

/// What is nearly used up: files that may be open, in a daemon started from here too, and outboxes.
fn limits(spaces: &[Space], settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < 1_024) {
        findings.push(warning(
            "limits",
            format!("this process may open {files} files"),
            "raise it: ulimit -n 4096, or LimitNOFILE= of the service",
        ));
    }
    let max = settings.outbox.max_bytes.0;
    for space in spaces.iter().filter(|space| space.tail_bytes >= max / 100 * OUTBOX_WARNED) {
        findings.push(warning(
            "limits",
            format!("the outbox of {} holds {} of {max} bytes", space.name, space.tail_bytes),
            "bring its home in reach, or raise outbox.max_bytes",
        ));
    }
    if findings.is_empty() {
        findings.push(ok("limits", "open files and outboxes have room".to_string()));
    }
    findings
}

/// Whether the clock was ever set.
fn clock_is_set(now: Time) -> Finding {
    match now.0 <= PLAUSIBLE_MS {
        true => error(
            "clock",
            "the clock shows a time before this program was made: writes of this device look old and lose",
            "set it, or let NTP set it: timedatectl set-ntp true",
        ),
        false => ok("clock", "plausible".to_string()),
    }
}

fn permissions(data: &Path, findings: &mut Vec<Finding>) {
    let before = findings.len();
    let key = data.join(identity::FILE_NAME);
    match std::fs::metadata(&key).map(|found| found.permissions().mode() & 0o777) {
        Ok(mode) if mode & 0o077 != 0 => findings.push(error(
            "permissions",
            format!("{} can be read by others (mode {mode:o}): whoever has it is this device", key.display()),
            &format!("chmod 600 {}", key.display()),
        )),
        Ok(_) => {}
        Err(problem) => findings.push(error(
            "permissions",
            format!("{} cannot be looked at: {problem}", key.display()),
            "give the directory back to the user of the daemon",
        )),
    }
    if let Err(problem) = access(data, Access::WRITE_OK | Access::EXEC_OK) {
        findings.push(error(
            "permissions",
            format!("{} cannot be written: {problem}", data.display()),
            "give the directory back to the user of the daemon, or serve --read-only",
        ));
    }
    if findings.len() == before {
        findings.push(ok("permissions", format!("{} is this user's alone", data.display())));
    }
}

fn disk(data: &Path, findings: &mut Vec<Finding>) {
    let free = describe::free(data);
    findings.push(match free < FREE_MIN {
        true => warning(
            "disk",
            format!("{} MiB are left on the disk of the data directory", free >> 20),
            "free some space: without it writes are refused, reads and sync go on",
        ),
        false => ok("disk", format!("{} MiB are free", free >> 20)),
    });
}

fn space_finding(space: &Space) -> Option<Finding> {
    if let Some(trouble) = &space.error {
        return Some(error(
            "space",
            format!("{}: {trouble}", space.name),
            &format!("strandline verify {}", space.name),
        ));
    }
    match space.membership.as_str() {
        "member" | "" => None,
        place => Some(warning(
            "space",
            format!("{}: this device is {place}", space.name),
            "join it again with a new ticket: strandline space join TICKET",
        )),
    }
}

fn reachability(status: &Status, findings: &mut Vec<Finding>) {
    let before = findings.len();
    if status.listen.is_none() {
        findings.push(warning(
            "peer",
            "no port is open: other devices cannot dial this one".to_string(),
            "listen in strandline.yaml, or serve without --isolated",
        ));
    }
    findings.extend(status.peers.iter().filter_map(peer));
    if findings.len() == before {
        let connected = status.peers.len();
        findings.push(ok("peer", format!("none is out of reach, of {connected}")));
    }
}

fn peer(peer: &Peer) -> Option<Finding> {
    let name = if peer.id.is_empty() { &peer.address } else { &peer.id };
    let of = format!("{name} ({})", peer.space);
    match (peer.state.as_str(), &peer.last_error) {
        ("paused", _) => {
            Some(warning("peer", format!("{of} is paused"), &format!("strandline peer resume {name}")))
        }
        ("connected" | "connecting", _) | (_, None) => None,
        (_, Some(why)) => Some(warning(
            "peer",
            format!("{of} is out of reach since {} attempts: {why}", peer.attempts),
            &format!("look whether it serves, and whether {} leads to it", or_nowhere(&peer.address)),
        )),
    }
}

fn or_nowhere(address: &str) -> &str {
    if address.is_empty() { "its address" } else { address }
}

fn ok(area: &str, finding: String) -> Finding {
    Finding { area: area.to_string(), level: "ok".to_string(), finding, cure: None }
}

fn warning(area: &str, finding: impl Into<String>, cure: &str) -> Finding {
    let (area, cure) = (area.to_string(), Some(cure.to_string()));
    Finding { area, level: "warning".to_string(), finding: finding.into(), cure }
}

fn error(area: &str, finding: impl Into<String>, cure: &str) -> Finding {
    Finding { level: "error".to_string(), ..warning(area, finding, cure) }
}
