//! How a command fails: what is wrong, where, the cure, and the exit code a script relies on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Exit codes of the manual.
pub(crate) const EXIT_FAILED: u8 = 1;
pub(crate) const EXIT_USAGE: u8 = 2;
pub(crate) const EXIT_NOT_FOUND: u8 = 3;
pub(crate) const EXIT_CONFLICT: u8 = 4;
pub(crate) const EXIT_UNAVAILABLE: u8 = 5;

/// One failure, as it is printed: `type` is stable, the rest is for people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failure {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) cure: Option<String>,
    #[serde(skip, default = "exit_failed")]
    pub(crate) exit: u8,
}

#[derive(Serialize)]
struct Document<'a> {
    error: &'a Failure,
}

fn exit_failed() -> u8 {
    EXIT_FAILED
}

impl Failure {
    pub(crate) fn new(exit: u8, kind: &str, message: impl Into<String>) -> Failure {
        Failure { kind: kind.to_string(), message: message.into(), cure: None, exit }
    }

    pub(crate) fn failed(kind: &str, message: impl Into<String>) -> Failure {
        Failure::new(EXIT_FAILED, kind, message)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(EXIT_USAGE, "usage", message)
    }

    pub(crate) fn unavailable(message: impl Into<String>) -> Failure {
        Failure::new(EXIT_UNAVAILABLE, "unavailable", message)
    }

    pub(crate) fn cure(mut self, cure: impl Into<String>) -> Failure {
        self.cure = Some(cure.into());
        self
    }

    /// A file the user named could not be read or written.
    pub(crate) fn file(action: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => EXIT_NOT_FOUND,
            _ => EXIT_FAILED,
        };
        Failure::new(exit, "file", format!("cannot {action} {}: {error}", path.display()))
    }

    /// Says on stderr what went wrong, once, in the form the caller asked for.
    pub(crate) fn print(&self, json: bool) {
        if json {
            let document = Document { error: self };
            // Two strings and a word always serialise; without them there would be nothing left to say.
            eprintln!("{}", serde_json::to_string(&document).unwrap_or_default());
            return;
        }
        eprintln!("error: {}", self.message);
        if let Some(cure) = &self.cure {
            eprintln!("  try: {cure}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// A closed pipe (`scan | head`) is no failure of ours: the reader has what it wanted.
pub(crate) fn stdout_failure(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return Failure { exit: 0, ..Failure::failed("closed-pipe", "") };
    }
    Failure::failed("output", format!("cannot write to standard output: {error}"))
}
