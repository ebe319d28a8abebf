//! What lets a peer a few versions behind compute the base instead of fetching it.

use std::sync::Arc;

use btree::{Hash, Kind, Nodes, Source};
use crdt::vector::Row;
use crdt::{Commit, Dot, Hlc, Tip, WriterId};
use disk::Disk;
use sync::Offer;

use crate::error::Error;
use crate::replica::Replica;
use crate::view::tip_in;

/// Beyond this a peer fetches: nodes differ less than such a list is long.
const CHANGES_MAX: usize = 4096;
/// Bytes of home commits in one offer; it travels in one frame.
const HOME_LEN_MAX: usize = 1 << 20;

/// Rows that changed, and the home commits among what they stand for.
type Changes = (Vec<(WriterId, Tip)>, Vec<Arc<Commit>>);

impl<D: Disk> Replica<D> {
    /// The base, and what changed in it since version `since`, if that is still known here.
    pub(crate) fn offer_since(&self, since: u64) -> Result<Offer, Error> {
        let handle = self.base().clone();
        let ring = self.ring.records().to_vec();
        let (vector_changes, home_commits) = match self.changes_since(since)? {
            Some((changes, commits)) => (Some(changes), commits),
            None => (None, Vec::new()),
        };
        Ok(Offer { handle, ring, vector_changes, home_commits })
    }

    fn changes_since(&self, since: u64) -> Result<Option<Changes>, Error> {
        let Some(before) = self.vector_root_of(since) else { return Ok(None) };
        let nodes = &self.pending.nodes;
        let changes = vector_changes(nodes, &before, &Hash(self.base().vv_root))?;
        if changes.len() > CHANGES_MAX {
            return Ok(None);
        }
        let mut commits = Vec::new();
        let mut len = 0;
        for (writer, tip) in changes.iter().filter(|(writer, _)| writer.is_home()) {
            let had = tip_in(nodes, &before, writer)?.map_or(0, |tip| tip.seq);
            for seq in had + 1..=tip.seq {
                let Some(place) = self.tail.home(&Dot::new(*writer, seq)) else { return Ok(None) };
                len += place.len as usize;
                if len > HOME_LEN_MAX {
                    return Ok(None);
                }
                commits.push(Arc::new(self.read_commit(place)?));
            }
        }
        // By time, which is their causal order: a home writes one after another, under one clock.
        commits.sort_by_key(|commit| (commit.header().hlc, commit.dot()));
        Ok(Some((changes, commits)))
    }

    /// That what is held has all that the base covers.
    ///
    /// Damage at the end of a log looks as if that were torn. Commits that were folded from there alone are gone with it, also
    /// those that the base covers by now.
    pub(crate) fn check_holds_base(&self) -> Result<(), Error> {
        let base = self.base();
        let covered = Hash(base.vv_root);
        for (writer, tip) in vector_changes(&self.pending.nodes, &self.pending.local.vector, &covered)? {
            let held = self.pending.tip(&writer)?;
            if held.is_none_or(|held| held.seq < tip.seq) {
                return Err(Error::Short { dot: Dot::new(writer, tip.seq), version: base.version });
            }
        }
        Ok(())
    }

    fn vector_root_of(&self, version: u64) -> Option<Hash> {
        if version == self.base().version {
            return Some(Hash(self.base().vv_root));
        }
        self.manifest.recent.iter().find(|(recent, _)| *recent == version).map(|(_, root)| *root)
    }
}

/// The rows of one vector that another does not have.
pub(crate) fn vector_changes<D: Disk>(
    nodes: &Nodes<D>,
    before: &Hash,
    after: &Hash,
) -> Result<Vec<(WriterId, Tip)>, Error> {
    let mut changes = Vec::new();
    for change in btree::diff(nodes, before, nodes, after, Kind::Vector)? {
        let change = change?;
        if let Some(value) = change.after {
            changes.push(Row::decode(&change.key, Hlc(value.hlc), &value.payload)?);
        }
    }
    Ok(changes)
}

/// Whether a vector has all that an older one has, every writer at least as far.
pub(crate) fn covers<D: Disk>(source: Source<'_, D>, newer: &Hash, older: &Hash) -> Result<bool, Error> {
    for change in btree::diff(source, newer, source, older, Kind::Vector)? {
        let change = change?;
        let tip = |value: btree::Value| Row::decode(&change.key, Hlc(value.hlc), &value.payload);
        let Some(had) = change.after else { continue };
        let (_, had) = tip(had)?;
        let has = change.before.map(tip).transpose()?;
        // Two rows of one number that differ are two histories.
        if has.is_none_or(|(_, has)| has.seq <= had.seq) {
            return Ok(false);
        }
    }
    Ok(true)
}
