//! The promises, watched as the world runs.

use disk::MemoryDisk;
use replica::Replica;
use sync::Store;

use super::World;
use crate::book::Violation;
use crate::check;

impl World {
    /// A machine that runs keeps every promise now.
    pub(super) fn check(&mut self, index: usize) -> Result<(), Violation> {
        self.end_if_stopped(index);
        let checked = self.check_machine(index);
        if self.machines[index].is_dark() {
            // The planned power cut hit a read of the check itself: what it read means nothing.
            self.end_if_stopped(index);
            return Ok(());
        }
        checked?;
        if let Some(replica) = &self.machines[index].replica {
            self.machines[index].version = replica.base().version;
        }
        Ok(())
    }

    fn check_machine(&self, index: usize) -> Result<(), Violation> {
        let machine = &self.machines[index];
        let Some(replica) = machine.replica.as_ref() else { return Ok(()) };
        let name = format!("m{index}");
        check::replica(&name, replica, &self.book, &[self.coll])
            .and_then(|()| check::only_rises(&name, machine.version, replica))
            .and_then(|()| self.check_acknowledged(index, replica))
            .map_err(|(invariant, what)| self.violation(invariant, what))
    }

    /// I3 and I9 at the machine that acknowledged. A home that is down covers whatever its registry's Handle covers,
    /// and nothing here can tell how much that is.
    fn check_acknowledged(&self, index: usize, replica: &Replica<MemoryDisk>) -> Result<(), check::Broken> {
        let home = self.machines[0].replica.as_ref().filter(|_| !self.machines[0].is_dark());
        for (dot, _) in self.book.acknowledged().filter(|(_, author)| **author == index) {
            let covered = replica.anchored(&dot.writer) >= dot.seq
                && home.is_none_or(|home| home.anchored(&dot.writer) >= dot.seq);
            check::acknowledged_is_held(&format!("m{index}"), replica, dot, covered)?;
        }
        Ok(())
    }

    /// Nothing that anyone was promised is missing anywhere.
    pub(super) fn check_end(&self) -> Result<(), Violation> {
        for (index, machine) in self.machines.iter().enumerate() {
            let replica = machine.replica.as_ref().expect("everyone runs in the end");
            for (dot, author) in self.book.acknowledged() {
                if replica.seen(&dot.writer) < dot.seq {
                    let what = format!("m{index} lacks {dot}, acknowledged at m{author}");
                    return Err(self.violation("I3", what));
                }
            }
        }
        Ok(())
    }
}
