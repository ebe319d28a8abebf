//! A plan of what goes wrong, and when: the n-th call, or by chance.

use crate::random::Random;

/// A call to the disk that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// [`crate::Disk::create`].
    Create,
    /// [`crate::Disk::open`] and [`crate::Disk::open_read`].
    Open,
    /// [`crate::Disk::list`] and [`crate::Disk::exists`].
    List,
    /// [`crate::Disk::create_dir`].
    CreateDir,
    /// [`crate::Disk::rename`].
    Rename,
    /// [`crate::Disk::remove`].
    Remove,
    /// [`crate::Disk::flush_dir`].
    FlushDir,
    /// [`crate::Disk::lock`].
    Lock,
    /// [`crate::File::read_at`].
    Read,
    /// [`crate::File::write_at`].
    Write,
    /// [`crate::File::set_len`].
    SetLen,
    /// [`crate::File::flush`].
    Flush,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails. A write may have written any first part; a flush may have made any part durable, and the
    /// rest never will be unless it is written again; a change of names has not happened.
    Error,
    /// A write takes only a first part and says so, a read gives only a first part; any other call succeeds.
    Short,
    /// A write or a longer length fails for want of space, a first part written; any other call succeeds.
    NoSpace,
    /// Opening or creating fails for want of descriptors; any other call succeeds.
    TooManyFiles,
    /// A write says it is done and never happened; any other call succeeds.
    Lost,
    /// A write lands at another sector of the file; any other call succeeds.
    Misdirected,
    /// The power goes: the call fails, done or not, and so does every later one until
    /// [`crate::MemoryDisk::crash`].
    PowerCut,
}

/// Which calls go wrong. The default: none.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    counted: Vec<Counted>,
    by_chance: Vec<(Operation, u32, Fault)>,
    fired: u64,
}

/// Counts down the calls of one operation, or of all.
#[derive(Clone, Debug)]
struct Counted {
    operation: Option<Operation>,
    left: u64,
    fault: Fault,
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Faults {
        Faults::default()
    }

    /// The `n`-th call from now (0 is the next), whatever it is, goes wrong.
    #[must_use]
    pub fn nth_call(mut self, n: u64, fault: Fault) -> Faults {
        self.counted.push(Counted { operation: None, left: n, fault });
        self
    }

    /// The `n`-th call of `operation` from now (0 is the next) goes wrong.
    #[must_use]
    pub fn nth(mut self, operation: Operation, n: u64, fault: Fault) -> Faults {
        self.counted.push(Counted { operation: Some(operation), left: n, fault });
        self
    }

    /// Each call of `operation` goes wrong with a chance of `per_mille` in a thousand.
    #[must_use]
    pub fn chance(mut self, operation: Operation, per_mille: u32, fault: Fault) -> Faults {
        self.by_chance.push((operation, per_mille, fault));
        self
    }

    /// How often something went wrong: a plan that never fired has tested nothing.
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// What goes wrong with the call of `operation` made now.
    pub(crate) fn next(&mut self, operation: Operation, random: &mut Random) -> Option<Fault> {
        let mut fault = None;
        self.counted.retain_mut(|counted| {
            if counted.operation.is_some_and(|wanted| wanted != operation) {
                return true;
            }
            if counted.left == 0 {
                fault = Some(counted.fault);
                return false;
            }
            counted.left -= 1;
            true
        });
        for &(wanted, per_mille, by_chance) in &self.by_chance {
            // The draw is made whatever was decided already, so that one plan does not shift the chances of
            // another.
            if wanted == operation && random.below(1000) < u64::from(per_mille) && fault.is_none() {
                fault = Some(by_chance);
            }
        }
        self.fired += u64::from(fault.is_some());
        fault
    }
}
