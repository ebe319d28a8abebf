//! The conversations of a den, and how an honest end took what it was told.

use std::collections::BTreeSet;

use crdt::Time;
use sync::{EndedBy, Local, Role, Session};

use super::{Den, LIAR};
use crate::machine::chain;
use crate::malice::{Answer, Lie, Occasion};

/// Who calls whom.
const LINKS: [[usize; 2]; 6] = [[1, 0], [2, 0], [1, 2], [3, 0], [3, 1], [2, 3]];

/// The most a session may keep for one peer: a frame, values before their commits, and what is known of its writers.
const HELD_MAX: usize = 128 << 20;

/// One connection.
pub(super) struct Talk {
    pub(super) ends: [usize; 2],
    sessions: [Session; 2],
    /// Frames on the way to each end.
    pipes: [Vec<Vec<u8>>; 2],
    mood: Vec<Lie>,
    /// Lies told in it so far.
    told: BTreeSet<Lie>,
}

impl Den {
    pub(super) fn connect(&mut self) {
        for ends in LINKS {
            let is_open = self.talks.iter().any(|talk| talk.ends == ends);
            let is_apart = if ends.contains(&LIAR) { !self.has_liar } else { self.now < self.alone_until };
            if is_open || is_apart {
                continue;
            }
            self.connections += 1;
            let session = |at: usize| {
                let mut instance = [ends[at] as u8; 16];
                instance[..8].copy_from_slice(&self.connections.to_le_bytes());
                let (device, peer) = (self.seats[ends[at]].key.id(), self.seats[ends[1 - at]].key.id());
                let role = if at == 0 { Role::Dialer } else { Role::Listener };
                Session::new(role, Local { device, instance, peer }, Time(self.now), sync::Config::default())
            };
            let sessions = [session(0), session(1)];
            let mood = if ends.contains(&LIAR) { self.liar.mood(&self.kinds) } else { Vec::new() };
            self.talks.push(Talk {
                ends,
                sessions,
                pipes: [Vec::new(), Vec::new()],
                mood,
                told: BTreeSet::new(),
            });
        }
    }

    pub(super) fn transmit(&mut self) {
        let others: Vec<[u8; 32]> = self.seats[..LIAR].iter().map(|seat| seat.key.public()).collect();
        for talk in &mut self.talks {
            for at in 0..2 {
                let (from, peer) = (talk.ends[at], talk.ends[1 - at]);
                let replica = &mut self.seats[from].replica;
                let now = Time(self.now);
                while let Some(bytes) = talk.sessions[at].poll_transmit(now, replica) {
                    if from != LIAR {
                        talk.pipes[1 - at].push(bytes);
                        continue;
                    }
                    let occasion = Occasion { now, replica, peer, others: &others };
                    let speech = self.liar.speak(&talk.mood, &occasion, bytes);
                    talk.pipes[1 - at].extend(speech.frames);
                    talk.told.extend(speech.lie);
                    if matches!(speech.lie.map(Lie::answer), Some(Answer::Closes(_))) {
                        break;
                    }
                }
            }
        }
        for commit in self.liar.valid.drain(..) {
            self.book.insert((commit.dot(), commit.id()), commit);
        }
    }

    pub(super) fn deliver(&mut self) -> Result<(), String> {
        for index in 0..self.talks.len() {
            for at in 0..2 {
                let talk = &mut self.talks[index];
                let seat = &mut self.seats[talk.ends[at]];
                let now = Time(self.now);
                for bytes in std::mem::take(&mut talk.pipes[at]) {
                    // The answer is in the session's end; what it closed for is looked at below.
                    if let Err(error) = talk.sessions[at].handle_bytes(now, &bytes, &mut seat.replica) {
                        let is_lied_to = talk.ends[1 - at] == LIAR;
                        if !is_lied_to && talk.ends[at] != LIAR {
                            return Err(format!("{:?}: honest peers part: {}", talk.ends, chain(&error)));
                        }
                    }
                    let held_len = talk.sessions[at].held_len();
                    self.figures.held_len = self.figures.held_len.max(held_len);
                }
                if talk.sessions[at].poll_timeout().is_some_and(|due| due <= now) {
                    talk.sessions[at].handle_timeout(now);
                }
                seat.replica.flush().map_err(|error| format!("m{}: {}", talk.ends[at], chain(&error)))?;
                if talk.ends[at] != LIAR {
                    self.judge(index, at)?;
                }
            }
        }
        if self.figures.held_len > HELD_MAX {
            return Err(format!("a session keeps {} bytes for its peer", self.figures.held_len));
        }
        self.talks.retain(|talk| !talk.sessions.iter().any(Session::is_closed));
        Ok(())
    }

    /// How an honest end of a connection took what it was told.
    fn judge(&mut self, index: usize, at: usize) -> Result<(), String> {
        let talk = &self.talks[index];
        let status = talk.sessions[at].status(&self.seats[talk.ends[at]].replica);
        let told: Vec<Lie> = talk.told.iter().copied().collect();
        let Some(end) = status.end.filter(|end| end.by == EndedBy::Us) else {
            let is_fatal = |lie: &&Lie| matches!(lie.answer(), Answer::Closes(_));
            return match told.iter().find(is_fatal) {
                Some(lie) if status.end.is_none() => {
                    Err(format!("{:?}: M{} {lie:?} was let pass", talk.ends, lie.number()))
                }
                _ => Ok(()),
            };
        };
        let may = |lie: &Lie| match lie.answer() {
            Answer::Closes(codes) | Answer::MayClose(codes) => codes.contains(&end.code),
            Answer::GoesOn => false,
        };
        if !told.iter().any(may) {
            let (ends, code) = (talk.ends, end.code);
            return Err(format!("{ends:?}: closed with {code:?} for {told:?}: {:?}", status.last_error));
        }
        self.figures.closed += 1;
        Ok(())
    }
}
