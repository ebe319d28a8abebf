//! `collection`: create, list, show.

use crdt::Policy;
use hyper::Method;
use strandline::api::types::{Collection, CreateCollection, SetRetention, SetView};

use super::Global;
use super::failure::Failure;
use super::output::{Table, print_json, print_line, short};
use super::target::Target;
use crate::client::{Client, encode};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  strandline collection create telemetry/readings\n  strandline collection list telemetry"
)]
pub(crate) struct CollectionArguments {
    #[command(subcommand)]
    command: CollectionCommand,
}

#[derive(clap::Subcommand)]
enum CollectionCommand {
    /// Make a collection; its policy says what happens when two devices write one key apart
    #[command(after_help = "Example:\n  strandline collection create telemetry/readings --policy lww")]
    Create {
        /// SPACE/COLLECTION
        target: Target,

        /// lww: the latest write wins; mv: all are shown; copies: losers stand beside the winner; map: JSON documents,
        /// merged by field; or-set, g-set, 2p-set: sets; g-counter, pn-counter: counters
        #[arg(long, value_parser = Policy::READ.map(Policy::name), default_value = "lww")]
        policy: String,

        #[command(flatten)]
        options: Options,
    },
    /// Read a collection in another way from now on, everywhere, or bound how long losers are kept. At the home
    #[command(after_help = "\
Another view changes nothing that is stored. Losers that are kept until somebody settles them go where a bound is set: by
an ordinary commit of the home, seen in the change feed and counted as `expired` in the metrics.

Example:
  strandline collection set telemetry/notes --view mv
  strandline collection set telemetry/notes --losers-max-age 30d --losers-max-count 20
  strandline collection set telemetry/notes --losers-max-age off")]
    Set(SetArguments),
    /// List the collections of a space
    #[command(after_help = "Example:\n  strandline collection list telemetry")]
    List {
        /// Name or id of the space
        space: String,
    },
    /// Show one collection
    #[command(after_help = "Example:\n  strandline collection show telemetry/readings --json")]
    Show {
        /// SPACE/COLLECTION
        target: Target,
    },
}

#[derive(clap::Args)]
struct SetArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// One of lww, mv and copies; of documents: map
    #[arg(long, value_parser = Policy::READ.map(Policy::name), required_unless_present_any = ["losers_max_age", "losers_max_count"])]
    view: Option<String>,

    #[command(flatten)]
    options: Options,

    /// Losers go once they lost so long ago, as in 30d; `off`: never for their age
    #[arg(long, value_name = "AGE")]
    losers_max_age: Option<String>,

    /// Of the losers of a key only the latest N stay; 0: all do
    #[arg(long, value_name = "N")]
    losers_max_count: Option<u64>,
}

/// What a policy leaves open.
#[derive(clap::Args)]
struct Options {
    /// Concurrent values of a register or field: replace them with the next write, keep them, show all
    #[arg(long, value_parser = ["replace", "keep", "show"])]
    siblings: Option<String>,

    /// What an edit does to a document that was deleted at the same time
    #[arg(long, value_parser = ["hide", "revive"])]
    deletes: Option<String>,
}

pub(crate) async fn run(global: &Global, arguments: CollectionArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    match arguments.command {
        CollectionCommand::Create { target, policy, options } => {
            create(global, &mut client, &target, policy, options).await
        }
        CollectionCommand::Set(arguments) => set(global, &mut client, arguments).await,
        CollectionCommand::List { space } => list_collections(global, &mut client, &space).await,
        CollectionCommand::Show { target } => show(global, &mut client, &target).await,
    }
}

async fn create(
    global: &Global,
    client: &mut Client,
    target: &Target,
    policy: String,
    Options { siblings, deletes }: Options,
) -> Result<(), Failure> {
    let path = format!("/v1/spaces/{}/collections", encode(&target.space));
    let wish = CreateCollection { name: target.collection.clone(), policy, siblings, deletes };
    let made: Collection = client.post(&path, &wish).await?;
    if global.json {
        return print_json(&made);
    }
    print_line(&format!("created collection {target} ({})", made.policy))
}

async fn set(global: &Global, client: &mut Client, arguments: SetArguments) -> Result<(), Failure> {
    let SetArguments { target, view, options, losers_max_age, losers_max_count } = arguments;
    let is_bounded = losers_max_age.is_some() || losers_max_count.is_some();
    if let Some(view) = view {
        set_view(global, client, &target, view, options).await?;
    }
    if !is_bounded {
        return Ok(());
    }
    let path = format!("{}/retention", target.path());
    let wish = SetRetention { losers_max_age, losers_max_count };
    let set: Collection = client.send(Method::PUT, &path, &wish).await?;
    if global.json {
        return print_json(&set);
    }
    print_line(&format!("{target} keeps {} from now on", kept(&set)))
}

/// Which losers stay, in words.
fn kept(collection: &Collection) -> String {
    let age = collection.losers_max_age.as_ref().map(|age| format!("for {age}"));
    let count = collection.losers_max_count.map(|count| format!("at most {count} of a key"));
    match (age, count) {
        (None, None) => "losers until somebody settles them".to_string(),
        (Some(age), Some(count)) => format!("losers {age}, and {count}"),
        (age, count) => format!("losers {}", age.or(count).unwrap_or_default()),
    }
}

async fn set_view(
    global: &Global,
    client: &mut Client,
    target: &Target,
    policy: String,
    Options { siblings, deletes }: Options,
) -> Result<(), Failure> {
    let wish = SetView { policy, siblings, deletes };
    let path = format!("{}/view", target.path());
    let set: Collection = client.send(Method::PUT, &path, &wish).await?;
    if global.json {
        return print_json(&set);
    }
    print_line(&format!("{target} is read as {} from now on", wish.policy))
}

async fn list_collections(global: &Global, client: &mut Client, space: &str) -> Result<(), Failure> {
    let collections: Vec<Collection> =
        client.get(&format!("/v1/spaces/{}/collections", encode(space))).await?;
    if global.json {
        return print_json(&collections);
    }
    let mut table = Table::new(&["COLLECTION", "POLICY", "ID"]);
    for collection in &collections {
        table.row(vec![
            collection.name.clone(),
            collection.policy.clone(),
            short(&collection.id).to_string(),
        ]);
    }
    if table.is_empty() {
        return print_line(&format!(
            "no collections yet; make one with: strandline collection create {space}/NAME"
        ));
    }
    table.print()
}

async fn show(global: &Global, client: &mut Client, target: &Target) -> Result<(), Failure> {
    let collection: Collection = client.get(&target.path()).await?;
    if global.json {
        return print_json(&collection);
    }
    print_line(&format!("name    {}", collection.name))?;
    print_line(&format!("policy  {}", collection.policy))?;
    if let Some(view) = &collection.view {
        print_line(&format!("view    {view}"))?;
    }
    if collection.losers_max_age.is_some() || collection.losers_max_count.is_some() {
        print_line(&format!("keeps   {}", kept(&collection)))?;
    }
    print_line(&format!("id      {}", collection.id))
}
