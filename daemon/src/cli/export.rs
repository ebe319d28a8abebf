//! `export`: a collection as NDJSON or CSV; equal replicas export equal bytes.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::Global;
use super::failure::{Failure, stdout_failure};
use super::get::value_text;
use super::scan::{Range, entry};
use super::target::Target;

/// Which part of a collection, in which format, where to.
#[derive(clap::Args)]
#[command(after_help = "\
NDJSON holds an object a line: key, value, dot, writer, hlc. CSV holds two columns, key and value;
a tuple key or a value that is not text stands there as its JSON.

Example:
  strandline export telemetry/readings > readings.ndjson
  strandline export telemetry/readings --format csv --out readings.csv")]
pub(crate) struct ExportArguments {
    /// SPACE/COLLECTION
    target: Target,

    /// ndjson or csv
    #[arg(long, value_enum, default_value_t = Format::Ndjson)]
    format: Format,

    /// Write to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    range: Range,
}

#[derive(clap::ValueEnum, Clone, Copy)]
enum Format {
    Ndjson,
    Csv,
}

pub(crate) async fn run(global: &Global, arguments: &ExportArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    let mut lines = arguments.range.open(&mut client, &arguments.target, false).await?;
    let sink: Box<dyn Write> = match &arguments.out {
        Some(path) => {
            Box::new(std::fs::File::create(path).map_err(|error| Failure::file("create", path, &error))?)
        }
        None => Box::new(std::io::stdout()),
    };
    let mut sheet = Sheet::new(arguments.format, BufWriter::with_capacity(1 << 16, sink))?;
    while let Some(line) = lines.next().await? {
        sheet.add(line)?;
    }
    sheet.finish()
}

/// The rows of an export in one of its two formats.
enum Sheet {
    Ndjson(BufWriter<Box<dyn Write>>),
    Csv(Box<csv::Writer<BufWriter<Box<dyn Write>>>>),
}

impl Sheet {
    fn new(format: Format, sink: BufWriter<Box<dyn Write>>) -> Result<Sheet, Failure> {
        match format {
            Format::Ndjson => Ok(Sheet::Ndjson(sink)),
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(sink);
                writer.write_record(["key", "value"]).map_err(csv_failure)?;
                Ok(Sheet::Csv(Box::new(writer)))
            }
        }
    }

    fn add(&mut self, line: &[u8]) -> Result<(), Failure> {
        match self {
            Sheet::Ndjson(sink) => sink
                .write_all(line)
                .and_then(|()| sink.write_all(b"\n"))
                .map_err(|error| stdout_failure(&error)),
            Sheet::Csv(writer) => {
                let entry = entry(line)?;
                let value = entry.value.as_ref().map(value_text).unwrap_or_default();
                writer.write_record([entry.key.to_string(), value]).map_err(csv_failure)
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Sheet::Ndjson(mut sink) => sink.flush(),
            Sheet::Csv(mut writer) => writer.flush(),
        }
        .map_err(|error| stdout_failure(&error))
    }
}

fn csv_failure(error: csv::Error) -> Failure {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => stdout_failure(&error),
        other => Failure::failed("output", format!("cannot write the export: {other:?}")),
    }
}
