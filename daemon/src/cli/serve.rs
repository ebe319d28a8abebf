//! `serve`: the daemon, until SIGTERM or Ctrl-C.

use std::path::Path;

use strandline::daemon::{self, ServeOptions};
use strandline::{identity, spaces};
use tracing_subscriber::EnvFilter;

use super::Global;
use super::failure::{EXIT_CONFLICT, EXIT_FAILED, EXIT_NOT_FOUND, EXIT_USAGE, Failure};

#[derive(clap::Args)]
#[command(after_help = "\
Prints one line that begins with `ready` when it accepts work. Free ports are taken when the defaults are in use,
and the line says which. What happens is said on stderr: little, more with -v and -vv, or as RUST_LOG asks.

Example:
  strandline serve
  strandline serve --listen 0.0.0.0:7601 --http 127.0.0.1:7600 -v
  strandline --data /media/archive serve --read-only --isolated")]
pub(crate) struct ServeArguments {
    /// Where peers reach this device over QUIC; `off` for one that only dials
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,

    /// Serve HTTP here too, beside the Unix socket
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,

    /// Write nothing in the data directory
    #[arg(long)]
    read_only: bool,

    /// Neither listen nor dial: only the socket
    #[arg(long)]
    isolated: bool,
}

pub(crate) fn run(global: &Global, arguments: ServeArguments) -> Result<(), Failure> {
    let data = global.data_dir()?;
    trace(global.verbose);
    let options = ServeOptions {
        data: data.clone(),
        listen: arguments.listen,
        http: arguments.http,
        is_read_only: arguments.read_only,
        is_isolated: arguments.isolated,
    };
    daemon::serve(&options).map_err(|error| refusal(&error, &data))
}

/// Only warnings, unless somebody asked for more.
fn trace(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // It would be said on stderr, too, and panic: what the disk of the trace has no room for is not said.
        .log_internal_errors(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}

fn refusal(error: &daemon::Error, data: &Path) -> Failure {
    let failure = |exit, kind| Failure::new(exit, kind, error.to_string());
    match error {
        daemon::Error::Config(_) => failure(EXIT_USAGE, "config").cure("mend that line of strandline.yaml"),
        daemon::Error::Address { .. } => failure(EXIT_USAGE, "address"),
        daemon::Error::Spaces(error) => not_opened(error, data),
        daemon::Error::Endpoint(_) => failure(EXIT_FAILED, "network"),
        daemon::Error::System { .. } => failure(EXIT_FAILED, "system"),
    }
}

/// A data directory that cannot be opened.
pub(crate) fn not_opened(error: &spaces::Error, data: &Path) -> Failure {
    let command = |rest: &str| format!("strandline --data {} {rest}", data.display());
    let failure = |exit, kind| Failure::new(exit, kind, error.to_string());
    match error {
        spaces::Error::InUse { .. } => failure(EXIT_CONFLICT, "in-use").cure(command("status")),
        spaces::Error::Identity(identity::Error::Missing { .. }) => {
            failure(EXIT_NOT_FOUND, "not-initialised").cure(command("init"))
        }
        spaces::Error::Identity(_) => failure(EXIT_FAILED, "identity"),
        _ => failure(EXIT_FAILED, "storage").cure(command("verify")),
    }
}
