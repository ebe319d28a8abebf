//! Under which names this replica writes: a fresh writer for each open and class, never one of before.

use crdt::{Class, Clock, CommitId, DeviceId, Time, Tip, WriterId};
use planted::Bug;

/// The writers of this open.
///
/// Nothing of it is stored, so no copy, backup or clone of the folder can continue a writer: the same dot would
/// then mean two things.
#[derive(Debug)]
pub(crate) struct Author {
    device: DeviceId,
    seed: [u8; 32],
    drawn: u64,
    open: [Option<(WriterId, Tip)>; 3],
}

impl Author {
    pub(crate) fn new(device: DeviceId, seed: [u8; 32]) -> Self {
        let seed = if planted::is(Bug::ReuseWriter) { [0; 32] } else { seed };
        Self { device, seed, drawn: 0, open: [None; 3] }
    }

    /// The writer of a class and its tip. Opened at first use, and anew once its time is out of reach: the wall clock
    /// was set back, and what it wrote would stand in the future of all it writes next.
    pub(crate) fn writer(&mut self, now: Time, class: Class, clock: &mut Clock) -> (WriterId, Tip) {
        if let Some((writer, tip)) = self.open[class as usize] {
            if !tip.hlc.is_out_of_reach(now) {
                return (writer, tip);
            }
            clock.restart(now);
        }
        let opened = (self.draw(class), Tip::START);
        self.open[class as usize] = Some(opened);
        opened
    }

    /// A commit of this writer was made.
    pub(crate) fn advance(&mut self, writer: &WriterId, tip: Tip) {
        let open = self.open.iter_mut().flatten().find(|(open, _)| open == writer);
        open.expect("a commit is made by an open writer").1 = tip;
    }

    /// The open writers, each where it stands.
    pub(crate) fn writers(&self) -> impl Iterator<Item = (WriterId, Tip)> {
        self.open.iter().flatten().copied()
    }

    /// Nothing more is written under this name: the next commit of its class opens another.
    pub(crate) fn close(&mut self, writer: &WriterId) {
        for open in &mut self.open {
            open.take_if(|(open, _)| open == writer);
        }
    }

    /// Draws other names from now on than a copy of this very process would: what only one of the two held, or only one
    /// learnt of, tells them apart.
    pub(crate) fn part(&mut self, id: &CommitId) {
        self.seed = crdt::derive("run", &[self.seed, id.0].concat());
    }

    /// A writer that no open of this replica has had.
    pub(crate) fn draw(&mut self, class: Class) -> WriterId {
        let mut drawn = self.seed.to_vec();
        drawn.push(class as u8);
        drawn.extend_from_slice(&self.drawn.to_be_bytes());
        self.drawn += 1;
        let drawn = crdt::derive("run", &drawn);
        let run = drawn[..7].try_into().expect("seven bytes");
        WriterId::new(self.device, run, class)
    }
}
