//! `demo`: the whole idea on the spot, with two real daemons; every claim is checked as it is made.

mod checks;
mod metrics;
mod stage;
mod story;

use std::path::PathBuf;

use crate::cli::Global;
use crate::cli::failure::Failure;

#[derive(clap::Args)]
#[command(after_help = "\
Everything happens in a temporary directory, on loopback, within a minute; the exit code is 0 only if every check held.

Example:
  strandline demo
  strandline demo --csv nab/realTweets/Twitter_volume_AAPL.csv
  strandline demo --minutes 5 --keep")]
pub(crate) struct DemoArguments {
    /// Import this CSV on the device too, while it is offline
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Let this machine's live metrics flow for so long first [default: some seconds]
    #[arg(long, value_name = "M")]
    minutes: Option<u32>,

    /// Leave both daemons running and print commands to look around
    #[arg(long)]
    keep: bool,
}

pub(crate) async fn run(global: &Global, arguments: &DemoArguments) -> Result<(), Failure> {
    let mut stage = stage::Stage::set(global.json)?;
    let told = story::tell(&mut stage, arguments).await;
    stage.close(told, arguments.keep)
}
