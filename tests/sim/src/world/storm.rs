//! The faults: drawn step by step, each counted when it happens.

use disk::{Fault as DiskFault, Faults, MemoryDisk, Operation};

use super::World;
use crate::book::Violation;
use crate::event::What;
use crate::faults::Fault;
use crate::machine::Machine;

/// At most this many machines in all: clones breed.
const MACHINES_MAX: usize = 7;

/// How far a clock goes wrong, in milliseconds: from 50 years back to 75 ahead.
const SKEWS: [i64; 6] = [-50 * YEAR, -3_600_000, 3_600_000, YEAR, 75 * YEAR, 0];
const YEAR: i64 = 365 * 86_400_000;

impl World {
    /// Whatever this step's weather brings.
    pub(super) fn storm(&mut self) -> Result<(), Violation> {
        for fault in Fault::ALL {
            if self.weather.strikes(fault, &mut self.random) && self.strike(fault)? {
                self.fired.add(fault);
                self.note(None, What::Fault { fault, how: String::new() });
            }
        }
        Ok(())
    }

    /// Makes it happen; false when there is nothing for it to happen to.
    fn strike(&mut self, fault: Fault) -> Result<bool, Violation> {
        Ok(match fault {
            Fault::Cut | Fault::CutInside | Fault::Stall | Fault::Corrupt => self.strike_connection(fault),
            Fault::Partition | Fault::Twice => self.strike_link(fault),
            // These belong to sending and connecting, and are counted there.
            Fault::Delay | Fault::Thin => false,
            Fault::Kill | Fault::PowerCut => self.strike_process(fault),
            Fault::PowerCutInside | Fault::FlushError | Fault::WriteError | Fault::Full => {
                self.strike_disk(fault)
            }
            Fault::Clock => self.strike_clock(),
            Fault::Clone => self.clone_machine(),
            Fault::Restore => self.restore_machine(),
        })
    }

    fn strike_connection(&mut self, fault: Fault) -> bool {
        if self.connections.is_empty() {
            return false;
        }
        let index = self.random.below(self.connections.len() as u64) as usize;
        let until = self.now + self.random.below(20_000);
        let connection = &mut self.connections[index];
        let at = self.random.below(2) as usize;
        match fault {
            Fault::Cut => connection.dies_at = Some(self.now),
            Fault::CutInside => {
                connection.dies_at = Some(self.now + 2_000);
                return connection.pipes[at].tear(&mut self.random);
            }
            Fault::Stall => connection.pipes[at].stall(until),
            _ => return connection.pipes[at].corrupt(&mut self.random),
        }
        true
    }

    fn strike_link(&mut self, fault: Fault) -> bool {
        let index = self.random.below(self.links.len() as u64) as usize;
        let ends = self.links[index].ends;
        if fault == Fault::Partition {
            self.links[index].blocked_until = self.now + self.random.below(30_000);
            self.connections.retain(|connection| connection.ends != ends);
            return true;
        }
        let is_open = self.connections.iter().any(|connection| connection.ends == ends);
        if is_open {
            self.connect(index);
        }
        is_open
    }

    fn strike_process(&mut self, fault: Fault) -> bool {
        let index = self.any_machine();
        let until = self.now + self.random.below(10_000);
        if self.machines[index].replica.is_none() {
            return false;
        }
        self.end_process(index, until);
        if fault == Fault::PowerCut {
            self.machines[index].disk.crash();
        }
        true
    }

    fn strike_disk(&mut self, fault: Fault) -> bool {
        let index = self.any_machine();
        let n = self.random.below(30);
        let short = self.random.coin();
        let plan = match fault {
            Fault::PowerCutInside => Faults::none().nth_call(n, DiskFault::PowerCut),
            Fault::FlushError => Faults::none().nth(Operation::Flush, n % 6, DiskFault::Error),
            Fault::WriteError if short => Faults::none().chance(Operation::Write, 500, DiskFault::Short),
            Fault::WriteError => Faults::none().nth(Operation::Write, n % 6, DiskFault::Error),
            _ => Faults::none().nth(Operation::Write, n % 6, DiskFault::NoSpace),
        };
        let machine = &mut self.machines[index];
        if machine.is_dark() {
            return false;
        }
        machine.is_power_at_risk = fault == Fault::PowerCutInside;
        machine.disk.set_faults(plan);
        true
    }

    fn strike_clock(&mut self) -> bool {
        let index = self.any_machine();
        self.machines[index].skew = SKEWS[self.random.below(SKEWS.len() as u64) as usize];
        true
    }

    /// `cp -r` of a running device; both go on. The home's role is bound to its folder, so a home is not copied here.
    fn clone_machine(&mut self) -> bool {
        let Some(index) = self.any_device() else { return false };
        if self.machines.len() >= MACHINES_MAX {
            return false;
        }
        let original = &self.machines[index];
        let copy = Machine {
            disk: original.disk.copy(),
            key: original.key.clone(),
            replica: None,
            home: None,
            is_home: false,
            skew: original.skew,
            opens: 0,
            down_until: 0,
            version: 0,
            wrote_at: None,
            is_power_at_risk: false,
        };
        self.machines.push(copy);
        self.link(self.machines.len() - 1, 0);
        true
    }

    /// A backup of a device, taken now and put back at once: what it wrote since, it has only sent, so nothing that it
    /// alone holds is given up. The run goes on from the older folder under other writers.
    fn restore_machine(&mut self) -> bool {
        let Some(index) = self.any_device() else { return false };
        let copy: MemoryDisk = self.machines[index].disk.copy();
        self.end_process(index, self.now + 100);
        self.machines[index].disk = copy;
        true
    }

    fn any_machine(&mut self) -> usize {
        self.random.below(self.machines.len() as u64) as usize
    }

    fn any_device(&mut self) -> Option<usize> {
        let index = self.any_machine();
        (!self.machines[index].is_home).then_some(index)
    }
}
