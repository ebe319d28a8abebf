//! What a data directory tells of itself where no daemon runs, above all what keeps one from starting.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use disk::{Disk, RealDisk};
use replica::Mode;

use super::{clock_is_set, disk, error, is_in_order, limits, ok, permissions, skew, space_finding};
use crate::api::types::{Finding, Space};
use crate::clock;
use crate::config::{LISTEN_DEFAULT, Settings};
use crate::daemon::{describe, listen};
use crate::space;
use crate::spaces::{self, Spaces};

/// The cure of what nobody foresaw.
const LOOK_CLOSER: &str = "strandline serve -vv says more";

/// Everything that can be looked at in a directory that no daemon answers for, the troubles first. Nothing is written.
pub async fn diagnose(data: &Path) -> Vec<Finding> {
    let command = |rest: &str| format!("strandline --data {} {rest}", data.display());
    if !data.is_dir() {
        return vec![error(
            "folder",
            format!("{} is no directory: nothing is here to serve", data.display()),
            &command("init"),
        )];
    }
    let mut findings = Vec::new();
    permissions(data, &mut findings);
    disk(data, &mut findings);
    let settings = settings(data, &mut findings);
    let is_locked = lock(data, &mut findings);
    spaces(data, &settings, &mut findings).await;
    if !is_locked {
        findings.push(error("daemon", "no daemon runs here", &command("serve")));
    }
    is_in_order(&mut findings);
    findings
}

/// The settings, and whether a daemon could listen where they say.
fn settings(data: &Path, findings: &mut Vec<Finding>) -> Settings {
    let settings = match Settings::load(data) {
        Ok(settings) => settings,
        Err(problem) => {
            findings.push(error("settings", problem.to_string(), "mend that line of strandline.yaml"));
            return Settings::default();
        }
    };
    let before = findings.len();
    let mut refused = |what: String, cure: &str| findings.push(error("settings", what, cure));
    if let Err(problem) = listen::check_socket_path(data) {
        refused(problem.to_string(), "move the directory, or name it by a shorter --data");
    }
    let peers = listen::peer_address(settings.listen.as_deref().unwrap_or(LISTEN_DEFAULT));
    let peers = peers.map(|address| address.and_then(|address| not_bound(address, UdpSocket::bind(address))));
    let http = settings.http.as_deref().map(listen::http_address).transpose();
    let http = http.map(|address| address.and_then(|address| not_bound(address, TcpListener::bind(address))));
    for (name, tried) in [("listen", peers), ("http", http)] {
        match tried {
            Ok(None) => {}
            Ok(Some(problem)) => {
                refused(problem, &format!("set {name} in strandline.yaml to another address"))
            }
            Err(problem) => refused(problem.to_string(), &format!("mend {name} in strandline.yaml")),
        }
    }
    if findings.len() == before {
        findings.push(ok("settings", "every line of strandline.yaml is understood".to_string()));
    }
    settings
}

/// Why nothing can listen there; a port that is taken gives way to a free one.
fn not_bound<T>(address: SocketAddr, bound: std::io::Result<T>) -> Option<String> {
    let problem = bound.err().filter(|problem| problem.kind() != ErrorKind::AddrInUse)?;
    Some(format!("nothing can listen on {address}: {problem}"))
}

/// Whether another process has the directory, though it does not answer.
fn lock(data: &Path, findings: &mut Vec<Finding>) -> bool {
    let file = data.join(spaces::LOCK);
    // Where it is not there nobody has taken it, and to look is no reason to make it.
    if !file.exists() {
        return false;
    }
    match RealDisk::new(data).lock(spaces::LOCK) {
        Ok(_) => false,
        Err(problem) if problem.kind() == ErrorKind::WouldBlock => {
            findings.push(error(
                "daemon",
                format!("a process has {}, and answers nothing on the socket", data.display()),
                &format!("wait while it starts or ends; else find it with: fuser {}", file.display()),
            ));
            true
        }
        Err(problem) => {
            findings.push(error(
                "permissions",
                format!("{} cannot be locked: {problem}", file.display()),
                "give the directory back to the user of the daemon, or serve --read-only",
            ));
            false
        }
    }
}

/// Whether the device and each space open, to be read.
async fn spaces(data: &Path, settings: &Settings, findings: &mut Vec<Finding>) {
    let (folder, with) = (data.to_path_buf(), settings.clone());
    let opened = tokio::task::spawn_blocking(move || Spaces::open(&folder, with, Mode::ReadOnly)).await;
    let spaces = match opened.map_err(std::io::Error::other) {
        Ok(Ok(spaces)) => spaces,
        Ok(Err(problem)) => {
            findings.extend(device_finding(&problem, data));
            findings.push(clock_is_set(clock::now()));
            return;
        }
        Err(problem) => {
            findings.push(error(
                "folder",
                format!("{} cannot be read: {problem}", data.display()),
                LOOK_CLOSER,
            ));
            return;
        }
    };
    let me = spaces.identity().device();
    let here: Vec<Arc<space::Space>> = spaces.all();
    findings.extend(skew::findings(&here, me, clock::now()).await);
    let mut described: Vec<Space> = Vec::new();
    for space in &here {
        described.push(describe::space(me, space).await);
    }
    findings.extend(limits(&described, settings));
    for space in &described {
        findings.push(space_finding(space).unwrap_or_else(|| {
            let waits = format!("{} commits that no version covers", space.tail_commits);
            ok("space", format!("{} opens: version {}, {waits}", space.name, space.version))
        }));
    }
}

/// What keeps the directory from opening; what is said of its permissions is said already.
fn device_finding(problem: &spaces::Error, data: &Path) -> Option<Finding> {
    use crate::identity::Error::{Damaged, Disk, Exists, Exposed, Missing};
    let cure = match problem {
        spaces::Error::Identity(Exposed { .. } | Disk { .. } | Exists { .. }) => return None,
        spaces::Error::Identity(Missing { .. }) => &format!("strandline --data {} init", data.display()),
        spaces::Error::Identity(Damaged { .. }) => {
            "bring the file back from a backup; without it this is a new device: move the directory, and init"
        }
        _ => LOOK_CLOSER,
    };
    Some(error("folder", problem.to_string(), cure))
}
