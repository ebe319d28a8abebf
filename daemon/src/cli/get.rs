//! `get`: the value of a key, or everything that is alive under it.

use std::io::{IsTerminal, Write};

use hyper::Method;
use strandline::api::types::{Entry, Sibling, Value};
use strandline::keytext::time;

use super::Global;
use super::failure::{Failure, stdout_failure};
use super::output::{Table, print_json, print_line};
use super::target::{KeyForm, Query, Target};
use crate::client::Body;

/// Which key, and whether the values that lost are wanted too.
#[derive(clap::Args)]
#[command(after_help = "\
The value is written as it is; one that is not UTF-8 goes only to a file or a pipe.

Example:
  strandline get telemetry/notes greeting
  strandline get telemetry/notes greeting --all
  strandline get telemetry/readings '[\"exchange.csv\",17]' --tuple --json")]
pub(crate) struct GetArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// The key
    key: String,

    /// Print every live sibling with its writer and time, the winner first; of an mv also the context for `put --context`
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    form: KeyForm,
}

pub(crate) async fn run(global: &Global, arguments: &GetArguments) -> Result<(), Failure> {
    let mut query = Query::default();
    query.set_flag("all", arguments.all);
    arguments.form.add_to(&mut query);
    let path = format!("{}{}", arguments.target.key_path(&arguments.key), query.as_str());
    let mut client = global.client().await?;
    if !global.json && !arguments.all {
        let response = client.request(Method::GET, &path, "application/octet-stream", Body::Empty).await?;
        return write_value(&crate::client::read_all(response).await?);
    }
    let entry: Entry = client.get(&path).await?;
    match (&entry.value, entry.all.is_empty()) {
        _ if global.json => print_json(&entry),
        // Of a document, a set or a counter there is one reading of all live writes.
        (Some(value), true) => print_line(&value_text(value)),
        // Several values that nobody has chosen between come as a list.
        (Some(Value::Json(_)), _) => {
            print_siblings(&entry.all, false)?;
            // Whoever chooses says what they have seen.
            entry.context.map_or(Ok(()), |context| print_line(&format!("context  {context}")))
        }
        _ => print_siblings(&entry.all, true),
    }
}

/// Text ends with a newline for a person; bytes for a program are left alone.
fn write_value(value: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    if !out.is_terminal() {
        return out.write_all(value).map_err(|error| stdout_failure(&error));
    }
    match std::str::from_utf8(value) {
        Ok(text) => print_line(text),
        Err(_) => {
            Err(Failure::failed("binary", format!("the value is {} bytes that are not text", value.len()))
                .cure("redirect it to a file, or use --json"))
        }
    }
}

fn print_siblings(siblings: &[Sibling], is_decided: bool) -> Result<(), Failure> {
    let mut table = Table::new(&["", "VALUE", "WRITTEN", "DOT"]);
    for (at, sibling) in siblings.iter().enumerate() {
        table.row(vec![
            match at {
                _ if !is_decided => "live",
                0 => "wins",
                _ => "lost",
            }
            .to_string(),
            value_text(&sibling.value),
            hlc_time(sibling.hlc),
            sibling.dot.clone(),
        ]);
    }
    table.print()
}

/// The wall part of a hybrid time, as its writer's clock showed it.
pub(super) fn hlc_time(hlc: u64) -> String {
    let micros = i64::try_from((hlc >> 16) * 1000).unwrap_or(i64::MAX);
    time::format(micros).unwrap_or_else(|| hlc.to_string())
}

/// A value in one cell: text as it is, anything else as its JSON.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Bytes { base64 } => format!("base64:{base64}"),
        Value::Json(json) => json.to_string(),
    }
}
