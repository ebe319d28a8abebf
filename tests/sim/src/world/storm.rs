//! The faults: each strikes on its own, and is counted when something has really happened.

use super::World;
use crate::agenda::Due;
use crate::faults::Fault;
use crate::promise::Verdict;

mod disk;
mod life;
mod network;
mod time;

impl World {
    /// A fault strikes, and will again.
    pub(super) fn storm(&mut self, fault: Fault) -> Verdict {
        let Some(after) = self.weather.next(fault, &mut self.random) else { return Ok(()) };
        self.agenda.add(self.now + after, Due::Fault(fault));
        match fault {
            // These belong to sending, connecting, writing and starting, and are counted there.
            Fault::Delay | Fault::Duplicate | Fault::Reorder | Fault::Thin | Fault::Flaky => {}
            Fault::Latency => {}
            Fault::Cut | Fault::CutInside | Fault::Stall | Fault::Corrupt | Fault::HalfOpen => {
                self.strike_connection(fault);
            }
            Fault::SlowReader | Fault::StopInside | Fault::RateLimit => self.strike_connection(fault),
            Fault::Partition | Fault::OneWay | Fault::Twice => self.strike_link(fault),
            Fault::Kill | Fault::PowerCut | Fault::PowerCutInRecovery => self.strike_process(fault),
            Fault::PowerCutInside | Fault::FlushError | Fault::WriteError | Fault::ShortWrite => {
                self.strike_disk(fault);
            }
            Fault::NoSpace | Fault::TooManyFiles | Fault::NameError | Fault::ReadError => {
                self.strike_disk(fault)
            }
            Fault::LostWrite | Fault::Misdirected => self.deceive(fault),
            Fault::Full => self.fill_disk(),
            Fault::BadSector | Fault::RotLog | Fault::RotPack | Fault::RotManifest => self.rot(fault),
            Fault::RotHome => self.rot_home(),
            Fault::DiskStall => self.stall_disk(),
            Fault::ClockJump | Fault::Drift | Fault::Suspend => self.strike_clock(fault),
            Fault::Clone | Fault::CloneHome => self.clone_machine(fault),
            Fault::Restore | Fault::RestoreOld => self.restore_machine(fault),
            Fault::RestoreHome => self.restore_home(),
            Fault::Away | Fault::HomeAway => self.send_away(fault),
            Fault::RegistryFails | Fault::RegistryLoses => self.strike_registry(fault),
            Fault::Revoke | Fault::Readmit => self.change_members(fault)?,
            Fault::Leave => self.begin_leaving(),
            Fault::Handover => self.choose_successor(),
        }
        Ok(())
    }
}
