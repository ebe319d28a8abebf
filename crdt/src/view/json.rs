//! Values of fields: what JSON can say, in one spelling.

use std::collections::BTreeMap;

use crate::codec::{Decoder, Encoder, Kind};
use crate::error::{Error, Problem};

/// How deep values may be nested, and so how deep reading one recurses.
pub const DEPTH_MAX: usize = 64;

const NULL: u64 = 0;
const FALSE: u64 = 1;
const TRUE: u64 = 2;

/// An integer from zero up is an item of two; one below zero too, as the distance from -1.
const POSITIVE: u64 = 0;
const NEGATIVE: u64 = 1;
const FLOAT: u64 = 2;
const TEXT: u64 = 3;
const ARRAY: u64 = 4;
const OBJECT: u64 = 5;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// Nothing, said aloud.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number, of what 64 bits hold with a sign or without.
    Int(i128),
    /// A number with a fraction; never NaN, never infinite.
    Float(f64),
    /// Text.
    Text(String),
    /// A list, which is written and replaced as a whole.
    Array(Vec<Json>),
    /// Fields by name.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Its bytes. Equal values have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new();
        self.encode_to(&mut out);
        out.finish()
    }

    /// Reads what [`Json::encode`] wrote, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Json, Error> {
        let mut from = Decoder::new(bytes);
        let value = read(&mut from, DEPTH_MAX)?;
        from.finish()?;
        Ok(value)
    }

    fn encode_to(&self, out: &mut Encoder) {
        match self {
            Json::Null => out.uint(NULL),
            Json::Bool(false) => out.uint(FALSE),
            Json::Bool(true) => out.uint(TRUE),
            Json::Int(int) => {
                let (sign, distance) = if *int < 0 { (NEGATIVE, -1 - int) } else { (POSITIVE, *int) };
                // What lies beyond 64 bits has no spelling; whoever makes one saturates.
                out.array(2).uint(sign).uint(u64::try_from(distance).unwrap_or(u64::MAX))
            }
            Json::Float(float) => out.array(2).uint(FLOAT).bytes(&float.to_bits().to_be_bytes()),
            Json::Text(text) => out.array(2).uint(TEXT).bytes(text.as_bytes()),
            Json::Array(items) => {
                out.array(2).uint(ARRAY).array(items.len());
                items.iter().for_each(|item| item.encode_to(out));
                out
            }
            Json::Object(fields) => {
                out.array(2).uint(OBJECT).array(2 * fields.len());
                for (name, value) in fields {
                    out.bytes(name.as_bytes());
                    value.encode_to(out);
                }
                out
            }
        };
    }
}

fn read(from: &mut Decoder<'_>, depth: usize) -> Result<Json, Error> {
    let at = from.position();
    let out_of_range = || Error::encoding(at, Problem::Range);
    if from.peek()? == Kind::Uint {
        return match from.uint()? {
            NULL => Ok(Json::Null),
            FALSE => Ok(Json::Bool(false)),
            TRUE => Ok(Json::Bool(true)),
            _ => Err(out_of_range()),
        };
    }
    let depth = depth.checked_sub(1).ok_or_else(out_of_range)?;
    from.array_of(2)?;
    match from.uint()? {
        POSITIVE => Ok(Json::Int(from.uint()?.into())),
        NEGATIVE => match i64::try_from(-1 - i128::from(from.uint()?)) {
            Ok(int) => Ok(Json::Int(int.into())),
            Err(_) => Err(out_of_range()),
        },
        FLOAT => Some(f64::from_bits(u64::from_be_bytes(from.fixed()?)))
            .filter(|float| float.is_finite())
            .map(Json::Float)
            .ok_or_else(out_of_range),
        TEXT => Ok(Json::Text(from.text()?.to_owned())),
        ARRAY => {
            // Items are pushed as they are read: a claimed count allocates nothing.
            let count = from.array()?;
            let mut items = Vec::new();
            for _ in 0..count {
                items.push(read(from, depth)?);
            }
            Ok(Json::Array(items))
        }
        OBJECT => read_object(from, depth).map(Json::Object),
        _ => Err(out_of_range()),
    }
}

fn read_object(from: &mut Decoder<'_>, depth: usize) -> Result<BTreeMap<String, Json>, Error> {
    let start = from.position();
    let count = from.array()?;
    if count % 2 != 0 {
        return Err(Error::encoding(start, Problem::Length));
    }
    let mut fields: BTreeMap<String, Json> = BTreeMap::new();
    for _ in 0..count / 2 {
        let at = from.position();
        let name = from.text()?;
        if fields.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
            return Err(Error::encoding(at, Problem::Order));
        }
        let name = name.to_owned();
        fields.insert(name, read(from, depth)?);
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::Bool),
            any::<i64>().prop_map(|int| Json::Int(int.into())),
            any::<u64>().prop_map(|int| Json::Int(int.into())),
            any::<f64>().prop_filter("finite", |float| float.is_finite()).prop_map(Json::Float),
            ".{0,6}".prop_map(Json::Text),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
                prop::collection::btree_map(".{0,3}", inner, 0..4).prop_map(Json::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn value_comes_back_as_it_went(value in any_json()) {
            prop_assert_eq!(Json::decode(&value.encode()), Ok(value));
        }

        #[test]
        fn bytes_are_one_value_in_its_one_spelling_or_refused(bytes in prop::collection::vec(0u8..0x90, 0..12)) {
            if let Ok(value) = Json::decode(&bytes) {
                prop_assert_eq!(value.encode(), bytes);
            }
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let nan = [&[0x82, 2, 0x48][..], &f64::NAN.to_bits().to_be_bytes()].concat();
        let twice = [0x82, 5, 0x84, 0x41, b'a', 0, 0x41, b'a', 0];
        let below = [&[0x82, 1, 0x1b][..], &[0xff; 8]].concat();
        for bytes in [&nan[..], &twice, &below, &[3], &[0x82, 6, 0], &[0x82, 5, 0x81, 0x40]] {
            assert!(Json::decode(bytes).is_err(), "{bytes:?}");
        }
        let deep = [[0x82, 4, 0x81].repeat(DEPTH_MAX + 1), vec![0]].concat();
        assert!(Json::decode(&deep).is_err());
        assert!(Json::decode(&deep[3..]).is_ok());
    }
}
