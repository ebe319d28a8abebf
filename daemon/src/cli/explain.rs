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
What was superseded is told as far back as log and archive still hold the commits.

Example:
  strandline explain telemetry/notes greeting")]
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
    print_line(&format!("{}\n", explained.why))?;
    let mut table = Table::new(&["STATE", "OP", "VALUE", "WRITTEN", "DEVICE", "DOT", "SUPERSEDED BY"]);
    for write in &explained.writes {
        table.row(vec![
            write.state.clone(),
            write.op.clone(),
            write
                .value
                .as_ref()
                .map_or_else(|| "-".to_string(), |value| value_text(value).replace('\n', " ")),
            hlc_time(write.hlc),
            if write.here { "this one" } else { short(&write.device) }.to_string(),
            write.dot.clone(),
            write.superseded_by.join(" "),
        ]);
    }
    table.print()
}
