//! Bytes beside the data itself that a live key costs, here and in automerge, yrs and loro holding the same data.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml --bin metadata -- [KEYS]`: every key is written in each of 100
//! transactions, then half of the keys are deleted in one. What counts is the state that a replica has to keep: here the
//! nodes of both trees once all is folded and the log is done with, there the document as the library saves it (loro's
//! snapshot without its history, too). The names and values of the live keys are taken off.

use std::path::PathBuf;

use anyhow::{Context, Result};
use automerge::transaction::Transactable;
use yrs::{Map, ReadTxn, Transact};

const UPDATES: usize = 100;
const VALUE_LEN: usize = 16;

/// How long a home may take to make a Handle of what was written, and how often that is looked at.
const HANDLE_MS: u64 = 5_000;
const LOOK_MS: u64 = 250;

/// A map of names to bytes.
trait Store {
    fn name(&self) -> &'static str;
    /// Sets all these keys in one transaction.
    fn put(&mut self, keys: &[String], update: usize) -> Result<()>;
    /// Takes all these keys away in one transaction.
    fn delete(&mut self, keys: &[String]) -> Result<()>;
    /// Bytes of all it has to keep.
    fn len(&mut self) -> Result<u64>;
}

/// Other bytes for each key and update, as little to squeeze out of as real data of that length: none.
fn value(key: &str, update: usize) -> Vec<u8> {
    blake3::derive_key("metadata bench", format!("{key} {update}").as_bytes())[..VALUE_LEN].to_vec()
}

struct Strandline {
    folder: PathBuf,
    /// Open from the first write to the next measurement: one run, and so one writer.
    replica: Option<strandline::Replica>,
}

impl Strandline {
    fn new() -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("strandline-metadata-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, replica: None })
    }

    fn within(
        &mut self,
        write: impl Fn(&mut strandline::Transaction, &strandline::Collection) -> Result<(), strandline::Error>,
    ) -> Result<()> {
        let replica = match self.replica.take() {
            Some(replica) => replica,
            None => strandline::Replica::open(&self.folder)?,
        };
        let space = replica.space("bench")?;
        let mut transaction = space.begin()?;
        write(&mut transaction, &space.collection("kv")?)?;
        transaction.commit()?;
        self.replica = Some(replica);
        Ok(())
    }
}

impl Store for Strandline {
    fn name(&self) -> &'static str {
        "strandline"
    }

    fn put(&mut self, keys: &[String], update: usize) -> Result<()> {
        self.within(|transaction, kv| {
            keys.iter().try_for_each(|key| transaction.put(kv, key, value(key, update)))
        })
    }

    fn delete(&mut self, keys: &[String]) -> Result<()> {
        self.within(|transaction, kv| keys.iter().try_for_each(|key| transaction.delete(kv, key)))
    }

    fn len(&mut self) -> Result<u64> {
        // Closing folds what is left of the log. Soon the home makes its next Handle, and then base and local are one.
        drop(self.replica.take());
        let replica = strandline::Replica::open(&self.folder)?;
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

struct Automerge(automerge::AutoCommit);

impl Store for Automerge {
    fn name(&self) -> &'static str {
        "automerge"
    }

    fn put(&mut self, keys: &[String], update: usize) -> Result<()> {
        for key in keys {
            self.0.put(automerge::ROOT, key, value(key, update))?;
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

struct Yrs(yrs::Doc, yrs::MapRef);

impl Store for Yrs {
    fn name(&self) -> &'static str {
        "yrs"
    }

    fn put(&mut self, keys: &[String], update: usize) -> Result<()> {
        let mut transaction = self.0.transact_mut();
        for key in keys {
            self.1.insert(&mut transaction, key.as_str(), yrs::Any::Buffer(value(key, update).into()));
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
struct Loro(loro::LoroDoc, bool);

impl Store for Loro {
    fn name(&self) -> &'static str {
        if self.1 { "loro, shallow" } else { "loro" }
    }

    fn put(&mut self, keys: &[String], update: usize) -> Result<()> {
        let map = self.0.get_map("kv");
        for key in keys {
            map.insert(key, value(key, update))?;
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

/// Bytes a live key beside its name and its value.
fn beside(total: u64, live: &[String]) -> f64 {
    let data: usize = live.iter().map(|key| key.len() + VALUE_LEN).sum();
    (total as f64 - data as f64) / live.len() as f64
}

fn main() -> Result<()> {
    let count: usize = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse()).context("KEYS")?;
    let keys: Vec<String> = (0..count).map(|n| format!("key-{n:06}")).collect();
    let (deleted, kept): (Vec<_>, Vec<_>) = keys.iter().cloned().enumerate().partition(|(n, _)| n % 2 == 0);
    let names = |keys: Vec<(usize, String)>| keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    let (deleted, kept) = (names(deleted), names(kept));
    let doc = yrs::Doc::new();
    let map = doc.get_or_insert_map("kv");
    let stores: Vec<Box<dyn Store>> = vec![
        Box::new(Strandline::new()?),
        Box::new(Automerge(automerge::AutoCommit::new())),
        Box::new(Yrs(doc, map)),
        Box::new(Loro(loro::LoroDoc::new(), false)),
        Box::new(Loro(loro::LoroDoc::new(), true)),
    ];
    println!("{count} keys, one writer, {VALUE_LEN} bytes a value: bytes a live key beside name and value");
    println!("{:14} {:>18} {:>18}", "", "after 100 updates", "after half deleted");
    for mut store in stores {
        for update in 0..UPDATES {
            store.put(&keys, update)?;
        }
        let full = beside(store.len()?, &keys);
        store.delete(&deleted)?;
        println!("{:14} {full:18.1} {:18.1}", store.name(), beside(store.len()?, &kept));
    }
    Ok(())
}
