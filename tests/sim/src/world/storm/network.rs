//! What goes wrong between machines.

use crate::agenda::Due;
use crate::faults::Fault;
use crate::link::Connection;
use crate::world::World;

impl World {
    /// Something happens to one connection.
    pub(super) fn strike_connection(&mut self, fault: Fault) {
        if self.connections.is_empty() {
            return;
        }
        let nth = self.random.below(self.connections.len() as u64) as usize;
        let id = *self.connections.keys().nth(nth).expect("there are more");
        let end = self.random.below(2) as usize;
        let until = self.now + self.random.below(20_000);
        let connection = self.connections.get_mut(&id).expect("it was found a moment ago");
        let (machine, pipe) = (connection.ends[end], &mut connection.pipes[end]);
        let has_struck = match fault {
            Fault::Cut | Fault::HalfOpen => true,
            Fault::CutInside | Fault::StopInside => pipe.tear(&mut self.random),
            Fault::Stall => {
                pipe.stall(until);
                true
            }
            Fault::SlowReader => {
                connection.reads_at[end] = until;
                true
            }
            Fault::RateLimit => {
                pipe.rate_max = Some(2_000 + self.random.below(20_000));
                connection.is_broken = true;
                true
            }
            _ => {
                let is_corrupted = pipe.corrupt(&mut self.random);
                // Under TLS that byte would have been the end. Here it is the end when the faults stop: a frame that does not
                // end outlasts the calm, and what was refused for a changed byte is refused for as long as the talk lasts.
                connection.is_broken |= is_corrupted;
                connection.is_bent |= is_corrupted;
                if is_corrupted {
                    // Nobody knows what this end is told now.
                    connection.lines[end].end();
                }
                is_corrupted
            }
        };
        if !has_struck {
            return;
        }
        let space = connection.space;
        self.suffer(machine, fault, format!("s{space}, connection {id}"));
        match fault {
            Fault::Cut => self.cut(id, "it was cut"),
            Fault::CutInside => {
                // The part arrives; then the connection is gone.
                self.await_arrival(id, end);
                self.agenda.add(self.now + 2_500, Due::Drop(id));
            }
            Fault::HalfOpen | Fault::StopInside => {
                let connection = self.connections.get_mut(&id).expect("it is there");
                connection.is_broken = true;
                connection.is_silent = true;
                if fault == Fault::HalfOpen {
                    connection.pipes.iter_mut().for_each(|pipe| pipe.stall(u64::MAX));
                }
            }
            _ => {}
        }
    }

    /// Something happens between two machines.
    pub(super) fn strike_link(&mut self, fault: Fault) {
        if self.links.is_empty() {
            return;
        }
        let index = self.random.below(self.links.len() as u64) as usize;
        let ends = self.links[index].ends;
        if fault == Fault::Twice {
            let here = |connection: &&Connection| connection.link == index && connection.is_open[0];
            // Two, and not one more each time: what a liar floods over one connection is handed on over all of them.
            let talks = self.connections.values().filter(here).count() == 1;
            let is_reached =
                ends.iter().all(|end| self.machines[*end].replica(self.links[index].space).is_some());
            if talks && is_reached && self.links[index].free_at() <= self.now {
                self.suffer(ends[0], fault, format!("to m{}", ends[1]));
                self.connect(index);
            }
            return;
        }
        let until = self.now + 1_000 + self.random.below(40_000);
        let direction = self.random.below(2) as usize;
        self.suffer(ends[0], fault, format!("with m{} for {} ms", ends[1], until - self.now));
        for other in self.links.iter_mut().filter(|link| link.joins(ends)) {
            // An asymmetric partition stops one direction of every link between the two, whoever calls.
            let towards = if other.ends == ends { direction } else { 1 - direction };
            other.blocked_until[towards] = until;
            if fault == Fault::Partition {
                other.blocked_until[1 - towards] = until;
            }
        }
        self.block_connections(ends, fault, direction, until);
    }

    /// Connections across a partition: noticed at once, or only by patience.
    fn block_connections(&mut self, ends: [usize; 2], fault: Fault, direction: usize, until: u64) {
        let is_noticed = fault == Fault::Partition && self.random.coin();
        let across = |connection: &crate::link::Connection| {
            connection.ends == ends || connection.ends == [ends[1], ends[0]]
        };
        let ids: Vec<u64> =
            self.connections.iter().filter(|(_, connection)| across(connection)).map(|(id, _)| *id).collect();
        for id in ids {
            if is_noticed {
                self.cut(id, "the machines cannot reach each other");
                continue;
            }
            let connection = self.connections.get_mut(&id).expect("nothing was removed");
            let towards = if connection.ends == ends { direction } else { 1 - direction };
            connection.pipes[towards].stall(until);
            if fault == Fault::Partition {
                connection.pipes[1 - towards].stall(until);
            }
        }
    }
}
