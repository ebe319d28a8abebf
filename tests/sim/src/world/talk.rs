//! The conversations: who calls, what arrives, what is sent.

use sync::{Local, Role, Session};

use super::World;
use crate::book::Violation;
use crate::event::What;
use crate::faults::Fault;
use crate::link::{Connection, Pipe};
use crate::machine::chain;

impl World {
    /// One round over every link and connection.
    pub(super) fn talk(&mut self) -> Result<(), Violation> {
        self.call();
        let mut index = 0;
        // A machine that fails takes its connections with it, so the list may shrink under way.
        while index < self.connections.len() {
            self.deliver(index)?;
            index += 1;
        }
        self.transmit();
        self.hang_up();
        Ok(())
    }

    fn call(&mut self) {
        for index in 0..self.links.len() {
            let ends = self.links[index].ends;
            let up = ends.iter().all(|end| self.machines[*end].replica.is_some());
            let is_open = self.connections.iter().any(|connection| connection.ends == ends);
            if !up || is_open || self.now < self.links[index].dial_at.max(self.links[index].blocked_until) {
                continue;
            }
            self.connect(index);
        }
    }

    /// A fresh connection over a link.
    pub(super) fn connect(&mut self, link: usize) {
        let ends = self.links[link].ends;
        let profile = self.links[link].profile;
        if profile.rate > 0 {
            self.fired.add(Fault::Thin);
        }
        let session = |world: &mut World, at: usize| {
            let (me, other) = (&world.machines[ends[at]], &world.machines[ends[1 - at]]);
            // One instance for each run of a process, and no clock or chance but the world's.
            let mut instance = [0; 16];
            instance[..8].copy_from_slice(&(ends[at] as u64).to_le_bytes());
            instance[8..].copy_from_slice(&me.opens.to_le_bytes());
            let local = Local { device: me.key.id(), instance, peer: other.key.id() };
            let role = if at == 0 { Role::Dialer } else { Role::Listener };
            Session::new(role, local, me.time(world.now), sync::Config::default())
        };
        let sessions = [session(self, 0), session(self, 1)];
        self.note(ends[0], What::Calls { space: 0, peer: ends[1], profile: profile.name });
        self.connections.push(Connection {
            ends,
            sessions,
            pipes: [Pipe::default(), Pipe::default()],
            profile,
            dies_at: None,
        });
    }

    fn deliver(&mut self, index: usize) -> Result<(), Violation> {
        for at in 0..2 {
            let connection = &mut self.connections[index];
            let end = connection.ends[at];
            let mut heard = false;
            let mut nonsense = Vec::new();
            let machine = &mut self.machines[end];
            let now = machine.time(self.now);
            while let Some(bytes) = connection.pipes[at].receive(self.now) {
                let Some(replica) = machine.replica.as_mut() else { break };
                self.trace.bytes(&bytes);
                heard = true;
                if let Err(error) = connection.sessions[at].handle_bytes(now, &bytes, replica) {
                    nonsense.push(chain(&error));
                }
            }
            let peer = connection.ends[1 - at];
            if connection.sessions[at].poll_timeout().is_some_and(|due| due <= now) {
                connection.sessions[at].handle_timeout(now);
            }
            for reason in nonsense {
                self.note(end, What::Disbelieves { space: 0, peer, reason });
            }
            if heard && !self.flush(end)? {
                return Ok(());
            }
            if index >= self.connections.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn transmit(&mut self) {
        for connection in &mut self.connections {
            for at in 0..2 {
                let machine = &mut self.machines[connection.ends[at]];
                let now = machine.time(self.now);
                let Some(replica) = machine.replica.as_mut() else { continue };
                while connection.pipes[1 - at].has_room() {
                    let Some(bytes) = connection.sessions[at].poll_transmit(now, replica) else { break };
                    let mut late = 0;
                    if self.weather.strikes(Fault::Delay, &mut self.random) {
                        late = self.random.below(5_000);
                        self.fired.add(Fault::Delay);
                    }
                    connection.pipes[1 - at].send(
                        self.now,
                        &connection.profile,
                        late,
                        &bytes,
                        &mut self.random,
                    );
                }
            }
        }
    }

    /// Connections end when they are cut, or when one side has said goodbye and the other has heard it.
    fn hang_up(&mut self) {
        let now = self.now;
        let ended = |connection: &Connection| {
            connection.dies_at.is_some_and(|at| at <= now)
                || connection.sessions.iter().any(Session::is_closed)
        };
        let mut freed: Vec<[usize; 2]> = Vec::new();
        self.connections.retain(|connection| {
            if ended(connection) {
                freed.push(connection.ends);
            }
            !ended(connection)
        });
        for ends in freed {
            for link in self.links.iter_mut().filter(|link| link.ends == ends) {
                link.fail(now);
            }
        }
    }
}
