//! `status`: the daemon at a glance.

use strandline::api::types::Status;

use super::Global;
use super::failure::Failure;
use super::output::{count, print_json, print_line, size};
use super::{peer, space};

#[derive(clap::Args)]
#[command(after_help = "\
A space's tail is what no Handle covers yet: on a device that is the outbox.

Example:
  strandline status
  strandline status --json")]
pub(crate) struct StatusArguments {}

pub(crate) async fn run(global: &Global, _arguments: &StatusArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    let status: Status = client.get("/v1/status").await?;
    if global.json {
        return print_json(&status);
    }
    print_line(&format!("device    {} ({})", status.device, status.name))?;
    print_line(&format!("data      {}", client.data().display()))?;
    print_line(&format!("listen    {}", status.listen.as_deref().unwrap_or("off")))?;
    print_line(&format!(
        "disk      {} used, {} free",
        size(status.disk.used_bytes),
        size(status.disk.free_bytes)
    ))?;
    print_line(&format!("conflicts {} open", count(status.conflicts.open)))?;
    if !status.clock.plausible {
        print_line("clock     before this program was made: set it, or this device's writes look old")?;
    }
    for notice in &status.notices {
        print_line(&format!("notice    {notice}"))?;
    }
    print_line("")?;
    if status.spaces.is_empty() {
        return print_line("no spaces yet; make one with: strandline space create NAME");
    }
    space::table(&status.spaces).print()?;
    for space in &status.spaces {
        if let Some(error) = &space.error {
            print_line(&format!("{}: {error}", space.name))?;
        }
    }
    print_line("")?;
    peer::print_peers(&status.peers)
}
