//! What is to happen and when: one queue, so that virtual time jumps from event to event and nothing is asked in vain.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::faults::Fault;

/// Something that becomes due. Numbers are those of machines, links and connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A fault may strike.
    Fault(Fault),
    /// An application wants something.
    Work(usize),
    /// A timer of a machine: its start, a session's, the home's, the idle mark.
    Wake(usize),
    /// Bytes reach an end of a connection.
    Arrive(u64, usize),
    /// The dialing side of a link calls.
    Dial(usize),
    /// A connection over a link that is cut all the time dies.
    Cut(u64),
    /// A connection dies, since its way is broken.
    Drop(u64),
    /// A machine is looked at.
    Check,
    /// The whole world sleeps for days, if somebody is away.
    Leap,
}

/// Everything that is to happen.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Reverse<(u64, u64, Due)>>,
    count: u64,
}

impl Agenda {
    /// Adds something; what is due at one time happens in the order it was added.
    pub fn add(&mut self, at: u64, due: Due) {
        self.count += 1;
        self.heap.push(Reverse((at, self.count, due)));
    }

    /// The next thing due before `end`, and when.
    pub fn pop_before(&mut self, end: u64) -> Option<(u64, Due)> {
        self.heap.peek().filter(|Reverse((at, ..))| *at < end)?;
        self.heap.pop().map(|Reverse((at, _, due))| (at, due))
    }

    /// Time leapt: what happens by chance happens as much later, and timers are late.
    pub fn leap(&mut self, ms: u64) {
        let late = |Reverse((at, count, due))| match due {
            Due::Fault(_) | Due::Work(_) | Due::Check | Due::Leap => Reverse((at + ms, count, due)),
            Due::Wake(_) | Due::Arrive(..) | Due::Dial(_) | Due::Cut(_) | Due::Drop(_) => {
                Reverse((at, count, due))
            }
        };
        self.heap = std::mem::take(&mut self.heap).into_iter().map(late).collect();
    }
}
