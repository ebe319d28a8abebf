//! What an honest replica may hold and must show: the valid commits, and what these come to.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crdt::view::Manner;
use crdt::{CommitId, Dot, Effect, Policy, Tip, WriterId, effects, physical};
use replica::{KeyRange, Order};
use sync::{Located, Store};

use super::{Den, LIAR, Seat};
use crate::machine::chain;

impl Den {
    /// An honest replica holds valid commits only, and shows what they come to.
    pub(super) fn check(&self, index: usize) -> Result<(), String> {
        let replica = &self.seats[index].replica;
        for (writer, seq, tip) in replica.tail() {
            if !self.book.contains_key(&(Dot::new(writer, seq), tip)) {
                return Err(format!("m{index} holds {writer} up to {seq}, which nobody wrote"));
            }
        }
        let snapshot = replica.snapshot();
        let mut expected: BTreeMap<Vec<u8>, crdt::Payload> = BTreeMap::new();
        let mut removed: BTreeSet<Vec<u8>> = BTreeSet::new();
        let mut seen: BTreeMap<WriterId, Tip> = BTreeMap::new();
        for ((dot, id), commit) in &self.book {
            let last = match seen.entry(dot.writer) {
                Entry::Occupied(last) => *last.get(),
                Entry::Vacant(first) => {
                    let tip = snapshot.tip(&dot.writer).map_err(|error| chain(&error))?;
                    *first.insert(tip.unwrap_or(Tip::START))
                }
            };
            let is_other_twin = last.seq == dot.seq && last.id != *id;
            if last.seq < dot.seq || is_other_twin {
                continue;
            }
            for effect in effects(commit) {
                match effect {
                    Effect::Put(key, _, payload) => drop(expected.insert(key, payload.clone())),
                    Effect::Remove(key) => drop(removed.insert(key)),
                }
            }
        }
        expected.retain(|key, _| !removed.contains(key));
        let mut found = BTreeMap::new();
        for coll in [self.coll, self.counter] {
            let scan = snapshot.scan(coll, &KeyRange::all(), Order::Ascending);
            for read in scan.map_err(|error| chain(&error))? {
                let read = read.map_err(|error| chain(&error))?;
                for live in read.losers.into_iter().chain([read.winner]) {
                    found.insert(physical(&coll, &read.key, &live.dot), live.payload);
                }
            }
        }
        let (manner, all) = (Manner::of(Policy::PnCounter), KeyRange::all());
        let counted = snapshot.entries(self.counter, manner, &all, Order::Ascending);
        if let Some(counted) = counted.map_err(|error| chain(&error))?.next() {
            let counted = counted.map_err(|error| chain(&error))?.value;
            return Err(format!("M68: m{index} counts {counted:?} where nobody has counted"));
        }
        if found == expected {
            return Ok(());
        }
        let differs = |(key, payload): &(&Vec<u8>, &crdt::Payload)| expected.get(*key) != Some(*payload);
        let extra =
            found.iter().find(differs).or_else(|| expected.iter().find(|(key, _)| !found.contains_key(*key)));
        let place = extra.and_then(|(key, _)| crdt::split_physical(key));
        Err(format!("I1: m{index} shows another state than its commits come to, at {place:?}"))
    }

    /// How many writers of the liar's are proven to have forked: everybody has the proof and sees the end of the writer.
    /// Where nothing is proven, a Handle covered one of the two commits before the other was met, and all have that.
    pub(super) fn check_forks(&self) -> Result<u64, String> {
        let honest = &self.seats[..LIAR];
        let mut proven = 0;
        for writer in &self.liar.forked {
            let has_proof = |seat: &Seat| seat.replica.evidence().against(writer) == Some(1);
            if !honest.iter().any(has_proof) {
                continue;
            }
            for (index, seat) in honest.iter().enumerate() {
                if !has_proof(seat) {
                    return Err(format!("M61: m{index} has no proof that {writer} forked, and others have"));
                }
                let cut = seat.replica.snapshot().cut(writer).map_err(|error| chain(&error))?;
                if cut.is_none_or(|cut| cut.seq > 1) {
                    return Err(format!("M61: m{index} sees no end of {writer}"));
                }
            }
            proven += 1;
        }
        Ok(proven)
    }

    /// Honest ones that talk find out soon that they hold different commits of one dot.
    pub(super) fn watch_twins(&mut self) -> Result<(), String> {
        /// Some questions and answers, four frames each way a round.
        const ROUNDS_MAX: u64 = 4;
        let honest = &self.seats[..LIAR];
        let held = |writer: &WriterId| -> BTreeSet<CommitId> {
            let of = |seat: &Seat| match seat.replica.locate(writer, 1) {
                Located::Id(id) => Some(id),
                Located::Unknown | Located::Absent => None,
            };
            honest.iter().filter_map(of).collect()
        };
        let is_one_base = honest.iter().all(|seat| seat.replica.base() == honest[0].replica.base());
        let may_find_out = is_one_base && self.now >= self.alone_until;
        let twins = self.liar.forked.iter().filter(|writer| may_find_out && held(writer).len() > 1);
        let rounds = |writer| self.apart.get(writer).copied().unwrap_or_default();
        self.apart = twins.map(|writer| (*writer, 1 + rounds(writer))).collect();
        if let Some((writer, _)) = self.apart.iter().find(|(_, rounds)| **rounds > ROUNDS_MAX) {
            return Err(format!("M61: two commits of {writer} are held and nobody finds out"));
        }
        Ok(())
    }
}
