//! A folder of our own, with a collection of one policy in it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use crdt::{Element, Policy};
use strandline::verbs::Verb;

use super::{FIELD, Shape, Store, shape, step, text, value};

/// How long a home may take to make a Handle of what was written, and how often that is looked at.
const HANDLE_MS: u64 = 5_000;
const LOOK_MS: u64 = 250;

/// The name of the set that all elements are in.
const SET: &str = "s";

pub(super) struct Strandline {
    policy: Policy,
    folder: PathBuf,
    /// Open from the first write to the next measurement: one run, and so one writer.
    replica: Option<strandline::Replica>,
}

impl Strandline {
    pub(super) fn new(policy: Policy) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("strandline-metadata-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { policy, folder, replica: None })
    }

    /// One transaction that carries out a verb at each of these keys.
    fn within(&mut self, keys: &[String], verb: impl Fn(&str) -> (String, Verb)) -> Result<()> {
        let replica = match self.replica.take() {
            Some(replica) => replica,
            None => strandline::Replica::open(&self.folder)?,
        };
        let space = replica.space("bench")?;
        let collection = space.collection_of("kv", self.policy)?;
        let mut transaction = space.begin()?;
        for key in keys {
            let (at, verb) = verb(key);
            transaction.carry_out(&collection, &at, &verb)?;
        }
        transaction.commit()?;
        self.replica = Some(replica);
        Ok(())
    }
}

fn element(key: &str) -> Vec<Element> {
    vec![Element::Text(key.to_owned())]
}

impl Store for Strandline {
    fn name(&self) -> &'static str {
        "strandline"
    }

    fn update(&mut self, keys: &[String], update: usize) -> Result<()> {
        let shape = shape(self.policy);
        self.within(keys, |key| match shape {
            Shape::Value => (key.to_owned(), Verb::Put(value(key, update))),
            Shape::Document => {
                let document = format!("{{\"{FIELD}\":\"{}\"}}", text(key, update));
                (key.to_owned(), Verb::Put(document.into_bytes()))
            }
            Shape::Element { .. } => (SET.to_owned(), Verb::Add(element(key))),
            Shape::Count { falls } => (key.to_owned(), Verb::Increment(step(falls, key, update))),
        })
    }

    fn delete(&mut self, keys: &[String]) -> Result<()> {
        let shape = shape(self.policy);
        self.within(keys, |key| match shape {
            Shape::Element { .. } => (SET.to_owned(), Verb::Remove(element(key))),
            _ => (key.to_owned(), Verb::Delete),
        })
    }

    fn len(&mut self) -> Result<u64> {
        // Closing folds what is left of the log. Soon the home makes its next Handle, and then base and local are one.
        drop(self.replica.take());
        let replica = strandline::Replica::open(&self.folder).context("it was open a moment ago")?;
        let space = replica.space("bench")?;
        let mut least = u64::MAX;
        for _ in 0..HANDLE_MS / LOOK_MS {
            drop(space.begin()?);
            std::thread::sleep(std::time::Duration::from_millis(LOOK_MS));
            let report = space.verify()?;
            anyhow::ensure!(report.problems.is_empty(), "{:?}", report.problems);
            least = least.min(report.bytes);
        }
        Ok(least)
    }
}

impl Drop for Strandline {
    fn drop(&mut self) {
        drop(self.replica.take());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
