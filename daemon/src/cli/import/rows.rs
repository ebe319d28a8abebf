//! The rows of one CSV or NDJSON file: a key, a value, and where the next row begins.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use super::spec::{KeyField, KeySpec};
use crate::cli::failure::Failure;

/// Longest line of NDJSON: a value past it would not fit a batch.
const LINE_LEN_MAX: u64 = 8 << 20;

/// Read in large pieces, since rows are small.
const BUFFER_LEN: usize = 1 << 18;

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Ndjson,
}

impl Format {
    /// By the ending of a file's name.
    pub(crate) fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Format::Csv),
            "ndjson" | "jsonl" => Some(Format::Ndjson),
            _ => None,
        }
    }
}

/// One row, ready to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
    /// The line it begins on, from 1, as an editor counts.
    pub(crate) line: u64,
    /// Where the reader stands after it: what a resumed import compares.
    pub(crate) end: u64,
}

/// Rows of a file, in order, each once.
pub(crate) struct Rows {
    name: String,
    display: String,
    spec: KeySpec,
    row: u64,
    source: Source,
}

enum Source {
    Csv(Box<CsvSource>),
    Ndjson(NdjsonSource),
}

struct CsvSource {
    reader: csv::Reader<Box<dyn Read + Send>>,
    record: csv::StringRecord,
    /// Column names as JSON, each with the punctuation before and after it.
    labels: Vec<String>,
    /// For each field of the key, the column that holds it.
    columns: Vec<Option<usize>>,
}

struct NdjsonSource {
    reader: BufReader<Box<dyn Read + Send>>,
    buffer: Vec<u8>,
    line: u64,
    end: u64,
}

impl Rows {
    pub(crate) fn open(path: &Path, format: Format, spec: &KeySpec) -> Result<Rows, Failure> {
        let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
        Rows::new(Box::new(file), path, format, spec)
    }

    fn new(
        bytes: Box<dyn Read + Send>,
        path: &Path,
        format: Format,
        spec: &KeySpec,
    ) -> Result<Rows, Failure> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let display = path.display().to_string();
        let source = match format {
            Format::Csv => Source::Csv(Box::new(CsvSource::new(bytes, &display, spec)?)),
            Format::Ndjson => {
                let reader = BufReader::with_capacity(BUFFER_LEN, bytes);
                Source::Ndjson(NdjsonSource { reader, buffer: Vec::new(), line: 0, end: 0 })
            }
        };
        Ok(Rows { name, display, spec: spec.clone(), row: 0, source })
    }

    /// The next row, or `None` at the end; a broken row is named by file and line.
    pub(crate) fn next(&mut self) -> Result<Option<Row>, Failure> {
        let row = match &mut self.source {
            Source::Csv(source) => source.next(&self.name, self.row + 1, &self.spec),
            Source::Ndjson(source) => source.next(&self.name, self.row + 1, &self.spec),
        };
        match row {
            Ok(row) => {
                self.row += u64::from(row.is_some());
                Ok(row)
            }
            Err(Broken { line, problem }) => {
                Err(Failure::failed("broken-row", format!("{}:{line}: {problem}", self.display))
                    .cure("mend that line and import again; it resumes after the last whole batch"))
            }
        }
    }

    /// `file:line` of a row, for messages.
    pub(crate) fn place(&self, row: &Row) -> String {
        format!("{}:{}", self.display, row.line)
    }
}

struct Broken {
    line: u64,
    problem: String,
}

impl CsvSource {
    fn new(bytes: Box<dyn Read + Send>, display: &str, spec: &KeySpec) -> Result<CsvSource, Failure> {
        let mut reader = csv::ReaderBuilder::new().buffer_capacity(BUFFER_LEN).from_reader(bytes);
        let header = reader
            .headers()
            .map_err(|error| Failure::failed("broken-row", format!("{display}:1: {}", csv_problem(&error))))?
            .clone();
        let columns = spec
            .fields()
            .iter()
            .map(|field| match header.iter().position(|column| column == field.name()) {
                None if !matches!(field.name(), "file" | "row") => Err(no_column(display, field, &header)),
                found => Ok(found),
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let labels = header
            .iter()
            .enumerate()
            .map(|(at, name)| format!("{}{}:", if at == 0 { '{' } else { ',' }, Value::from(name)))
            .collect();
        Ok(CsvSource { reader, record: csv::StringRecord::new(), labels, columns })
    }

    fn next(&mut self, file: &str, row: u64, spec: &KeySpec) -> Result<Option<Row>, Broken> {
        let start = self.reader.position().line();
        let more = self.reader.read_record(&mut self.record).map_err(|error| Broken {
            line: error.position().map_or(start, csv::Position::line),
            problem: csv_problem(&error),
        })?;
        if !more {
            return Ok(None);
        }
        let line = self.record.position().map_or(start, csv::Position::line);
        let mut elements = Vec::with_capacity(self.columns.len());
        for (field, column) in spec.fields().iter().zip(&self.columns) {
            let element = match column {
                Some(column) => field.column(&self.record[*column]),
                None => field.stand_in(file, row).unwrap_or_else(|| Err("names no column".to_string())),
            };
            elements.push(element.map_err(|problem| Broken { line, problem })?);
        }
        let key = encode_key(&elements).map_err(|problem| Broken { line, problem })?;
        Ok(Some(Row { key, value: self.value(), line, end: self.reader.position().byte() }))
    }

    /// The row as a JSON object. A field that is a JSON number stands as it is, digit for digit; any other is text.
    fn value(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(self.record.as_slice().len() * 2 + 32);
        for (label, field) in self.labels.iter().zip(&self.record) {
            value.extend_from_slice(label.as_bytes());
            if is_json_number(field) {
                value.extend_from_slice(field.as_bytes());
            } else {
                value.extend_from_slice(Value::from(field).to_string().as_bytes());
            }
        }
        value.push(b'}');
        value
    }
}

impl NdjsonSource {
    fn next(&mut self, file: &str, row: u64, spec: &KeySpec) -> Result<Option<Row>, Broken> {
        loop {
            self.line += 1;
            self.buffer.clear();
            let line = self.line;
            let broken = |problem: String| Broken { line, problem };
            let read = self
                .reader
                .by_ref()
                .take(LINE_LEN_MAX)
                .read_until(b'\n', &mut self.buffer)
                .map_err(|error| broken(format!("cannot be read: {error}")))?;
            if read == 0 {
                return Ok(None);
            }
            self.end += read as u64;
            if read as u64 == LINE_LEN_MAX {
                return Err(broken(format!("the line is longer than {LINE_LEN_MAX} bytes")));
            }
            let text = self.buffer.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let object: Value =
                serde_json::from_slice(text).map_err(|error| broken(format!("is not JSON: {error}")))?;
            if !object.is_object() {
                return Err(broken("is not a JSON object".to_string()));
            }
            let elements = spec
                .fields()
                .iter()
                .map(|field| json_element(field, &object, file, row))
                .collect::<Result<Vec<_>, String>>()
                .map_err(broken)?;
            let key = encode_key(&elements).map_err(broken)?;
            return Ok(Some(Row { key, value: text.to_vec(), line, end: self.end }));
        }
    }
}

fn json_element(field: &KeyField, object: &Value, file: &str, row: u64) -> Result<crdt::Element, String> {
    match &object[field.name()] {
        Value::Null => {
            field.stand_in(file, row).unwrap_or_else(|| Err(format!("has no field {}", field.name())))
        }
        Value::String(text) => field.column(text),
        other => field.column(&other.to_string()),
    }
}

fn encode_key(elements: &[crdt::Element]) -> Result<Vec<u8>, String> {
    crdt::key::encode(elements).map_err(|error| error.to_string())
}

fn no_column(display: &str, field: &KeyField, header: &csv::StringRecord) -> Failure {
    let columns = header.iter().collect::<Vec<_>>().join(", ");
    Failure::usage(format!("{display} has no column {}", field.name()))
        .cure(format!("one of its columns ({columns}), or file and row"))
}

fn csv_problem(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields, the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not UTF-8".to_string(),
        csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
        _ => error.to_string(),
    }
}

/// Whether a text is a number by the grammar of JSON: `007`, `+1` and `.5` are not.
fn is_json_number(text: &str) -> bool {
    fn digits(bytes: &[u8]) -> usize {
        bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }
    let mut rest = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent =
            exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let len = digits(exponent);
        return len > 0 && len == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row as `key value line end`, or the failure that ended the file.
    fn check(format: Format, spec: &str, text: &'static str, expected: &[&str]) {
        let spec = spec.parse().expect("a spec");
        let mut seen = Vec::new();
        match Rows::new(Box::new(text.as_bytes()), Path::new("dir/a.csv"), format, &spec) {
            Err(failure) => seen.push(failure.message),
            Ok(mut rows) => loop {
                match rows.next() {
                    Ok(None) => break,
                    Ok(Some(row)) => seen.push(format!(
                        "{} {} {} {}",
                        strandline::keytext::to_json(&row.key),
                        String::from_utf8_lossy(&row.value),
                        row.line,
                        row.end
                    )),
                    Err(failure) => {
                        seen.push(failure.message);
                        break;
                    }
                }
            },
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_csv_row_is_an_object_of_its_columns() {
        check(
            Format::Csv,
            "file,row",
            "t,v\n2015-01-01,35\n\"a\"\"b\",x\r\n",
            &[r#"["a.csv",1] {"t":"2015-01-01","v":35} 2 18"#, r#"["a.csv",2] {"t":"a\"b","v":"x"} 3 27"#],
        );
    }

    #[test]
    fn a_last_line_without_its_end_is_a_row() {
        check(Format::Csv, "t", "t\n1", &[r#""1" {"t":1} 2 3"#]);
        check(Format::Ndjson, "t:int", "{\"t\":1}", &[r#"[1] {"t":1} 1 7"#]);
    }

    #[test]
    fn a_broken_row_is_named_by_file_and_line() {
        check(
            Format::Csv,
            "t",
            "t,v\n1,2\n3\n",
            &[r#""1" {"t":1,"v":2} 2 8"#, "dir/a.csv:3: the row has 1 fields, the header 2"],
        );
        check(Format::Csv, "t:int", "t\nx\n", &["dir/a.csv:2: t: \"x\" is not an int"]);
        check(
            Format::Ndjson,
            "t",
            "\n{\"t\":\"a\"}\n{\n",
            &[
                r#""a" {"t":"a"} 2 11"#,
                "dir/a.csv:3: is not JSON: EOF while parsing an object at line 1 column 1",
            ],
        );
    }

    #[test]
    fn a_missing_column_is_said_before_the_first_row() {
        check(Format::Csv, "sensor", "t,v\n1,2\n", &["dir/a.csv has no column sensor"]);
    }

    #[test]
    fn numbers_are_json_numbers_or_text() {
        for number in ["0", "-0", "35", "0.10", "1e5", "-2.5E-3"] {
            assert!(is_json_number(number), "{number}");
        }
        for text in ["", "-", "007", "+1", ".5", "1.", "1e", "1e+", "NaN", "1 ", "0x1"] {
            assert!(!is_json_number(text), "{text}");
        }
    }

    #[test]
    fn a_column_named_file_is_the_column() {
        check(Format::Csv, "file", "file\nx\n", &[r#""x" {"file":"x"} 2 7"#]);
    }
}
