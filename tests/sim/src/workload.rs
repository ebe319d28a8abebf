//! What applications do: puts, deletes, reads that a write depends on, transactions over several keys, now and then a
//! value too large for a leaf.

use crdt::{Class, CollId, key};
use disk::{MemoryDisk, Random};
use replica::{CommitError, Committed, Replica};

/// How many keys the writers fight over: few, so that they meet.
const KEYS: u64 = 12;

/// What one wish came to.
pub enum Wrote {
    /// Pending.
    Commit(Committed),
    /// Refused, as it should be now and then.
    Refused,
    /// The disk failed under it.
    Failed(String),
}

/// One random transaction of one application.
pub fn write(
    replica: &mut Replica<MemoryDisk>,
    coll: CollId,
    now: crdt::Time,
    random: &mut Random,
    label: u64,
) -> Wrote {
    let mut transaction = replica.begin();
    let count = if random.below(5) == 0 { 1 + random.below(8) } else { 1 };
    for _ in 0..count {
        let name = key::plain(format!("key-{:02}", random.below(KEYS)).as_bytes());
        let wish = random.below(10);
        if wish < 3
            && let Err(error) = transaction.get(coll, &name)
        {
            return Wrote::Failed(crate::machine::chain(&error));
        }
        let outcome = match wish {
            0..=6 => transaction.put(coll, &name, format!("value {label}").as_bytes()),
            7 => transaction.put(coll, &name, &vec![label as u8; 1500 + random.below(3000) as usize]),
            _ => transaction.delete(coll, &name),
        };
        if let Err(error) = outcome {
            return judge(error);
        }
    }
    let class = [Class::Critical, Class::Normal, Class::Normal, Class::Bulk][random.below(4) as usize];
    match replica.commit(now, transaction, class) {
        Ok(committed) => Wrote::Commit(committed),
        Err(error) => judge(error),
    }
}

fn judge(error: CommitError) -> Wrote {
    match error {
        CommitError::Conflict { .. } | CommitError::Retry | CommitError::Full { .. } => Wrote::Refused,
        other => Wrote::Failed(crate::machine::chain(&other)),
    }
}
