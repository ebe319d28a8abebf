//! Damage at rest: what a pack holds no more as it was written is fetched again by its hash, and its pack is given up.

use std::collections::BTreeSet;
use std::sync::Arc;

use btree::{Fresh, Hash, Kind, Nodes};
use crdt::{Evidence, Handle, Proof, Proofs, Time};
use disk::Disk;
use sync::NodeId;

use crate::error::Error;
use crate::fetch::{Fetch, roots};
use crate::home::Roots;
use crate::manifest::Manifest;
use crate::record::Record;
use crate::replica::Replica;
use crate::snapshot::Snapshot;

/// The name of nothing.
const NOWHERE: Hash = Hash([0xff; 32]);

/// Damage that is being mended: a fetch of the base, for which what is damaged counts as not here.
#[derive(Default)]
pub(crate) struct Mending {
    /// Under way, where something is lacking that a peer may have.
    pub(crate) fetch: Option<Fetch>,
    /// How much damage had been met when it was last looked at.
    seen: u64,
    /// For which base.
    version: u64,
    /// What was proven meanwhile and cannot be taken before that: checked, and heard from a peer who tells it once.
    heard: Proofs,
    /// A newer Handle that can be held against this base only when that is whole, and how much damage was known then.
    waiting: Option<(Hash, u64)>,
}

impl<D: Disk> Replica<D> {
    /// Whether damage was met that [`Replica::mend`] has not looked at, or has everything for.
    pub fn is_mend_due(&self) -> bool {
        let Mending { fetch, seen, version, .. } = &self.mending;
        let is_overtaken = fetch.is_some() && *version != self.base().version;
        let is_news = !self.is_unread && (*seen != self.pending.nodes.damage_noted() || is_overtaken);
        is_news || self.is_all_here() || self.is_heard_due()
    }

    /// Whether everything has come that was asked for, and has yet to be written.
    fn is_all_here(&self) -> bool {
        let fetch = self.mending.fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.wanted.is_empty() && fetch.handle == *self.base())
    }

    /// Whether something at rest is known to be damaged and is not mended.
    pub fn is_damaged(&self) -> bool {
        self.mending.fetch.is_some() || self.pending.nodes.is_damaged()
    }

    /// Notes that damage alone keeps a Handle from being taken up.
    pub(crate) fn wait_to_adopt(&mut self, handle: &Handle) {
        self.mending.waiting = Some((Hash(handle.hash()), self.pending.nodes.damage_noted()));
    }

    /// Whether it would be in vain to try again: nothing has been mended and nothing else was met.
    pub(crate) fn is_waiting_to_adopt(&self, handle: &Handle) -> bool {
        let now = Some((Hash(handle.hash()), self.pending.nodes.damage_noted()));
        self.is_damaged() && self.mending.waiting == now
    }

    /// How much is asked of peers, since it is damaged here.
    pub fn lost_count(&self) -> usize {
        self.mending.fetch.as_ref().map_or(0, |fetch| fetch.wanted.len())
    }

    /// Looks how far damage reaches, reading everything, and mends what can be mended at once. The rest is asked of peers,
    /// and mended when they have sent it.
    ///
    /// What is above the base is made anew from the log: it is in no tree that somebody signed. Until then reads of what is
    /// damaged are errors, and all else goes on.
    pub fn mend(&mut self, now: Time) -> Result<(), Error> {
        self.check_mendable()?;
        if self.is_heard_due() {
            return self.take_heard(now);
        }
        let is_news = self.mending.seen != self.pending.nodes.damage_noted();
        if self.is_unread || (self.is_all_here() && !is_news) {
            // The disk had no room for it.
            return self.finish_mending(now);
        }
        self.mending.seen = self.pending.nodes.damage_noted();
        self.mending.version = self.base().version;
        let was_asked = self.mending.fetch.take();
        if !self.pending.nodes.check_again() && was_asked.is_none() {
            // A read that failed once.
            return Ok(());
        }
        // What is in no pack is found only by going through the trees.
        self.pending.nodes.suspect();
        self.check_packs();
        self.mending.seen = self.pending.nodes.damage_noted();
        let fresh = was_asked.map_or_else(|| Fresh::new(self.pending.salt), |fetch| fetch.fresh);
        let handle = self.base().clone();
        let mut fetch = Fetch { handle, fresh, wanted: BTreeSet::new() };
        fetch.wanted = self.lacking(&mut fetch.fresh)?;
        self.mending.fetch = Some(fetch);
        self.finish_mending(now)
    }

    /// What a replica whose log has yet to be read lacks of its base; none if that is whole.
    pub(crate) fn lacking_at_open(&mut self) -> Result<Option<BTreeSet<NodeId>>, Error> {
        self.pending.nodes.suspect();
        self.check_packs();
        if !self.is_inbox_whole() {
            return Err(Error::BadInbox);
        }
        let lacking = self.lacking_below(&Fresh::new(self.pending.salt), roots(self.base()).to_vec())?;
        Ok((!lacking.is_empty()).then_some(lacking))
    }

    /// Nothing can be read or written before this has come: that reads fail and show nothing old, local is no tree.
    pub(crate) fn wait_for(&mut self, wanted: BTreeSet<NodeId>, opens: u64) {
        self.is_unread = true;
        self.manifest.opens = opens;
        self.pending.local = Roots { data: NOWHERE, vector: NOWHERE };
        self.visible = Snapshot(Arc::new(self.pending.clone()));
        self.ask_for(wanted);
    }

    /// The base is whole, and the log says what is above it: local trees are made anew.
    pub(crate) fn rebuild_unread(&mut self, now: Time) -> Result<(), Error> {
        let mut fresh = Fresh::new(self.pending.salt);
        let lacking = self.lacking(&mut fresh)?;
        let base = self.base().clone();
        if lacking.is_empty() {
            return self.rebuild_sound(now, base, fresh);
        }
        // Packs stay as they are as long as nobody has brought what they alone should have.
        self.rebuild_on(now, base, fresh, &[])?;
        self.ask_for(lacking);
        Ok(())
    }

    fn ask_for(&mut self, wanted: BTreeSet<NodeId>) {
        let fetch = Fetch { handle: self.base().clone(), fresh: Fresh::new(self.pending.salt), wanted };
        let (seen, version) = (self.pending.nodes.damage_noted(), self.base().version);
        self.mending = Mending { fetch: Some(fetch), seen, version, ..Mending::default() };
    }

    /// Takes nodes that were asked for since they are damaged here.
    pub(crate) fn take_lost(&mut self, now: Time, nodes: &[(Kind, Hash, Vec<u8>)]) -> Result<(), Error> {
        let Some(mut fetch) = self.mending.fetch.take() else { return Ok(()) };
        let is_wanted = |(kind, hash, _): &&(Kind, Hash, Vec<u8>)| fetch.wanted.contains(&(*kind, *hash));
        let wanted: Vec<_> = nodes.iter().filter(is_wanted).collect();
        let is_any = !wanted.is_empty();
        let taken = wanted.into_iter().try_for_each(|(kind, hash, bytes)| {
            self.take_node(&mut fetch, *kind, *hash, bytes, &mut Vec::new())
        });
        self.mending.fetch = Some(fetch);
        taken?;
        if is_any && let Err(error) = self.finish_mending(now) {
            // No fault of the peer's, and tried again when it is due.
            self.last_error = Some(error.to_string());
        }
        Ok(())
    }

    /// What peers are asked for, at most so many, but for what they were asked already.
    pub(crate) fn lost_but(&self, asked: &BTreeSet<NodeId>, max: usize) -> Vec<NodeId> {
        let wanted = self.mending.fetch.iter().flat_map(|fetch| &fetch.wanted);
        wanted.filter(|node| !asked.contains(node)).take(max).copied().collect()
    }

    /// Reads every copy in every pack, and notes what is damaged.
    fn check_packs(&self) {
        let nodes = &self.pending.nodes;
        for pack in nodes.packs() {
            for (_, hash, _) in nodes.pack_entries(&pack.name) {
                // Noted, and told by `verify`.
                drop(nodes.check(&pack.name, &hash));
            }
        }
    }

    /// Whether all of the inbox is here, which nobody else has.
    pub(crate) fn is_inbox_whole(&self) -> bool {
        self.manifest.inbox.iter().all(|piece| self.pending.nodes.contains(piece))
    }

    /// What the base needs and is not here, and the values of commits above it; those that the log still holds are taken
    /// from there.
    fn lacking(&self, fresh: &mut Fresh) -> Result<BTreeSet<NodeId>, Error> {
        let mut lacking = self.lacking_below(fresh, roots(self.base()).to_vec())?;
        for place in self.tail.places() {
            let commit = self.read_commit(place)?;
            let blobs = commit.body().blobs();
            let values = blobs.iter().map(|blob| (Kind::Chunk, Hash(blob.hash)));
            let is_lost = |(_, hash): &NodeId| {
                self.pending.blob_len(hash).is_none() && fresh.kind(hash) != Some(Kind::Chunk)
            };
            lacking.extend(values.filter(is_lost));
        }
        if lacking.iter().all(|(kind, _)| *kind != Kind::Chunk) {
            return Ok(lacking);
        }
        for entry in self.log.entries(self.log.start()) {
            let entry = entry?;
            if let Ok(Record::Blob(bytes)) = Record::decode(entry.position, entry.kind, &entry.payload)
                && lacking.remove(&(Kind::Chunk, self.pending.salt.hash(Kind::Chunk, &bytes)))
            {
                fresh.insert_raw(Kind::Chunk, &bytes)?;
            }
        }
        Ok(lacking)
    }

    /// Once nothing is lacking, makes the base and what is above it anew, without the packs that are damaged.
    fn finish_mending(&mut self, now: Time) -> Result<(), Error> {
        // For another base than there is now it is looked at again.
        let fetch = if self.is_all_here() { self.mending.fetch.take() } else { None };
        let Some(Fetch { handle, fresh, .. }) = fetch else { return Ok(()) };
        let kept = Fetch { handle: handle.clone(), fresh: fresh.clone(), wanted: BTreeSet::new() };
        let mended = self.rebuild_fetched(now, handle, fresh);
        if mended.is_err() && self.is_damaged() {
            self.mending.fetch = Some(kept);
        }
        mended
    }

    /// Keeps evidence that only damage keeps from being taken; `false` if there is no room for it.
    pub(crate) fn hear_later(&mut self, proof: Proof, evidence: Arc<Evidence>) -> bool {
        self.mending.heard.insert(proof, evidence).is_ok()
    }

    fn is_heard_due(&self) -> bool {
        !self.mending.heard.is_empty() && !self.is_damaged()
    }

    fn take_heard(&mut self, now: Time) -> Result<(), Error> {
        let heard = std::mem::take(&mut self.mending.heard);
        let taken = heard.iter().try_for_each(|(_, evidence)| self.take_evidence(now, evidence.clone()));
        if taken.is_err() {
            self.mending.heard = heard;
        }
        taken
    }

    /// Takes up a Handle that is whole with `fresh`, and gives up the packs in which something is damaged: what is whole in
    /// them goes into a new one, with what was fetched.
    pub(crate) fn rebuild_sound(&mut self, now: Time, handle: Handle, mut fresh: Fresh) -> Result<(), Error> {
        let damaged = self.pending.nodes.damaged();
        let packs: BTreeSet<&String> = damaged.iter().map(|(_, pack)| pack).collect();
        let mut nodes = self.pending.nodes.clone();
        for pack in packs {
            nodes.salvage(pack, &mut fresh)?;
            nodes = nodes.without_pack(pack);
        }
        let nodes = self.write_rest(nodes, fresh)?;
        let mut manifest = self.manifest.clone();
        manifest.recent = self.whole_bases(&nodes);
        manifest.packs = nodes.packs();
        if self.is_unread {
            self.take_nodes_of(nodes);
            return self.stop_to_read(now, manifest);
        }
        self.write_manifest(now, manifest)?;
        nodes.forget_damaged();
        self.take_nodes_of(nodes);
        // Local trees are nobody else's: they are made anew from the base and the log.
        self.rebuild_on(now, handle, Fresh::new(self.pending.salt), &[])?;
        // Nothing may stay in a pack whose children are gone.
        let is_any_gone = damaged.iter().any(|(hash, _)| !self.pending.nodes.contains(hash));
        if is_any_gone && !self.is_in_doubt { self.collect(now) } else { Ok(()) }
    }

    /// The base is whole again: whoever opens the folder can read its log.
    fn stop_to_read(&mut self, now: Time, manifest: Manifest) -> Result<(), Error> {
        self.write_manifest(now, manifest)?;
        self.is_stopped = true;
        Ok(())
    }

    /// The bases before this one whose vectors are whole. A peer that has one of the others fetches instead of computing.
    fn whole_bases(&self, nodes: &Nodes<D>) -> Vec<(u64, Hash)> {
        let mut whole = self.manifest.recent.clone();
        whole.retain(|(_, root)| {
            let mut below = BTreeSet::new();
            let is_read = btree::reachable(nodes, Kind::Vector, root, &mut below).is_ok();
            is_read && below.iter().all(|hash| nodes.contains(hash))
        });
        whole
    }
}
