//! `conflicts`, `resolve`, `discard`: the inbox.

use std::path::PathBuf;

use hyper::Method;
use strandline::api::types::{Conflict, Resolve, Settled, Side, Space, Value};
use strandline::conflicts::SPACE_DIGITS;

use super::Global;
use super::failure::{EXIT_CONFLICT, EXIT_NOT_FOUND, EXIT_USAGE, Failure};
use super::get::{hlc_time, value_text};
use super::output::{Printer, Table, print_json, print_line, short};
use super::target::{KeyForm, Query};
use crate::client::{Body, Client, Lines, encode};

/// What stands where nothing was written.
const DELETED: &str = "(deleted)";

/// Characters of a value in a table.
const CELL_LEN: usize = 32;

#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Concurrent writes of one key are listed while their contents differ; so is what this device wrote and a home
did not take. A resolution is an ordinary write: it replicates, and two of them at once conflict again.

Example:
  strandline conflicts
  strandline conflicts telemetry --key mode --json
  strandline conflicts show ab12cd34ef56ab78"
)]
pub(crate) struct ConflictsArguments {
    #[command(subcommand)]
    command: Option<ConflictsCommand>,

    /// Name or id [default: every space]
    space: Option<String>,

    /// Only in this collection
    #[arg(long, value_name = "COLL")]
    collection: Option<String>,

    /// Only at this key
    #[arg(long, value_name = "KEY")]
    key: Option<String>,

    /// Only of this kind: siblings, deleted, revived, replaced, name, rejected, orphaned, reissued or unconfirmed
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Stop after so many in each space
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: u64,

    #[command(flatten)]
    form: KeyForm,
}

#[derive(clap::Subcommand)]
enum ConflictsCommand {
    /// Both sides of one, who wrote them, when, and how they differ
    #[command(after_help = "Example:\n  strandline conflicts show ab12cd34ef56ab78")]
    Show {
        /// As `conflicts` lists it
        id: String,
    },
}

/// One of the four ways.
#[derive(clap::Args)]
#[command(after_help = "\
Exit code 4 once it is settled, or where this way does not fit.

Example:
  strandline resolve ab12cd34ef56ab78 --pick winner
  strandline resolve ab12cd34ef56ab78 --pick 1
  strandline resolve ab12cd34ef56ab78 --value decided
  strandline resolve ab12cd34ef56ab78 --merge")]
pub(crate) struct ResolveArguments {
    /// As `conflicts` lists it
    id: String,

    #[command(flatten)]
    how: How,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct How {
    /// A side: `winner`, the number of a loser as `conflicts show` has it, or a dot
    #[arg(long, value_name = "SIDE")]
    pick: Option<String>,

    /// Another value; `-` reads it from standard input
    #[arg(long, value_name = "V", allow_hyphen_values = true)]
    value: Option<String>,

    /// Another value, from a file
    #[arg(long, value_name = "F")]
    file: Option<PathBuf>,

    /// The fields that each side changed, together; refused where two changed one differently
    #[arg(long)]
    merge: bool,
}

#[derive(clap::Args)]
#[command(after_help = "\
What is shown stays, and what lost goes; a write that comes meanwhile is not touched.

Example:
  strandline discard ab12cd34ef56ab78")]
pub(crate) struct DiscardArguments {
    /// As `conflicts` lists it
    id: String,
}

pub(crate) async fn run(global: &Global, arguments: ConflictsArguments) -> Result<(), Failure> {
    let mut client = global.client().await?;
    if let Some(ConflictsCommand::Show { id }) = &arguments.command {
        let space = space_of(&mut client, id).await?;
        let conflict: Conflict = client.get(&path_of(&space, id)).await?;
        return if global.json { print_json(&conflict) } else { print_conflict(&conflict) };
    }
    let spaces = match &arguments.space {
        Some(space) => vec![space.clone()],
        None => {
            let spaces: Vec<Space> = client.get("/v1/spaces").await?;
            spaces.into_iter().map(|space| space.id).collect()
        }
    };
    let mut query = Query::default();
    query.set_option("collection", arguments.collection.as_deref());
    query.set_option("key", arguments.key.as_deref());
    query.set_option("kind", arguments.kind.as_deref());
    query.set("limit", &arguments.limit.to_string());
    arguments.form.add_to(&mut query);
    list(global, &mut client, &spaces, &query).await
}

async fn list(global: &Global, client: &mut Client, spaces: &[String], query: &Query) -> Result<(), Failure> {
    let mut printer = Printer::new();
    let mut table = Table::new(&["ID", "KIND", "WHERE", "SHOWN", "LOST"]);
    let mut missing = Vec::new();
    for space in spaces {
        let path = format!("/v1/spaces/{}/conflicts{}", encode(space), query.as_str());
        let response = match client.request(Method::GET, &path, "application/x-ndjson", Body::Empty).await {
            // Of several spaces one that has it is enough.
            Err(failure) if failure.kind == "collection-missing" => {
                missing.push(failure);
                continue;
            }
            answered => answered?,
        };
        let mut lines = Lines::new(response);
        while let Some(line) = lines.next().await? {
            if global.json {
                printer.line(line)?;
                continue;
            }
            let conflict: Conflict = serde_json::from_slice(line).map_err(|error| {
                Failure::failed("protocol", format!("a line of the answer cannot be read: {error}"))
            })?;
            table.row(row(&conflict));
        }
    }
    printer.finish()?;
    if missing.len() == spaces.len()
        && let Some(failure) = missing.pop()
    {
        return Err(failure);
    }
    match (global.json, table.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => print_line("no conflicts"),
        (false, false) => table.print(),
    }
}

fn row(conflict: &Conflict) -> Vec<String> {
    let cell = |side: &Side| cell(conflict, side);
    let lost: Vec<String> = conflict.losers.iter().map(cell).collect();
    vec![
        conflict.id.clone(),
        conflict.kind.clone(),
        place(conflict),
        match &conflict.winner {
            Some(winner) => cell(winner),
            None if conflict.kind == "deleted" => DELETED.to_string(),
            None => "-".to_string(),
        },
        if lost.is_empty() { conflict.reason.clone().unwrap_or_default() } else { lost.join(" | ") },
    ]
}

/// `SPACE/COLL KEY`, as the other commands take it.
fn place(conflict: &Conflict) -> String {
    let mut text = conflict.space.clone();
    if let Some(collection) = &conflict.collection {
        text.push_str(&format!("/{collection}"));
    }
    if let Some(key) = &conflict.key {
        text.push_str(&format!(" {key}"));
    }
    if let Some(path) = &conflict.path {
        text.push_str(&format!(" {path}"));
    }
    text
}

/// The beginning of a value, on one line.
fn cell(conflict: &Conflict, side: &Side) -> String {
    let text = match &side.value {
        // As `--value` takes it.
        Some(Value::Text(text)) if is_json(conflict) => serde_json::Value::from(text.as_str()).to_string(),
        Some(value) => value_text(value),
        None if side.len == 0 => return DELETED.to_string(),
        None => return format!("({} bytes)", side.len),
    };
    let mut cell: String =
        text.chars().take(CELL_LEN).map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.chars().count() > CELL_LEN {
        cell.push('…');
    }
    cell
}

/// Whether its values are JSON: those of fields and documents are.
fn is_json(conflict: &Conflict) -> bool {
    conflict.policy.as_deref() == Some("map")
}

fn print_conflict(conflict: &Conflict) -> Result<(), Failure> {
    print_line(&format!("conflict  {} ({})", conflict.id, conflict.kind))?;
    print_line(&format!("where     {}", place(conflict)))?;
    if let Some(policy) = &conflict.policy {
        print_line(&format!("policy    {policy}"))?;
    }
    if let Some(reason) = &conflict.reason {
        print_line(&format!("why       {reason}"))?;
    }
    let has_places = conflict.losers.iter().chain(&conflict.winner).any(|side| side_place(side).is_some());
    let mut table = Table::new(match has_places {
        true => &["SIDE", "VALUE", "WRITTEN", "DEVICE", "DOT", "AT"][..],
        false => &["SIDE", "VALUE", "WRITTEN", "DEVICE", "DOT"],
    });
    if conflict.kind == "deleted" {
        let row = ["winner", DELETED, "-", "-", "-"];
        table.row(row.map(str::to_string).into());
    }
    let numbered = conflict.losers.iter().enumerate().map(|(at, side)| ((at + 1).to_string(), side));
    let winner = conflict.winner.iter().map(|side| ("winner".to_string(), side));
    let ancestor = conflict.ancestor.iter().map(|side| ("before".to_string(), side));
    for (name, side) in winner.chain(numbered).chain(ancestor) {
        let device = if side.here { "this one" } else { short(&side.device) };
        let mut row =
            vec![name, cell(conflict, side), hlc_time(side.hlc), device.to_string(), side.dot.clone()];
        row.extend(has_places.then(|| side_place(side).unwrap_or_default()));
        table.row(row);
    }
    if !table.is_empty() {
        print_line("")?;
        table.print()?;
    }
    for (at, side) in conflict.losers.iter().enumerate() {
        if let Some(diff) = &side.diff {
            print_line(&format!("\nfrom what is shown to {}:\n{}", at + 1, diff.trim_end()))?;
        }
    }
    Ok(())
}

/// Where a side stands, if not where the conflict is.
fn side_place(side: &Side) -> Option<String> {
    let places = side.collection.iter().cloned().chain(side.key.iter().map(ToString::to_string));
    let places: Vec<String> = places.chain(side.path.clone()).collect();
    (!places.is_empty()).then(|| places.join(" "))
}

pub(crate) async fn resolve(global: &Global, arguments: ResolveArguments) -> Result<(), Failure> {
    let How { pick, value, file, merge } = arguments.how;
    let value = match (&value, &file) {
        (None, None) => None,
        _ => {
            let given = super::put::value(value, file.as_deref())?;
            Some(typed(&mut global.client().await?, &arguments.id, &given).await?)
        }
    };
    let body = serde_json::to_string(&Resolve { pick, value, merge })
        .map_err(|error| Failure::failed("internal", format!("cannot write the request: {error}")))?;
    settle(global, &arguments.id, "resolve", Body::Json(body)).await
}

/// What was typed as a value of the collection: JSON where fields are kept, and elsewhere what it is.
async fn typed(client: &mut Client, id: &str, given: &[u8]) -> Result<Value, Failure> {
    let space = space_of(client, id).await?;
    let conflict: Conflict = match client.get(&path_of(&space, id)).await {
        Ok(conflict) => conflict,
        // It is settled, and the daemon says so best.
        Err(_) => return Ok(Value::from_bytes(given)),
    };
    if !is_json(&conflict) {
        return Ok(Value::from_bytes(given));
    }
    let json = serde_json::from_slice(given).map_err(|error| {
        Failure::new(EXIT_USAGE, "not-json", format!("the value of a field is JSON: {error}"))
            .cure("text stands in quotes: --value '\"text\"'")
    })?;
    Ok(Value::Json(json))
}

pub(crate) async fn discard(global: &Global, arguments: &DiscardArguments) -> Result<(), Failure> {
    settle(global, &arguments.id, "discard", Body::Empty).await
}

async fn settle(global: &Global, id: &str, verb: &str, body: Body) -> Result<(), Failure> {
    let mut client = global.client().await?;
    let space = space_of(&mut client, id).await?;
    let path = format!("{}/{verb}", path_of(&space, id));
    let settled: Settled = client.json(Method::POST, &path, body).await?;
    if global.json {
        return print_json(&settled);
    }
    print_line(&format!("{} {}", settled.outcome, settled.id))
}

fn path_of(space: &str, id: &str) -> String {
    format!("/v1/spaces/{}/conflicts/{}", encode(space), encode(id))
}

/// The space that an id is of: an id begins as its space's does.
async fn space_of(client: &mut Client, id: &str) -> Result<String, Failure> {
    let spaces: Vec<Space> = client.get("/v1/spaces").await?;
    let digits = id.get(..SPACE_DIGITS).unwrap_or(id);
    let mut of = spaces.into_iter().filter(|space| space.id.starts_with(digits)).map(|space| space.id);
    match (of.next(), of.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err(Failure::new(
            EXIT_CONFLICT,
            "ambiguous",
            format!("two spaces have ids that begin with {digits}"),
        )
        .cure("ask over HTTP, where the space is named")),
        (None, _) => Err(Failure::new(
            EXIT_NOT_FOUND,
            "conflict-missing",
            format!("conflict {id} is of no space here"),
        )
        .cure("strandline conflicts")),
    }
}
