//! Open: the newest manifest whose files are all there, then the log after it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use btree::{Kind, Nodes, Salt};
use crdt::{Clock, Commit, Ring, Seal, Time, WriterId};
use disk::Disk;
use wal::{Log, Options, Position};

use crate::author::Author;
use crate::candidate::{Candidate, InSlots, copies};
use crate::changes::Changes;
use crate::error::Error;
use crate::folder::{PACKS, WAL};
use crate::heads::Heads;
use crate::manifest::Manifest;
use crate::notes::Notes;
use crate::options::{Mode, OpenOptions, Opened, Source};
use crate::overlay::Overlay;
use crate::record::Record;
use crate::replica::Replica;
use crate::retired::{Leaving, Retired};
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::tail::{Place, Tail};
use crate::view::View;

impl<D: Disk> Replica<D> {
    /// Opens a replica as its folder is: after an orderly stop, a crash, or a copy taken while it ran.
    pub fn open(disk: D, options: OpenOptions) -> Result<(Self, Opened), Error> {
        let lock = match options.mode {
            Mode::ReadWrite => Some(lock(&disk)?),
            Mode::ReadOnly => None,
        };
        let slots = match options.mode {
            Mode::ReadWrite => Slots::open(&disk)?,
            Mode::ReadOnly => Slots::open_read(&disk)?,
        };
        let in_slots = InSlots::read(&slots)?;
        let (sequence, opens) = in_slots.highest();
        let (candidate, log, recovered) = open_newest(&disk, &in_slots, options.mode, opens + 1)?;
        let mut replica = assemble(disk, slots, &candidate, log, &options, lock)?;
        let mut replay = Replay::default();
        replica.replay(options.now, &mut replay)?;
        if options.mode == Mode::ReadWrite {
            let mut named = in_slots.named_packs();
            named.extend(candidate.manifest.packs.iter().map(|pack| pack.name.clone()));
            replica.settle(options.now, sequence, opens + 1, &candidate, named)?;
        }
        replica.visible_end = replica.log.end();
        replica.show();
        let opened = Opened {
            source: candidate.source,
            version: replica.base().version,
            replayed: replay.folded,
            unsealed: replay.unsealed,
            cut: recovered.cut,
        };
        Ok((replica, opened))
    }

    /// The first write of an open: a manifest that counts it.
    fn settle(
        &mut self,
        now: Time,
        sequence: u64,
        opens: u64,
        candidate: &Candidate,
        named: BTreeSet<String>,
    ) -> Result<(), Error> {
        // After a kill the page cache may show a slot that the disk lacks, and after a failed flush it calls that clean.
        // Written again, so that it is durable before the other slot is replaced: else a crash now could cost both.
        if let Source::Slot { slot } = candidate.source {
            self.slots.write(slot, &candidate.manifest.encode())?;
        }
        self.remove_strangers(&named)?;
        for name in named.into_iter().filter(|name| !candidate.names_pack(name)) {
            self.retired.push(sequence + 1, now, Leaving::Pack(name));
        }
        self.list_archive()?;
        // The coming manifest is newer than all there are, complete or not.
        self.manifest.sequence = sequence;
        let mut manifest = self.manifest.clone();
        manifest.opens = opens;
        self.write_manifest(now, manifest)?;
        self.archive_old_segments()
    }

    /// Packs that no manifest names are left over from work that a crash cut short.
    fn remove_strangers(&self, named: &BTreeSet<String>) -> Result<(), Error> {
        let failed = |source| Error::Disk { action: "clean", name: PACKS.into(), source };
        for name in self.disk.list(PACKS).map_err(failed)? {
            if !named.contains(&name) {
                self.disk.remove(&format!("{PACKS}/{name}")).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Segments below the log's start, which an earlier run had let go.
    fn archive_old_segments(&mut self) -> Result<(), Error> {
        let failed = |source| Error::Disk { action: "list", name: WAL.into(), source };
        let Some(first) = self.log.segments().into_iter().next() else { return Ok(()) };
        let mut names = self.disk.list(WAL).map_err(failed)?;
        names.retain(|name| *name < first.name);
        if names.is_empty() { Ok(()) } else { self.archive_segments(names) }
    }

    /// Reads the log: what lies above the base is the tail, and what lies after the checkpoint is folded.
    fn replay(&mut self, now: Time, replay: &mut Replay) -> Result<(), Error> {
        let start = self.manifest.log_start;
        // The log cannot be lent out while what it holds changes the replica: a few entries at a time.
        let mut next = start;
        loop {
            let batch = self.log.entries(next).take(REPLAY_BATCH).collect::<Result<Vec<_>, _>>()?;
            let Some(last) = batch.last() else { break };
            next = last.next;
            for entry in batch {
                let len = u32::try_from(entry.payload.len()).expect("the log refuses longer payloads");
                let place = Place { position: entry.position, len };
                let record = Record::decode(entry.position, entry.kind, &entry.payload)?;
                self.replay_record(now, replay, record, place)?;
            }
        }
        replay.give_up_unit();
        Ok(())
    }

    fn replay_record(
        &mut self,
        now: Time,
        replay: &mut Replay,
        record: Record,
        place: Place,
    ) -> Result<(), Error> {
        let is_in_unit = matches!(record, Record::Received(_) | Record::Seal(_));
        if !is_in_unit {
            replay.give_up_unit();
        }
        let is_new = place.position >= self.manifest.position;
        match record {
            Record::Unit(commits, seals) => replay.unit = Some(Unit::new(commits, seals)),
            Record::Received(commit) => match &mut replay.unit {
                Some(unit) => unit.commits.push((commit, place)),
                // The log starts inside this unit: a Handle covers its first commits. It was whole, or nothing of it
                // would lie below the checkpoint.
                None if !is_new => self.replay_commit(now, replay, &commit, place)?,
                None => {}
            },
            Record::Seal(seal) => match &mut replay.unit {
                Some(unit) => {
                    unit.seals.push((seal, place.position));
                    self.replay_unit(now, replay)?;
                }
                None if !is_new => self.tail.push_seal(&seal.writer, seal.seq, place.position),
                None => {}
            },
            Record::Blob(bytes) if is_new => {
                let hash = self.pending.salt.hash(Kind::Chunk, &bytes);
                if self.pending.blob_len(&hash).is_none() {
                    self.pending.overlay.add_blob(hash, bytes.into());
                }
            }
            Record::Note(note) if is_new => self.notes.set(note),
            Record::Blob(_) | Record::Note(_) => {}
            Record::Home(commit) => self.replay_commit(now, replay, &commit, place)?,
            Record::Noted(commit, notes) => {
                self.replay_commit(now, replay, &commit, place)?;
                notes.into_iter().filter(|_| is_new).for_each(|note| self.notes.set(note));
            }
            Record::Commit(commit) => self.replay_unsealed(now, replay, &commit, place)?,
        }
        Ok(())
    }

    fn replay_unsealed(
        &mut self,
        now: Time,
        replay: &mut Replay,
        commit: &Commit,
        place: Place,
    ) -> Result<(), Error> {
        let dot = commit.dot();
        // A home's commit counts once a Handle covers it: this one may be left from an adoption cut short.
        if dot.writer.is_home() && dot.seq > self.base_seq(replay, &dot.writer)? {
            return Ok(());
        }
        self.replay_commit(now, replay, commit, place)
    }

    /// A received unit that is whole. One that is not was never acknowledged, and what follows it in the log was written
    /// without it.
    fn replay_unit(&mut self, now: Time, replay: &mut Replay) -> Result<(), Error> {
        let Some(unit) = replay.unit.take_if(|unit| unit.is_whole()) else { return Ok(()) };
        for (commit, place) in unit.commits {
            self.replay_commit(now, replay, &commit, place)?;
        }
        for (seal, position) in unit.seals {
            self.tail.push_seal(&seal.writer, seal.seq, position);
        }
        Ok(())
    }

    fn replay_commit(
        &mut self,
        now: Time,
        replay: &mut Replay,
        commit: &Commit,
        place: Place,
    ) -> Result<(), Error> {
        let dot = commit.dot();
        let is_covered = dot.seq <= self.base_seq(replay, &dot.writer)?;
        if is_covered {
            if dot.writer.is_home() {
                self.tail.push_covered_home(dot, place);
            }
        } else if self.tail.next_of(&dot.writer).is_none_or(|next| next == dot.seq) {
            self.tail.push(dot, commit.id(), place);
            self.heads.observe(commit);
        }
        self.clock.observe(now, commit.header().hlc);
        if place.position < self.manifest.position {
            return Ok(());
        }
        let tip = self.pending.tip(&dot.writer)?.unwrap_or(crdt::Tip::START);
        if dot.seq <= tip.seq {
            return Ok(());
        }
        let reason = "a commit does not follow its writer's last";
        commit.follows(&tip).map_err(|_| Error::BadRecord { position: place.position.0, reason })?;
        self.pending.overlay.fold(commit, &mut self.changes);
        self.pending.change = self.changes.version();
        replay.folded += 1;
        Ok(())
    }

    /// How far the base covers a writer, looked up once.
    fn base_seq(&self, replay: &mut Replay, writer: &WriterId) -> Result<u64, Error> {
        if let Some(seq) = replay.base.get(writer) {
            return Ok(*seq);
        }
        let seq = self.pending.base_tip(writer)?.map_or(0, |tip| tip.seq);
        replay.base.insert(*writer, seq);
        Ok(seq)
    }
}

/// Entries read at once: enough to be quick, few enough for a small memory.
const REPLAY_BATCH: usize = 256;

/// What a replay keeps in mind.
#[derive(Default)]
struct Replay {
    /// The received unit being read.
    unit: Option<Unit>,
    base: BTreeMap<WriterId, u64>,
    folded: u64,
    unsealed: u64,
}

/// A received unit, as far as it was read.
struct Unit {
    commit_count: u64,
    seal_count: u64,
    commits: Vec<(Commit, Place)>,
    seals: Vec<(Seal, Position)>,
}

impl Replay {
    /// The rest of a unit is not there.
    fn give_up_unit(&mut self) {
        let unit = self.unit.take();
        self.unsealed += unit.map_or(0, |unit| unit.commits.len() as u64);
    }
}

impl Unit {
    fn new(commit_count: u64, seal_count: u64) -> Self {
        Self { commit_count, seal_count, commits: Vec::new(), seals: Vec::new() }
    }

    fn is_whole(&self) -> bool {
        (self.commits.len() as u64, self.seals.len() as u64) == (self.commit_count, self.seal_count)
    }
}

fn lock<D: Disk>(disk: &D) -> Result<D::Lock, Error> {
    disk.lock("lock").map_err(|source| Error::Disk { action: "lock", name: "lock".into(), source })
}

/// The newest manifest whose files are all there, with the log opened for it.
///
/// A log that ends before a manifest's position was copied earlier than that manifest: an older one fits it.
fn open_newest<D: Disk>(disk: &D, in_slots: &InSlots, mode: Mode, opens: u64) -> Result<Opening<D>, Error> {
    let mut refused = None;
    for candidate in &in_slots.all {
        match open_one(disk, candidate, mode, opens)? {
            Ok(opened) => return Ok(opened),
            Err(missing) => drop(refused.get_or_insert(missing)),
        }
    }
    for candidate in copies(disk)? {
        if let Ok(opened) = open_one(disk, &candidate, mode, opens)? {
            return Ok(opened);
        }
    }
    let (name, len) = refused.expect("there is a manifest, and it was refused");
    Err(Error::Incomplete { name, len })
}

/// A manifest that counts, and the log after it.
type Opening<D> = (Candidate, Log<D>, wal::Recovered);
/// What is missing: a file, and the length it should have.
type Missing = (String, u64);

fn open_one<D: Disk>(
    disk: &D,
    candidate: &Candidate,
    mode: Mode,
    opens: u64,
) -> Result<Result<Opening<D>, Missing>, Error> {
    if let Some(missing) = candidate.first_missing(disk)? {
        return Ok(Err(missing));
    }
    let Manifest { log_start, position, .. } = candidate.manifest;
    let options = Options { from: log_start, ..Options::default() };
    let opened = match mode {
        Mode::ReadWrite => Log::open(disk.within(WAL), options, opens),
        Mode::ReadOnly => Log::open_read(disk.within(WAL), options),
    };
    let short = Ok(Err((WAL.to_owned(), position.0 - log_start.0)));
    match opened {
        Ok((log, recovered)) if recovered.end >= position => Ok(Ok((candidate.clone(), log, recovered))),
        Ok(_) | Err(wal::Error::Damaged { damage: wal::Damage::Short, .. } | wal::Error::Missing { .. }) => {
            short
        }
        // Anything else is damage, and no older manifest makes it good.
        Err(error) => Err(error.into()),
    }
}

fn assemble<D: Disk>(
    disk: D,
    slots: Slots<D>,
    candidate: &Candidate,
    log: Log<D>,
    options: &OpenOptions,
    lock: Option<D::Lock>,
) -> Result<Replica<D>, Error> {
    let manifest = candidate.manifest.clone();
    let nodes = Nodes::open(disk.within(PACKS), Salt(manifest.genesis.salt), &manifest.packs)?;
    let slot = match candidate.source {
        Source::Slot { slot } => slot,
        // Neither slot counts: either may be written over.
        Source::Pack { .. } => 0,
    };
    build(Parts { disk, slots, slot, manifest, nodes, log, lock }, options)
}

/// What a replica is put together from.
pub(crate) struct Parts<D: Disk> {
    pub(crate) disk: D,
    pub(crate) slots: Slots<D>,
    pub(crate) slot: usize,
    pub(crate) manifest: Manifest,
    pub(crate) nodes: Nodes<D>,
    pub(crate) log: Log<D>,
    pub(crate) lock: Option<D::Lock>,
}

/// A replica as its manifest says, before its log is read.
pub(crate) fn build<D: Disk>(parts: Parts<D>, options: &OpenOptions) -> Result<Replica<D>, Error> {
    let Parts { disk, slots, slot, manifest, nodes, log, lock } = parts;
    let ring = Ring::new(&manifest.genesis, manifest.ring.clone())?;
    let mut clock = Clock::new(options.now);
    clock.observe(options.now, manifest.base.hlc);
    let pending = View {
        salt: nodes.salt(),
        nodes,
        local: manifest.local,
        base: Arc::new(manifest.base.clone()),
        overlay: Overlay::default(),
        change: 0,
    };
    Ok(Replica {
        disk,
        space: manifest.base.space,
        device: options.device.clone(),
        ring,
        limits: options.limits,
        mode: options.mode,
        is_stopped: false,
        last_error: None,
        visible_end: log.end(),
        marked_end: log.start(),
        log,
        slots,
        slot,
        packs_made: 0,
        collections: 0,
        blob_len: None,
        retired: Retired::default(),
        visible: Snapshot(Arc::new(pending.clone())),
        pending,
        tail: Tail::default(),
        heads: Heads::default(),
        changes: Changes::new(options.limits.changes),
        clock,
        author: Author::new(options.device.id(), options.seed),
        notes: Notes::new(&manifest.notes),
        losers: BTreeMap::new(),
        fetch: None,
        archive: VecDeque::new(),
        manifest,
        _lock: lock,
    })
}
