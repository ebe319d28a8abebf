//! `explain`: why a key shows what it shows.

use strandline::api::types::Explained;

use super::Global;
use super::failure::Failure;
use super::get::{hlc_time, value_text};
use super::output::{Table, print_json, print_line, short};
use super::target::{KeyForm, Query, Target};
use crate::client::encode;

#[derive(clap::Args)]
#[command(after_help = "\
What was superseded is told as far back as log and archive still hold the commits. Of a document or a set all of its
fields or elements are told, or one of them by its tuple.

Example:
  strandline explain telemetry/notes greeting
  strandline explain team/tasks '[\"t1\",\"title\"]' --tuple")]
pub(crate) struct ExplainArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// The key
    key: String,

    #[command(flatten)]
    form: KeyForm,
}

pub(crate) async fn run(global: &Global, arguments: &ExplainArguments) -> Result<(), Failure> {
    let mut query = Query::default();
    arguments.form.add_to(&mut query);
    let path = format!("{}/explain/{}{}", arguments.target.path(), encode(&arguments.key), query.as_str());
    let explained: Explained = global.client().await?.get(&path).await?;
    if global.json {
        return print_json(&explained);
    }
    print_line(&format!("{} {} ({})", arguments.target, explained.key, explained.policy))?;
    if let Some(value) = &explained.value {
        print_line(&format!("reads {}", value_text(value)))?;
    }
    print_line(&format!("{}\n", explained.why))?;
    let has_parts = explained.writes.iter().any(|write| write.part.is_some());
    let mut columns = vec!["STATE", "OP", "VALUE", "WRITTEN", "DEVICE", "DOT", "SUPERSEDED BY"];
    if has_parts {
        columns.insert(1, "AT");
    }
    let mut table = Table::new(&columns);
    for write in &explained.writes {
        let state = match &write.reason {
            Some(reason) => format!("{}: {reason}", write.state),
            None => write.state.clone(),
        };
        let part = has_parts.then(|| write.part.clone().unwrap_or_default());
        let mut row = vec![state];
        row.extend(part);
        row.extend([
            write.op.clone(),
            match &write.value {
                Some(value) => value_text(value).replace('\n', " "),
                None => "-".to_string(),
            },
            hlc_time(write.hlc),
            if write.here { "this one" } else { short(&write.device) }.to_string(),
            write.dot.clone(),
            write.superseded_by.join(" "),
        ]);
        table.row(row);
    }
    table.print()
}
