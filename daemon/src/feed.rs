//! The change feed of one space: commits as they became visible here, at least once each, from a cursor on.

mod change;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crdt::{CollId, Commit, Dot, Op, Payload, system};
use disk::RealDisk;
use replica::{Place, Snapshot, Told};

use crate::api::types::{Change, Event, EventData, Key};
use crate::conflicts::OpenAt;
use crate::fingerprint;
use crate::keytext::time;
use crate::slot::{self, Look, Turn};
use crate::space::Space;
use crate::spaces::{Spaces, folder};
use crate::told;
use change::What;

/// Keys of one `changed` event.
const CHANGED_MAX: usize = 256;

/// Bytes of commits read from the archive at once.
const PAST_LEN_MAX: usize = 4 << 20;

/// Why commits alone do not tell everything.
const WITHOUT_COMMITS: &str = "a Handle has come since that changed more than the commits here tell";

/// Why a cursor is too old.
const ARCHIVE_GONE: &str = "the archive has let it go";

/// A place in the feed, at one replica only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    epoch: [u8; 4],
    /// Of the feed there: it goes up where commits alone do not tell everything.
    generation: u64,
    position: u64,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what comes.
    Now,
    /// As far back as commits tell everything.
    Oldest,
    /// After the event that had this cursor.
    Cursor(Cursor),
}

/// Why the feed cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cursor is not of this folder, or what it names is gone.
    #[error("the feed cannot go on from {cursor}: {reason}; the oldest cursor is {oldest}")]
    Gone {
        /// The cursor.
        cursor: Cursor,
        /// Why.
        reason: &'static str,
        /// Where it can begin.
        oldest: Cursor,
    },
    /// The space.
    #[error(transparent)]
    Space(#[from] slot::Error),
}

impl From<replica::Error> for Error {
    fn from(error: replica::Error) -> Error {
        Error::Space(error.into())
    }
}

/// Somebody who reads the feed.
pub struct Follower {
    space: Arc<Space>,
    /// Only changes of this collection.
    collection: Option<String>,
    cursor: Cursor,
    /// The state when everything up to then had been told.
    before: Option<Snapshot<RealDisk>>,
    names: BTreeMap<CollId, String>,
    /// Collections that nobody has described yet, the space's own among them.
    nameless: BTreeSet<CollId>,
}

impl Follower {
    /// Begins. Positions are those of the log in the space's folder, and mean nothing in a copy of it.
    pub fn new(
        spaces: &Spaces,
        space: Arc<Space>,
        collection: Option<String>,
        start: Start,
    ) -> Result<Follower, Error> {
        let print = fingerprint::of(&spaces.data().join(folder(&space.id)));
        let print = print.map_err(|error| slot::Error::Unavailable { reason: error.to_string() })?;
        let epoch = print.0.first_chunk().copied().expect("a fingerprint is longer");
        let look = look(&space, None)?;
        let at = |position| Cursor { epoch, generation: look.mark.generation, position };
        let (now, oldest) = (at(look.end), at(look.oldest()));
        let cursor = match start {
            Start::Now => now,
            Start::Oldest => oldest,
            Start::Cursor(cursor) => {
                let reason = if cursor.epoch != epoch {
                    "it is of another folder"
                } else if cursor.generation != look.mark.generation || cursor.position < look.mark.start {
                    WITHOUT_COMMITS
                } else if cursor.position < oldest.position {
                    ARCHIVE_GONE
                } else if cursor.position > look.end || self::look(&space, Some(cursor.position)).is_err() {
                    "it is no place of this log"
                } else {
                    ""
                };
                if !reason.is_empty() {
                    return Err(Error::Gone { cursor, reason, oldest });
                }
                cursor
            }
        };
        let before = (cursor.position == look.end).then_some(look.snapshot);
        Ok(Follower { space, collection, cursor, before, names: BTreeMap::new(), nameless: BTreeSet::new() })
    }

    /// Where it is.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// What comes next; nothing: all is told. It blocks.
    pub fn next_events(&mut self) -> Result<Vec<Event>, Error> {
        loop {
            let from = self.cursor.position;
            let look = look(&self.space, Some(from))?;
            if self.cursor.generation != look.mark.generation {
                return self.compare(look);
            }
            let oldest = Cursor { position: look.oldest(), ..self.cursor };
            let (told, next) = match look.told {
                Some(told) => told,
                None => look.past.told(from, PAST_LEN_MAX)?.ok_or(Error::Gone {
                    cursor: self.cursor,
                    reason: ARCHIVE_GONE,
                    oldest,
                })?,
            };
            let mut events = Vec::new();
            let mut open = OpenAt::new(self.space.id, &look.snapshot);
            for Told { commit, next } in told {
                self.cursor.position = next;
                events.extend(self.commit(&commit, &mut open)?);
            }
            self.cursor.position = next;
            if next >= look.end {
                self.before = Some(look.snapshot);
            }
            // Commits that concern nobody here are passed over, however many come in a row.
            if !events.is_empty() || next == from {
                return Ok(events);
            }
        }
    }

    fn commit(&mut self, commit: &Commit, open: &mut OpenAt<'_>) -> Result<Option<Event>, Error> {
        let mut changes = Vec::new();
        for mutation in &commit.body().mutations {
            let payload = match &mutation.op {
                Op::Put(payload) => Some(payload),
                // Nothing was there: nothing has changed.
                Op::Delete if mutation.supersedes.is_empty() => continue,
                Op::Delete => None,
            };
            let place = Place { coll: mutation.coll, key: mutation.key.clone() };
            changes.extend(self.change(&place, payload, &mutation.supersedes, open)?);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        let (dot, hlc) = (commit.dot(), commit.header().hlc);
        let micros = i64::try_from(hlc.time().0.saturating_mul(1_000)).unwrap_or(i64::MAX);
        let data = EventData { device: Some(told::device(&dot.writer)), hlc: Some(hlc.0), changes };
        Ok(Some(self.event(dot.to_string(), "strandline.commit", time::format(micros), data)))
    }

    fn event(&self, id: String, kind: &str, time: Option<String>, data: EventData) -> Event {
        Event {
            specversion: "1.0".to_string(),
            id,
            source: format!("/v1/spaces/{}", self.space.id),
            kind: kind.to_string(),
            time,
            datacontenttype: "application/json".to_string(),
            cursor: self.cursor.to_string(),
            data,
        }
    }

    /// What was done at a key, unless it is the space's own business or another collection's.
    fn change(
        &mut self,
        place: &Place,
        payload: Option<&Payload>,
        supersedes: &[Dot],
        open: &mut OpenAt<'_>,
    ) -> Result<Option<Change>, Error> {
        let snapshot = open.snapshot();
        let Some(collection) = self.name(place.coll, snapshot)? else { return Ok(None) };
        let What { op, value, len, ignored } = What::of(snapshot, place, payload)?;
        Ok(Some(Change {
            collection,
            key: Key(place.key.clone()),
            op: op.to_string(),
            value,
            len,
            ignored: ignored.map(str::to_string),
            supersedes: supersedes.iter().map(ToString::to_string).collect(),
            conflict: open.id(place)?,
        }))
    }

    fn name(&mut self, coll: CollId, snapshot: &Snapshot<RealDisk>) -> Result<Option<String>, Error> {
        if coll == system::coll() {
            self.nameless.clear();
        }
        if !self.names.contains_key(&coll) && self.nameless.insert(coll) {
            let found = snapshot.collections()?;
            self.names = found.into_iter().map(|found| (found.id, found.name)).collect();
        }
        let name = self.names.get(&coll).cloned();
        Ok(name.filter(|name| self.collection.as_ref().is_none_or(|wanted| wanted == name)))
    }

    /// Keys have changed that no commit here tells of: those that differ between what was told and what is there.
    fn compare(&mut self, look: Look<RealDisk>) -> Result<Vec<Event>, Error> {
        let oldest = Cursor { generation: look.mark.generation, position: look.mark.start, ..self.cursor };
        let Some(before) = self.before.take() else {
            return Err(Error::Gone { cursor: self.cursor, reason: WITHOUT_COMMITS, oldest });
        };
        let mut places = BTreeSet::new();
        before.differing(&look.snapshot, |place| {
            places.insert(place);
        })?;
        let mut changes = Vec::new();
        let mut open = OpenAt::new(self.space.id, &look.snapshot);
        for place in &places {
            let read = crdt::view::lww::lww(&look.snapshot.live(place.coll, &place.key)?)
                .map(|read| read.winner.payload.clone());
            changes.extend(self.change(place, read.as_ref(), &[], &mut open)?);
        }
        self.cursor = Cursor { position: look.end, ..oldest };
        let chunks = changes.chunks(CHANGED_MAX).enumerate().map(|(number, changes)| {
            let data = EventData { device: None, hlc: None, changes: changes.to_vec() };
            self.event(format!("{}/{number}", self.cursor), "strandline.changed", None, data)
        });
        let events = chunks.collect();
        self.before = Some(look.snapshot);
        Ok(events)
    }
}

fn look(space: &Space, from: Option<u64>) -> Result<Look<RealDisk>, slot::Error> {
    space.slot.call_blocking(0, move |owner, _| Turn::Done(owner.look(from)))
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epoch = data_encoding::HEXLOWER.encode(&self.epoch);
        write!(f, "{epoch}-{}-{}", self.generation, self.position)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Cursor, String> {
        let parse = || {
            let (epoch, rest) = text.split_once('-')?;
            let (generation, position) = rest.split_once('-')?;
            let epoch = data_encoding::HEXLOWER.decode(epoch.as_bytes()).ok()?.try_into().ok()?;
            Some(Cursor { epoch, generation: generation.parse().ok()?, position: position.parse().ok()? })
        };
        parse().ok_or_else(|| {
            format!("{text:?} is not a cursor that an event had; `oldest` begins at the beginning")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_come_back_from_their_text() {
        let cursor = Cursor { epoch: [1, 2, 3, 0xff], generation: 7, position: 4096 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "010203ff", "010203ff-7", "010203-7-1", "010203ff-7-x"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
