//! `scan`: keys and values in key order, as a stream.

use hyper::Method;
use strandline::api::types::Entry;

use super::Global;
use super::failure::Failure;
use super::get::value_text;
use super::output::Printer;
use super::target::{KeyForm, Query, Target};
use crate::client::{Body, Client, Lines};

/// Which keys, in which order, how many.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strandline scan telemetry/notes --prefix gre
  strandline scan telemetry/readings --tuple --prefix '[\"exchange.csv\"]' --limit 10
  strandline scan telemetry/readings --reverse --limit 1 --json")]
pub(crate) struct ScanArguments {
    /// SPACE/COLLECTION
    target: Target,

    #[command(flatten)]
    range: Range,

    /// Leave the values out
    #[arg(long)]
    keys_only: bool,
}

/// A part of a collection; `export` takes the same.
#[derive(clap::Args)]
pub(crate) struct Range {
    /// Only keys that begin with this
    #[arg(long, value_name = "KEY")]
    prefix: Option<String>,

    /// First key
    #[arg(long, value_name = "KEY")]
    from: Option<String>,

    /// First key that is no longer wanted
    #[arg(long, value_name = "KEY")]
    to: Option<String>,

    /// Stop after so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    /// From the last key to the first
    #[arg(long)]
    reverse: bool,

    #[command(flatten)]
    form: KeyForm,
}

impl Range {
    /// The stream of this part of a collection, a JSON object a line.
    pub(crate) async fn open(
        &self,
        client: &mut Client,
        target: &Target,
        keys_only: bool,
    ) -> Result<Lines, Failure> {
        let mut query = Query::default();
        query.set_option("prefix", self.prefix.as_deref());
        query.set_option("from", self.from.as_deref());
        query.set_option("to", self.to.as_deref());
        query.set_option("limit", self.limit.map(|limit| limit.to_string()).as_deref());
        query.set_flag("reverse", self.reverse);
        query.set_flag("keys_only", keys_only);
        query.set("read", "false");
        self.form.add_to(&mut query);
        let path = format!("{}/keys{}", target.path(), query.as_str());
        let response = client.request(Method::GET, &path, "application/x-ndjson", Body::Empty).await?;
        Ok(Lines::new(response))
    }
}

pub(crate) async fn run(global: &Global, arguments: &ScanArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    let mut lines = arguments.range.open(&mut client, &arguments.target, arguments.keys_only).await?;
    let mut printer = Printer::new();
    while let Some(line) = lines.next().await? {
        if global.json {
            printer.line(line)?;
            continue;
        }
        let entry = entry(line)?;
        match &entry.value {
            Some(value) => printer.line(format!("{}\t{}", entry.key, value_text(value)).as_bytes())?,
            None => printer.line(entry.key.to_string().as_bytes())?,
        }
    }
    printer.finish()
}

/// One line of a stream.
pub(crate) fn entry(line: &[u8]) -> Result<Entry, Failure> {
    serde_json::from_slice(line)
        .map_err(|error| Failure::failed("protocol", format!("a line of the answer cannot be read: {error}")))
}
