//! `import`: files to rows, batch by batch, each batch durable together with the place where the next one begins.

mod batch;
mod rows;
mod source;
mod spec;

use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use strandline::api::types::{Collection, ImportBatch, ImportSummary, Imported, Position};
use tokio::sync::mpsc;

use super::Global;
use super::failure::{EXIT_NOT_FOUND, Failure};
use super::output::{count, print_json, print_line, progress_wanted};
use super::target::Target;
use crate::client::{Client, encode};
use batch::{Piece, Reader, Totals};
use rows::Format;
use source::{Place, Source};
use spec::KeySpec;

/// Pieces parsed ahead of the daemon: enough that neither waits for the other.
const PIECES_AHEAD: usize = 4;

/// Rows that share a flush when nobody says: past some hundreds the flush is no longer what costs.
const BATCH_ROWS: u32 = 1000;

#[derive(clap::Args)]
#[command(after_help = "\
A row becomes a JSON object of its columns: {\"timestamp\":\"2015-02-26 21:42:53\",\"value\":35}. A CSV field that is
a JSON number stays one, digit for digit; any other is text. A line of NDJSON is the value as it stands.

The key is a tuple of columns (one text column alone is a plain key). `file` is the base name of the file and `row`
the number of the row in it, from 1, for what no column holds. TYPE is int, float, time, text or bytes, and decides
the order; it is text where it is not given, and int for `row`.

Rows arrive in batches; each batch is on the disk, with the place where the next one begins, before the next is sent.
Run the same command again after any interruption and it goes on from there; -v says what is durable, batch by batch. A file that was imported whole is not
read into the space again unless --restart is given.

Example:
  strandline import telemetry/readings nab/*/*.csv --key file,row
  strandline import fleet/trips trips.ndjson --key vehicle,started:time --on-duplicate error")]
pub(crate) struct ImportArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// CSV with a header, or NDJSON
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Which columns make the key, in order
    #[arg(long, value_name = "F[:TYPE][,F…]")]
    key: KeySpec,

    /// Instead of by each file's ending
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Rows that become durable together
    #[arg(long, value_name = "N", default_value_t = BATCH_ROWS, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,

    /// Which row of one key stays; error stops at the second one
    #[arg(long, value_enum, default_value_t = OnDuplicate::Last)]
    on_duplicate: OnDuplicate,

    /// Forget how far an earlier import of these files came
    #[arg(long)]
    restart: bool,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    Last,
    First,
    Error,
}

pub(crate) async fn run(global: &Global, arguments: ImportArguments) -> Result<(), Failure> {
    let started = Instant::now();
    let sources = arguments
        .files
        .iter()
        .map(|path| Source::examine(path, arguments.format, &arguments.target, &arguments.key))
        .collect::<Result<Vec<Source>, Failure>>()?;
    let mut client = global.client().await?;
    let bar = progress(global, &sources);
    let totals = transfer(&mut client, arguments, sources, &bar, global.verbose > 0).await?;
    report(global, &totals, started)
}

/// Brings one CSV into a collection, a row a key; how many rows it had.
pub(crate) async fn load(client: &mut Client, target: &Target, path: &Path) -> Result<u64, Failure> {
    let key: KeySpec = "file,row".parse().map_err(Failure::usage)?;
    let sources = vec![Source::examine(path, None, target, &key)?];
    let arguments = ImportArguments {
        target: target.clone(),
        files: Vec::new(),
        key,
        format: None,
        batch: BATCH_ROWS,
        on_duplicate: OnDuplicate::Last,
        restart: false,
    };
    Ok(transfer(client, arguments, sources, &ProgressBar::hidden(), false).await?.rows)
}

async fn transfer(
    client: &mut Client,
    arguments: ImportArguments,
    sources: Vec<Source>,
    bar: &ProgressBar,
    is_told: bool,
) -> Result<Totals, Failure> {
    // The collection is asked for first, so that a missing one is said before any file is read.
    let _: Collection = client.get(&arguments.target.path()).await?;
    let mut places = Vec::new();
    for source in &sources {
        let place = match arguments.restart {
            true => Place::default(),
            false => place(client, &arguments.target, source).await?,
        };
        places.push(place);
    }
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let reader = Reader::new(arguments.key, arguments.batch as usize, arguments.on_duplicate);
    let reading = std::thread::spawn(move || reader.read(sources, places, &sender));
    let sent = send(client, &arguments.target, receiver, bar, is_told).await;
    let totals = reading.join().map_err(|_| Failure::failed("internal", "reading the files panicked"))?;
    bar.finish_and_clear();
    sent?;
    totals
}

/// How far an earlier import of this source came.
async fn place(client: &mut Client, target: &Target, source: &Source) -> Result<Place, Failure> {
    let path = format!("/v1/spaces/{}/notes/{}", encode(&target.space), source.id());
    match client.get::<Position>(&path).await {
        Ok(position) => Place::parse(&position.at),
        Err(failure) if failure.exit == EXIT_NOT_FOUND => Ok(Place::default()),
        Err(failure) => Err(failure),
    }
}

/// Sends piece after piece; when one is refused, dropping the receiver stops the reader.
async fn send(
    client: &mut Client,
    target: &Target,
    mut pieces: mpsc::Receiver<Piece>,
    bar: &ProgressBar,
    is_told: bool,
) -> Result<(), Failure> {
    let path = format!("{}/import", target.path());
    while let Some(piece) = pieces.recv().await {
        if !piece.rows.is_empty() || piece.position.is_some() {
            let batch = ImportBatch { rows: piece.rows, position: piece.position };
            let _: Imported = client.post(&path, &batch).await?;
            if is_told {
                eprintln!("durable {} rows", piece.rows_total);
            }
        }
        bar.set_message(format!("{} rows, {}/s", count(piece.rows_total), rate(piece.rows_total, bar)));
        bar.inc(piece.len);
    }
    Ok(())
}

fn rate(rows: u64, bar: &ProgressBar) -> String {
    count((rows as f64 / bar.elapsed().as_secs_f64().max(0.001)) as u64)
}

fn progress(global: &Global, sources: &[Source]) -> ProgressBar {
    if !progress_wanted(global.json) {
        return ProgressBar::hidden();
    }
    let len = sources.iter().map(Source::len).sum();
    let style = ProgressStyle::with_template("{bar:30} {percent:>3}% {msg} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style)
}

fn report(global: &Global, totals: &Totals, started: Instant) -> Result<(), Failure> {
    let seconds = started.elapsed().as_secs_f64();
    let summary = ImportSummary {
        rows: totals.rows,
        keys: totals.keys,
        repeated: totals.rows - totals.keys,
        seconds: (seconds * 1000.0).round() / 1000.0,
    };
    if global.json {
        return print_json(&summary);
    }
    let resumed = match totals.resumed {
        0 => String::new(),
        resumed => format!(", {} of them from before", count(resumed)),
    };
    print_line(&format!(
        "{} rows{resumed}, {} keys, {} repeated, {seconds:.1} s ({} rows/s)",
        count(summary.rows),
        count(summary.keys),
        count(summary.repeated),
        count(((totals.rows - totals.resumed) as f64 / seconds.max(0.001)) as u64),
    ))
}
