//! What equal replicas cost, and what a few changes cost them.

use crdt::{Handle, Payload};
use sync::{Store, TailRow};

use super::World;
use crate::link::Connection;
use crate::promise::{Look, Verdict, moved, quiescence};

/// Commits written to see what it takes to move them.
const CHANGES: u64 = 8;

/// The base of a replica and what it holds above it.
type State = (Handle, Vec<TailRow>);

impl World {
    /// Listens while nothing happens, then writes a little and counts the bytes.
    pub(super) fn epilogue(&mut self) -> Verdict {
        self.listen()?;
        self.move_some()
    }

    fn listen(&mut self) -> Verdict {
        let before: Vec<(u64, [u64; 2], Option<State>)> = self
            .connections
            .iter()
            .map(|(id, connection)| (*id, connection.sent_frames, self.common_state(connection)))
            .collect();
        self.play_until(self.now + quiescence::LISTEN_MS)?;
        for (id, sent, state) in before {
            let Some(connection) = self.connections.get(&id) else { continue };
            // All were waited for until they were equal, but those who are out: these may have news for each other still.
            let are_members = connection.ends.iter().all(|end| self.is_member(*end, connection.space));
            if !are_members && (state.is_none() || state != self.common_state(connection)) {
                continue;
            }
            for (end, before) in sent.into_iter().enumerate() {
                let name = format!("m{}/s{}", connection.ends[end], connection.space);
                quiescence::check(&name, connection.ends[1 - end], connection.sent_frames[end] - before)?;
            }
        }
        Ok(())
    }

    /// What both ends of a conversation hold, if that is the same.
    fn common_state(&self, connection: &Connection) -> Option<State> {
        let [state, other] = connection.ends.map(|end| {
            let replica = self.machines[end].replica(connection.space)?;
            Some((replica.base().clone(), replica.tail()))
        });
        state.filter(|state| other.as_ref() == Some(state))
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
        self.counts.times_bound = self.shown_len(space) / moved::max(CHANGES);
        moved::check(space, CHANGES, conversations as u64, self.counts.sent_len - sent)
    }

    /// Bytes of all values that the home of a space shows.
    fn shown_len(&self, space: usize) -> u64 {
        let it = &self.spaces[space];
        let replica = self.machines[it.home].replica(space).expect("everyone runs in the end");
        let look = Look::at("the home".to_owned(), replica, &it.book, it.colls.all());
        let shown = look.map(|look| look.shown).unwrap_or_default();
        let live = shown.iter().flat_map(|(_, live)| live);
        live.map(|(_, payload)| match payload {
            Payload::Inline(bytes) => bytes.len() as u64,
            Payload::Blob(blob) => blob.len,
        })
        .sum()
    }
}
