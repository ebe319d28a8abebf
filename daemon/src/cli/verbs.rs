//! `incr`, `add`, `remove`, `rename`: the verbs of counters, sets and names.

use strandline::api::types::{KeyVerb, Written};

use super::Global;
use super::failure::Failure;
use super::output::{print_json, print_line};
use super::target::{KeyForm, Query, Target, Wait};

/// Which counter, and by how much.
#[derive(clap::Args)]
#[command(after_help = "\
Increments made apart add up: none is lost and none counts twice.

Example:
  strandline incr team/visits front-door
  strandline incr team/stock apples -3")]
pub(crate) struct IncrArguments {
    /// SPACE/COLLECTION, of policy g-counter or pn-counter
    target: Target,

    /// The key of the counter
    key: String,

    /// How much; below zero counts down
    #[arg(default_value_t = 1, allow_negative_numbers = true)]
    by: i64,

    #[command(flatten)]
    form: KeyForm,

    #[command(flatten)]
    wait: Wait,
}

/// Which set, and which element.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  strandline add team/tags holiday beach
  strandline remove team/tags holiday beach")]
pub(crate) struct ElementArguments {
    /// SPACE/COLLECTION, of policy or-set, 2p-set or g-set
    target: Target,

    /// The name of the set
    set: String,

    /// The element; with --tuple it is JSON
    #[arg(allow_hyphen_values = true)]
    element: String,

    #[command(flatten)]
    form: KeyForm,

    #[command(flatten)]
    wait: Wait,
}

/// What gets which name.
#[derive(clap::Args)]
#[command(after_help = "\
One step everywhere: nobody sees both names, or neither. What somebody writes at the old name meanwhile stays there.

Example:
  strandline rename team/tasks draft plan")]
pub(crate) struct RenameArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// The key as it is
    old: String,

    /// The key as it is to be
    new: String,

    /// Replace what is at the new name
    #[arg(long)]
    force: bool,

    /// Move what is shown and give up the values that lost against it
    #[arg(long)]
    resolve: bool,

    #[command(flatten)]
    form: KeyForm,

    #[command(flatten)]
    wait: Wait,
}

pub(crate) async fn incr(global: &Global, arguments: IncrArguments) -> Result<(), Failure> {
    let IncrArguments { target, key, by, form, wait } = arguments;
    let said = format!("counted {by:+} at {target} {key}");
    act(global, &target, &key, &KeyVerb::Increment(by), (&form, &wait), &said).await
}

pub(crate) async fn add(global: &Global, arguments: ElementArguments) -> Result<(), Failure> {
    let element = element(&arguments)?;
    let ElementArguments { target, set, element: shown, form, wait } = arguments;
    let said = format!("added {shown} to {target} {set}");
    act(global, &target, &set, &KeyVerb::Add(element), (&form, &wait), &said).await
}

pub(crate) async fn remove(global: &Global, arguments: ElementArguments) -> Result<(), Failure> {
    let element = element(&arguments)?;
    let ElementArguments { target, set, element: shown, form, wait } = arguments;
    let said = format!("removed {shown} from {target} {set}");
    act(global, &target, &set, &KeyVerb::Remove(element), (&form, &wait), &said).await
}

pub(crate) async fn rename(global: &Global, arguments: RenameArguments) -> Result<(), Failure> {
    let RenameArguments { target, old, new, force, resolve, form, wait } = arguments;
    let said = format!("renamed {target} {old} to {new}");
    let verb = KeyVerb::Rename { to: new, force, resolve };
    act(global, &target, &old, &verb, (&form, &wait), &said).await
}

async fn act(
    global: &Global,
    target: &Target,
    key: &str,
    verb: &KeyVerb,
    (form, wait): (&KeyForm, &Wait),
    said: &str,
) -> Result<(), Failure> {
    let mut query = Query::default();
    form.add_to(&mut query);
    wait.add_to(&mut query);
    let path = format!("{}{}", target.key_path(key), query.as_str());
    let written: Written = global.client().await?.post(&path, verb).await?;
    if global.json { print_json(&written) } else { print_line(said) }
}

fn element(arguments: &ElementArguments) -> Result<serde_json::Value, Failure> {
    if !arguments.form.is_tuple() {
        return Ok(serde_json::Value::String(arguments.element.clone()));
    }
    serde_json::from_str(&arguments.element)
        .map_err(|error| Failure::usage(format!("{} is not JSON: {error}", arguments.element)))
}
