//! Documents: each field is a key of its own, and a marker at the empty path says that the document is there.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::clock::Hlc;
use crate::error::KeyProblem;
use crate::id::Dot;
use crate::key::{self, Element};
use crate::view::json::Json;
use crate::view::lww::Live;
use crate::view::manner::{Deletes, Manner};
use planted::Bug;

/// The payload of a marker. Whatever else stands there says the same.
pub const MARKER: &[u8] = &[0];

/// Names of fields, from the outermost to the innermost; empty: the marker.
pub type Path = Vec<String>;

/// A live value of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The write.
    pub live: Live,
    /// What it wrote.
    pub json: Json,
}

/// What is alive of one document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// Live markers.
    pub marker: Vec<Live>,
    /// Live values by field, the highest first.
    pub fields: BTreeMap<Path, Vec<Value>>,
}

/// A document as it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it is: an object; none: there is no document.
    pub value: Option<Json>,
    /// Fields that are alive and not shown: of a deleted document, or below or above a later write.
    pub hidden: Vec<Path>,
    /// Fields with more than one live value.
    pub contested: Vec<Path>,
}

/// The key of a field.
pub fn key_of(document: &Element, path: &[String]) -> Result<Vec<u8>, KeyProblem> {
    let names = path.iter().map(|name| Element::Text(name.clone()));
    key::encode(&std::iter::once(document.clone()).chain(names).collect::<Vec<_>>())
}

/// The document and the field that a key stands for; none if no field has such a key.
pub fn split(key: &[u8]) -> Option<(Element, Path)> {
    let mut elements = key::decode(key).ok()?.into_iter();
    let document = elements.next()?;
    let name = |element| match element {
        Element::Text(name) => Some(name),
        _ => None,
    };
    Some((document, elements.map(name).collect::<Option<_>>()?))
}

impl Parts {
    /// Adds what is alive at a key of the document. `bytes` are those of each write, in the same order.
    ///
    /// What is no value of a field is passed over: an object with fields, too, which would be another spelling of them.
    pub fn add(&mut self, path: Path, live: Vec<Live>, bytes: &[Vec<u8>]) {
        if path.is_empty() {
            self.marker = live;
            return;
        }
        let value = |(live, bytes): (Live, &Vec<u8>)| match Json::decode(bytes) {
            Ok(Json::Object(fields)) if !fields.is_empty() => None,
            Ok(json) => Some(Value { live, json }),
            Err(_) => None,
        };
        let mut values: Vec<Value> = live.into_iter().zip(bytes).filter_map(value).collect();
        values.sort_by_key(|value| Reverse((value.live.hlc, value.live.dot)));
        if !values.is_empty() {
            self.fields.insert(path, values);
        }
    }

    /// Puts the document together.
    pub fn read(&self, manner: &Manner) -> Document {
        let is_there = match manner.deletes {
            Deletes::Hide if !planted::is(Bug::EditsRevive) => !self.marker.is_empty(),
            _ => !self.marker.is_empty() || !self.fields.is_empty(),
        };
        if !is_there {
            let hidden = self.fields.keys().cloned().collect();
            return Document { value: None, hidden, contested: Vec::new() };
        }
        let mut root = BTreeMap::new();
        let mut hidden = Vec::new();
        for (path, values) in &self.fields {
            if self.cover(path).is_some() && !planted::is(Bug::FieldsUnranked) {
                hidden.push(path.clone());
            } else {
                set(&mut root, path, values[0].json.clone());
            }
        }
        let contested = self.fields.iter().filter(|(_, values)| values.len() > 1);
        let contested = contested.map(|(path, _)| path.clone()).collect();
        Document { value: Some(Json::Object(root)), hidden, contested }
    }

    /// The later write above a field or inside it that shows instead, and where it stands: somebody made a value of what
    /// another took for an object.
    pub fn cover(&self, path: &[String]) -> Option<(&Path, &Value)> {
        let values = self.fields.get(path)?;
        // An empty object is no rival of what lies in it.
        let is_rival = |values: &[Value]| !matches!(values[0].json, Json::Object(_));
        let above = (1..path.len()).filter_map(|len| self.fields.get_key_value(&path[..len]));
        // All that lies inside stands or falls together.
        let beats = |(at, above): &(&Path, &Vec<Value>)| {
            is_rival(above) && self.latest_inside(at).is_some_and(|(_, inside)| rank_of(inside) < rank(above))
        };
        let above = above.filter(beats).map(|(at, above)| (at, &above[0])).next();
        let inside = || {
            let latest = self.latest_inside(path).filter(|_| is_rival(values))?;
            Some(latest).filter(|(_, inside)| rank_of(inside) > rank(values))
        };
        above.or_else(inside)
    }

    /// The latest value inside a field.
    fn latest_inside(&self, path: &[String]) -> Option<(&Path, &Value)> {
        let inside = self.fields.range(path.to_vec()..).take_while(|(other, _)| other.starts_with(path));
        let inside = inside.filter(|(other, _)| other.len() > path.len());
        inside.map(|(at, values)| (at, &values[0])).max_by_key(|(_, value)| rank_of(value))
    }
}

/// The fields of an object, each with what it is: empty objects and lists are values, too.
pub fn flatten(object: &BTreeMap<String, Json>) -> BTreeMap<Path, Json> {
    let mut fields = BTreeMap::new();
    flatten_into(&mut fields, &mut Vec::new(), object);
    fields
}

fn flatten_into(fields: &mut BTreeMap<Path, Json>, path: &mut Path, object: &BTreeMap<String, Json>) {
    for (name, value) in object {
        path.push(name.clone());
        match value {
            Json::Object(inner) if !inner.is_empty() => flatten_into(fields, path, inner),
            value => drop(fields.insert(path.clone(), value.clone())),
        }
        path.pop();
    }
}

fn rank(values: &[Value]) -> (Hlc, Dot) {
    rank_of(&values[0])
}

fn rank_of(value: &Value) -> (Hlc, Dot) {
    (value.live.hlc, value.live.dot)
}

/// Puts a value at a path; what lies in an empty object may come before or after it.
fn set(object: &mut BTreeMap<String, Json>, path: &[String], value: Json) {
    let (name, rest) = path.split_first().expect("the marker is no field");
    let place = object.entry(name.clone());
    if rest.is_empty() {
        place.or_insert(value);
    } else if let Json::Object(inner) = place.or_insert_with(|| Json::Object(BTreeMap::new())) {
        set(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Payload;
    use crate::id::WriterId;
    use crate::rule::Policy;
    use crate::view::manner::Siblings;

    const HIDE: Manner = Manner { policy: Policy::Map, siblings: Siblings::Replace, deletes: Deletes::Hide };
    const REVIVE: Manner = Manner { deletes: Deletes::Revive, ..HIDE };

    fn live(writer: u8, hlc: u64) -> Live {
        Live {
            dot: Dot::new(WriterId([writer; 24]), hlc),
            hlc: Hlc(hlc),
            payload: Payload::Inline(Vec::new()),
        }
    }

    fn path(names: &str) -> Path {
        names.split('.').map(str::to_owned).collect()
    }

    /// A document with its marker and these fields, each with when it was written.
    fn parts(fields: &[(&str, u64, Json)]) -> Parts {
        let mut parts = Parts { marker: vec![live(1, 1)], ..Parts::default() };
        for (names, hlc, json) in fields {
            parts.add(path(names), vec![live(1, *hlc)], &[json.encode()]);
        }
        parts
    }

    fn object(fields: &[(&str, Json)]) -> Json {
        Json::Object(fields.iter().map(|(name, json)| ((*name).to_owned(), json.clone())).collect())
    }

    #[test]
    fn fields_and_nested_fields_make_an_object() {
        let read =
            parts(&[("a.b", 2, Json::Int(1)), ("a.c", 3, Json::Null), ("a", 9, object(&[]))]).read(&HIDE);
        let inner = object(&[("b", Json::Int(1)), ("c", Json::Null)]);
        assert_eq!(read.value, Some(object(&[("a", inner.clone())])));
        assert_eq!(read.hidden, Vec::<Path>::new());
        let Json::Object(fields) = object(&[("a", inner), ("d", object(&[]))]) else { unreachable!() };
        let names: Vec<String> = flatten(&fields).keys().map(|path| path.join(".")).collect();
        assert_eq!(names, ["a.b", "a.c", "d"]);
    }

    #[test]
    fn document_without_a_marker_is_hidden_or_revived() {
        let mut orphan = parts(&[("title", 5, Json::Int(1))]);
        orphan.marker.clear();
        let hidden = orphan.read(&HIDE);
        assert_eq!((hidden.value, hidden.hidden), (None, vec![path("title")]));
        assert_eq!(orphan.read(&REVIVE).value, Some(object(&[("title", Json::Int(1))])));
        assert_eq!(Parts::default().read(&REVIVE).value, None);
    }

    #[test]
    fn value_and_object_at_one_field_show_the_later_of_the_two() {
        let object_wins = [("a", 4, Json::Int(7)), ("a.b", 5, Json::Int(1)), ("a.c", 2, Json::Int(2))];
        let read = parts(&object_wins).read(&HIDE);
        let inner = object(&[("b", Json::Int(1)), ("c", Json::Int(2))]);
        assert_eq!((read.value, read.hidden), (Some(object(&[("a", inner)])), vec![path("a")]));
        let value_wins = [("a", 6, Json::Int(7)), ("a.b", 5, Json::Int(1)), ("a.b.c", 3, Json::Int(2))];
        let read = parts(&value_wins).read(&HIDE);
        assert_eq!(read.value, Some(object(&[("a", Json::Int(7))])));
        assert_eq!(read.hidden, [path("a.b"), path("a.b.c")]);
    }

    #[test]
    fn other_payloads_are_passed_over_and_siblings_are_listed() {
        let mut parts = parts(&[]);
        let bytes = [
            Json::Int(1).encode(),
            b"junk".to_vec(),
            object(&[("x", Json::Null)]).encode(),
            Json::Int(4).encode(),
        ];
        parts.add(path("a"), vec![live(1, 5), live(2, 9), live(3, 8), live(4, 7)], &bytes);
        parts.add(path("b"), vec![live(2, 9)], &bytes[1..2]);
        let read = parts.read(&HIDE);
        assert_eq!(read.value, Some(object(&[("a", Json::Int(4))])));
        assert_eq!(read.contested, [path("a")]);
    }

    #[test]
    fn key_says_which_field_of_which_document() {
        let document = Element::Int(7);
        let key = key_of(&document, &path("a.b")).expect("short");
        assert_eq!(split(&key), Some((document.clone(), path("a.b"))));
        assert_eq!(split(&key_of(&document, &[]).expect("short")), Some((document, Vec::new())));
        assert_eq!(split(&key::encode(&[Element::Null, Element::Int(1)]).expect("short")), None);
    }
}
