//! `put`: a value under a key, durable before the command returns.

use std::io::Read;
use std::path::{Path, PathBuf};

use hyper::Method;
use strandline::api::types::Written;

use super::Global;
use super::failure::Failure;
use super::output::{print_json, print_line};
use super::target::{KeyForm, Query, Target};
use crate::client::Body;

/// What to write, and how far it must have come before the command returns.
#[derive(clap::Args)]
#[command(after_help = "\
The value is on the disk when the command returns, as wal.fsync of the daemon promises.

Example:
  strandline put telemetry/notes greeting hello
  date | strandline put telemetry/notes now -
  strandline put telemetry/notes lunch one --context $CONTEXT
  strandline put telemetry/notes photo --file photo.jpg --wait anchored --timeout 5s")]
pub(crate) struct PutArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// The key
    key: String,

    /// The value; `-` reads it from standard input
    #[arg(allow_hyphen_values = true, required_unless_present = "file")]
    value: Option<String>,

    /// Take the value from a file
    #[arg(long, value_name = "F", conflicts_with = "value")]
    file: Option<PathBuf>,

    /// Replace exactly what a read saw, by the context that `get --all` or `get --json` printed
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,

    #[command(flatten)]
    form: KeyForm,

    #[command(flatten)]
    wait: super::target::Wait,
}

pub(crate) async fn run(global: &Global, arguments: PutArguments) -> Result<(), Failure> {
    let value = value(arguments.value, arguments.file.as_deref())?.into();
    let body = match arguments.context {
        Some(context) => Body::InPlaceOf { value, context },
        None => Body::Octets(value),
    };
    let mut query = Query::default();
    arguments.form.add_to(&mut query);
    arguments.wait.add_to(&mut query);
    let path = format!("{}{}", arguments.target.key_path(&arguments.key), query.as_str());
    let mut client = global.client().await?;
    let written: Written = client.json(Method::PUT, &path, body).await?;
    if global.json {
        return print_json(&written);
    }
    print_line(&format!("written {} {}", arguments.target, arguments.key))
}

/// A value as it is given: in words, from standard input, or from a file.
pub(super) fn value(given: Option<String>, file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    if let Some(path) = file {
        return std::fs::read(path).map_err(|error| Failure::file("read", path, &error));
    }
    match given {
        Some(dash) if dash == "-" => {
            let mut value = Vec::new();
            std::io::stdin()
                .read_to_end(&mut value)
                .map_err(|error| Failure::failed("input", format!("cannot read standard input: {error}")))?;
            Ok(value)
        }
        Some(text) => Ok(text.into_bytes()),
        None => Err(Failure::usage("no value: give VALUE, - or --file F")),
    }
}
