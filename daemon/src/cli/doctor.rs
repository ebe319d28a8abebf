//! `doctor`: what is wrong with this device, a finding and its cure a line.

use std::time::Duration;

use strandline::api::types::Finding;
use strandline::daemon;

use super::Global;
use super::failure::{EXIT_UNAVAILABLE, Failure};
use super::output::{print_json, print_line};

#[derive(clap::Args)]
#[command(after_help = "\
Looks at the clock, permissions, disk, limits, spaces, and whether peers are in reach. Where no daemon runs it reads
the directory itself, and looks for what keeps one from starting: settings, addresses, the lock, the device key, and
whether each space opens. So it does where a daemon answers nothing within a while. Peers are left out then. Exit code 1 where something must be done, 5 where that is only to
start a daemon.

Example:
  strandline doctor
  strandline doctor --json")]
pub(crate) struct DoctorArguments {}

/// A doctor who waits for the patient to speak first is none: this is longer than a busy daemon takes to look at itself.
const ANSWER_MAX: Duration = Duration::from_secs(30);

async fn asked(global: &Global) -> Result<Vec<Finding>, Failure> {
    global.client().await?.get("/v1/doctor").await
}

pub(crate) async fn run(global: &Global, _arguments: &DoctorArguments) -> Result<(), Failure> {
    let findings = match tokio::time::timeout(ANSWER_MAX, asked(global)).await {
        Ok(Ok(findings)) => findings,
        Ok(Err(failure)) if failure.exit != EXIT_UNAVAILABLE => return Err(failure),
        Ok(Err(_)) | Err(_) => daemon::diagnose(&global.data_dir()?).await,
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
