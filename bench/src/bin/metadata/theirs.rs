//! Documents of automerge, yrs and loro: one map from the keys to whatever type of theirs holds the same.
//!
//! None of them has a set: what a user would take is a map from the elements to true.

use anyhow::Result;
use automerge::transaction::Transactable;
use automerge::{ObjType, ReadDoc, ScalarValue};
use crdt::Policy;
use yrs::{Map, ReadTxn, Transact};

use super::{FIELD, Shape, Store, step, text, value};

/// Those that have a type for the policy.
pub(super) fn all(policy: Policy, shape: Shape) -> Vec<Box<dyn Store>> {
    let doc = yrs::Doc::new();
    let map = doc.get_or_insert_map("kv");
    let automerge = Box::new(Automerge(automerge::AutoCommit::new(), shape));
    let yrs = Box::new(Yrs(doc, map, shape));
    let loro = |is_shallow| Box::new(Loro(loro::LoroDoc::new(), is_shallow, shape));
    match policy {
        // A key of automerge's has all of its concurrent values; one of theirs has the winner.
        Policy::Mv => vec![automerge],
        // Nobody gives losers names of their own.
        Policy::Copies => Vec::new(),
        Policy::GCounter | Policy::PnCounter => vec![automerge, loro(false), loro(true)],
        _ => vec![automerge, yrs, loro(false), loro(true)],
    }
}

struct Automerge(automerge::AutoCommit, Shape);

impl Automerge {
    fn is_there(&self, key: &str) -> Result<bool> {
        Ok(self.0.get(automerge::ROOT, key)?.is_some())
    }
}

impl Store for Automerge {
    fn name(&self) -> &'static str {
        "automerge"
    }

    fn update(&mut self, keys: &[String], update: usize) -> Result<()> {
        for key in keys {
            match self.1 {
                Shape::Value => self.0.put(automerge::ROOT, key, value(key, update))?,
                Shape::Document => {
                    let document = match self.0.get(automerge::ROOT, key.as_str())? {
                        Some((_, document)) => document,
                        None => self.0.put_object(automerge::ROOT, key, ObjType::Map)?,
                    };
                    self.0.put(&document, FIELD, text(key, update))?;
                }
                Shape::Element { says_again } if says_again || !self.is_there(key)? => {
                    self.0.put(automerge::ROOT, key, true)?;
                }
                Shape::Element { .. } => {}
                Shape::Count { falls } => {
                    if !self.is_there(key)? {
                        self.0.put(automerge::ROOT, key, ScalarValue::counter(0))?;
                    }
                    self.0.increment(automerge::ROOT, key.as_str(), step(falls, key, update))?;
                }
            }
        }
        self.0.commit();
        Ok(())
    }

    fn delete(&mut self, keys: &[String]) -> Result<()> {
        for key in keys {
            self.0.delete(automerge::ROOT, key.as_str())?;
        }
        self.0.commit();
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        Ok(self.0.save().len() as u64)
    }
}

struct Yrs(yrs::Doc, yrs::MapRef, Shape);

impl Store for Yrs {
    fn name(&self) -> &'static str {
        "yrs"
    }

    fn update(&mut self, keys: &[String], update: usize) -> Result<()> {
        let mut transaction = self.0.transact_mut();
        for key in keys {
            let key = key.as_str();
            match self.2 {
                Shape::Value => {
                    let bytes = yrs::Any::Buffer(value(key, update).into());
                    self.1.insert(&mut transaction, key, bytes);
                }
                Shape::Document => {
                    let document: yrs::MapRef = self.1.get_or_init(&mut transaction, key);
                    document.insert(&mut transaction, FIELD, text(key, update));
                }
                Shape::Element { says_again } => {
                    if says_again || self.1.get(&transaction, key).is_none() {
                        self.1.insert(&mut transaction, key, true);
                    }
                }
                Shape::Count { .. } => anyhow::bail!("it has no counters"),
            }
        }
        Ok(())
    }

    fn delete(&mut self, keys: &[String]) -> Result<()> {
        let mut transaction = self.0.transact_mut();
        for key in keys {
            self.1.remove(&mut transaction, key);
        }
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        let state = self.0.transact().encode_state_as_update_v2(&yrs::StateVector::default());
        Ok(state.len() as u64)
    }
}

/// With all of its history, or without what came before now.
struct Loro(loro::LoroDoc, bool, Shape);

impl Store for Loro {
    fn name(&self) -> &'static str {
        if self.1 { "loro, shallow" } else { "loro" }
    }

    fn update(&mut self, keys: &[String], update: usize) -> Result<()> {
        let map = self.0.get_map("kv");
        for key in keys {
            match self.2 {
                Shape::Value => map.insert(key, value(key, update))?,
                Shape::Document => {
                    let document = map.ensure_mergeable_map(key)?;
                    document.insert(FIELD, text(key, update))?;
                }
                Shape::Element { says_again } => {
                    if says_again || map.get(key).is_none() {
                        map.insert(key, true)?;
                    }
                }
                Shape::Count { falls } => {
                    let step = step(falls, key, update) as f64;
                    map.ensure_mergeable_counter(key)?.increment(step)?;
                }
            }
        }
        self.0.commit();
        Ok(())
    }

    fn delete(&mut self, keys: &[String]) -> Result<()> {
        let map = self.0.get_map("kv");
        keys.iter().try_for_each(|key| map.delete(key))?;
        self.0.commit();
        Ok(())
    }

    fn len(&mut self) -> Result<u64> {
        let now = self.0.oplog_frontiers();
        let mode = match self.1 {
            true => loro::ExportMode::shallow_snapshot(&now),
            false => loro::ExportMode::Snapshot,
        };
        Ok(self.0.export(mode)?.len() as u64)
    }
}
