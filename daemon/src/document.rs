//! Documents and other values of policies as JSON text says them.

use std::collections::BTreeMap;

use crdt::Element;
use crdt::view::Json;
use crdt::view::json::DEPTH_MAX;
use serde_json::{Map, Number, Value};

use crate::api::types;

mod patch;
pub use patch::patch;

/// The fields of a document; an error says why the text is none.
pub fn parse(text: &[u8]) -> Result<BTreeMap<String, Json>, String> {
    let value =
        serde_json::from_slice(text).map_err(|error| format!("a document is a JSON object: {error}"))?;
    from_value(value)
}

/// The fields of a JSON object.
pub fn from_value(value: Value) -> Result<BTreeMap<String, Json>, String> {
    match value {
        Value::Object(fields) => fields_from(fields, DEPTH_MAX),
        other => Err(format!("a document is a JSON object, and this is {}", kind(&other))),
    }
}

/// The value of a field.
pub(crate) fn field_from(value: Value) -> Result<Json, String> {
    from_json(value, DEPTH_MAX)
}

/// A document as JSON.
pub fn to_value(fields: BTreeMap<String, Json>) -> Value {
    Value::Object(fields.into_iter().map(|(name, json)| (name, to_json(json))).collect())
}

/// What a key reads as, in the form it has in answers.
pub(crate) fn shown(value: replica::Value) -> types::Value {
    match value {
        replica::Value::Bytes(bytes) => types::Value::from_bytes(&bytes),
        replica::Value::Many(all) => {
            let one = |bytes: &Vec<u8>| match types::Value::from_bytes(bytes) {
                types::Value::Text(text) => Value::String(text),
                types::Value::Bytes { base64 } => serde_json::json!({ "base64": base64 }),
                types::Value::Json(json) => json,
            };
            types::Value::Json(Value::Array(all.iter().map(one).collect()))
        }
        replica::Value::Document(fields) => types::Value::Json(to_value(fields)),
        replica::Value::Set(elements) => {
            types::Value::Json(elements.iter().map(|element| shown_element(element)).collect())
        }
        replica::Value::Count(count) => types::Value::Json(match i64::try_from(count) {
            Ok(count) => Value::Number(count.into()),
            // Beyond what a JSON number keeps in most programs.
            Err(_) => Value::String(count.to_string()),
        }),
    }
}

fn shown_element(element: &[Element]) -> Value {
    match crdt::key::encode(element) {
        Ok(key) => crate::keytext::to_json(&key),
        Err(_) => Value::Null,
    }
}

fn from_json(value: Value, depth: usize) -> Result<Json, String> {
    let deeper = || depth.checked_sub(1).ok_or(format!("a document nests at most {DEPTH_MAX} deep"));
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(bool) => Json::Bool(bool),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => Json::Int(int.into()),
            (_, Some(int), _) => Json::Int(int.into()),
            (_, _, Some(float)) if float.is_finite() => Json::Float(float),
            _ => return Err(format!("{number} is beyond a number of 64 bits")),
        },
        Value::String(text) => Json::Text(text),
        Value::Array(items) => {
            let depth = deeper()?;
            Json::Array(items.into_iter().map(|item| from_json(item, depth)).collect::<Result<_, _>>()?)
        }
        Value::Object(fields) => Json::Object(fields_from(fields, deeper()?)?),
    })
}

fn fields_from(fields: Map<String, Value>, depth: usize) -> Result<BTreeMap<String, Json>, String> {
    fields.into_iter().map(|(name, value)| Ok((name, from_json(value, depth)?))).collect()
}

/// A value of a field as JSON.
pub(crate) fn to_json(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(bool) => Value::Bool(bool),
        Json::Int(int) => match (i64::try_from(int), u64::try_from(int)) {
            (Ok(int), _) => Value::Number(int.into()),
            (_, Ok(int)) => Value::Number(int.into()),
            _ => Value::String(int.to_string()),
        },
        Json::Float(float) => Number::from_f64(float).map_or(Value::Null, Value::Number),
        Json::Text(text) => Value::String(text),
        Json::Array(items) => Value::Array(items.into_iter().map(to_json).collect()),
        Json::Object(fields) => to_value(fields),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_comes_back_as_it_was_written() {
        for text in [r#"{}"#, r#"{"a":{"b":[1,-2,1.5,null,true,"x",{}]},"c":18446744073709551615}"#] {
            assert_eq!(to_value(parse(text.as_bytes()).expect(text)).to_string(), text);
        }
        for text in ["", "[]", "5", "\"x\"", "{", &format!("{{\"a\":{}1{}}}", "[".repeat(70), "]".repeat(70))]
        {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
