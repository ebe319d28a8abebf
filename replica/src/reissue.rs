//! The net effect of this device's dropped commits, written again: values, sums and winners stay as they were.
//!
//! Not the commits themselves: a counter's old total would count twice, and a put that somebody had deleted would come
//! back. Each keeps its time, since an old write must not rise above what had beaten it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use btree::{Fresh, Source};
use crdt::view::counter::Total;
use crdt::view::lww::Live;
use crdt::{
    Body, Class, CollId, Commit, CommitId, Dot, Evidence, Handle, Header, Mutation, Op, Open, Payload,
    Supersede, Tip, WriterId,
};
use disk::Disk;
use planted::Bug;

use crate::cuts::live_in;
use crate::drops::{Dropped, Reason, Sorted};
use crate::error::Error;
use crate::home::Roots;
use crate::inbox::{Item, ItemKind};
use crate::overlay::Overlay;
use crate::record::Record;
use crate::replica::Replica;
use crate::view::View;

/// What takes the place of this device's dropped commits.
#[derive(Default)]
pub(crate) struct Reissue {
    /// In the order in which they are to be logged.
    pub(crate) commits: Vec<Commit>,
    /// What is not written again, and a word on what is.
    pub(crate) items: Vec<Item>,
}

/// The two states between which the effect of the dropped commits is taken, and what is known of them.
struct Effect<'a, D: Disk> {
    /// As it was just before the drop.
    before: View<D>,
    /// Of the Handle with what is left of the tail.
    after: Source<'a, D>,
    survivors: Roots,
    /// For each counter that a dropped writer counted on: its first and its last mutation among the dropped.
    counters: BTreeMap<(WriterId, CollId, Vec<u8>), Counted>,
}

/// A dropped writer's counting on one key.
struct Counted {
    /// What the first mutation superseded: the writer's last total below.
    below: Option<Dot>,
    last: u64,
}

/// The writer that takes the place of a dropped one.
struct Successor {
    writer: WriterId,
    tip: Tip,
    taken_back: (WriterId, u64, CommitId),
}

impl<D: Disk> Replica<D> {
    /// What is to be written in place of this device's own dropped commits, and what is not.
    ///
    /// `survivors` are the roots of the Handle with what is left of the tail; `unseen` are home commits that the Handle
    /// brings and that were not folded here.
    pub(crate) fn reissue(
        &mut self,
        handle: &Handle,
        fresh: &Fresh,
        survivors: Roots,
        sorted: &Sorted,
        unseen: &[Arc<Commit>],
    ) -> Result<Reissue, Error> {
        let own = |dropped: &&Dropped| self.is_own(&dropped.dot.writer) || dropped.dot.writer.is_home();
        let own: Vec<Dropped> = sorted.dropped.iter().filter(own).copied().collect();
        let mut reissue = Reissue::default();
        if own.is_empty() {
            return Ok(reissue);
        }
        let refusals = self.refusals(handle, fresh, &own)?;
        let mut before = self.pending.clone();
        unseen.iter().for_each(|commit| before.overlay.fold_quietly(commit));
        let nodes = self.pending.nodes.clone();
        let after = Source::new(&nodes, fresh);
        let mut effect = Effect { before, after, survivors, counters: BTreeMap::new() };
        for dropped in own.iter().filter(|dropped| !refusals.contains_key(&dropped.dot.writer)) {
            effect.count(&self.read_commit(dropped.place)?);
        }
        let mut successors: BTreeMap<WriterId, Successor> = BTreeMap::new();
        for dropped in &own {
            let commit = self.read_commit(dropped.place)?;
            if let Some((kind, reason)) = refusals.get(&dropped.dot.writer) {
                reissue.set_aside(*kind, reason, commit);
                continue;
            }
            let net = match planted::is(Bug::ReissueCommits) {
                true => Some(commit.body().mutations.clone()),
                false => self.net(&effect, &commit)?,
            };
            let Some(mutations) = net else {
                reissue.set_aside(ItemKind::Orphaned, "what it counted is not known", commit);
                continue;
            };
            if mutations.is_empty() {
                continue;
            }
            let successor = match successors.entry(dropped.dot.writer) {
                Entry::Occupied(successor) => successor.into_mut(),
                Entry::Vacant(vacant) => vacant.insert(self.successor(dropped, &mut reissue)?),
            };
            let key = self.device.public();
            reissue.commits.push(successor.write(&commit, handle, key, mutations)?);
        }
        Ok(reissue)
    }

    /// Writers whose dropped commits are not written again, and why.
    fn refusals(
        &self,
        handle: &Handle,
        fresh: &Fresh,
        own: &[Dropped],
    ) -> Result<BTreeMap<WriterId, (ItemKind, &'static str)>, Error> {
        let roots = Roots { data: btree::Hash(handle.data_root), vector: btree::Hash(handle.vv_root) };
        let cuts =
            crate::cuts::Cuts::new(Source::new(&self.pending.nodes, fresh), roots, &self.pending.proofs)?;
        let mut refusals = BTreeMap::new();
        for dropped in own {
            let writer = dropped.dot.writer;
            if refusals.contains_key(&writer) {
                continue;
            }
            let refusal = if dropped.reason == Reason::Resting {
                Some((ItemKind::Unconfirmed, "this folder does not act as the home, and no handle covers it"))
            } else if writer.is_home() {
                Some((ItemKind::Rejected, "another home's handle took the place of this one's"))
            } else if matches!(dropped.reason, Reason::Forked | Reason::Unconfirmed) {
                Some((ItemKind::Unconfirmed, "another branch of its writer may have taken its place"))
            } else if cuts.write_grant(&writer)?.is_none() {
                Some((ItemKind::Rejected, "this device may not write here any more"))
            } else if self.is_reissue(dropped)? {
                Some((ItemKind::Orphaned, "it was written again once already, and that was cut"))
            } else if self.is_taken_back(&dropped.dot) {
                Some((ItemKind::Orphaned, "another copy of this device has written it again"))
            } else if self.is_copy {
                Some((ItemKind::Orphaned, "this folder is a copy: the other one may have written it again"))
            } else {
                None
            };
            if let Some(refusal) = refusal {
                refusals.insert(writer, refusal);
            }
        }
        Ok(refusals)
    }

    /// Whether a commit is one that took the place of another: here it was logged as such, elsewhere its writer says so.
    fn is_reissue(&self, dropped: &Dropped) -> Result<bool, Error> {
        let entry = self.log.read(dropped.place.position)?;
        let record = Record::decode(entry.position, entry.kind, &entry.payload)?;
        let opened = record.commit().and_then(|commit| commit.header().open.as_ref());
        let says_so = opened.is_some_and(|open| open.reissues.is_some());
        Ok(says_so || matches!(record, Record::Reissued(_)))
    }

    /// Whether somebody with this device's key took a commit back before this drop.
    fn is_taken_back(&self, dot: &Dot) -> bool {
        let mut known = self.pending.proofs.iter();
        known.any(|(proof, evidence)| {
            let is_taken_back = matches!(**evidence, Evidence::TakenBack(_));
            is_taken_back && proof.writer == dot.writer && proof.seq <= dot.seq
        })
    }

    fn successor(&mut self, first: &Dropped, reissue: &mut Reissue) -> Result<Successor, Error> {
        let Dropped { dot, id, .. } = *first;
        let writer = self.draw_writer(dot.writer.class().unwrap_or(Class::Normal))?;
        let reason = format!("its effect was written again by writer {writer}");
        reissue.items.push(Item { kind: ItemKind::Reissued, dot, reason, commit: None });
        Ok(Successor { writer, tip: Tip::START, taken_back: (dot.writer, dot.seq, id) })
    }

    /// What is left to do of a dropped commit; none where that cannot be known.
    fn net(&self, effect: &Effect<'_, D>, commit: &Commit) -> Result<Option<Vec<Mutation>>, Error> {
        let mut net = Vec::new();
        for mutation in &commit.body().mutations {
            let before = effect.before.live(mutation.coll, &mutation.key)?;
            let was_live = before.iter().any(|live| live.dot == commit.dot());
            match mutation.coll.rule().supersede() {
                Supersede::Any => net.extend(effect.net_of_any(mutation, was_live, &before)?),
                Supersede::HomeOnly if was_live => net.push(put_again(mutation)),
                Supersede::HomeOnly => {}
                Supersede::Own => {
                    let Some(total) = self.net_total(effect, commit, mutation)? else { return Ok(None) };
                    net.extend(total.filter(|_| was_live));
                }
            }
        }
        Ok(Some(net))
    }

    /// What a dropped writer counted above what it had counted below: at its last mutation of the key.
    fn net_total(
        &self,
        effect: &Effect<'_, D>,
        commit: &Commit,
        mutation: &Mutation,
    ) -> Result<Option<Option<Mutation>>, Error> {
        let counted = &effect.counters[&effect_key(commit, mutation)];
        if counted.last != commit.dot().seq {
            return Ok(Some(None));
        }
        let below = match counted.below {
            _ if planted::is(Bug::ReissueTotals) => Total::default(),
            Some(dot) => match self.total_at(effect, mutation, &dot)? {
                Some(total) => total,
                None => return Ok(None),
            },
            None => Total::default(),
        };
        let Some(total) = total_of(mutation).and_then(|total| total.minus(&below)) else { return Ok(None) };
        let op = Op::Put(Payload::Inline(total.encode()));
        Ok(Some(Some(Mutation { op, supersedes: Vec::new(), ..mutation.clone() })))
    }

    /// The total that a commit which still counts left at a key.
    fn total_at(
        &self,
        effect: &Effect<'_, D>,
        mutation: &Mutation,
        dot: &Dot,
    ) -> Result<Option<Total>, Error> {
        let (coll, key) = (mutation.coll, &mutation.key);
        let (nodes, base) = (&self.pending.nodes, self.pending.base_roots());
        let live = effect.live(coll, key)?.into_iter().chain(live_in(nodes.into(), &base, coll, key)?);
        if let Some(live) = live.into_iter().find(|live| live.dot == *dot) {
            return Ok(Total::of(&live.payload));
        }
        let Some(place) = self.tail.writer(&dot.writer).and_then(|tail| tail.place(dot.seq)) else {
            return Ok(None);
        };
        let commit = self.read_commit(place)?;
        let mut mutations = commit.body().mutations.iter();
        let found = mutations.find(|found| (found.coll, &found.key) == (coll, key));
        Ok(found.and_then(total_of))
    }
}

impl<D: Disk> Effect<'_, D> {
    /// Takes note of a dropped commit's counting.
    fn count(&mut self, commit: &Commit) {
        let Dot { writer, seq } = commit.dot();
        for mutation in &commit.body().mutations {
            if mutation.coll.rule().supersede() == Supersede::Own {
                let below = mutation.supersedes.iter().rfind(|dot| dot.writer == writer).copied();
                let counted = self.counters.entry(effect_key(commit, mutation));
                counted.or_insert(Counted { below, last: seq }).last = seq;
            }
        }
    }

    fn live(&self, coll: CollId, key: &[u8]) -> Result<Vec<Live>, Error> {
        live_in(self.after, &self.survivors, coll, key)
    }

    /// The put, if it was alive, and what it had superseded that would come back now that it is gone.
    fn net_of_any(
        &self,
        mutation: &Mutation,
        was_live: bool,
        before: &[Live],
    ) -> Result<Option<Mutation>, Error> {
        let comes_back =
            |live: &Live| mutation.supersedes.contains(&live.dot) && before.iter().all(|b| b.dot != live.dot);
        let back = self.live(mutation.coll, &mutation.key)?.into_iter().filter(comes_back);
        let supersedes: Vec<Dot> = back.map(|live| live.dot).collect();
        Ok(match was_live {
            true => Some(Mutation { supersedes, ..mutation.clone() }),
            false if supersedes.is_empty() => None,
            false => Some(Mutation { op: Op::Delete, supersedes, ..mutation.clone() }),
        })
    }
}

impl Successor {
    /// A commit at the time of the one whose place it takes.
    fn write(
        &mut self,
        old: &Commit,
        base: &Handle,
        device_key: [u8; 32],
        mutations: Vec<Mutation>,
    ) -> Result<Commit, Error> {
        let open = Open { device_key, closes: Vec::new(), reissues: Some(self.taken_back) };
        let header = Header {
            writer: self.writer,
            seq: self.tip.seq + 1,
            prev: self.tip.id,
            base: base.version,
            hlc: if planted::is(Bug::ReissueNow) { base.hlc.max(old.header().hlc) } else { old.header().hlc },
            open: (self.tip.seq == 0).then_some(open),
            ..old.header().clone()
        };
        // What it supersedes it waits for anyway; past a dropped commit nothing else has an order.
        let commit = Commit::new(header, Body { deps: Vec::new(), mutations })?;
        self.tip = commit.tip();
        Ok(commit)
    }
}

impl Reissue {
    fn set_aside(&mut self, kind: ItemKind, reason: &str, commit: Commit) {
        let (dot, reason) = (commit.dot(), reason.to_owned());
        self.items.push(Item { kind, dot, reason, commit: Some(commit) });
    }

    /// The commits, folded onto nothing.
    pub(crate) fn overlay(&self) -> Overlay {
        let mut overlay = Overlay::default();
        self.commits.iter().for_each(|commit| overlay.fold_quietly(commit));
        overlay
    }
}

fn put_again(mutation: &Mutation) -> Mutation {
    Mutation { supersedes: Vec::new(), ..mutation.clone() }
}

fn total_of(mutation: &Mutation) -> Option<Total> {
    match &mutation.op {
        Op::Put(payload) => Total::of(payload),
        Op::Delete => None,
    }
}

fn effect_key(commit: &Commit, mutation: &Mutation) -> (WriterId, CollId, Vec<u8>) {
    (commit.dot().writer, mutation.coll, mutation.key.clone())
}
