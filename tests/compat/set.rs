//! A set of recorded folders and conversations: its text, to bytes and back.
//!
//! A folder is a hex dump: `file NAME LEN`, then `OFFSET BYTES` for each line of 32 bytes that is not all zeros. A
//! conversation is a list of `TIME WHO> BYTES` and `TIME home batch`, `0*N` among the bytes for N zeros. What is expected is `NAME VALUE`.

use std::collections::BTreeMap;
use std::fmt::Write;

const LINE_LEN: usize = 32;

/// The files of a folder, by name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Something that happened in a conversation, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: u64,
    pub(crate) what: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The device said this.
    Device(Vec<u8>),
    /// The home said this.
    Home(Vec<u8>),
    /// The home made a Handle.
    Batch,
}

/// The text of a folder.
pub(crate) fn write_files(files: &Files) -> String {
    let mut text = String::new();
    for (name, bytes) in files {
        writeln!(text, "file {name} {}", bytes.len()).expect("a string takes all");
        for (line, bytes) in bytes.chunks(LINE_LEN).enumerate() {
            if bytes.iter().any(|byte| *byte != 0) {
                writeln!(text, "{:06x} {}", line * LINE_LEN, hex(bytes)).expect("a string takes all");
            }
        }
    }
    text
}

/// The folder of a text.
pub(crate) fn read_files(text: &str) -> Files {
    let mut files = Files::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("file ") {
            let (name, len) = file.rsplit_once(' ').expect("a name and a length");
            let bytes = vec![0; len.parse().expect("a length")];
            current = Some(files.entry(name.to_owned()).or_insert(bytes));
        } else {
            let (offset, bytes) = line.split_once(' ').expect("an offset and bytes");
            let offset = usize::from_str_radix(offset, 16).expect("an offset");
            let bytes = unhex(bytes);
            let file = current.as_mut().expect("a file before its bytes");
            file[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
    }
    files
}

/// The text of a conversation.
pub(crate) fn write_steps(steps: &[Step]) -> String {
    let mut text = String::new();
    for Step { at, what } in steps {
        match what {
            Event::Device(bytes) => writeln!(text, "{at} device> {}", words(bytes)),
            Event::Home(bytes) => writeln!(text, "{at} home> {}", words(bytes)),
            Event::Batch => writeln!(text, "{at} home batch"),
        }
        .expect("a string takes all");
    }
    text
}

/// The conversation of a text.
pub(crate) fn read_steps(text: &str) -> Vec<Step> {
    let step = |line: &str| {
        let (at, what) = line.split_once(' ').expect("a time");
        let what = match what.split_once("> ") {
            Some(("device", bytes)) => Event::Device(unwords(bytes)),
            Some(("home", bytes)) => Event::Home(unwords(bytes)),
            _ => Event::Batch,
        };
        Step { at: at.parse().expect("a time"), what }
    };
    text.lines().map(step).collect()
}

/// What is expected, by its name.
pub(crate) fn read_expected(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().map(|line| pair(line).expect("a name and a value")).collect()
}

/// Hex, with `0*N` for N zeros in a row.
fn words(bytes: &[u8]) -> String {
    let same = |a: &u8, b: &u8| (*a == 0) == (*b == 0);
    let (mut words, mut plain) = (Vec::new(), Vec::new());
    for run in bytes.chunk_by(same) {
        if run[0] != 0 || run.len() < LINE_LEN {
            plain.extend_from_slice(run);
            continue;
        }
        words.push(hex(&std::mem::take(&mut plain)));
        words.push(format!("0*{}", run.len()));
    }
    words.push(hex(&plain));
    words.join(" ")
}

fn unwords(text: &str) -> Vec<u8> {
    let word = |word: &str| match word.strip_prefix("0*") {
        Some(count) => vec![0; count.parse().expect("a count")],
        None => unhex(word),
    };
    text.split(' ').flat_map(word).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(byte).collect()
}
