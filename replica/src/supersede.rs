//! What each verb writes and supersedes, decided at the commit on all that is pending.

use std::collections::BTreeMap;

use crdt::commit::SUPERSEDES_MAX;
use crdt::view::counter::Total;
use crdt::view::lww::{Live, Losers, supersedes_delete, supersedes_put};
use crdt::view::mv::Context;
use crdt::view::set::{ADDED, Phase, REMOVED, two_phase};
use crdt::{CollId, DeviceId, Dot, Hlc, Mutation, Op, Payload, Supersede};
use disk::Disk;
use planted::Bug;

use crate::error::{CommitError, Error};
use crate::replica::Replica;
use crate::transaction::{Scope, Transaction, Write};

/// The commit that is being made.
#[derive(Clone, Copy)]
struct New {
    dot: Dot,
    hlc: Hlc,
    losers: Losers,
}

impl<D: Disk> Replica<D> {
    /// What is written, with what it supersedes of all that is pending.
    pub(crate) fn mutations(
        &mut self,
        writes: &BTreeMap<(CollId, Vec<u8>), Write>,
        dot: Dot,
        hlc: Hlc,
    ) -> Result<Vec<Mutation>, CommitError> {
        let mut mutations = Vec::with_capacity(writes.len());
        let mut losers: Option<(CollId, Losers)> = None;
        for ((coll, key), write) in writes {
            let coll = *coll;
            let kept = match losers.filter(|(of, _)| *of == coll) {
                Some((_, kept)) => kept,
                None => self.pending.manner(coll)?.map_or(Losers::Replace, |manner| manner.losers()),
            };
            losers = Some((coll, kept));
            let new = New { dot, hlc, losers: kept };
            let Some((op, supersedes)) = self.outcome(coll, key, write, new)? else { continue };
            if supersedes.len() > SUPERSEDES_MAX {
                return Err(CommitError::Siblings { coll, len: supersedes.len(), max: SUPERSEDES_MAX });
            }
            mutations.push(Mutation { coll, key: key.clone(), op, supersedes });
        }
        Ok(mutations)
    }

    /// Whether all that a transaction wants is so already, so that its commit would say nothing. Like a commit it is refused
    /// where what was read has changed.
    pub fn is_so(&self, transaction: &Transaction<D>) -> Result<bool, CommitError> {
        transaction.validate(&self.changes)?;
        if !transaction.notes.is_empty() {
            return Ok(false);
        }
        for ((coll, key), write) in &transaction.writes {
            let Write::Advance(wanted) = write else { return Ok(false) };
            // An element that goes no further is refused by the commit, and not so.
            let is_there = advance(&self.pending.live(*coll, key)?, *wanted, key);
            if !matches!(is_there, Ok(None)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What becomes of a write; none: what it wants is so already.
    fn outcome(
        &self,
        coll: CollId,
        key: &[u8],
        write: &Write,
        new: New,
    ) -> Result<Option<(Op, Vec<Dot>)>, CommitError> {
        let (rule, writer) = (coll.rule(), new.dot.writer);
        if let Write::Advance(wanted) = write {
            return advance(&self.pending.live(coll, key)?, *wanted, key);
        }
        let live = if rule.supersede() == Supersede::HomeOnly && !writer.is_home() {
            Vec::new()
        } else {
            let mut live: Vec<Live> = self.pending.live(coll, key)?;
            live.retain(|live| rule.may_supersede(&writer, &live.dot.writer));
            live
        };
        let outcome = match write {
            Write::Put(payload, scope) => (Op::Put(payload.clone()), self.put(&live, scope, new)?),
            Write::Delete => (Op::Delete, supersedes_delete(&live)),
            Write::DeleteSeen(context) => {
                self.check_seen(context)?;
                (Op::Delete, if context.names_any(&live) { context.supersedes(&live) } else { Vec::new() })
            }
            Write::Discard(dots) => {
                let chosen: Vec<Live> = live.into_iter().filter(|live| dots.contains(&live.dot)).collect();
                (Op::Delete, supersedes_delete(&chosen))
            }
            Write::Count(more) => {
                // A writer counts on from its own total, and from nobody else's: two that did would count it twice.
                let own: Vec<Live> = live.into_iter().filter(|live| live.dot.writer == writer).collect();
                let before = match planted::is(Bug::FoldCounters) {
                    true => self.counted_by(&writer.device(), coll, key)?,
                    false => {
                        own.iter().max_by_key(|live| live.dot.seq).and_then(|live| Total::of(&live.payload))
                    }
                };
                let total = before.unwrap_or_default().plus(more).ok_or(CommitError::CountTooLarge)?;
                (Op::Put(Payload::Inline(total.encode())), supersedes_delete(&own))
            }
            Write::Advance(_) => unreachable!("answered above"),
        };
        // A delete of nothing says nothing, and whoever follows would be told of it.
        Ok(Some(outcome).filter(|(op, gone)| *op != Op::Delete || !gone.is_empty()))
    }

    /// The latest total of any run of a device.
    fn counted_by(&self, device: &DeviceId, coll: CollId, key: &[u8]) -> Result<Option<Total>, Error> {
        let runs =
            self.pending.live(coll, key)?.into_iter().filter(|live| live.dot.writer.device() == *device);
        Ok(runs.max_by_key(|live| live.hlc).and_then(|live| Total::of(&live.payload)))
    }

    fn put(&self, live: &[Live], scope: &Scope, new: New) -> Result<Vec<Dot>, CommitError> {
        let context = match scope {
            Scope::AsConfigured => return Ok(supersedes_put(live, new.losers, new.hlc, new.dot)),
            Scope::Resolved => return Ok(supersedes_delete(live)),
            Scope::Beside(gone) => {
                let mut dots = supersedes_put(live, new.losers, new.hlc, new.dot);
                dots.extend(live.iter().map(|live| live.dot).filter(|dot| gone.contains(dot)));
                dots.sort_unstable();
                dots.dedup();
                return Ok(dots);
            }
            Scope::Saw(context) => context,
        };
        self.check_seen(context)?;
        Ok(context.supersedes(live))
    }

    /// What nobody here has seen cannot be replaced: it would stay, and its writer would believe it gone.
    fn check_seen(&self, context: &Context) -> Result<(), CommitError> {
        for dot in context.dots() {
            let held: Result<_, Error> = self.pending.tip(&dot.writer);
            if held?.is_none_or(|tip| tip.seq < dot.seq) {
                return Err(CommitError::NotSeen { dot: *dot });
            }
        }
        Ok(())
    }
}

/// An element goes forward, or stays where it is.
fn advance(live: &[Live], wanted: Phase, key: &[u8]) -> Result<Option<(Op, Vec<Dot>)>, CommitError> {
    let payload = match (two_phase(live), wanted) {
        (Phase::Removed, Phase::Present) => return Err(CommitError::StaysRemoved { key: key.to_vec() }),
        (Phase::Absent, Phase::Present) => ADDED,
        (Phase::Present, Phase::Removed) => REMOVED,
        _ => return Ok(None),
    };
    Ok(Some((Op::Put(Payload::Inline(payload.to_vec())), Vec::new())))
}
