//! The conversations: who calls, what is sent, who hangs up.

use std::sync::Arc;

use crdt::Commit;
use sync::{Frame, Local, Role, Session};

use super::World;
use super::lies::Place;
use crate::agenda::Due;
use crate::event::What;
use crate::faults::Fault;
use crate::link::Connection;
use crate::malice::Speech;
use crate::pipe::Pipe;
use crate::promise::classes::{self, News};
use crate::promise::{Verdict, breach, loss};

/// A call that nobody takes is over after this long.
const CALL_MS: u64 = 1_000;

impl World {
    /// The dialing side of a link calls, unless it talks already.
    pub(super) fn dial(&mut self, link: usize) {
        let it = &self.links[link];
        let (ends, space) = (it.ends, it.space);
        let caller = &self.machines[ends[0]];
        let talks =
            self.connections.values().any(|connection| connection.link == link && connection.is_open[0]);
        if talks || !caller.is_up || it.dial_at > self.now {
            // It calls when it starts, when a talk ends, or when it may again.
            return;
        }
        let is_free = it.free_at() <= self.now;
        let is_reached = |end: &usize| {
            let machine = &self.machines[*end];
            machine.asleep_until <= self.now && machine.replica(space).is_some()
        };
        if is_free && ends.iter().all(is_reached) && !self.is_refused(ends, space) {
            self.connect(link);
        } else {
            let at = self.links[link].fail(self.now + CALL_MS);
            self.agenda.add(at, Due::Dial(link));
        }
    }

    /// Everyone whose machine calls others does so now.
    pub(super) fn dial_all(&mut self, machine: usize) {
        for link in 0..self.links.len() {
            if self.links[link].ends[0] == machine {
                let at = self.links[link].dial_at.max(self.now);
                self.agenda.add(at, Due::Dial(link));
            }
        }
    }

    /// A fresh connection over a link.
    pub(super) fn connect(&mut self, link: usize) {
        let (ends, space, profile) =
            (self.links[link].ends, self.links[link].space, self.links[link].profile);
        if profile.rate > 0 {
            self.fired.add(Fault::Thin);
        }
        let session = |world: &World, at: usize| {
            let (me, other) = (&world.machines[ends[at]], &world.machines[ends[1 - at]]);
            // One instance for each run of a process, and no clock or chance but the world's.
            let mut instance = [0; 16];
            instance[..8].copy_from_slice(&(ends[at] as u64).to_le_bytes());
            instance[8..].copy_from_slice(&me.starts.to_le_bytes());
            let local = Local { device: me.key.id(), instance, peer: other.key.id() };
            let role = if at == 0 { Role::Dialer } else { Role::Listener };
            Session::new(role, local, me.time(world.now), sync::Config::default())
        };
        let connection = Connection {
            link,
            ends,
            space,
            sessions: [session(self, 0), session(self, 1)],
            pipes: [Pipe::default(), Pipe::default()],
            profile,
            is_open: [true; 2],
            awaited: [None; 2],
            reads_at: [0; 2],
            sent_frames: [0; 2],
            is_bent: false,
            lines: Default::default(),
            is_silent: false,
            is_broken: false,
        };
        self.note(ends[0], What::Calls { space, peer: ends[1], profile: profile.name });
        self.connections_made += 1;
        let id = self.connections_made;
        self.connections.insert(id, connection);
        if let Some(life) = profile.life {
            self.agenda.add(self.now + life, Due::Cut(id));
        }
        ends.into_iter().for_each(|end| {
            self.dirty.insert((end, space));
        });
    }

    /// Sends what the sessions of a copy have to say.
    pub(super) fn transmit(&mut self, machine: usize, space: usize) -> Verdict {
        let here = |(id, connection): (&u64, &Connection)| {
            let end = connection.end_of(machine).filter(|_| connection.space == space)?;
            connection.is_open[end].then_some((*id, end))
        };
        for (id, end) in self.connections.iter().filter_map(here).collect::<Vec<_>>() {
            self.transmit_over(machine, id, end)?;
        }
        Ok(())
    }

    /// What has left its author is in the book, should the power go before its log is read.
    fn record_left(&mut self, machine: usize, space: usize, left: Vec<Arc<Commit>>) -> Verdict {
        let (device, book) = (self.machines[machine].key.id(), &mut self.spaces[space].book);
        let own = left.into_iter().filter(|commit| commit.dot().writer.device() == device);
        for commit in own {
            book.record(Arc::unwrap_or_clone(commit)).map_err(|what| breach("I6", what))?;
        }
        book.understand();
        Ok(())
    }

    fn transmit_over(&mut self, machine: usize, id: u64, end: usize) -> Verdict {
        let space = self.connections[&id].space;
        if self.machines[machine].replica(space).is_none() {
            return Ok(());
        }
        let (name, before) = (self.name(machine, space), self.held(machine, space));
        let connection = self.connections.get_mut(&id).expect("it was there a moment ago");
        let it = &mut self.machines[machine];
        let now = it.time(self.now);
        let copy = it.copies.get_mut(&space).expect("it has the space");
        let replica = copy.replica.as_mut().expect("it runs");
        let place = Place { connection: id, space, peer: connection.ends[1 - end] };
        let (mut lies, mut left) = (Vec::new(), Vec::new());
        while connection.pipes[1 - end].has_room() {
            let Some(bytes) = connection.sessions[end].poll_transmit(now, replica) else { break };
            connection.sent_frames[end] += 1;
            self.counts.sent_len += bytes.len() as u64;
            let (line, book) = (&mut connection.lines[end], &self.spaces[space].book);
            match frame_of(&bytes) {
                Some(Frame::Commits(commits)) => {
                    classes::sent(&name, book, &commits.commits)?;
                    line.sends(&name, book, machine, replica, &commits.commits)?;
                    left.extend(commits.commits);
                }
                Some(Frame::Nack(_) | Frame::Fork(_)) => line.end(),
                Some(Frame::BlobData(_)) => line.begins(book, machine, replica),
                Some(frame) => loss::tell(&mut copy.told, &frame),
                None => line.end(),
            }
            let speech = match self.lying.as_mut().filter(|lying| lying.machine == machine) {
                Some(lying) => lying.speak(&place, now, replica, bytes),
                None => Speech { frames: vec![bytes], lie: None },
            };
            connection.is_bent |= speech.lie.is_some();
            lies.extend(speech.lie);
            for bytes in speech.frames {
                let news = News::of(frame_of(&bytes).as_ref());
                let mut late = 0;
                if self.weather.strikes(Fault::Delay, &mut self.random) {
                    late = self.random.below(5_000);
                    self.fired.add(Fault::Delay);
                }
                let is_held = self.weather.strikes(Fault::Reorder, &mut self.random);
                if is_held {
                    late += 500 + self.random.below(3_000);
                }
                let pipe = &mut connection.pipes[1 - end];
                pipe.send(self.now, &connection.profile, late, &bytes, &mut self.random);
                pipe.bring(news);
                if is_held {
                    pipe.hold();
                }
                if self.weather.strikes(Fault::Duplicate, &mut self.random) {
                    self.fired.add(Fault::Duplicate);
                    connection.is_bent = true;
                    pipe.send(self.now, &connection.profile, 0, &bytes, &mut self.random);
                    pipe.bring(news);
                }
            }
        }
        self.compare(machine, space, &before)?;
        self.record_left(machine, space, left)?;
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        if connection.sessions[end].is_closed() {
            let reason = match connection.sessions[end].end() {
                Some(end) => format!("{:?} said {:?}", end.by, end.code),
                None => String::new(),
            };
            self.hang_up(id, end, &reason);
        }
        self.await_arrival(id, 1 - end);
        self.note_lies(machine, &place, lies)
    }

    /// An end is done with a connection: the other hears of it behind what is on the way, unless nobody tells it.
    pub(super) fn hang_up(&mut self, id: u64, end: usize, reason: &str) {
        let Some(connection) = self.connections.get_mut(&id).filter(|connection| connection.is_open[end])
        else {
            return;
        };
        connection.is_open[end] = false;
        let (ends, space, link) = (connection.ends, connection.space, connection.link);
        if !connection.is_silent && connection.is_open[1 - end] {
            connection.pipes[1 - end].finish(self.now, &connection.profile);
        }
        let is_over = !connection.is_open[0] && !connection.is_open[1];
        self.note(ends[end], What::HangsUp { space, peer: ends[1 - end], reason: reason.to_owned() });
        if is_over {
            self.connections.remove(&id);
        } else {
            self.await_arrival(id, 1 - end);
        }
        if end == 0 {
            let at = self.links[link].fail(self.now);
            self.agenda.add(at, Due::Dial(link));
        }
    }

    /// Both ends lose a connection at once.
    pub(super) fn cut(&mut self, id: u64, reason: &str) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.is_silent = true;
            self.hang_up(id, 0, reason);
            self.hang_up(id, 1, reason);
        }
    }

    /// A process is gone and its ends of connections with it.
    pub(super) fn leave_all(&mut self, machine: usize, is_silent: bool) {
        let here = |(id, connection): (&u64, &Connection)| Some((*id, connection.end_of(machine)?));
        for (id, end) in self.connections.iter().filter_map(here).collect::<Vec<_>>() {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.is_silent |= is_silent;
                connection.is_broken |= is_silent;
            }
            self.hang_up(id, end, "the process is gone");
        }
    }
}

/// What a frame says, unless it is a long one that changes nothing of what its hearer sends.
fn frame_of(bytes: &[u8]) -> Option<Frame> {
    // Decoding every unit costs more than all else, and what is wrong with long ones is wrong with short ones, too.
    const LEN_MAX: usize = 16 << 10;
    const OPEN: u8 = 1;
    const COVER: u8 = 2;
    const FORK: u8 = 15;
    let (number, payload) = (*bytes.get(4)?, bytes.get(5..)?);
    if payload.len() > LEN_MAX && ![OPEN, COVER, FORK].contains(&number) {
        return None;
    }
    Frame::decode(number, payload).ok()
}
