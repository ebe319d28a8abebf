//! `completions`: a script that teaches a shell this command line.

use clap::CommandFactory;

use super::failure::{Failure, stdout_failure};

/// Which shell.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  strandline completions bash > ~/.local/share/bash-completion/completions/strandline"
)]
pub(crate) struct CompletionsArguments {
    /// bash, zsh, fish, elvish or powershell
    shell: clap_complete::Shell,
}

pub(crate) fn run(arguments: &CompletionsArguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "strandline", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script).map_err(|error| stdout_failure(&error))
}
