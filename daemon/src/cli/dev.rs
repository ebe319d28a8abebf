//! `dev up`: everything a first try needs, in one line.

use serde_json::json;
use strandline::api::types::{Collection, CreateCollection, CreateSpace, Space};
use strandline::identity;

use super::Global;
use super::failure::{EXIT_CONFLICT, EXIT_UNAVAILABLE, Failure};
use super::output::{print_json, print_line};
use super::target::Target;
use crate::child::Daemon;
use crate::client::{Client, encode};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  strandline dev up telemetry/readings")]
pub(crate) struct DevArguments {
    #[command(subcommand)]
    command: DevCommand,
}

#[derive(clap::Subcommand)]
enum DevCommand {
    /// init, serve in the background, a space and a collection; what is there already stays
    #[command(after_help = "\
The daemon goes on in the background; its pid is printed, and SIGTERM ends it.

Example:
  strandline dev up
  strandline --data /tmp/try dev up telemetry/readings")]
    Up {
        /// SPACE/COLLECTION to make
        #[arg(default_value = "dev/things")]
        target: Target,
    },
}

pub(crate) async fn run(global: &Global, arguments: &DevArguments) -> Result<(), Failure> {
    let DevCommand::Up { target } = &arguments.command;
    let data = global.data_dir()?;
    if !data.join(identity::FILE_NAME).exists() {
        super::init::create(&data, None)?;
    }
    let (mut client, pid) = match Client::connect(&data).await {
        Ok(client) => (client, None),
        Err(failure) if failure.exit == EXIT_UNAVAILABLE => {
            let mut daemon = Daemon::start(&data, None)?;
            let pid = daemon.id();
            let client = daemon.client().await?;
            daemon.let_go();
            (client, Some(pid))
        }
        Err(failure) => return Err(failure),
    };
    let space = CreateSpace { name: target.space.clone() };
    unless_there(client.post::<Space>("/v1/spaces", &space).await)?;
    let collection = CreateCollection {
        name: target.collection.clone(),
        policy: "lww".to_string(),
        siblings: None,
        deletes: None,
    };
    let path = format!("/v1/spaces/{}/collections", encode(&target.space));
    unless_there(client.post::<Collection>(&path, &collection).await)?;
    if global.json {
        return print_json(&json!({ "data": data, "pid": pid, "target": target.to_string() }));
    }
    let prefix = format!("strandline --data {}", data.display());
    print_line(&match pid {
        Some(pid) => format!("daemon {pid} serves {} with {target}; kill {pid} ends it", data.display()),
        None => format!("the daemon of {} has {target}", data.display()),
    })?;
    print_line("now:")?;
    print_line(&format!("  {prefix} put {target} greeting hello"))?;
    print_line(&format!("  {prefix} scan {target}"))?;
    print_line(&format!("  {prefix} status"))
}

/// Made now or made before: both are what was asked for.
fn unless_there<T>(made: Result<T, Failure>) -> Result<(), Failure> {
    match made {
        Err(failure) if failure.exit != EXIT_CONFLICT => Err(failure),
        _ => Ok(()),
    }
}
