//! The program: `strandline` is the daemon and the command line that talks to it.

mod cli;
mod client;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
