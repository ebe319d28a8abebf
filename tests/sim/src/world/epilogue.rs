//! What equal replicas cost, and what a few changes cost them.

use super::World;
use crate::promise::{Verdict, moved, quiescence};

/// Commits written to see what it takes to move them.
const CHANGES: u64 = 8;

impl World {
    /// Listens while nothing happens, then writes a little and counts the bytes.
    pub(super) fn epilogue(&mut self) -> Verdict {
        self.listen()?;
        self.move_some()
    }

    fn listen(&mut self) -> Verdict {
        let before: Vec<(u64, [u64; 2])> =
            self.connections.iter().map(|(id, connection)| (*id, connection.sent_frames)).collect();
        self.play_until(self.now + quiescence::LISTEN_MS)?;
        for (id, sent) in before {
            let Some(connection) = self.connections.get(&id) else { continue };
            for (end, before) in sent.into_iter().enumerate() {
                let name = format!("m{}/s{}", connection.ends[end], connection.space);
                quiescence::check(&name, connection.ends[1 - end], connection.sent_frames[end] - before)?;
            }
        }
        Ok(())
    }

    fn move_some(&mut self) -> Verdict {
        self.weather.clear_features();
        let sent = self.counts.sent_len;
        let space = self.random.below(self.spaces.len() as u64) as usize;
        let members = (0..self.machines.len()).filter(|machine| self.is_member(*machine, space));
        let writes = |machine: &usize| self.machines[*machine].copies[&space].leaving.is_none();
        let machines: Vec<usize> = members.filter(writes).collect();
        let machine = machines[self.random.below(machines.len() as u64) as usize];
        for _ in 0..CHANGES {
            self.wish(machine, space)?;
            self.dirty.insert((machine, space));
            self.settle()?;
            self.play_until(self.now + 50)?;
        }
        self.converge()?;
        let conversations = self.connections.values().filter(|connection| connection.space == space).count();
        if conversations == 0 {
            // Everyone else is out.
            return Ok(());
        }
        moved::check(space, CHANGES, conversations as u64, self.counts.sent_len - sent)
    }
}
