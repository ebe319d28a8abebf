//! What goes wrong with disks.

use disk::{Fault as DiskFault, Faults, Operation};

use crate::faults::Fault;
use crate::machine::Flip;
use crate::machine::folder;
use crate::world::World;

/// Most bytes that a disk which fills up still takes.
const ROOM_MAX: u64 = 16 << 10;

impl World {
    /// One of the next calls to a disk goes wrong.
    pub(super) fn strike_disk(&mut self, fault: Fault) {
        let machine = self.any_machine();
        if self.machines[machine].is_dark() {
            return;
        }
        let n = self.random.below(30);
        let few = n % 6;
        let plan = match fault {
            Fault::PowerCutInside => Faults::none().nth_call(n, DiskFault::PowerCut),
            Fault::FlushError => Faults::none().nth(Operation::Flush, few, DiskFault::Error),
            Fault::WriteError => Faults::none().nth(Operation::Write, few, DiskFault::Error),
            Fault::ShortWrite => Faults::none().chance(Operation::Write, 300, DiskFault::Short),
            Fault::NoSpace => Faults::none().nth(Operation::Write, few, DiskFault::NoSpace),
            Fault::ReadError => Faults::none().nth(Operation::Read, n, DiskFault::Error),
            Fault::TooManyFiles => [Operation::Open, Operation::Create]
                .into_iter()
                .fold(Faults::none(), |plan, operation| plan.nth(operation, n % 2, DiskFault::TooManyFiles)),
            _ => {
                let names = [Operation::Create, Operation::Rename, Operation::Remove, Operation::FlushDir];
                Faults::none().nth(names[n as usize % 4], n % 2, DiskFault::Error)
            }
        };
        self.plan(machine, fault, plan);
    }

    /// One of the next writes goes elsewhere, and the disk says that all is well. What was to be there, the folder may lack
    /// without a trace, so that from now on it is as a damaged one.
    pub(super) fn deceive(&mut self, fault: Fault) {
        let Some(machine) = self.any_device() else { return };
        if self.machines[machine].is_dark() {
            return;
        }
        let how = if fault == Fault::LostWrite { DiskFault::Lost } else { DiskFault::Misdirected };
        let n = self.random.below(6);
        self.plan(machine, fault, Faults::none().nth(Operation::Write, n, how));
        self.mistrust(machine);
    }

    /// What a device alone held may be gone, and nobody promised otherwise.
    fn mistrust(&mut self, machine: usize) {
        let it = &mut self.machines[machine];
        (it.is_rotten, it.is_healable) = (true, false);
        self.forgive(machine);
    }

    /// Something in a pack has changed, which others have, or the log gives.
    fn hurt(&mut self, machine: usize) {
        let it = &mut self.machines[machine];
        it.is_healable |= !it.is_rotten;
        it.is_rotten = true;
    }

    /// Hardly anything fits any more, for a while.
    pub(super) fn fill_disk(&mut self) {
        let machine = self.any_machine();
        let until = self.now + 1_000 + self.random.below(30_000);
        let room = self.random.below(ROOM_MAX);
        let it = &mut self.machines[machine];
        it.disk.set_capacity(Some(it.disk.used() + room));
        it.full_until = Some(until);
        self.suffer(machine, Fault::Full, format!("{room} bytes are left for {} ms", until - self.now));
        self.schedule_wake(machine);
    }

    /// Bytes change where they lie, in a device's folder.
    pub(super) fn rot(&mut self, fault: Fault) {
        let Some(machine) = self.any_device() else { return };
        let spaces: Vec<usize> = self.machines[machine].copies.keys().copied().collect();
        let space = spaces[self.random.below(spaces.len() as u64) as usize];
        let Some((name, offset)) = self.any_byte(machine, space, fault) else { return };
        let disk = &self.machines[machine].disk;
        match fault {
            Fault::BadSector => disk.damage_sector(&name, offset),
            _ => disk.flip_bit(&name, offset, self.random.below(8) as u32),
        }
        match fault {
            // One copy of the manifest that rots costs nothing: the other one speaks for it.
            Fault::RotManifest => {}
            _ if name.contains("/packs/") => self.hurt(machine),
            _ => self.mistrust(machine),
        }
        self.suffer(machine, fault, format!("byte {offset} of {name}"));
    }

    /// A bit of a pack of a home changes, which devices may have: with the key of a home nobody joins anew, and so its owner
    /// finds the bit again where nobody has.
    pub(super) fn rot_home(&mut self) {
        let space = self.random.below(self.spaces.len() as u64) as usize;
        let machine = self.spaces[space].home;
        let it = &self.machines[machine];
        if it.is_dark() || it.is_rotten && it.flips.is_empty() {
            return;
        }
        let byte = self.any_byte(machine, space, Fault::RotPack);
        let Some((name, offset)) = byte else { return };
        let bit = self.random.below(8) as u32;
        let disk = &self.machines[machine].disk;
        disk.flip_bit(&name, offset, bit);
        let bytes = disk.files()[&name].clone();
        self.machines[machine].flips.push(Flip { name: name.clone(), offset, bit, bytes });
        self.hurt(machine);
        self.suffer(machine, Fault::RotHome, format!("byte {offset} of {name}"));
    }

    /// A byte that says something, in the kind of file that rots.
    fn any_byte(&mut self, machine: usize, space: usize, fault: Fault) -> Option<(String, u64)> {
        let prefix = match fault {
            Fault::RotLog => format!("{}/wal/", folder(space)),
            Fault::RotPack => format!("{}/packs/", folder(space)),
            Fault::RotManifest => format!("{}/manifest", folder(space)),
            _ => format!("{}/", folder(space)),
        };
        let files = self.machines[machine].disk.files();
        let files: Vec<_> = files.into_iter().filter(|(name, _)| name.starts_with(&prefix)).collect();
        if files.is_empty() {
            return None;
        }
        let (name, bytes) = &files[self.random.below(files.len() as u64) as usize];
        // The second copies of the manifest's slots stay whole.
        let end = if fault == Fault::RotManifest { bytes.len() / 2 } else { bytes.len() };
        let written = || bytes[..end].iter().enumerate().filter(|(_, byte)| **byte != 0);
        let count = written().count() as u64;
        if count == 0 {
            return None;
        }
        let (offset, _) = written().nth(self.random.below(count) as usize)?;
        Some((name.clone(), offset as u64))
    }

    /// The disk answers nothing for long; then somebody kills the process.
    pub(super) fn stall_disk(&mut self) {
        let machine = self.any_machine();
        if !self.machines[machine].is_up {
            return;
        }
        let ms = 20_000 + self.random.below(40_000);
        let it = &mut self.machines[machine];
        it.asleep_until = it.asleep_until.max(self.now + ms);
        it.is_stuck = true;
        self.suffer(machine, Fault::DiskStall, format!("{ms} ms"));
        self.schedule_wake(machine);
    }
}
