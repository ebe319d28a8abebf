//! `delete`: every live value of a key, for good.

use hyper::Method;
use strandline::api::types::Written;

use super::Global;
use super::failure::Failure;
use super::output::{print_json, print_line};
use super::target::{KeyForm, Query, Target, Wait};
use crate::client::Body;

/// What to delete, and how far that must have come before the command returns.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  strandline delete telemetry/notes greeting")]
pub(crate) struct DeleteArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// The key
    key: String,

    #[command(flatten)]
    form: KeyForm,

    #[command(flatten)]
    wait: Wait,
}

pub(crate) async fn run(global: &Global, arguments: &DeleteArguments) -> Result<(), Failure> {
    let mut query = Query::default();
    arguments.form.add_to(&mut query);
    arguments.wait.add_to(&mut query);
    let path = format!("{}{}", arguments.target.key_path(&arguments.key), query.as_str());
    let mut client = global.client().await?;
    let written: Written = client.json(Method::DELETE, &path, Body::Empty).await?;
    if global.json {
        return print_json(&written);
    }
    print_line(&format!("deleted {} {}", arguments.target, arguments.key))
}
