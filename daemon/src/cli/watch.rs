//! `watch`: the change feed, a CloudEvent a line.

use hyper::Method;
use strandline::api::types::Event;

use super::Global;
use super::failure::Failure;
use super::get::value_text;
use super::output::print_line;
use super::target::Query;
use crate::client::{Body, Lines, encode};

#[derive(clap::Args)]
#[command(after_help = "\
Every event has a cursor; --from that cursor goes on after it, over restarts, at this replica only. An event may
come twice, under the same id.

Example:
  strandline watch telemetry
  strandline watch telemetry/readings --json
  strandline watch telemetry --from 5d0c19e2-12-48211 --no-follow")]
pub(crate) struct WatchArguments {
    /// SPACE or SPACE/COLLECTION
    target: String,

    /// Begin after this cursor; `oldest` as far back as the feed goes [default: now]
    #[arg(long, value_name = "CURSOR")]
    from: Option<String>,

    /// End once everything is told
    #[arg(long)]
    no_follow: bool,
}

pub(crate) async fn run(global: &Global, arguments: &WatchArguments) -> Result<(), Failure> {
    let (space, collection) = match arguments.target.split_once('/') {
        Some((space, collection)) => (space, Some(collection)),
        None => (arguments.target.as_str(), None),
    };
    let mut query = Query::default();
    query.set_option("from", arguments.from.as_deref());
    query.set_option("collection", collection);
    query.set_flag("follow", !arguments.no_follow);
    let path = format!("/v1/spaces/{}/changes{}", encode(space), query.as_str());
    let mut client = global.client().await?;
    let response = client.request(Method::GET, &path, "application/x-ndjson", Body::Empty).await?;
    let mut lines = Lines::new(response);
    while let Some(line) = lines.next().await? {
        // A person watches: each line is there when it happens, not when a block is full.
        if global.json {
            print_line(&String::from_utf8_lossy(line))?;
        } else {
            print_event(line)?;
        }
    }
    Ok(())
}

fn print_event(line: &[u8]) -> Result<(), Failure> {
    let event: Event = serde_json::from_slice(line)
        .map_err(|error| Failure::failed("protocol", format!("an event cannot be read: {error}")))?;
    let time = event.time.as_deref().unwrap_or("-");
    for change in &event.data.changes {
        let value = match (&change.value, change.op.as_str()) {
            (Some(value), _) => value_text(value),
            (None, "delete") => String::new(),
            (None, _) => format!("({} bytes)", change.len),
        };
        let conflict = change.conflict.as_ref().map_or_else(String::new, |id| format!("\tconflict {id}"));
        print_line(&format!(
            "{}\t{time}\t{}\t{}\t{}\t{value}{conflict}",
            event.cursor, change.op, change.collection, change.key
        ))?;
    }
    Ok(())
}
