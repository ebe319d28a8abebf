//! What is said of a file of settings that is refused: the line, what is wrong, and what was probably meant.

use super::Error;

/// One line for a person: what is wrong, and what was probably meant.
pub(super) fn refusal(error: &serde_saphyr::Error) -> Error {
    let error = error.without_snippet();
    let line = error.location().map_or(0, |location| location.line());
    let reason = match error {
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown("setting", field, expected),
        serde_saphyr::Error::SerdeUnknownVariant { variant, expected, .. } => {
            unknown("value", variant, expected)
        }
        other => message(other),
    };
    Error::Line { line, reason }
}

/// The message alone; the line stands before it already.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = match text.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, rest)) => rest,
        None => text,
    };
    text.split(" at line ").next().unwrap_or(text).trim().to_string()
}

fn unknown(what: &str, found: &str, allowed: &[&str]) -> String {
    let near = allowed
        .iter()
        .map(|name| (distance(found, name), *name))
        .min()
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
    let list = allowed.join(", ");
    match near {
        Some((_, name)) => format!("unknown {what} `{found}`, did you mean `{name}`? allowed: {list}"),
        None => format!("unknown {what} `{found}`; allowed: {list}"),
    }
}

/// Edits between two short words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
