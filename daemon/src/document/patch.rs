//! RFC 6902 patches, made to a document within bounds of memory and depth, whatever they ask for.

use crdt::view::json::DEPTH_MAX;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

/// Bytes that the copies and moves of one patch may carry together, about. A document that is copied into itself again and
/// again doubles each time.
const CARRIED_LEN_MAX: usize = 64 << 20;

/// The least that a value takes, whatever it says.
const VALUE_LEN: usize = 32;

/// What an object takes beside its fields: room is made for several at once.
const FIELDS_LEN: usize = 640;

/// How deep what a patch brings or carries may nest: what a request's JSON may, which the parser bounds.
const NESTED_MAX: usize = 128;

/// Makes a patch to a document. An error says what does not fit; the document is half patched then, and nobody's any more.
pub fn patch(document: &mut Value, patch: &Patch) -> Result<(), String> {
    let mut carried = 0;
    for (number, operation) in patch.0.iter().enumerate() {
        if operation.path().count() > DEPTH_MAX {
            return Err(format!("operation {number} leads more than {DEPTH_MAX} deep"));
        }
        let from = match operation {
            PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()),
            PatchOperation::Move(moved) => document.pointer(moved.from.as_str()),
            _ => None,
        };
        if let Some(from) = from {
            let len = weigh(from, NESTED_MAX);
            carried += len.ok_or_else(|| format!("operation {number} carries what nests too deep"))?;
        }
        if carried > CARRIED_LEN_MAX {
            return Err(format!(
                "it copies and moves more than {CARRIED_LEN_MAX} bytes by operation {number}"
            ));
        }
        json_patch::patch(document, std::slice::from_ref(operation))
            .map_err(|error| format!("operation {number}: {}", error.kind))?;
    }
    Ok(())
}

/// About how many bytes a value takes; none where it nests deeper than that.
fn weigh(value: &Value, depth: usize) -> Option<usize> {
    let inner = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => sum(items.iter().map(|item| weigh(item, depth.checked_sub(1)?)))?,
        Value::Object(fields) if fields.is_empty() => 0,
        Value::Object(fields) => {
            let field =
                |(name, value): (&String, &Value)| Some(name.len() + weigh(value, depth.checked_sub(1)?)?);
            FIELDS_LEN + sum(fields.iter().map(field))?
        }
    };
    Some(VALUE_LEN + inner)
}

fn sum(parts: impl Iterator<Item = Option<usize>>) -> Option<usize> {
    parts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(operations: &[String]) -> Result<Value, String> {
        let mut document = serde_json::json!({"a": 1});
        let made = serde_json::from_str(&format!("[{}]", operations.join(","))).expect("a patch");
        patch(&mut document, &made).map(|()| document)
    }

    #[test]
    fn copies_that_double_are_refused_before_they_fill_the_memory() {
        let copy = |number: usize| format!(r#"{{"op":"copy","from":"","path":"/{number}"}}"#);
        assert!(check(&(0..8).map(copy).collect::<Vec<_>>()).is_ok());
        let bomb: Vec<String> = (0..60).map(copy).collect();
        assert!(check(&bomb).expect_err("a bomb").contains("67108864 bytes"));
    }

    #[test]
    fn moves_that_nest_ever_deeper_are_refused() {
        let path = "/x".repeat(50);
        let chain =
            (1..=50).map(|depth| format!(r#"{{"op":"add","path":"{}","value":{{}}}}"#, "/x".repeat(depth)));
        let carry = |number: usize| {
            let again = (1..=50).map(|depth| {
                format!(r#"{{"op":"add","path":"/{number}{}","value":{{}}}}"#, "/x".repeat(depth - 1))
            });
            let from = if number == 0 { "/x".to_owned() } else { format!("/{}", number - 1) };
            let moved = format!(r#"{{"op":"move","from":"{from}","path":"/{number}{path}"}}"#);
            again.chain([moved]).collect::<Vec<_>>()
        };
        let deep: Vec<String> = chain.chain((0..9).flat_map(carry)).collect();
        assert!(check(&deep).expect_err("deeper and deeper").contains("nests too deep"));
        let path = "/x".repeat(DEPTH_MAX + 1);
        let far = check(&[format!(r#"{{"op":"add","path":"{path}","value":1}}"#)]);
        assert!(far.expect_err("too far").contains("64 deep"));
    }
}
