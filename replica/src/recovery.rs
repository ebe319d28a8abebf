//! Open: the newest manifest whose files are all there, then the log after it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use btree::{Nodes, Salt};
use crdt::{Clock, Ring, Time};
use disk::Disk;
use wal::{Log, Options};

use crate::author::Author;
use crate::candidate::{Candidate, InSlots, copies};
use crate::changes::Changes;
use crate::error::Error;
use crate::evidence::read_proofs;
use crate::folder::{PACKS, WAL};
use crate::heads::Heads;
use crate::manifest::Manifest;
use crate::mend::Mending;
use crate::notes::Notes;
use crate::options::{Mode, OpenOptions, Opened, Source};
use crate::overlay::Overlay;
use crate::replay::Replay;
use crate::replica::Replica;
use crate::retired::{Leaving, Retired};
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::tail::Tail;
use crate::view::View;

fn own_damaged(what: &'static str, source: Error) -> Error {
    Error::OwnDamaged { what, source: Box::new(source) }
}

impl<D: Disk> Replica<D> {
    /// Opens a replica as its folder is: after an orderly stop, a crash, or a copy taken while it ran.
    ///
    /// Where what the log rests on is damaged, it is made anew, or peers are asked for it ([`Replica::is_unread`]).
    pub fn open(disk: D, options: OpenOptions) -> Result<(Self, Opened), Error> {
        let opened = match Self::open_whole(disk.clone(), &options) {
            // A read may fail once.
            Err(error) if error.is_damage() => Self::open_whole(disk.clone(), &options),
            opened => opened,
        };
        match opened {
            Err(error) if error.is_damage() && options.mode == Mode::ReadWrite => {
                match Self::open_damaged(disk, &options) {
                    // The folder stays as it is.
                    Err(Error::BadInbox) => Err(own_damaged("the inbox", error)),
                    opened => opened,
                }
            }
            opened => opened,
        }
    }

    fn open_whole(disk: D, options: &OpenOptions) -> Result<(Self, Opened), Error> {
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
        let (candidate, nodes, log, recovered) =
            open_newest(&disk, &in_slots, options, (opens + 1, Packs::Whole))?;
        let mut replica = assemble(disk, slots, &candidate, (nodes, log), options, lock)?;
        let mut replay = Replay::default();
        replica.replay(options.now, &mut replay)?;
        let short = replica.check_holds_base();
        if options.mode == Mode::ReadOnly {
            short?;
        } else {
            let mut named = in_slots.named_packs();
            named.extend(candidate.manifest.packs.iter().map(|pack| pack.name.clone()));
            replica.settle(options.now, sequence, opens + 1, &candidate, named)?;
            match short {
                Err(Error::Short { .. }) => {
                    // Values that the base names may have been in the log alone.
                    replica.pending.nodes.suspect();
                    replica.rebuild_unread(options.now)?;
                }
                checked => checked?,
            }
        }
        replica.show();
        let opened = opened(&replica, candidate, replay, recovered);
        Ok((replica, opened))
    }

    /// Opens what is damaged: with all of it but its local trees, where the base is whole, or else with nothing but what is
    /// asked of peers.
    fn open_damaged(disk: D, options: &OpenOptions) -> Result<(Self, Opened), Error> {
        let lock = Some(lock(&disk)?);
        let slots = Slots::open(&disk)?;
        let in_slots = InSlots::read(&slots)?;
        let (sequence, opens) = in_slots.highest();
        let (candidate, nodes, log, recovered) =
            open_newest(&disk, &in_slots, options, (opens + 1, Packs::Readable))?;
        let mut replica = assemble(disk, slots, &candidate, (nodes, log), options, lock)?;
        let mut replay = Replay::of_tail();
        match replica.lacking_at_open()? {
            Some(lacking) => {
                replica.keep_slot(&candidate)?;
                replica.void_orphan_batch()?;
                replica.wait_for(lacking, opens + 1);
            }
            None => {
                replica.replay(options.now, &mut replay)?;
                let mut named = in_slots.named_packs();
                named.extend(candidate.manifest.packs.iter().map(|pack| pack.name.clone()));
                replica.settle(options.now, sequence, opens + 1, &candidate, named)?;
                replica.rebuild_unread(options.now)?;
            }
        }
        let opened = opened(&replica, candidate, replay, recovered);
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
        self.keep_slot(candidate)?;
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
        // Segments below the log's start, which an earlier run had no time to let go: runs may all be short.
        self.archive_log(self.manifest.log_start)
    }

    /// After a kill the page cache may show a slot that the disk lacks, and after a failed flush it calls that clean. Written
    /// again, so that it is durable before anybody is shown what it says, and before the other slot is replaced: else a crash
    /// now could cost both.
    fn keep_slot(&self, candidate: &Candidate) -> Result<(), Error> {
        match candidate.source {
            Source::Slot { slot } => self.slots.write_again(slot, &candidate.manifest.encode()),
            _ => Ok(()),
        }
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
}

fn opened<D: Disk>(
    replica: &Replica<D>,
    candidate: Candidate,
    replay: Replay,
    recovered: wal::Recovered,
) -> Opened {
    Opened {
        source: candidate.source,
        version: replica.base().version,
        replayed: replay.folded,
        unsealed: replay.unsealed,
        undone: replay.undone,
        cut: recovered.cut,
    }
}

/// Which packs must open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packs {
    Whole,
    /// Those that can.
    Readable,
}

fn lock<D: Disk>(disk: &D) -> Result<D::Lock, Error> {
    disk.lock("lock").map_err(|source| Error::Disk { action: "lock", name: "lock".into(), source })
}

/// The newest manifest whose files are all there, with the log opened for it.
///
/// A log that ends before a manifest's position was copied earlier than that manifest: an older one fits it.
fn open_newest<D: Disk>(
    disk: &D,
    in_slots: &InSlots,
    options: &OpenOptions,
    how: (u64, Packs),
) -> Result<Opening<D>, Error> {
    let mut refused = None;
    for candidate in &in_slots.all {
        match open_one(disk, candidate, options, how)? {
            Ok(opened) => return Ok(opened),
            Err(missing) => drop(refused.get_or_insert(missing)),
        }
    }
    for candidate in copies(disk)? {
        if let Ok(opened) = open_one(disk, &candidate, options, how)? {
            return Ok(opened);
        }
    }
    let (name, len) = refused.expect("there is a manifest, and it was refused");
    Err(Error::Incomplete { name, len })
}

/// A manifest that counts, its nodes, and the log after it.
type Opening<D> = (Candidate, Nodes<D>, Log<D>, wal::Recovered);
/// What is missing: a file, and the length it should have.
type Missing = (String, u64);

fn open_one<D: Disk>(
    disk: &D,
    candidate: &Candidate,
    options: &OpenOptions,
    (opens, which): (u64, Packs),
) -> Result<Result<Opening<D>, Missing>, Error> {
    if let Some(missing) = candidate.first_missing(disk)? {
        return Ok(Err(missing));
    }
    let Manifest { log_start, position, ref genesis, ref packs, .. } = candidate.manifest;
    // Before the log, whose opening writes: packs that are damaged or of another time leave the folder as it is.
    let nodes = match which {
        Packs::Whole => Nodes::open(disk.within(PACKS), Salt(genesis.salt), packs)?,
        Packs::Readable => Nodes::open_readable(disk.within(PACKS), Salt(genesis.salt), packs),
    };
    let segment_len_first = options.limits.segment_bytes;
    let log_options = Options { from: log_start, segment_len_first, ..Options::default() };
    let opened = match options.mode {
        Mode::ReadWrite => Log::open(disk.within(WAL), log_options, opens),
        Mode::ReadOnly => Log::open_read(disk.within(WAL), log_options),
    };
    let short = Ok(Err((WAL.to_owned(), position.0 - log_start.0)));
    match opened {
        Ok((log, recovered)) if recovered.end >= position => {
            Ok(Ok((candidate.clone(), nodes, log, recovered)))
        }
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
    (nodes, log): (Nodes<D>, Log<D>),
    options: &OpenOptions,
    lock: Option<D::Lock>,
) -> Result<Replica<D>, Error> {
    let manifest = candidate.manifest.clone();
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
    let proofs = read_proofs(&nodes, manifest.base.space, manifest.evidence);
    let proofs = proofs.map_err(|error| own_damaged("what is proven against writers", error))?;
    let pending = View {
        salt: nodes.salt(),
        nodes,
        local: manifest.local,
        base: Arc::new(manifest.base.clone()),
        overlay: Overlay::default(),
        proofs: Arc::new(proofs),
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
        is_unread: false,
        is_copy: false,
        home_rests: false,
        home_waits: !manifest.inbox.is_empty(),
        last_error: None,
        drops: 0,
        visible_end: log.end(),
        marked_end: log.start(),
        log,
        slots,
        slot,
        packs_made: 0,
        collections: 0,
        // A home may have signed what no manifest names yet.
        is_in_doubt: !manifest.claim.is_empty(),
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
        ended: BTreeSet::new(),
        fetch: None,
        mending: Mending::default(),
        archive: VecDeque::new(),
        manifest,
        _lock: lock,
    })
}
