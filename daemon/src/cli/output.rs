//! What people see: aligned tables, sizes and ages in words, colour only on a terminal.

use std::io::{BufWriter, IsTerminal, Stdout, Write};

use serde::Serialize;

use super::failure::{Failure, stdout_failure};

/// One JSON document on a line of its own.
pub(crate) fn print_json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::failed("output", format!("cannot write the answer as JSON: {error}")))?;
    print_line(&text)
}

/// One line of text; a reader that went away ends the command quietly.
pub(crate) fn print_line(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| stdout_failure(&error))
}

/// Whether there is a person to draw progress for.
pub(crate) fn progress_wanted(json: bool) -> bool {
    !json && std::io::stderr().is_terminal()
}

/// Many lines in a row: written in blocks, since a flush a line halves the speed of a scan.
pub(crate) struct Printer {
    out: BufWriter<Stdout>,
}

impl Printer {
    pub(crate) fn new() -> Printer {
        Printer { out: BufWriter::with_capacity(1 << 16, std::io::stdout()) }
    }

    pub(crate) fn line(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.out
            .write_all(text)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|error| stdout_failure(&error))
    }

    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| stdout_failure(&error))
    }
}

/// A text for a cell: nothing is `-`.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_string() } else { text.to_string() }
}

/// Rows under a header, every column as wide as its widest cell.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Table {
        Table { rows: vec![header.iter().map(|cell| (*cell).to_string()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    pub(crate) fn print(&self) -> Result<(), Failure> {
        print_line(self.render().trim_end())
    }
}

/// `12.3 MiB`, in the units the configuration takes.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{scaled:.1} {}", UNITS[unit]) }
}

/// `1,234,567`: what a person can read at a glance.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The first 12 hex digits: enough to tell two roots apart by eye.
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// `3s ago`, `in 12s`: a moment relative to now, both in milliseconds since 1970.
pub(crate) fn relative(now: u64, at: u64) -> String {
    if at > now { format!("in {}", span(at - now)) } else { format!("{} ago", span(now - at)) }
}

fn span(millis: u64) -> String {
    match millis / 1000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds @ 3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["name", "rows"]);
        table.row(vec!["telemetry".into(), "7".into()]);
        assert_eq!(table.render(), "name       rows\ntelemetry  7\n");
    }

    #[test]
    fn figures_read_at_a_glance() {
        assert_eq!(count(321_206), "321,206");
        assert_eq!(count(999), "999");
        assert_eq!(size(512), "512 B");
        assert_eq!(size(12_900_000), "12.3 MiB");
        assert_eq!(relative(10_000, 7_000), "3s ago");
        assert_eq!(relative(0, 61_000), "in 1m01s");
    }
}
