//! How two values differ, for people: line by line, JSON one field a line.

use std::time::Duration;

use similar::TextDiff;

use crate::api::types::{Conflict, Value};

/// Longer values are not compared: nobody reads that, and it takes long.
const COMPARED_LEN_MAX: usize = 256 << 10;

/// What a comparison may take; beyond it the differences are coarser.
const TIME_MAX: Duration = Duration::from_millis(200);

/// Says of each loser how it differs from the winner.
pub(super) fn add(conflict: &mut Conflict) {
    let Some(winner) = conflict.winner.as_ref().and_then(|side| side.value.clone()) else { return };
    for loser in &mut conflict.losers {
        loser.diff = loser.value.as_ref().and_then(|value| between(&winner, value));
    }
}

/// A unified diff of two texts, or of two JSON documents as they are printed.
fn between(shown: &Value, lost: &Value) -> Option<String> {
    let (Some(shown), Some(lost)) = (text(shown), text(lost)) else { return None };
    if shown.len().max(lost.len()) > COMPARED_LEN_MAX {
        return None;
    }
    let (shown, lost) = match (printed(&shown), printed(&lost)) {
        (Some(shown), Some(lost)) => (shown, lost),
        _ => (shown, lost),
    };
    let diff = TextDiff::configure().timeout(TIME_MAX).diff_lines(&shown, &lost);
    let text = diff.unified_diff().header("shown", "lost").missing_newline_hint(false).to_string();
    Some(text)
}

/// A value as text; none: it is bytes.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::Bytes { .. } => None,
        Value::Json(serde_json::Value::String(text)) => Some(text.clone()),
        Value::Json(json) => Some(json.to_string()),
    }
}

/// A JSON object or array, one field a line and in one order.
fn printed(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    if !(value.is_object() || value.is_array()) {
        return None;
    }
    serde_json::to_string_pretty(&value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(shown: &str, lost: &str) -> String {
        between(&Value::Text(shown.into()), &Value::Text(lost.into())).unwrap_or_default()
    }

    #[test]
    fn json_is_compared_field_by_field_whatever_its_layout() {
        let text = diff(r#"{"b":2,"a":1}"#, r#"{ "a": 1, "b": 3 }"#);
        assert_eq!(
            text,
            "--- shown\n+++ lost\n@@ -1,4 +1,4 @@\n {\n   \"a\": 1,\n-  \"b\": 2\n+  \"b\": 3\n }\n"
        );
    }

    #[test]
    fn text_is_compared_by_line_and_bytes_are_not() {
        assert_eq!(diff("one\ntwo\n", "one\n2\n"), "--- shown\n+++ lost\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n");
        let bytes = Value::from_bytes(&[0xff]);
        assert_eq!(between(&bytes, &Value::Text("x".into())), None);
    }
}
