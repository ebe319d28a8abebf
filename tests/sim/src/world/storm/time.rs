//! What goes wrong with time.

use crate::faults::Fault;
use crate::world::World;

/// How far a clock goes wrong, in milliseconds: from 50 years back to 75 ahead.
const OFFSETS: [i64; 8] = [-50 * YEAR, -YEAR, -3_600_000, -2_000, 2_000, 3_600_000, YEAR, 75 * YEAR];
const YEAR: i64 = 365 * 86_400_000;

/// Parts in a million that a clock runs too fast: what crystals do, and what broken virtual machines do.
const DRIFTS: [i64; 4] = [-100_000, -300, 300, 100_000];

impl World {
    /// A clock jumps or drifts, or all of a machine stands still.
    pub(super) fn strike_clock(&mut self, fault: Fault) {
        let machine = self.any_machine();
        let now = self.now;
        let it = &mut self.machines[machine];
        it.latest = it.latest.max(it.time(now));
        let how = match fault {
            Fault::ClockJump => {
                // Sooner or later somebody puts it right.
                let offset =
                    if self.random.below(4) == 0 { 0 } else { OFFSETS[self.random.below(8) as usize] };
                it.clock.jump(now, offset);
                format!("{offset} ms from the world's")
            }
            Fault::Drift => {
                let ppm = DRIFTS[self.random.below(4) as usize];
                it.clock.drift(now, ppm);
                format!("{ppm} ppm")
            }
            _ => {
                let ms = 1_000 << self.random.below(8);
                it.asleep_until = it.asleep_until.max(now + ms);
                format!("{ms} ms")
            }
        };
        self.suffer(machine, fault, how);
        self.machines[machine].wake_at = None;
        self.schedule_wake(machine);
    }
}
