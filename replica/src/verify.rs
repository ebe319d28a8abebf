//! Everything a replica holds, read again and compared with what it should be.

use std::collections::{BTreeMap, BTreeSet};

use btree::{Fresh, Hash, Kind};
use crdt::{Commit, Dot, Tip, WriterId};
use disk::Disk;

use crate::checkpoint::fold_overlay;
use crate::collect::add_blobs_of_tree;
use crate::error::Error;
use crate::options::Mode;
use crate::record::Record;
use crate::replica::Replica;
use crate::view::tip_in;

/// What was found whole, and how far it reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Nodes of the base and local trees, hashed again.
    pub nodes: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of these nodes.
    pub bytes: u64,
    /// Values hashed again.
    pub blobs: u64,
    /// Records of the log read again.
    pub records: u64,
    /// Commits whose chain was followed.
    pub commits: u64,
    /// Seals whose signature was checked, those of strands included.
    pub seals: u64,
    /// The log was read from here; what lies before rests on the home's signature.
    pub from: u64,
    /// Up to here.
    pub to: u64,
    /// What is wrong, one sentence each; empty if nothing is.
    pub problems: Vec<String>,
}

impl Report {
    /// Damage that is met on two ways is told once.
    fn note(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

impl<D: Disk> Replica<D> {
    /// Reads everything again: manifest, trees, values, log, chains and seals, and folds the log onto the base to compare it with
    /// what is visible. Damage is reported, not returned: an error means that the check itself could not go on.
    pub fn verify(&self) -> Result<Report, Error> {
        let mut report = Report::default();
        if self.mode == Mode::ReadWrite {
            report.problems = self.slots.problems(self.slot, &self.manifest.encode());
        }
        self.verify_trees(&mut report);
        if let Err(error) = self.inbox() {
            report.note(format!("the inbox cannot be read: {}", sentence(&error)));
        }
        for checked in [self.verify_log(&mut report), self.verify_state(&mut report)] {
            match checked {
                // Told where the trees were read.
                Err(error) if error.is_damage() => report.note(sentence(&error)),
                checked => checked?,
            }
        }
        Ok(report)
    }

    fn verify_trees(&self, report: &mut Report) {
        let base = self.visible.0.base_roots();
        let local = self.visible.0.local;
        // Where nothing lies above the base, both are the same two trees.
        let trees = BTreeSet::from([
            (Kind::Data, base.data),
            (Kind::Vector, base.vector),
            (Kind::Data, local.data),
            (Kind::Vector, local.vector),
        ]);
        for (kind, root) in trees {
            match btree::verify(&self.visible.0.nodes, kind, &root) {
                Ok(found) => {
                    report.nodes += found.nodes;
                    report.entries += found.entries;
                    report.bytes += found.bytes;
                    if kind == Kind::Data {
                        self.verify_values(report, &root);
                    }
                }
                Err(error) => report.note(sentence(&error)),
            }
        }
        let opened = self.visible.0.nodes.packs();
        for pack in self.manifest.packs.iter().filter(|pack| !opened.contains(pack)) {
            report.note(format!("the index of pack {} cannot be read", pack.name));
        }
        // Every node, not those of the two trees alone: an offer reads the vectors of bases before this one.
        for pack in self.visible.0.nodes.packs() {
            for (kind, hash, _) in self.visible.0.nodes.pack_entries(&pack.name) {
                match self.visible.0.nodes.check(&pack.name, &hash) {
                    Ok(()) => report.blobs += u64::from(kind == Kind::Chunk),
                    Err(error) => report.note(sentence(&error)),
                }
            }
        }
    }

    /// Every value that a tree names is here: in a pack, or in the log until the next checkpoint.
    fn verify_values(&self, report: &mut Report, root: &Hash) {
        let mut named = BTreeSet::new();
        match add_blobs_of_tree(&self.visible.0.nodes, root, &mut named) {
            Ok(()) => {
                let is_missing = |hash: &Hash| self.visible.0.blob_len(hash).is_none();
                for hash in named.into_iter().filter(is_missing) {
                    report.note(format!("value {hash} is named by the tree and is not here"));
                }
            }
            Err(error) => report.note(sentence(&error)),
        }
    }

    fn verify_log(&self, report: &mut Report) -> Result<(), Error> {
        (report.from, report.to) = (self.log.start().0, self.log.end().0);
        let mut tips: BTreeMap<WriterId, Tip> = BTreeMap::new();
        for entry in self.log.entries(self.log.start()) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    report.problems.push(sentence(&error));
                    return Ok(());
                }
            };
            report.records += 1;
            if self.void_at(entry.position).is_some() {
                continue;
            }
            match Record::decode(entry.position, entry.kind, &entry.payload) {
                Ok(record) => self.verify_record(report, &mut tips, &record)?,
                Err(error) => report.problems.push(sentence(&error)),
            }
        }
        Ok(())
    }

    fn verify_record(
        &self,
        report: &mut Report,
        tips: &mut BTreeMap<WriterId, Tip>,
        record: &Record,
    ) -> Result<(), Error> {
        if let Some(commit) = record.commit() {
            report.commits += 1;
            if let Some(error) = self.broken(tips, commit)? {
                report.problems.push(format!("commit {}: {error}", commit.dot()));
            }
            tips.insert(commit.dot().writer, commit.tip());
        }
        if let Record::Rebuild(_, ends) = record {
            // Whatever follows of these writers need not follow what was dropped.
            tips.retain(|writer, tip| ends.get(writer).is_none_or(|from| *from > tip.seq));
        }
        match record {
            Record::Seal(seal) => self.verify_vouch(report, seal.writer, seal.seq, |key| seal.verify(key)),
            Record::Strand(strand) => self
                .verify_vouch(report, strand.writer(), strand.first(), |key| strand.check(self.space, key)),
            _ => Ok(()),
        }
    }

    fn verify_vouch(
        &self,
        report: &mut Report,
        writer: WriterId,
        seq: u64,
        check: impl Fn(&[u8; 32]) -> Result<(), crdt::Error>,
    ) -> Result<(), Error> {
        report.seals += 1;
        let grant = self.visible.0.cuts()?.grant(&writer.device())?;
        // A device whose grant is gone: its seals were checked when they came.
        if let Some(error) = grant.and_then(|grant| check(&grant.public).err()) {
            report.problems.push(format!("seal of {writer} at {seq}: {error}"));
        }
        Ok(())
    }

    /// What is wrong with a commit, by itself or after the ones of its writer read so far.
    fn broken(&self, tips: &BTreeMap<WriterId, Tip>, commit: &Commit) -> Result<Option<crdt::Error>, Error> {
        let Dot { writer, seq } = commit.dot();
        if let Err(error) = commit.check() {
            return Ok(Some(error));
        }
        // The first of a writer follows one that is not here any more; and what an unfinished unit left may be repeated.
        let Some(tip) = tips.get(&writer).filter(|tip| tip.seq < seq) else { return Ok(None) };
        let is_next = seq == tip.seq + 1;
        // A Handle that was fetched covers commits that were never here.
        let is_covered = self.visible.0.base_tip(&writer)?.is_some_and(|base| base.seq >= seq - 1);
        if !is_next && is_covered { Ok(None) } else { Ok(commit.follows(tip).err()) }
    }

    /// Local is what the base and the commits above it give: the trees that readers see, made twice.
    fn verify_state(&self, report: &mut Report) -> Result<(), Error> {
        if !self.is_flushed() {
            return Ok(());
        }
        let view = &self.visible.0;
        let mut fresh = Fresh::new(view.salt);
        let shown = fold_overlay(&view.nodes, &mut fresh, view.local, &view.overlay)?;
        let computed = self.fold_tail(&mut fresh)?;
        if shown.vector != computed.vector {
            report.problems.push("the vector is not that of the base and the commits above it".into());
        } else if shown.data != computed.data {
            report.problems.push("the state is not that of the base and the commits above it".into());
        }
        for (writer, tail) in self.tail.writers() {
            let held = tip_in(&view.nodes, &view.local.vector, writer)?.map_or(0, |tip| tip.seq);
            if held.max(tail.last()) != view.tip(writer)?.map_or(0, |tip| tip.seq) {
                report
                    .problems
                    .push(format!("writer {writer} is indexed to {} and not seen so far", tail.last()));
            }
        }
        Ok(())
    }
}

fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        source = error.source();
    }
    sentence
}
