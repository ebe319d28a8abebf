//! The command line: what each command takes, and who carries it out.

mod collection;
mod completions;
mod conflicts;
mod delete;
mod dev;
mod doctor;
mod explain;
mod export;
pub(crate) mod failure;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod init;
mod membership;
pub(crate) mod output;
mod peer;
mod put;
mod scan;
mod serve;
mod space;
mod status;
pub(crate) mod target;
mod verbs;
mod verify;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::cli::failure::{EXIT_USAGE, Failure};

/// A local-first sync daemon: durable writes offline, provable convergence when a link exists.
#[derive(Parser)]
#[command(name = "strandline", version, propagate_version = true, after_help = ABOUT_EXITS)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(clap::Args, Clone)]
pub(crate) struct Global {
    /// Directory with everything this replica owns [default: the platform's data directory]
    #[arg(long, global = true, env = "STRANDLINE_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// Print JSON: one document, or one a line for streams
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say more on stderr: -v what happens, -vv how
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

const ABOUT_EXITS: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 conflict or rejected, 5 unavailable.

Example:
  strandline demo
  strandline dev up telemetry/readings";

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The whole idea on the spot: two daemons, a cut link, a kill -9, a conflict, equal roots
    Demo(crate::demo::DemoArguments),
    /// Shortcuts for a first try
    Dev(dev::DevArguments),
    /// Make the data directory, the device key and a commented strandline.yaml
    Init(init::InitArguments),
    /// Run the daemon until SIGTERM or Ctrl-C
    Serve(serve::ServeArguments),
    /// Spaces, peers, outbox, disk and clock at a glance
    Status(status::StatusArguments),
    /// Create, list and show spaces; invite devices and join
    Space(space::SpaceArguments),
    /// Create, list and show the collections of a space
    Collection(collection::CollectionArguments),
    /// List peers; cut links and mend them
    Peer(peer::PeerArguments),
    /// Write a value under a key
    Put(put::PutArguments),
    /// Read the value of a key
    Get(get::GetArguments),
    /// Delete a key, or all with a prefix
    Delete(delete::DeleteArguments),
    /// Give what is at a key another name
    Rename(verbs::RenameArguments),
    /// Count up, or down
    Incr(verbs::IncrArguments),
    /// Put an element into a set
    Add(verbs::ElementArguments),
    /// Take an element out of a set
    Remove(verbs::ElementArguments),
    /// List keys and values in key order
    Scan(scan::ScanArguments),
    /// Follow what changes, a CloudEvent a line
    Watch(watch::WatchArguments),
    /// Why a key shows what it shows
    Explain(explain::ExplainArguments),
    /// What is wrong with this device, and the cure
    Doctor(doctor::DoctorArguments),
    /// List what lost against what, and show one of them
    Conflicts(conflicts::ConflictsArguments),
    /// Settle a conflict: pick a side, give a value, or merge JSON
    Resolve(conflicts::ResolveArguments),
    /// Settle a conflict by letting go of what lost
    Discard(conflicts::DiscardArguments),
    /// Load CSV or NDJSON files, resuming where a broken import stopped
    Import(import::ImportArguments),
    /// Write a collection out as NDJSON or CSV
    Export(export::ExportArguments),
    /// Re-hash everything on disk and rebuild the roots
    Verify(verify::VerifyArguments),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArguments),
}

/// Parses, runs, and turns a failure into one message and one exit code.
pub(crate) fn run() -> ExitCode {
    let json_wanted = std::env::args_os().any(|argument| argument == "--json");
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage_exit(&error, json_wanted),
    };
    let global = arguments.global.clone();
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let exit = failure.exit;
            if exit != 0 {
                global.paste_ready(failure).print(global.json);
            }
            ExitCode::from(exit)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let global = &arguments.global;
    match arguments.command {
        Command::Demo(demo) => wait(crate::demo::run(global, &demo)),
        Command::Dev(dev) => wait(dev::run(global, &dev)),
        Command::Init(init) => init::run(global, &init),
        Command::Serve(serve) => serve::run(global, serve),
        Command::Status(status) => wait(status::run(global, &status)),
        Command::Space(space) => wait(space::run(global, space)),
        Command::Collection(collection) => wait(collection::run(global, collection)),
        Command::Peer(peer) => wait(peer::run(global, peer)),
        Command::Put(put) => wait(put::run(global, put)),
        Command::Get(get) => wait(get::run(global, &get)),
        Command::Delete(delete) => wait(delete::run(global, &delete)),
        Command::Rename(rename) => wait(verbs::rename(global, rename)),
        Command::Incr(incr) => wait(verbs::incr(global, incr)),
        Command::Add(add) => wait(verbs::add(global, add)),
        Command::Remove(remove) => wait(verbs::remove(global, remove)),
        Command::Scan(scan) => wait(scan::run(global, &scan)),
        Command::Watch(watch) => wait(watch::run(global, &watch)),
        Command::Explain(explain) => wait(explain::run(global, &explain)),
        Command::Doctor(doctor) => wait(doctor::run(global, &doctor)),
        Command::Conflicts(conflicts) => wait(conflicts::run(global, conflicts)),
        Command::Resolve(resolve) => wait(conflicts::resolve(global, resolve)),
        Command::Discard(discard) => wait(conflicts::discard(global, &discard)),
        Command::Import(import) => wait(import::run(global, import)),
        Command::Export(export) => wait(export::run(global, &export)),
        Command::Verify(verify) => wait(verify::run(global, &verify)),
        Command::Completions(completions) => completions::run(&completions),
    }
}

/// Runs one command's conversation; a client needs no second thread.
fn wait(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed("runtime", format!("cannot start: {error}")))?
        .block_on(command)
}

/// Help and version are answers; everything else the parser says is a wrong call.
fn usage_exit(error: &clap::Error, json: bool) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked {
        let text = error.to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::usage(message).cure("strandline --help").print(true);
        return ExitCode::from(EXIT_USAGE);
    }
    // A closed stdout leaves nobody to tell.
    drop(error.print());
    ExitCode::from(if asked { 0 } else { EXIT_USAGE })
}

impl Global {
    /// The directory this command is about.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Failure> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let from_home = |variable: &str, rest: &str| {
            std::env::var_os(variable).filter(|dir| !dir.is_empty()).map(|dir| PathBuf::from(dir).join(rest))
        };
        let platform = if cfg!(target_os = "macos") {
            from_home("HOME", "Library/Application Support/strandline")
        } else {
            from_home("XDG_DATA_HOME", "strandline").or_else(|| from_home("HOME", ".local/share/strandline"))
        };
        platform.ok_or_else(|| {
            Failure::usage("no data directory: neither --data, STRANDLINE_DATA nor HOME is set")
                .cure("strandline --data DIR …")
        })
    }

    /// A cure that is a command is about the same directory as the command that failed.
    fn paste_ready(&self, mut failure: Failure) -> Failure {
        let is_environment = std::env::var_os("STRANDLINE_DATA").map(PathBuf::from) == self.data;
        if let (Some(data), Some(cure), false) = (&self.data, &failure.cure, is_environment)
            && let Some(rest) = cure.strip_prefix("strandline ").filter(|rest| !rest.starts_with("--data"))
        {
            failure.cure = Some(format!("strandline --data {} {rest}", data.display()));
        }
        failure
    }

    /// A connection to the daemon of that directory.
    pub(crate) async fn client(&self) -> Result<crate::client::Client, Failure> {
        crate::client::Client::connect(&self.data_dir()?).await
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Example"), "{} shows no example", command.get_name());
            command.get_subcommands().filter(|sub| sub.get_name() != "help").for_each(check);
        }
        let mut command = Arguments::command();
        command.build();
        check(&command);
    }
}
