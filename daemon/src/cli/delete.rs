//! `delete`: every live value of a key, or of all keys with a prefix.

use hyper::Method;
use strandline::api::types::{Deleted, Written};

use super::Global;
use super::failure::Failure;
use super::output::{print_json, print_line};
use super::target::{KeyForm, Query, Target, Wait};
use crate::client::Body;

/// What to delete, and how far that must have come before the command returns.
#[derive(clap::Args)]
#[command(after_help = "\
What another device writes meanwhile stays: a delete takes away what is known here.

Example:
  strandline delete telemetry/notes greeting
  strandline delete telemetry/notes lunch --context $CONTEXT
  strandline delete telemetry/notes --prefix drafts/")]
pub(crate) struct DeleteArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// The key
    #[arg(required_unless_present = "prefix")]
    key: Option<String>,

    /// Every key that begins with this, in one step
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["key", "wait"])]
    prefix: Option<String>,

    /// Take away exactly what a read saw, by the context that `get --all` or `get --json` printed
    #[arg(long, value_name = "CONTEXT", conflicts_with = "prefix")]
    context: Option<String>,

    #[command(flatten)]
    form: KeyForm,

    #[command(flatten)]
    wait: Wait,
}

pub(crate) async fn run(global: &Global, arguments: &DeleteArguments) -> Result<(), Failure> {
    let mut query = Query::default();
    arguments.form.add_to(&mut query);
    let mut client = global.client().await?;
    let target = &arguments.target;
    let Some(key) = &arguments.key else {
        query.set_option("prefix", arguments.prefix.as_deref());
        let path = format!("{}/keys{}", target.path(), query.as_str());
        let deleted: Deleted = client.json(Method::DELETE, &path, Body::Empty).await?;
        if global.json {
            return print_json(&deleted);
        }
        return print_line(&format!("deleted {} keys of {target}", deleted.keys));
    };
    arguments.wait.add_to(&mut query);
    let path = format!("{}{}", target.key_path(key), query.as_str());
    let (body, what) = match &arguments.context {
        Some(context) => (Body::Nothing { context: context.clone() }, "what was seen of "),
        None => (Body::Empty, ""),
    };
    let written: Written = client.json(Method::DELETE, &path, body).await?;
    if global.json {
        return print_json(&written);
    }
    print_line(&format!("deleted {what}{target} {key}"))
}
