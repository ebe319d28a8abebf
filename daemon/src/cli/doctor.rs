//! `doctor`: what is wrong with this device, a finding and its cure a line.

use strandline::api::types::Finding;
use strandline::daemon;

use super::Global;
use super::failure::{EXIT_UNAVAILABLE, Failure};
use super::output::{print_json, print_line};

#[derive(clap::Args)]
#[command(after_help = "\
Looks at the clock, permissions, disk, limits, spaces, and whether peers are in reach. Where no daemon runs it reads
the directory itself, and looks for what keeps one from starting: settings, addresses, the lock, the device key, and
whether each space opens. Peers are left out then. Exit code 1 where something must be done, 5 where that is only to
start a daemon.

Example:
  strandline doctor
  strandline doctor --json")]
pub(crate) struct DoctorArguments {}

pub(crate) async fn run(global: &Global, _arguments: &DoctorArguments) -> Result<(), Failure> {
    let findings: Vec<Finding> = match global.client().await {
        Ok(mut client) => client.get("/v1/doctor").await?,
        Err(failure) if failure.exit == EXIT_UNAVAILABLE => daemon::diagnose(&global.data_dir()?).await,
        Err(failure) => return Err(failure),
    };
    for finding in &findings {
        if global.json {
            print_json(finding)?;
            continue;
        }
        let cure = finding.cure.as_ref().map_or_else(String::new, |cure| format!(" -> {cure}"));
        print_line(&format!("{:<8} {:<12} {}{cure}", finding.level, finding.area, finding.finding))?;
    }
    let (absent, errors): (Vec<&Finding>, Vec<&Finding>) = findings
        .iter()
        .filter(|finding| finding.level == "error")
        .partition(|finding| finding.area == "daemon");
    match (errors.len(), absent.first()) {
        (0, None) => Ok(()),
        (0, Some(absent)) => Err(Failure::unavailable(absent.finding.clone())),
        (count, _) => Err(Failure::failed("unsound", format!("{count} of these must be seen to"))),
    }
}
