//! `verify`: everything on disk re-hashed, by the daemon or without one.

use hyper::Method;
use strandline::api::types::{Space, Verified};

use super::Global;
use super::failure::Failure;
use super::output::{Table, count, print_json, print_line};
use crate::client::{Body, Client, encode};

#[derive(clap::Args)]
#[command(after_help = "\
Asks the running daemon, or reads the directory itself when none runs. Exit code 1 and the place if
anything is wrong.

Example:
  strandline verify
  strandline verify telemetry --json")]
pub(crate) struct VerifyArguments {
    /// Name or id [default: every space]
    space: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: &VerifyArguments) -> Result<(), Failure> {
    let space = arguments.space.as_deref();
    let reports = online(&mut global.client().await?, space).await?;
    if global.json {
        print_json(&reports)?;
    } else {
        print_reports(&reports)?;
    }
    let problems: Vec<String> = reports
        .iter()
        .flat_map(|report| report.problems.iter().map(|problem| format!("{}: {problem}", report.space)))
        .collect();
    if problems.is_empty() && reports.iter().all(|report| report.ok) {
        return Ok(());
    }
    Err(Failure::failed("damaged", problems.join("\n"))
        .cure("copy the directory before anything else writes to it, and join again from a sound replica"))
}

async fn online(client: &mut Client, space: Option<&str>) -> Result<Vec<Verified>, Failure> {
    let names = match space {
        Some(name) => vec![name.to_string()],
        None => {
            let spaces: Vec<Space> = client.get("/v1/spaces").await?;
            spaces.into_iter().map(|space| space.id).collect()
        }
    };
    let mut reports = Vec::new();
    for name in names {
        let path = format!("/v1/spaces/{}/verify", encode(&name));
        reports.push(client.json(Method::POST, &path, Body::Empty).await?);
    }
    Ok(reports)
}

fn print_reports(reports: &[Verified]) -> Result<(), Failure> {
    let mut table = Table::new(&["SPACE", "NODES", "ENTRIES", "COMMITS", "RESULT"]);
    for report in reports {
        table.row(vec![
            report.space.clone(),
            count(report.nodes),
            count(report.entries),
            count(report.commits),
            if report.ok { "sound" } else { "DAMAGED" }.to_string(),
        ]);
    }
    if table.is_empty() {
        return print_line("no spaces to verify");
    }
    table.print()
}
