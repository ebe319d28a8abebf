//! What arrives: in its order on each connection, in any order between them.

use super::World;
use crate::agenda::Due;
use crate::event::What;
use crate::faults::Fault;
use crate::machine::chain;
use crate::promise::{ASSERTION, Verdict, breach};

impl World {
    /// Something may have reached an end of a connection.
    pub(super) fn arrive(&mut self, id: u64, end: usize) -> Verdict {
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(()) };
        if connection.awaited[end].is_none_or(|at| at > self.now) {
            return Ok(());
        }
        connection.awaited[end] = None;
        if connection.is_open[end] {
            self.deliver(id, end)?;
        }
        self.await_arrival(id, end);
        Ok(())
    }

    fn deliver(&mut self, id: u64, end: usize) -> Verdict {
        let connection = &self.connections[&id];
        let (machine, peer, space) = (connection.ends[end], connection.ends[1 - end], connection.space);
        let it = &self.machines[machine];
        if it.asleep_until > self.now || connection.reads_at[end] > self.now || it.replica(space).is_none() {
            return Ok(());
        }
        let before = self.held(machine, space);
        let connection = self.connections.get_mut(&id).expect("it was there a moment ago");
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let replica = copy.replica.as_mut().expect("it runs");
        let had_room = connection.pipes[end].has_room();
        let sent_at = connection.pipes[end].sent_at();
        let (mut nonsense, mut is_late, mut is_over) = (None, false, false);
        while let Some((bytes, news)) = connection.pipes[end].receive(self.now) {
            if bytes.is_empty() {
                is_over = true;
                break;
            }
            self.trace.bytes(&bytes);
            connection.lines[end].hears(news);
            if let Err(error) = connection.sessions[end].handle_bytes(now, &bytes, replica) {
                // It has gone on from what it offered, and nobody has kept that for whoever asks late.
                is_late |= matches!(error, sync::Error::NodesMissing { .. });
                nonsense = Some(chain(&error));
            }
        }
        self.compare(machine, space, &before)?;
        self.dirty.insert((machine, space));
        if !had_room {
            self.dirty.insert((peer, space));
        }
        if let Some(reason) = nonsense {
            let is_bent = self.connections[&id].is_bent;
            if !is_bent && !is_late && !self.is_excused(machine) && !self.is_excused(peer) {
                let name = self.name(machine, space);
                return Err(breach(
                    ASSERTION,
                    format!("{name} disbelieves m{peer}, which is honest: {reason}"),
                ));
            }
            self.note(machine, What::Disbelieves { space, peer, reason });
        }
        self.count_reordered(id, machine, sent_at);
        self.hear(id, end)?;
        if is_over {
            self.hang_up(id, end, "the other end is gone");
        }
        self.remark_learnt(machine, space, peer);
        Ok(())
    }

    /// Whether what has just arrived overtook something that was kept back on another connection. That links of another
    /// delay overtake each other by themselves is no fault, and not counted.
    fn count_reordered(&mut self, id: u64, machine: usize, sent_at: Option<u64>) {
        let Some(sent_at) = sent_at else { return };
        let mut others = self.connections.iter_mut().filter(|(other, _)| **other != id);
        let is_overtaken = others.any(|(_, connection)| {
            connection.end_of(machine).is_some_and(|end| connection.pipes[end].is_overtaken(sent_at))
        });
        if is_overtaken {
            self.suffer(machine, Fault::Reorder, "");
        }
    }

    /// Puts the next arrival at an end on the agenda.
    pub(super) fn await_arrival(&mut self, id: u64, end: usize) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_open[end])
        else {
            return;
        };
        let Some(at) = connection.pipes[end].next_at() else { return };
        let sleeps = self.machines[connection.ends[end]].asleep_until;
        let at = at.max(self.now).max(connection.reads_at[end]).max(sleeps);
        if at < u64::MAX && connection.awaited[end].is_none_or(|known| at < known || known < self.now) {
            connection.awaited[end] = Some(at);
            self.agenda.add(at, Due::Arrive(id, end));
        }
    }
}
