//! `collection`: create, list, show.

use strandline::api::types::{Collection, CreateCollection};

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

        /// lww: the last write wins, every other stays listed
        #[arg(long, value_enum, default_value_t = Policy::Lww)]
        policy: Policy,
    },
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

#[derive(clap::ValueEnum, Clone, Copy)]
enum Policy {
    Lww,
}

pub(crate) async fn run(global: &Global, arguments: CollectionArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    match arguments.command {
        CollectionCommand::Create { target, policy } => create(global, &mut client, &target, policy).await,
        CollectionCommand::List { space } => list_collections(global, &mut client, &space).await,
        CollectionCommand::Show { target } => show(global, &mut client, &target).await,
    }
}

async fn create(
    global: &Global,
    client: &mut Client,
    target: &Target,
    policy: Policy,
) -> Result<(), Failure> {
    let Policy::Lww = policy;
    let path = format!("/v1/spaces/{}/collections", encode(&target.space));
    let wish = CreateCollection { name: target.collection.clone(), policy: "lww".to_string() };
    let made: Collection = client.post(&path, &wish).await?;
    if global.json {
        return print_json(&made);
    }
    print_line(&format!("created collection {target} ({})", made.policy))
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
    print_line(&format!("id      {}", collection.id))
}
