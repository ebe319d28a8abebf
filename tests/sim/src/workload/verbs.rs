//! What applications ask of collections with a policy of their own: few keys, many hands.

use std::collections::{BTreeMap, BTreeSet};

use crdt::key::{self, Element};
use crdt::view::mv::Context;
use crdt::view::{Json, Manner};
use crdt::{CollId, Policy};
use disk::{MemoryDisk, Random};
use replica::{CommitError, Reading, Rename, Transaction};

use crate::deeds::{Ask, Verb};
use crate::promise::policies::copy_names;
use crate::space::Kept;

/// A transaction that asks a collection for one thing.
pub(super) struct Asking<'a> {
    pub(super) transaction: &'a mut Transaction<MemoryDisk>,
    pub(super) kept: &'a Kept,
    /// Whether all fight over very few keys.
    pub(super) is_hot: bool,
    pub(super) random: &'a mut Random,
    /// What the transaction wrote to already: it asks for one thing at a key, but for counters.
    pub(super) touched: &'a mut BTreeSet<(CollId, u64)>,
}

impl Asking<'_> {
    /// Asks; none: the transaction has been there.
    pub(super) fn ask(&mut self) -> Result<Option<Ask>, CommitError> {
        let coll = self.kept.id;
        let Some(read) = self.transaction.manner(coll)? else { return Ok(None) };
        let number = self.random.below(if self.is_hot { 2 } else { 5 });
        let is_counter = matches!(self.kept.made.policy, Policy::GCounter | Policy::PnCounter);
        if !self.touched.insert((coll, number)) && !is_counter {
            return Ok(None);
        }
        let verb = match self.kept.made.policy {
            Policy::Map => self.document(number)?,
            Policy::OrSet | Policy::GSet | Policy::TwoPhaseSet => self.set(number)?,
            Policy::GCounter | Policy::PnCounter => self.count(number)?,
            _ => self.register(number, read)?,
        };
        Ok(verb.map(|verb| Ask { coll, verb, read, manner: read }))
    }

    fn register(&mut self, number: u64, manner: Manner) -> Result<Option<Verb>, CommitError> {
        let (coll, key) = (self.kept.id, plain(number));
        let value = self.random.next().to_le_bytes().to_vec();
        Ok(Some(match self.random.below(10) {
            0 | 1 => {
                self.transaction.delete(coll, &key)?;
                Verb::Delete(key)
            }
            2 | 3 if manner.policy == Policy::Copies => return self.discard_copy(key),
            4 => {
                let seen = Context::of(&self.transaction.snapshot().live(coll, &key)?);
                self.transaction.put_seen(coll, &key, &value, seen)?;
                Verb::PutSeen(key, value)
            }
            5 => return self.rename(key, number),
            _ => {
                self.transaction.put(coll, &key, &value)?;
                Verb::Put(key, value)
            }
        }))
    }

    fn discard_copy(&mut self, key: Vec<u8>) -> Result<Option<Verb>, CommitError> {
        let coll = self.kept.id;
        let Some(Reading { losers, .. }) = self.transaction.snapshot().read(coll, &key)? else {
            return Ok(None);
        };
        let named: Vec<_> = losers.iter().map(|loser| (loser.dot, loser.hlc)).collect();
        let names = copy_names(&key, &named);
        if names.is_empty() {
            return Ok(None);
        }
        let (name, _) = &names[self.random.below(names.len() as u64) as usize];
        self.transaction.delete(coll, name)?;
        let dots = names.iter().filter(|(other, _)| other == name).map(|(_, dot)| *dot).collect();
        Ok(Some(Verb::Discard(key, dots)))
    }

    fn rename(&mut self, old: Vec<u8>, number: u64) -> Result<Option<Verb>, CommitError> {
        let (coll, to) = (self.kept.id, number + 1);
        if !self.touched.insert((coll, to)) {
            return Ok(None);
        }
        let Some(value) = self.transaction.get(coll, &old)? else { return Ok(None) };
        let how = Rename { force: self.random.coin(), resolve: self.random.coin() };
        self.transaction.rename(coll, &old, &plain(to), how)?;
        Ok(Some(Verb::Rename(old, plain(to), value)))
    }

    fn document(&mut self, number: u64) -> Result<Option<Verb>, CommitError> {
        let coll = self.kept.id;
        let name = Element::Text(format!("document-{number}"));
        let key = key::encode(std::slice::from_ref(&name)).expect("a short name");
        match self.random.below(8) {
            0 => {
                self.transaction.delete(coll, &key)?;
                Ok(Some(Verb::Clear(vec![name])))
            }
            1 => {
                let tuple = vec![name, Element::Text("a".to_owned())];
                self.transaction.delete(coll, &key::encode(&tuple).expect("short names"))?;
                Ok(Some(Verb::Clear(tuple)))
            }
            _ => {
                // Half of the time somebody edits what is there.
                let edited = if self.random.coin() { self.transaction.document(coll, &key)? } else { None };
                let mut value = edited.unwrap_or_default();
                self.edit(&mut value);
                self.transaction.put_document(coll, &key, &value)?;
                Ok(Some(Verb::Document(name, value)))
            }
        }
    }

    /// Changes some fields: numbers, and one that is now a value and now an object.
    fn edit(&mut self, value: &mut BTreeMap<String, Json>) {
        let number = Json::Int(self.random.below(4).into());
        let inner = |fields: &[(&str, &Json)]| {
            Json::Object(fields.iter().map(|(name, json)| ((*name).to_owned(), (*json).clone())).collect())
        };
        let (name, field) = match self.random.below(8) {
            0 => ("a", number),
            1 => ("a", inner(&[])),
            2 => ("a", Json::Array(vec![number])),
            3 => ("a", inner(&[("b", &number)])),
            4 => ("a", inner(&[("b", &number), ("c", &Json::Null)])),
            5 => ("a", inner(&[("b", &inner(&[("d", &number)]))])),
            6 => {
                value.remove("e");
                return;
            }
            _ => ("e", number),
        };
        value.insert(name.to_owned(), field);
    }

    fn set(&mut self, number: u64) -> Result<Option<Verb>, CommitError> {
        let (coll, policy) = (self.kept.id, self.kept.made.policy);
        let of = Element::Text("set".to_owned());
        let element = [Element::Int(number as i64)];
        let key = key::encode(&[of.clone(), element[0].clone()]).expect("a short name");
        let turn = self.random.below(10);
        Ok(Some(match policy {
            Policy::OrSet if turn == 0 && self.touched.insert((coll, u64::MAX)) => {
                if self.touched.iter().filter(|(touched, _)| *touched == coll).count() > 2 {
                    return Ok(None);
                }
                let all = key::encode(std::slice::from_ref(&of)).expect("a short name");
                self.transaction.delete(coll, &all)?;
                self.touched.extend((0..8).map(|number| (coll, number)));
                Verb::Clear(vec![of])
            }
            Policy::OrSet if turn < 6 => self.add(&of, &element, key)?,
            Policy::TwoPhaseSet if turn < 7 => self.add(&of, &element, key)?,
            Policy::GSet => self.add(&of, &element, key)?,
            _ => {
                self.transaction.remove(coll, &of, &element)?;
                Verb::Remove(key)
            }
        }))
    }

    fn add(&mut self, of: &Element, element: &[Element], key: Vec<u8>) -> Result<Verb, CommitError> {
        self.transaction.add(self.kept.id, of, element)?;
        Ok(Verb::Add(key))
    }

    fn count(&mut self, number: u64) -> Result<Option<Verb>, CommitError> {
        let key = plain(number);
        let falls = self.kept.made.policy == Policy::PnCounter;
        let plus = 1 + self.random.below(9);
        let minus = if falls { self.random.below(12) } else { 0 };
        self.transaction.count(self.kept.id, &key, plus, minus)?;
        Ok(Some(Verb::Count(key, i128::from(plus) - i128::from(minus))))
    }
}

fn plain(number: u64) -> Vec<u8> {
    key::plain(format!("key-{number}").as_bytes())
}
