//! The program: `strandline` is the daemon and the command line that talks to it.

mod child;
mod cli;
mod client;
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
