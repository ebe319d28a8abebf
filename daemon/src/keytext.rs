//! Keys as people write them: a plain key is its text, a tuple is a JSON array, a column is a text and a type.

pub mod time;

use std::fmt;
use std::str::FromStr;

use crdt::Element;
use data_encoding::BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Number, Value, json};

/// An encoded key that reads and prints as JSON.
///
/// One text element is a JSON string. Everything else is an array: text, `5`, `1.5`, `null`, `true`,
/// `{"time": "2015-02-26T21:42:53Z"}`, `{"bytes": "base64"}`, and where JSON has no such number or the calendar no
/// such year, `{"float": "inf"}`, `{"int": "-0x…"}` and `{"micros": "…"}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub Vec<u8>);

impl Key {
    /// The key of a name that a person typed.
    pub fn plain(name: &str) -> Key {
        Key(crdt::key::plain(name.as_bytes()))
    }

    /// The key of a JSON array, or of a JSON string.
    pub fn parse_json(text: &str) -> Result<Key, KeyTextError> {
        let value: Value = serde_json::from_str(text).map_err(|_| KeyTextError::NotJson)?;
        Key::from_value(&value)
    }

    fn from_value(value: &Value) -> Result<Key, KeyTextError> {
        let elements = match value {
            Value::Array(values) => values.iter().map(from_json).collect::<Result<Vec<_>, _>>()?,
            single => vec![from_json(single)?],
        };
        crdt::key::encode(&elements).map(Key).map_err(|problem| KeyTextError::Key(problem.to_string()))
    }
}

/// What all keys begin with whose tuples begin with the elements of this JSON array.
pub fn prefix(text: &str) -> Result<Vec<u8>, KeyTextError> {
    let values: Vec<Value> = serde_json::from_str(text).map_err(|_| KeyTextError::NotJson)?;
    let elements = values.iter().map(from_json).collect::<Result<Vec<_>, _>>()?;
    crdt::key::prefix_of_tuple(&elements).map_err(|problem| KeyTextError::Key(problem.to_string()))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match to_json(&self.0) {
            Value::String(text) => f.write_str(&text),
            other => write!(f, "{other}"),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        to_json(&self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if !matches!(value, Value::Array(_) | Value::String(_)) {
            return Err(D::Error::custom(KeyTextError::NotJson));
        }
        Key::from_value(&value).map_err(D::Error::custom)
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyTextError {
    /// The whole is not what a key looks like.
    #[error("a tuple key is a JSON array such as [\"exchange.csv\",17]")]
    NotJson,
    /// One element is not what an element looks like.
    #[error("{0} is no element of a key: text, number, null, true, {{\"time\":…}} or {{\"bytes\":…}}")]
    Element(String),
    /// The elements are in order and the key is not.
    #[error("{0}")]
    Key(String),
}

/// The printed form of an encoded key; bytes that are no key at all stand as `{"base64"}`.
pub fn to_json(key: &[u8]) -> Value {
    match crdt::key::decode(key) {
        Ok(elements) => match elements.as_slice() {
            [Element::Text(text)] => Value::from(text.as_str()),
            elements => elements.iter().map(element_to_json).collect(),
        },
        Err(_) => json!({ "base64": BASE64.encode(key) }),
    }
}

fn element_to_json(element: &Element) -> Value {
    match element {
        Element::Null => Value::Null,
        Element::Bool(bool) => Value::from(*bool),
        Element::Int(int) => Value::from(*int),
        Element::BigInt { negative, magnitude } => {
            let sign = if *negative { "-" } else { "" };
            json!({ "int": format!("{sign}0x{}", data_encoding::HEXLOWER.encode(magnitude)) })
        }
        // A whole float keeps its point in JSON, so that it reads back as a float.
        Element::Float(float) => match Number::from_f64(*float) {
            Some(number) => Value::Number(number),
            None => json!({ "float": float.to_string() }),
        },
        Element::Time(micros) => match time::format(*micros) {
            Some(text) => json!({ "time": text }),
            None => json!({ "micros": micros.to_string() }),
        },
        Element::Text(text) => Value::from(text.as_str()),
        Element::Bytes(bytes) => json!({ "bytes": BASE64.encode(bytes) }),
    }
}

fn from_json(value: &Value) -> Result<Element, KeyTextError> {
    let wrong = || KeyTextError::Element(value.to_string());
    match value {
        Value::Null => Ok(Element::Null),
        Value::Bool(bool) => Ok(Element::Bool(*bool)),
        Value::String(text) => Ok(Element::Text(text.clone())),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(int), _, _) => Ok(Element::Int(int)),
            (_, Some(int), _) => {
                Ok(Element::BigInt { negative: false, magnitude: int.to_be_bytes().to_vec() })
            }
            (_, _, Some(float)) => Ok(Element::Float(float)),
            _ => Err(wrong()),
        },
        Value::Object(fields) if fields.len() == 1 => {
            let (name, value) = fields.iter().next().ok_or_else(wrong)?;
            named_element(name, value.as_str().ok_or_else(wrong)?).ok_or_else(wrong)
        }
        _ => Err(wrong()),
    }
}

fn named_element(name: &str, text: &str) -> Option<Element> {
    match name {
        "time" => time::parse(text).map(Element::Time),
        "micros" => text.parse().ok().map(Element::Time),
        // Which digit is wrong helps nobody; the whole element is named in the error.
        "bytes" => BASE64.decode(text.as_bytes()).ok().map(Element::Bytes),
        "float" => text.parse().ok().map(Element::Float),
        "int" => {
            let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
            let digits = digits.strip_prefix("0x")?;
            let magnitude = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?;
            Some(Element::BigInt { negative, magnitude })
        }
        _ => None,
    }
}

/// How the text of a column becomes an element, and so how it sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// A whole number.
    Int,
    /// A number in double precision.
    Float,
    /// A moment, in UTC unless it says otherwise.
    Time,
    /// As it stands.
    Text,
    /// As it stands, and sorted after every text.
    Bytes,
}

impl FromStr for KeyType {
    type Err = String;

    fn from_str(text: &str) -> Result<KeyType, String> {
        match text {
            "int" => Ok(KeyType::Int),
            "float" => Ok(KeyType::Float),
            "time" => Ok(KeyType::Time),
            "text" => Ok(KeyType::Text),
            "bytes" => Ok(KeyType::Bytes),
            _ => Err(format!("{text:?} is no type of a key; it is int, float, time, text or bytes")),
        }
    }
}

/// The element that a column's text stands for.
pub fn element(key_type: KeyType, text: &str) -> Result<Element, String> {
    match key_type {
        KeyType::Int => text.trim().parse().map(Element::Int).map_err(|_| format!("{text:?} is not an int")),
        KeyType::Float => match text.trim().parse::<f64>() {
            Ok(float) if !float.is_nan() => Ok(Element::Float(float)),
            _ => Err(format!("{text:?} is not a float")),
        },
        KeyType::Time => time::parse(text.trim())
            .map(Element::Time)
            .ok_or_else(|| format!("{text:?} is not a time such as 2015-02-26T21:42:53Z")),
        KeyType::Text => Ok(Element::Text(text.to_string())),
        KeyType::Bytes => Ok(Element::Bytes(text.as_bytes().to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_they_print() {
        for text in [
            r#""greeting""#,
            r#"["exchange.csv",17]"#,
            r#"[null,true,-5,1.5,"x",{"time":"2015-02-26T21:42:53Z"},{"bytes":"AP8="}]"#,
            r#"[{"float":"-inf"},2.0,{"int":"-0xffffffffffffffffff"},{"micros":"9223372036854775807"}]"#,
            r#"[9]"#,
        ] {
            let key = Key::parse_json(text).expect(text);
            assert_eq!(serde_json::to_string(&key).expect("prints"), text);
        }
        assert_eq!(Key::plain("a").to_string(), "a");
    }

    #[test]
    fn floats_read_back_to_the_last_bit() {
        let floats = [
            31.245270191439438,
            0.1 + 0.2,
            5e-324,
            f64::MAX,
            1e23,
            9007199254740993.0,
            -2.225073858507201e-308,
        ];
        for float in floats {
            let key = Key(crdt::key::encode(&[Element::Float(float)]).expect("a key"));
            let json = serde_json::to_string(&key).expect("prints");
            assert_eq!(Key::parse_json(&json), Ok(key), "{json} is another key");
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "[", "[]", "[[1]]", r#"[{"time":"yesterday"}]"#, r#"[{"a":1,"b":2}]"#] {
            assert!(Key::parse_json(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Key>("5").is_err());
    }

    #[test]
    fn a_prefix_begins_the_keys_of_its_tuples() {
        let key = Key::parse_json(r#"["a.csv",17]"#).expect("a key");
        assert!(key.0.starts_with(&prefix(r#"["a.csv"]"#).expect("a prefix")));
        assert!(!key.0.starts_with(&prefix(r#"["a"]"#).expect("a prefix")));
    }

    #[test]
    fn columns_follow_their_type() {
        assert_eq!(element(KeyType::Int, " 17 "), Ok(Element::Int(17)));
        assert_eq!(element(KeyType::Time, "1970-01-01 00:00:01"), Ok(Element::Time(1_000_000)));
        for (key_type, text) in [(KeyType::Int, "1.5"), (KeyType::Float, "NaN"), (KeyType::Time, "12:00")] {
            assert!(element(key_type, text).is_err(), "{text}");
        }
    }
}
