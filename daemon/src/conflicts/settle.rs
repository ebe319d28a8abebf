//! The ways to settle a conflict. Those of writes that disagree are ordinary commits, which replicate and conflict like any other.

use std::collections::{BTreeMap, BTreeSet};

use crdt::view::Json;
use crdt::{Dot, Op, Policy, Time};
use disk::RealDisk;
use replica::{Contest, ContestKind, KeyRange, Place, Snapshot, Transaction};
use serde_json::Value as JsonValue;

use super::ancestor::ancestor;
use super::held::held_here;
use super::{Found, Id, find, id_of_contest, merge};
use crate::api::types::{Settled, Value};
use crate::document;
use crate::slot::Error;
use crate::space::{DiskOwner, Space, transact};

/// What becomes of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// This side stands for all: `winner`, the number of a loser from 1 on, `delete` where that is one of the sides, or a
    /// dot. What a home did not take is written again.
    Pick(String),
    /// This value does; of a field or document it is JSON.
    Value(Value),
    /// What the JSON objects of all sides changed, together.
    Merge,
    /// What lost goes.
    Discard,
}

/// What is written to settle one.
#[derive(Clone)]
enum Writing {
    /// A value of a register, in place of all.
    Value(Vec<u8>),
    /// A value of a field, in place of all at it, above it and inside it.
    Field(Json),
    /// A document.
    Document(BTreeMap<String, Json>),
    /// The document is there with what is left of it.
    Restore,
    /// Nothing is.
    Delete,
    /// These writes go.
    Discard(BTreeSet<Dot>),
}

/// Settles the conflict of this id. One that is not open any more is [`Error::Settled`].
pub fn settle(space: &Space, id: &str, how: &Settle) -> Result<Settled, Error> {
    match find(space, id)? {
        None => Err(Error::Settled { id: id.to_string() }),
        Some((view, Found::Contest(contest))) => {
            let asked = Asked { space, id, snapshot: view.snapshot, contest };
            asked.carry_out(how)
        }
        Some((_, Found::Item(item))) => held_here(space, id, *item, how),
        Some((_, Found::Name(..))) => Err(unsettled(
            id,
            "two collections bear one name; move what is to stay from one to the other, key by key",
        )),
    }
}

/// The same of one that was found at a place, which is all that is looked at.
pub(crate) fn settle_at(space: &Space, place: &Place, id: &str, how: &Settle) -> Result<Settled, Error> {
    let snapshot = space.slot.snapshot_blocking()?;
    let mut open = snapshot.contests(place)?.into_iter();
    let asked = Id::parse(id);
    let contest = open.find(|contest| Some(id_of_contest(&space.id, contest)) == asked);
    let contest = contest.ok_or_else(|| Error::Settled { id: id.to_string() })?;
    Asked { space, id, snapshot, contest }.carry_out(how)
}

/// A contest that is to be settled, as it was found.
struct Asked<'a> {
    space: &'a Space,
    id: &'a str,
    snapshot: Snapshot<RealDisk>,
    contest: Contest,
}

impl Asked<'_> {
    fn carry_out(self, how: &Settle) -> Result<Settled, Error> {
        let (writing, outcome) = match how {
            Settle::Pick(pick) => (self.picked(pick)?, "picked"),
            Settle::Value(value) => (self.edited(value)?, "edited"),
            Settle::Merge => (self.merged()?, "merged"),
            Settle::Discard => (self.discarded(), "discarded"),
        };
        let policy = self.contest.policy.to_string();
        let (asked, of) = (id_of_contest(&self.space.id, &self.contest), self.space.id);
        let len = match &writing {
            Writing::Value(value) => value.len(),
            Writing::Field(json) => json.encode().len(),
            _ => 64,
        };
        let Contest { place, policy: kind, .. } = self.contest;
        let named = self.snapshot.contest_place(place.clone())?;
        let committed = self.space.slot.call_blocking(len, move |owner: &mut DiskOwner, now: Time| {
            transact(owner, now, |tx| {
                // Whoever writes there meanwhile makes it another conflict, which nobody has looked at.
                tx.depend(place.coll, &KeyRange::of(kind, &named.key));
                let open = tx.snapshot().contests(&named)?;
                if open.iter().all(|contest| id_of_contest(&of, contest) != asked) {
                    return Err(Error::Settled { id: asked.to_string() });
                }
                write(tx, &place, &writing)
            })
            .into()
        })?;
        self.space.metrics.settled(&policy, outcome);
        Ok(settled(self.id, outcome, Some(committed.dot)))
    }

    fn is_of_documents(&self) -> bool {
        self.contest.policy == Policy::Map
    }

    fn picked(&self, pick: &str) -> Result<Writing, Error> {
        let Contest { kind, winner, losers, .. } = &self.contest;
        let is_winner = pick == "winner" || pick == "0";
        match kind {
            ContestKind::Deleted => match pick {
                "1" => Ok(Writing::Restore),
                _ if is_winner || pick == "delete" => Ok(Writing::Delete),
                _ => {
                    Err(self
                        .unsettled("its sides are `winner` or `delete`, and 1, what is left of the document"))
                }
            },
            ContestKind::Revived => match pick {
                "1" | "delete" => Ok(Writing::Delete),
                _ if is_winner => Ok(Writing::Restore),
                _ => Err(self.unsettled("its sides are `winner`, and 1 or `delete`")),
            },
            ContestKind::Replaced if is_winner => Ok(self.discarded()),
            ContestKind::Siblings | ContestKind::Replaced => {
                let by_number = || losers.get(pick.parse::<usize>().ok()?.checked_sub(1)?);
                let by_dot = || {
                    let dot: Dot = pick.parse().ok()?;
                    winner.iter().chain(losers).find(|live| live.dot == dot)
                };
                let first = winner.as_ref().filter(|_| is_winner);
                let live = first.or_else(by_number).or_else(by_dot).ok_or_else(|| {
                    let count = losers.len();
                    self.unsettled(&format!(
                        "{pick:?} is none of its sides: `winner`, 1 to {count}, or a dot"
                    ))
                })?;
                if *kind == ContestKind::Replaced && Some(live) == winner.as_ref() {
                    return Ok(self.discarded());
                }
                let bytes = self.snapshot.value(&live.payload)?;
                if !self.is_of_documents() {
                    return Ok(Writing::Value(bytes));
                }
                let json =
                    Json::decode(&bytes).map_err(|_| self.unsettled("that side is no value of a field"))?;
                Ok(Writing::Field(json))
            }
        }
    }

    fn edited(&self, value: &Value) -> Result<Writing, Error> {
        if !self.is_of_documents() {
            let bytes = value.to_bytes().ok_or_else(|| self.unsettled("the value is not base64"))?;
            return Ok(Writing::Value(bytes));
        }
        self.written(json_of(value))
    }

    /// JSON in place of a field or of what is left of a document.
    fn written(&self, json: JsonValue) -> Result<Writing, Error> {
        let not_document = |why| Error::NotDocument { why };
        if self.contest.document_is_gone() {
            return Ok(Writing::Document(document::from_value(json).map_err(not_document)?));
        }
        Ok(Writing::Field(document::field_from(json).map_err(not_document)?))
    }

    fn discarded(&self) -> Writing {
        match self.contest.kind {
            ContestKind::Deleted => Writing::Delete,
            ContestKind::Revived => Writing::Restore,
            ContestKind::Siblings | ContestKind::Replaced => {
                Writing::Discard(self.contest.losers.iter().map(|loser| loser.dot).collect())
            }
        }
    }

    fn merged(&self) -> Result<Writing, Error> {
        if self.contest.kind != ContestKind::Siblings {
            return Err(self.unsettled("there is nothing to merge: one side is no value of the same key"));
        }
        let no_ancestor = || self.unsettled("neither log nor archive has the write that all sides had seen");
        let touch = ancestor(self.space, &self.contest)?.ok_or_else(no_ancestor)?;
        let Op::Put(payload) = &touch.op else { return Err(no_ancestor()) };
        let ancestor = match self.snapshot.value(payload) {
            Err(replica::Error::NotLocal { .. }) => return Err(no_ancestor()),
            bytes => self.json(&bytes?)?,
        };
        let sides = self.contest.winner.iter().chain(&self.contest.losers);
        let sides = sides.map(|live| self.json(&self.snapshot.value(&live.payload)?));
        let sides: Vec<JsonValue> = sides.collect::<Result<_, _>>()?;
        let merged = merge::merge(&ancestor, &sides).map_err(|paths| {
            self.unsettled(&format!("two sides changed {} differently", paths.join(", ")))
        })?;
        if self.is_of_documents() {
            return self.written(merged);
        }
        Ok(Writing::Value(merged.to_string().into_bytes()))
    }

    /// A side as JSON.
    fn json(&self, bytes: &[u8]) -> Result<JsonValue, Error> {
        let not_json = || self.unsettled("not every side is JSON");
        if self.is_of_documents() {
            return Json::decode(bytes).map(document::to_json).map_err(|_| not_json());
        }
        serde_json::from_slice(bytes).map_err(|_| not_json())
    }

    fn unsettled(&self, reason: &str) -> Error {
        unsettled(self.id, reason)
    }
}

fn write(tx: &mut Transaction<RealDisk>, place: &Place, writing: &Writing) -> Result<(), Error> {
    let Place { coll, key } = place;
    match writing {
        Writing::Value(value) => tx.resolve(*coll, key, value)?,
        Writing::Field(json) => tx.resolve_field(*coll, key, json)?,
        Writing::Document(fields) => tx.put_document(*coll, key, fields)?,
        Writing::Restore => tx.restore(*coll, key)?,
        Writing::Delete => tx.delete(*coll, key)?,
        Writing::Discard(dots) => tx.discard(*coll, key, dots.clone())?,
    }
    Ok(())
}

/// A value as the JSON that it is shown as.
fn json_of(value: &Value) -> JsonValue {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Bytes { base64 } => serde_json::json!({ "base64": base64 }),
        Value::Json(json) => json.clone(),
    }
}

pub(super) fn unsettled(id: &str, reason: &str) -> Error {
    Error::Unsettled { id: id.to_string(), reason: reason.to_string() }
}

pub(super) fn settled(id: &str, outcome: &str, dot: Option<Dot>) -> Settled {
    Settled { id: id.to_string(), outcome: outcome.to_string(), dot: dot.map(|dot| dot.to_string()) }
}
