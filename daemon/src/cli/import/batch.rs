//! Rows to batches: keys counted over the whole import, what an earlier one did left out.

use std::collections::{BTreeMap, HashSet};

use strandline::api::types::{ImportRow, Position, Value};
use strandline::keytext::Key;
use tokio::sync::mpsc::Sender;

use super::OnDuplicate;
use super::rows::{Row, Rows};
use super::source::{Place, Source};
use super::spec::KeySpec;
use crate::cli::failure::{EXIT_CONFLICT, Failure};

/// Bytes of rows after which a batch is full whatever its count: a commit must hold it.
const BATCH_LEN_MAX: usize = 4 << 20;

/// Rows of one source, and where the source stands after them.
pub(crate) struct Piece {
    pub(crate) rows: Vec<ImportRow>,
    pub(crate) position: Option<Position>,
    /// Bytes of the source that it stands for.
    pub(crate) len: u64,
    /// Rows read so far, over all sources.
    pub(crate) rows_total: u64,
}

/// What an import came to.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Totals {
    pub(crate) rows: u64,
    pub(crate) keys: u64,
    /// Rows that an earlier import had brought.
    pub(crate) resumed: u64,
}

/// Reads all sources in order on a thread of its own.
pub(crate) struct Reader {
    spec: KeySpec,
    batch_rows: usize,
    on_duplicate: OnDuplicate,
    /// A hash of every key so far: exact in practice at 128 bits, and 16 bytes a key whatever its length.
    seen: HashSet<[u8; 16]>,
    totals: Totals,
}

/// The receiver is gone: it has the failure that matters.
struct Stopped;

impl Reader {
    pub(crate) fn new(spec: KeySpec, batch_rows: usize, on_duplicate: OnDuplicate) -> Reader {
        Reader { spec, batch_rows, on_duplicate, seen: HashSet::new(), totals: Totals::default() }
    }

    /// Whole rows before a broken one are sent before the failure is returned.
    pub(crate) fn read(
        mut self,
        sources: Vec<Source>,
        places: Vec<Place>,
        sender: &Sender<Piece>,
    ) -> Result<Totals, Failure> {
        for (source, place) in sources.iter().zip(places) {
            let mut open = Open::new(source, place);
            let outcome = self.read_source(&mut open, sender);
            let Ok(()) = self.finish(&mut open, sender) else { break };
            if !outcome? {
                break;
            }
        }
        self.totals.keys = self.seen.len() as u64;
        Ok(self.totals)
    }

    /// Whether to go on with the next source.
    fn read_source(&mut self, open: &mut Open<'_>, sender: &Sender<Piece>) -> Result<bool, Failure> {
        let mut rows = Rows::open(open.source.path(), open.source.format(), &self.spec)?;
        while let Some(row) = rows.next()? {
            let is_first = self.seen.insert(key_hash(&row.key));
            if row.end <= open.before.offset {
                open.place = Place { offset: row.end, rows: open.place.rows + 1 };
                self.totals.rows += 1;
                self.totals.resumed += 1;
                continue;
            }
            if !is_first && self.on_duplicate == OnDuplicate::Error {
                return Err(repeated(&rows, &row));
            }
            self.totals.rows += 1;
            open.take(row, is_first || self.on_duplicate == OnDuplicate::Last);
            if (open.batch.len() >= self.batch_rows || open.batch_len >= BATCH_LEN_MAX)
                && self.finish(open, sender).is_err()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(&self, open: &mut Open<'_>, sender: &Sender<Piece>) -> Result<(), Stopped> {
        sender.blocking_send(open.close(self.totals.rows)).map_err(|_| Stopped)
    }
}

/// A source being read, and the batch that is being filled from it.
struct Open<'a> {
    source: &'a Source,
    /// Where an earlier import stopped.
    before: Place,
    /// After the last row taken.
    place: Place,
    /// After the last batch sent.
    sent: Place,
    batch: BTreeMap<Vec<u8>, Vec<u8>>,
    batch_len: usize,
}

impl Open<'_> {
    fn new(source: &Source, before: Place) -> Open<'_> {
        let start = Place::default();
        Open { source, before, place: start, sent: start, batch: BTreeMap::new(), batch_len: 0 }
    }

    /// A key twice in one batch is one write: the later row stands.
    fn take(&mut self, row: Row, is_kept: bool) {
        self.place = Place { offset: row.end, rows: self.place.rows + 1 };
        if is_kept {
            self.batch_len += row.key.len() + row.value.len();
            self.batch.insert(row.key, row.value);
        }
    }

    fn close(&mut self, rows_total: u64) -> Piece {
        let rows = std::mem::take(&mut self.batch)
            .into_iter()
            .map(|(key, value)| ImportRow { key: Key(key), value: Value::from_bytes(&value) })
            .collect();
        let is_new = self.place.offset > self.sent.offset.max(self.before.offset);
        let position =
            is_new.then(|| Position { source: self.source.id().to_string(), at: self.place.to_string() });
        let len = self.place.offset - self.sent.offset;
        self.sent = self.place;
        self.batch_len = 0;
        Piece { rows, position, len, rows_total }
    }
}

fn key_hash(key: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(key).as_bytes()[..16]);
    short
}

fn repeated(rows: &Rows, row: &Row) -> Failure {
    let key = Key(row.key.clone());
    Failure::new(EXIT_CONFLICT, "repeated-key", format!("{}: the key {key} came before", rows.place(row)))
        .cure("--on-duplicate last or first, or a --key that tells the rows apart")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::import::rows::Format;

    /// Reads one file into pieces, and shows each as `keys @ place`; then the totals or the failure.
    fn check(text: &str, before: Place, batch: usize, on_duplicate: OnDuplicate, expected: &[&str]) {
        let dir = std::env::temp_dir().join(format!("strandline-batch-{}-{expected:p}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let path = dir.join("a.csv");
        std::fs::write(&path, text).expect("a file");
        let spec: KeySpec = "k".parse().expect("a spec");
        let target = "s/c".parse().expect("a target");
        let source = Source::examine(&path, Some(Format::Csv), &target, &spec).expect("a source");
        let (sender, mut receiver) = tokio::sync::mpsc::channel(100);
        let outcome = Reader::new(spec, batch, on_duplicate).read(vec![source], vec![before], &sender);
        drop(sender);
        let mut seen = Vec::new();
        while let Some(piece) = receiver.blocking_recv() {
            let keys: Vec<String> = piece.rows.iter().map(|row| row.key.to_string()).collect();
            let at = piece.position.map_or("-".to_string(), |position| position.at);
            seen.push(format!("{} @ {at}", keys.join("")));
        }
        seen.push(match outcome {
            Ok(totals) => format!("{} rows, {} keys, {} resumed", totals.rows, totals.keys, totals.resumed),
            Err(failure) => failure.message.replace(&format!("{}/", dir.display()), ""),
        });
        std::fs::remove_dir_all(&dir).expect("removed");
        assert_eq!(seen, expected);
    }

    #[test]
    fn batches_end_where_the_next_row_begins() {
        let start = Place::default();
        check(
            "k\na\nb\nc\n",
            start,
            2,
            OnDuplicate::Last,
            &["ab @ 6 2", "c @ 8 3", "3 rows, 3 keys, 0 resumed"],
        );
    }

    #[test]
    fn a_resumed_import_repeats_nothing_and_counts_everything() {
        let before = Place { offset: 6, rows: 2 };
        check(
            "k\na\nb\na\nd\n",
            before,
            2,
            OnDuplicate::Last,
            &["ad @ 10 4", " @ -", "4 rows, 3 keys, 2 resumed"],
        );
    }

    #[test]
    fn the_first_row_of_a_key_stays_if_asked() {
        check(
            "k\na\na\nb\n",
            Place::default(),
            2,
            OnDuplicate::First,
            &["ab @ 8 3", " @ -", "3 rows, 2 keys, 0 resumed"],
        );
    }

    #[test]
    fn a_repeated_key_can_be_an_error_with_its_place() {
        check(
            "k\na\na\n",
            Place::default(),
            9,
            OnDuplicate::Error,
            &["a @ 4 1", "a.csv:3: the key a came before"],
        );
    }

    #[test]
    fn rows_before_a_broken_one_are_sent() {
        check(
            "k\na\nb\nc,d\n",
            Place::default(),
            9,
            OnDuplicate::Last,
            &["ab @ 6 2", "a.csv:4: the row has 2 fields, the header 1"],
        );
    }
}
