//! `doctor`: what is wrong with this device, a finding and its cure a line.

use strandline::api::types::Finding;

use super::Global;
use super::failure::Failure;
use super::output::{print_json, print_line};

#[derive(clap::Args)]
#[command(after_help = "\
Looks at the clock, permissions, disk, limits, spaces, and whether peers are in reach. Exit code 1 where something
must be done.

Example:
  strandline doctor
  strandline doctor --json")]
pub(crate) struct DoctorArguments {}

pub(crate) async fn run(global: &Global, _arguments: &DoctorArguments) -> Result<(), Failure> {
    let findings: Vec<Finding> = global.client().await?.get("/v1/doctor").await?;
    for finding in &findings {
        if global.json {
            print_json(finding)?;
            continue;
        }
        let cure = finding.cure.as_ref().map_or_else(String::new, |cure| format!(" -> {cure}"));
        print_line(&format!("{:<8} {:<12} {}{cure}", finding.level, finding.area, finding.finding))?;
    }
    let errors = findings.iter().filter(|finding| finding.level == "error").count();
    match errors {
        0 => Ok(()),
        count => Err(Failure::failed("unsound", format!("{count} of these must be seen to"))),
    }
}
