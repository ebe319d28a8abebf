//! `verify`: everything on disk re-hashed, by the daemon or without one.

use std::path::Path;
use std::sync::Arc;

use hyper::Method;
use replica::Mode;
use strandline::api::types::{self, Verified};
use strandline::config::Settings;
use strandline::slot::Turn;
use strandline::space::Space;
use strandline::spaces::Spaces;

use super::Global;
use super::failure::{EXIT_NOT_FOUND, EXIT_UNAVAILABLE, Failure};
use super::output::{Table, count, print_json, print_line, size};
use super::serve::not_opened;
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
    let reports = match global.client().await {
        Ok(mut client) => online(&mut client, space).await?,
        Err(failure) if failure.exit == EXIT_UNAVAILABLE => {
            let (data, space) = (global.data_dir()?, arguments.space.clone());
            // A space is opened and read by a thread that may wait, which this one may not.
            let read = tokio::task::spawn_blocking(move || offline(&data, space.as_deref()));
            read.await.map_err(|error| Failure::failed("internal", error.to_string()))??
        }
        Err(failure) => return Err(failure),
    };
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
        .cure(
            "let the daemon run: it asks its peers for what is damaged in packs; for anything else copy the directory before \
             anything writes to it, and join again from a sound replica",
        ))
}

async fn online(client: &mut Client, space: Option<&str>) -> Result<Vec<Verified>, Failure> {
    let names = match space {
        Some(name) => vec![name.to_string()],
        None => {
            let spaces: Vec<types::Space> = client.get("/v1/spaces").await?;
            spaces.into_iter().map(|space| space.id).collect()
        }
    };
    let mut reports = Vec::new();
    for name in names {
        let path = format!("/v1/spaces/{}/verify", encode(&name));
        reports.push(match client.json(Method::POST, &path, Body::Empty).await {
            Ok(report) => report,
            // A space that cannot even be opened is what verify is asked about.
            Err(failure) if matches!(failure.kind.as_str(), "space-unavailable" | "storage") => {
                Verified::unopened(name, failure.message)
            }
            Err(failure) => return Err(failure),
        });
    }
    Ok(reports)
}

/// Without a daemon the directory is opened here, for reading only.
fn offline(data: &Path, space: Option<&str>) -> Result<Vec<Verified>, Failure> {
    let settings = Settings::load(data).map_err(|error| Failure::usage(error.to_string()))?;
    let spaces = Spaces::open(data, settings, Mode::ReadOnly).map_err(|error| not_opened(&error, data))?;
    let wanted = match space {
        None => spaces.all(),
        Some(name) => {
            let missing =
                || Failure::new(EXIT_NOT_FOUND, "space-missing", format!("there is no space {name} here"));
            vec![spaces.find(name).ok_or_else(missing)?]
        }
    };
    let verify = |space: Arc<Space>| {
        let report = space.slot.call_blocking(0, |owner, _| {
            Turn::Done(owner.live().and_then(|live| live.replica.verify().map_err(Into::into)))
        });
        match report {
            Ok(report) => Verified::of(space.name.clone(), report),
            Err(error) => Verified::unopened(space.name.clone(), error.to_string()),
        }
    };
    Ok(wanted.into_iter().map(verify).collect())
}

fn print_reports(reports: &[Verified]) -> Result<(), Failure> {
    let mut table = Table::new(&["SPACE", "NODES", "ENTRIES", "SIZE", "COMMITS", "RESULT"]);
    for report in reports {
        table.row(vec![
            report.space.clone(),
            count(report.nodes),
            count(report.entries),
            size(report.bytes),
            count(report.commits),
            if report.ok { "sound" } else { "DAMAGED" }.to_string(),
        ]);
    }
    if table.is_empty() {
        return print_line("no spaces to verify");
    }
    table.print()
}
