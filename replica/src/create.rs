//! A new replica: a space that was founded here, or one that this device was admitted to.

use std::collections::BTreeMap;

use btree::{Fresh, Hash, Kind, Nodes, Salt, empty_root};
use disk::Disk;
use wal::{Log, Options, Position};

use crate::checkpoint::write_pack;
use crate::error::Error;
use crate::feed::FeedMark;
use crate::folder::{ARCHIVE, PACKS, WAL};
use crate::home::Roots;
use crate::manifest::{Manifest, nothing_adopted};
use crate::options::{CreateOptions, Mode, OpenOptions, Origin};
use crate::recovery::{Parts, build};
use crate::replica::Replica;
use crate::slots::Slots;

impl<D: Disk> Replica<D> {
    /// Makes a replica in an empty folder, or in one where making it was cut short.
    pub fn create(disk: D, options: CreateOptions) -> Result<Self, Error> {
        let lock = disk.lock("lock").map_err(failed("lock", "lock"))?;
        clear(&disk)?;
        for dir in [PACKS, WAL, ARCHIVE] {
            disk.create_dir(dir).map_err(failed("create", dir))?;
        }
        let mut manifest = first_manifest(&options);
        let nodes = Nodes::new(disk.within(PACKS), Salt(options.genesis.salt));
        let nodes = match options.origin {
            Origin::Founded { nodes: founded, .. } => write_founded(nodes, founded, &mut manifest)?,
            Origin::Joined => nodes,
        };
        let log_options = Options { segment_len_first: options.limits.segment_bytes, ..Options::default() };
        let (log, _) = Log::open(disk.within(WAL), log_options, manifest.opens)?;
        // The manifest last: before it there is no replica here, and making it starts over.
        let slots = Slots::create(&disk)?;
        slots.write(0, &manifest.encode())?;
        let parts = Parts { disk, slots, slot: 0, manifest, nodes, log, lock: Some(lock) };
        let options = OpenOptions {
            device: options.device,
            seed: options.seed,
            now: options.now,
            limits: options.limits,
            mode: Mode::ReadWrite,
        };
        let mut replica = build(parts, &options)?;
        let base = replica.manifest.base.clone();
        if base.version > 0 {
            replica.check_handle(&base)?;
        }
        replica.packs_made = replica.manifest.packs.len() as u64;
        Ok(replica)
    }
}

fn first_manifest(options: &CreateOptions) -> Manifest {
    let (data, vector) = (empty_root(Kind::Data), empty_root(Kind::Vector));
    let base = match &options.origin {
        Origin::Founded { handle, .. } => handle.clone(),
        Origin::Joined => nothing_adopted(options.genesis.space(), data, vector),
    };
    Manifest {
        sequence: 1,
        opens: 1,
        genesis: options.genesis.clone(),
        ring: options.ring.clone(),
        local: Roots { data: Hash(base.data_root), vector: Hash(base.vv_root) },
        base,
        position: Position(0),
        log_start: Position(0),
        recent: Vec::new(),
        // The feed of a folder that is new tells everything.
        notes: BTreeMap::from([FeedMark::START.note()]),
        packs: Vec::new(),
        segments: Vec::new(),
        evidence: None,
        claim: Vec::new(),
        void: Vec::new(),
        inbox: Vec::new(),
    }
}

fn write_founded<D: Disk>(
    nodes: Nodes<D>,
    founded: Vec<(Kind, Hash, Vec<u8>)>,
    manifest: &mut Manifest,
) -> Result<Nodes<D>, Error> {
    let mut fresh = Fresh::new(nodes.salt());
    for (kind, hash, bytes) in founded {
        if fresh.insert_raw(kind, &bytes)? != hash {
            return Err(Error::WrongNode { hash });
        }
    }
    if fresh.is_empty() {
        return Ok(nodes);
    }
    let name = format!("{:08x}-{:08x}.pack", manifest.opens, 1);
    let pack = write_pack(&nodes, &name, fresh, &mut manifest.clone())?;
    let nodes = nodes.with_pack(&pack)?;
    manifest.packs = nodes.packs();
    Ok(nodes)
}

/// Removes what a crash left of an earlier attempt. A folder that holds a replica is never touched.
fn clear<D: Disk>(disk: &D) -> Result<(), Error> {
    match Slots::open_read(disk) {
        Ok(slots) if !slots.read()?.is_empty() => return Err(Error::Occupied),
        Ok(_) => disk.remove("manifest").map_err(failed("remove", "manifest"))?,
        Err(Error::NoManifest) => {}
        Err(error) => return Err(error),
    }
    for dir in [PACKS, WAL, ARCHIVE] {
        for name in disk.list(dir).map_err(failed("list", dir))? {
            disk.remove(&format!("{dir}/{name}")).map_err(failed("remove", dir))?;
        }
    }
    Ok(())
}

fn failed(action: &'static str, name: &str) -> impl FnOnce(std::io::Error) -> Error {
    let name = name.to_owned();
    move |source| Error::Disk { action, name, source }
}
