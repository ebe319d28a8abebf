//! `peer`: who this device talks to, and cutting and mending the links.

use std::time::{SystemTime, UNIX_EPOCH};

use strandline::api::types::{Peer, PeerChoice, PeersChanged};

use super::Global;
use super::failure::Failure;
use super::output::{Table, count, or_dash, print_json, print_line, relative, short};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  strandline peer list\n  strandline peer pause --all")]
pub(crate) struct PeerArguments {
    #[command(subcommand)]
    command: PeerCommand,
}

#[derive(clap::Subcommand)]
enum PeerCommand {
    /// List peers: state, what they have, last error, next attempt
    #[command(after_help = "Example:\n  strandline peer list --json")]
    List,
    /// Cut the link to a peer; everything written meanwhile waits in the log
    #[command(after_help = "Example:\n  strandline peer pause --all")]
    Pause(Which),
    /// Mend the link to a peer and try it at once
    #[command(after_help = "Example:\n  strandline peer resume --all")]
    Resume(Which),
}

#[derive(clap::Args)]
struct Which {
    /// Id or address, as `peer list` shows them
    #[arg(required_unless_present = "all")]
    peer: Option<String>,

    /// Every peer, those that come later too
    #[arg(long, conflicts_with = "peer")]
    all: bool,
}

pub(crate) async fn run(global: &Global, arguments: PeerArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    match arguments.command {
        PeerCommand::List => {
            let peers: Vec<Peer> = client.get("/v1/peers").await?;
            if global.json { print_json(&peers) } else { print_peers(&peers) }
        }
        PeerCommand::Pause(which) => {
            let changed = client.post("/v1/peers/pause", &PeerChoice { peer: which.peer }).await?;
            confirm(global, &changed, "paused")
        }
        PeerCommand::Resume(which) => {
            let changed = client.post("/v1/peers/resume", &PeerChoice { peer: which.peer }).await?;
            confirm(global, &changed, "resumed")
        }
    }
}

fn confirm(global: &Global, changed: &PeersChanged, done: &str) -> Result<(), Failure> {
    if global.json {
        return print_json(changed);
    }
    let plural = if changed.peers == 1 { "" } else { "s" };
    print_line(&format!("{done} {} peer{plural}", changed.peers))
}

/// Peers side by side; `status` shows the same.
pub(crate) fn print_peers(peers: &[Peer]) -> Result<(), Failure> {
    if peers.is_empty() {
        return print_line("no peers yet; they come with tickets (strandline space invite, join)");
    }
    let now = now_millis();
    let mut table =
        Table::new(&["PEER", "ADDRESS", "SPACE", "STATE", "ACKED", "LAG", "ATTEMPTS", "NEXT", "LAST ERROR"]);
    for peer in peers {
        table.row(vec![
            or_dash(short(&peer.id)),
            or_dash(&peer.address),
            peer.space.clone(),
            peer.state.clone(),
            count(peer.acked),
            count(peer.lag_commits),
            count(peer.attempts),
            peer.next_attempt.map_or_else(|| "-".to_string(), |at| relative(now, at)),
            or_dash(peer.last_error.as_deref().unwrap_or_default()),
        ]);
    }
    table.print()
}

/// The wall clock, for `in 3s` in a table and nothing else.
pub(crate) fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
