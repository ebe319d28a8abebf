//! A document put together from the writes that are alive, by looking at every field beside every other.

use std::collections::{BTreeMap, BTreeSet};

use crdt::key::{self, Element};
use crdt::view::{Deletes, Json, Manner};
use crdt::{Dot, Hlc};

use super::{Alive, Says};

/// Names of fields, from the outermost in.
type Path = Vec<String>;

/// What is alive of a document.
#[derive(Debug, Default)]
pub struct Document {
    is_marked: bool,
    fields: BTreeMap<Path, Field>,
}

/// A field that somebody wrote to.
#[derive(Debug)]
struct Field {
    rank: (Hlc, Dot),
    value: Json,
    /// How many values it has.
    values: usize,
}

/// What makes a document another one.
#[derive(Debug, Default)]
pub struct Change {
    /// Fields that go.
    pub gone: Vec<Path>,
    /// Fields that are written, the mark that it is there at the empty path among them.
    pub put: Vec<(Path, Vec<u8>)>,
}

impl Document {
    /// Adds what is alive at one of its keys, the highest first.
    pub(super) fn add(&mut self, names: &[Element], alive: Vec<Alive<'_>>) {
        let name = |element: &Element| match element {
            Element::Text(name) => Some(name.clone()),
            _ => None,
        };
        let Some(path) = names.iter().map(name).collect::<Option<Path>>() else { return };
        if path.is_empty() {
            self.is_marked = !alive.is_empty();
            return;
        }
        let value = |alive: Alive<'_>| match alive.says {
            Says::Value(bytes) => match Json::decode(bytes).ok()? {
                // Its fields have keys of their own.
                Json::Object(fields) if !fields.is_empty() => None,
                value => Some((alive.rank(), value)),
            },
            _ => None,
        };
        let mut values = alive.into_iter().filter_map(value).collect::<Vec<_>>();
        if !values.is_empty() {
            let count = values.len();
            let (rank, value) = values.swap_remove(0);
            self.fields.insert(path, Field { rank, value, values: count });
        }
    }

    /// What it reads as, and how many of its values are not shown, or not shown alone.
    pub fn read(&self, manner: &Manner) -> Option<(BTreeMap<String, Json>, usize)> {
        let is_there = self.is_marked || manner.deletes == Deletes::Revive && !self.fields.is_empty();
        if !is_there {
            return None;
        }
        let hidden = self.hidden();
        let mut root = BTreeMap::new();
        // The outermost first, so that an object is there before what lies in it.
        for (path, field) in self.fields.iter().filter(|(path, _)| !hidden.contains(*path)) {
            place(&mut root, path, &field.value);
        }
        let contested = self.fields.values().filter(|field| field.values > 1).count();
        Some((root, hidden.len() + contested))
    }

    /// Whether a field shows in it, and it is there for more than what was edited after it was deleted.
    pub fn shows(&self, path: &[String]) -> bool {
        self.is_marked && self.fields.contains_key(path) && !self.hidden().contains(path)
    }

    /// What makes it `wanted`.
    pub(super) fn change(&self, manner: &Manner, wanted: &BTreeMap<String, Json>) -> Change {
        let mut fields = BTreeMap::new();
        spread(&mut fields, &[], wanted);
        let hidden = self.hidden();
        let is_there = self.read(manner).is_some();
        let mut change = Change::default();
        change.gone.extend(self.fields.keys().filter(|path| !fields.contains_key(*path)).cloned());
        for (path, value) in fields {
            let is_so = is_there
                && !hidden.contains(&path)
                && self.fields.get(&path).is_some_and(|field| field.value == value);
            if !is_so {
                change.put.push((path, value.encode()));
            }
        }
        if !self.is_marked {
            change.put.push((Vec::new(), vec![0]));
        }
        change
    }

    /// Fields that do not show, since one above them or one in them was written later and cannot show with them.
    fn hidden(&self) -> BTreeSet<Path> {
        let is_inside = |inner: &Path, outer: &Path| inner.len() > outer.len() && inner.starts_with(outer);
        let mut hidden = BTreeSet::new();
        for (outer, field) in &self.fields {
            if matches!(field.value, Json::Object(_)) {
                continue;
            }
            let inside: Vec<&Path> = self.fields.keys().filter(|inner| is_inside(inner, outer)).collect();
            let latest = inside.iter().map(|inner| self.fields[*inner].rank).max();
            match latest {
                Some(latest) if latest > field.rank => drop(hidden.insert(outer.clone())),
                _ => hidden.extend(inside.into_iter().cloned()),
            }
        }
        hidden
    }
}

/// The key of a field.
pub fn key_of(document: &Element, path: &[String]) -> Vec<u8> {
    let names = path.iter().map(|name| Element::Text(name.clone()));
    let elements: Vec<Element> = std::iter::once(document.clone()).chain(names).collect();
    key::encode(&elements).expect("these names are short")
}

fn place(object: &mut BTreeMap<String, Json>, path: &[String], value: &Json) {
    let inner = object.entry(path[0].clone());
    if path.len() == 1 {
        inner.or_insert_with(|| value.clone());
    } else if let Json::Object(inner) = inner.or_insert_with(|| Json::Object(BTreeMap::new())) {
        place(inner, &path[1..], value);
    }
}

fn spread(fields: &mut BTreeMap<Path, Json>, above: &[String], object: &BTreeMap<String, Json>) {
    for (name, value) in object {
        let path = [above, std::slice::from_ref(name)].concat();
        match value {
            Json::Object(inner) if !inner.is_empty() => spread(fields, &path, inner),
            value => drop(fields.insert(path, value.clone())),
        }
    }
}
