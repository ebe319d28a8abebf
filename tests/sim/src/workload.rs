//! What applications do: puts, deletes, reads that a write depends on, transactions over several keys, now and then a
//! value too large for a leaf or a commit too large for a frame of commits.

use std::collections::BTreeSet;

use crdt::{Class, CollId, Time, key};
use disk::{MemoryDisk, Random};
use replica::{CommitError, Committed, KeyRange, Order, Replica, Snapshot, Spent, Transaction};

use crate::deeds::{Ask, Verb};
use crate::space::{Colls, Kept};
use crate::weather::{Feature, Weather};

use verbs::Asking;

mod verbs;

/// Puts of a big commit: with 900 bytes each, more than 1 MiB.
pub const BIG_PUTS: usize = 1_200;

/// What one wish came to.
pub enum Wrote {
    /// Pending.
    Commit {
        /// Its name.
        committed: Committed,
        /// How urgent it is.
        class: Class,
        /// What it puts.
        puts: Vec<Place>,
        /// What it deletes.
        deletes: Vec<Place>,
        /// What it asks of collections with a policy of their own.
        asks: Vec<Ask>,
        /// What its transaction read.
        read: Snapshot<MemoryDisk>,
    },
    /// Refused, as it should be now and then.
    Refused(String),
    /// The disk failed under it.
    Failed(String),
}

/// A key of a collection.
pub type Place = (CollId, Vec<u8>);

/// A transaction with what it will do, for the trace.
struct Wish {
    transaction: Transaction<MemoryDisk>,
    puts: Vec<Place>,
    deletes: Vec<Place>,
    asks: Vec<Ask>,
    touched: BTreeSet<(CollId, u64)>,
}

/// One random transaction of one application, over a snapshot of now or over one that was left open.
pub fn write(
    replica: &mut Replica<MemoryDisk>,
    open: Option<Transaction<MemoryDisk>>,
    colls: &Colls,
    weather: &Weather,
    now: Time,
    random: &mut Random,
) -> Wrote {
    let transaction = open.unwrap_or_else(|| replica.begin());
    let (puts, deletes, asks, touched) = (Vec::new(), Vec::new(), Vec::new(), BTreeSet::new());
    let mut wish = Wish { transaction, puts, deletes, asks, touched };
    let filled = match weather.with(Feature::BigCommits) && random.below(40) == 0 {
        true => wish.fill_big(colls.things[0], random),
        false => wish.fill(colls, weather, random),
    };
    if let Err(error) = filled {
        return judge(error);
    }
    let class = match weather.with(Feature::Classes) {
        true => [Class::Critical, Class::Normal, Class::Bulk][random.below(3) as usize],
        false => Class::Normal,
    };
    let Wish { transaction, puts, deletes, asks, .. } = wish;
    let read = transaction.snapshot().clone();
    match replica.commit(now, transaction, class) {
        Ok(committed) => Wrote::Commit { committed, class, puts, deletes, asks, read },
        Err(error) => judge(error),
    }
}

/// A home lets losers go that it has found to be spent; nothing, if none of them is a loser any more.
pub fn expire(replica: &mut Replica<MemoryDisk>, spent: &[Spent], now: Time) -> Option<Wrote> {
    let mut transaction = replica.begin();
    let read = transaction.snapshot().clone();
    let gone = match transaction.expire(spent) {
        Ok(gone) if gone.is_empty() => return None,
        Ok(gone) => gone,
        Err(error) => return Some(judge(error)),
    };
    let mut asks = Vec::new();
    for Spent { place, dots, .. } in gone {
        let manner = match read.manner(place.coll) {
            Ok(manner) => manner.unwrap_or_default(),
            Err(error) => return Some(judge(error.into())),
        };
        asks.push(Ask { coll: place.coll, verb: Verb::Discard(place.key, dots), read: manner, manner });
    }
    let (class, puts, deletes) = (Class::Normal, Vec::new(), Vec::new());
    Some(match replica.commit(now, transaction, class) {
        Ok(committed) => Wrote::Commit { committed, class, puts, deletes, asks, read },
        Err(error) => judge(error),
    })
}

/// A transaction that reads now and will write later.
pub fn begin(
    replica: &Replica<MemoryDisk>,
    coll: CollId,
    weather: &Weather,
    random: &mut Random,
) -> Result<Transaction<MemoryDisk>, String> {
    let mut transaction = replica.begin();
    let read = transaction.get(coll, &name(weather, random));
    read.map_err(|error| crate::machine::chain(&error))?;
    Ok(transaction)
}

impl Wish {
    fn fill(&mut self, colls: &Colls, weather: &Weather, random: &mut Random) -> Result<(), CommitError> {
        let kept: Vec<&Kept> = colls.kept.iter().filter(|kept| weather.with(kept.feature)).collect();
        let many = weather.with(Feature::Transactions) && random.below(4) == 0;
        for _ in 0..if many { 1 + random.below(8) } else { 1 } {
            let which = random.below((colls.things.len() + kept.len()) as u64) as usize;
            let Some(coll) = colls.things.get(which).copied() else {
                self.ask(kept[which - colls.things.len()], weather, random)?;
                continue;
            };
            let key = name(weather, random);
            if weather.with(Feature::PointReads) && random.below(3) == 0 {
                self.transaction.get(coll, &key)?;
            }
            if weather.with(Feature::RangeReads) && random.below(4) == 0 {
                let range = KeyRange { from: key.clone(), to: None };
                self.transaction.scan(coll, &range, Order::Ascending, 1 + random.below(4) as usize)?;
            }
            if weather.with(Feature::Deletes) && random.below(4) == 0 {
                self.transaction.delete(coll, &key)?;
                self.deletes.push((coll, key));
                continue;
            }
            let large = weather.with(Feature::Values) && random.below(6) == 0;
            let len = if large { 1500 + random.below(3000) } else { 8 + random.below(40) };
            self.put(coll, key, len as usize, random)?;
        }
        Ok(())
    }

    fn ask(&mut self, kept: &Kept, weather: &Weather, random: &mut Random) -> Result<(), CommitError> {
        let (transaction, touched, is_hot) =
            (&mut self.transaction, &mut self.touched, weather.with(Feature::HotKeys));
        self.asks.extend(Asking { transaction, kept, is_hot, random, touched }.ask()?);
        Ok(())
    }

    /// More than 1 MiB in one commit: many values that fit into it, so that no single one is the reason.
    fn fill_big(&mut self, coll: CollId, random: &mut Random) -> Result<(), CommitError> {
        for index in 0..BIG_PUTS {
            let key = key::plain(format!("big-{index:04}").as_bytes());
            self.put(coll, key, 900, random)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        coll: CollId,
        key: Vec<u8>,
        len: usize,
        random: &mut Random,
    ) -> Result<(), CommitError> {
        let mut value = vec![random.below(256) as u8; len];
        value[..8].copy_from_slice(&random.next().to_le_bytes());
        self.transaction.put(coll, &key, &value)?;
        self.puts.push((coll, key));
        Ok(())
    }
}

/// One of the keys that writers fight over: few, so that they meet.
fn name(weather: &Weather, random: &mut Random) -> Vec<u8> {
    let keys = if weather.with(Feature::HotKeys) { 3 } else { 24 };
    key::plain(format!("key-{:02}", random.below(keys)).as_bytes())
}

fn judge(error: CommitError) -> Wrote {
    match &error {
        CommitError::Conflict { .. } | CommitError::Retry | CommitError::Full { .. } => {
            Wrote::Refused(error.to_string())
        }
        // What the verb of a policy met is in its way.
        CommitError::Disputed { .. } | CommitError::Taken { .. } | CommitError::StaysRemoved { .. } => {
            Wrote::Refused(error.to_string())
        }
        // What it saw was cut meanwhile.
        CommitError::NotSeen { .. } => Wrote::Refused(error.to_string()),
        // Refused before anything was done: there was no room.
        CommitError::Replica(replica::Error::Log(wal::Error::NoSpace { .. })) => {
            Wrote::Refused(error.to_string())
        }
        _ => Wrote::Failed(crate::machine::chain(&error)),
    }
}
